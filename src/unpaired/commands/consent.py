"""The command about code of somebody's own that runs may use: trust."""

from typing import Annotated

import tyro

import unpaired
from unpaired.commands.arguments import print_lines

Module = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="[MODULE]")]


def trust(module: Module = "", /, *, forget: bool = False) -> int:
    """Remember that a module outside unpaired may run when a run names it, as long as its files stay the same.

    A run may come from anybody, so it is data: networks, methods and factories of somebody's own run where they are
    trusted, here for good or with --trust for one command. Without a module all that are trusted are listed.

    Args:
        module: A Python file, or the name of a module that is installed or lies in this folder. Look at it first.
        forget: Trust it no longer.
    """
    from unpaired.consent.trust import all_in_lines, noted

    entries = unpaired.trust(module, forget=forget)
    if forget:
        print(f"{module} is trusted no longer")
    else:
        print_lines(noted(entries) if module else all_in_lines(entries))
    return 0
