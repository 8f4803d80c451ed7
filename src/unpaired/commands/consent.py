"""The command about code of somebody's own that runs may use: trust."""

from typing import Annotated

import tyro

Module = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODULE")]


def trust(module: Module = "", /, *, forget: bool = False) -> int:
    """Remember that a module outside unpaired may run when a run names it, as long as its files stay the same.

    A run may come from anybody, so it is data: networks, methods and factories of somebody's own run where they are
    trusted, here for good or with --trust for one command. Without a module all that are trusted are listed.

    Args:
        module: A Python file, or the name of a module that is installed or lies in this folder. Look at it first.
        forget: Trust it no longer.
    """
    from unpaired.consent.settings import all_remembered, remember, trust_file
    from unpaired.consent.settings import forget as forget_module
    from unpaired.errors import InputError

    if not module:
        if forget:
            raise InputError("--forget expects the name of a module; `unpaired trust` lists them")
        for name, entry in all_remembered().items():
            print(f"{name}  {entry.file}  sha256 {entry.sha256}")
        return 0
    if forget:
        forget_module(module)
        print(f"{module} is trusted no longer")
        return 0
    name, entry = remember(module)
    print(f"{name} is trusted while {entry.file} stays as it is (SHA-256 {entry.sha256}); noted in {trust_file()}")
    return 0
