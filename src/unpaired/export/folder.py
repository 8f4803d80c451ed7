"""A folder that is there when all of it is."""

import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from unpaired.errors import InputError
from unpaired.files import clear_leftovers, input_error_if_unwritable, resolved, temporary_folder


@contextmanager
def new_folder(path: Path) -> Generator[Path]:
    """A temporary folder beside `path` that takes its name when the block ends well, and vanishes when it doesn't.

    Raises InputError if `path` is a file or holds anything, `UnwritableError` if it can't be written.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{path} is there already; name a new folder, or remove it first")
    place = resolved(path)  # what a link leads to, which stays one
    with input_error_if_unwritable(path):
        place.parent.mkdir(parents=True, exist_ok=True)
        clear_leftovers(place.parent)
        temporary = temporary_folder(place)
        try:
            yield temporary
            if place.exists():
                place.rmdir()
            temporary.rename(place)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
