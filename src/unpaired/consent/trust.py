"""`trust` as a person calls it: which modules of somebody's own a run may use, from now on or no longer."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from unpaired.consent.settings import Entry, all_remembered, remember, trust_file
from unpaired.consent.settings import forget as forget_module
from unpaired.errors import InputError


def trust(module: str | Path = "", *, forget: bool = False) -> dict[str, Entry]:
    """Remember that a module outside unpaired may run when a run names it, as long as its files stay the same.

    A run may come from anybody, so it is data: networks, methods and factories of somebody's own run where they are
    trusted, for good by this function or for one call by its `trust=`. `module` is a Python file, or the name of a
    module that is installed or lies in this folder; with `forget` it is trusted no longer. Returns {name: entry} of the
    module, and without a module of all that are trusted. Raises InputError for a module that isn't there, or that
    isn't trusted and is to be forgotten.
    """
    if not str(module):
        if forget:
            raise InputError("--forget expects the name of a module; `unpaired trust` lists them")
        return all_remembered()
    if forget:
        known = all_remembered()
        forget_module(str(module))
        return {str(module): known[str(module)]}
    return dict([remember(module)])


def noted(entries: Mapping[str, Entry]) -> Iterator[str]:
    """What was just remembered, and where, a line each."""
    for name, entry in entries.items():
        yield f"{name} is trusted while {entry.file} stays as it is (SHA-256 {entry.sha256}); noted in {trust_file()}"


def all_in_lines(entries: Mapping[str, Entry]) -> Iterator[str]:
    """A line for each module that is trusted."""
    for name, entry in entries.items():
        yield f"{name}  {entry.file}  sha256 {entry.sha256}"
