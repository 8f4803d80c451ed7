"""Voxels that lie beside their header (NRRD, MetaImage): which files may be meant, and that they stay in its folder."""

import re
from pathlib import Path

from unpaired.data.image import ImageError

NUMBER = re.compile(r"%0?(\d{0,2})[di]")
"""The one place for a number that a pattern of file names has, as in C: %03d."""


def data_file(header: Path, name: str) -> Path:
    """The file that a header names. Raises ImageError if it is missing, or would lie outside of the header's folder.

    A header is data from anywhere: an absolute path, `..` or a link out of its folder would make it read what it likes.
    """
    if not name or any(ord(letter) < 32 for letter in name):
        raise ImageError(f"{header}: expected the name of its data file, got {name!r}; repair the header")
    folder = header.parent.resolve()
    try:
        file = (folder / name).resolve()
        inside = file.is_relative_to(folder) and not Path(name).is_absolute() and ".." not in Path(name).parts
        exists = inside and file.is_file()
    except (OSError, RuntimeError, ValueError) as error:  # names too long, links in a circle
        raise ImageError(f"{header}: can't follow its data file {name[:80]!r} ({error})") from error
    if not inside:
        raise ImageError(
            f"{header}: its data file {name!r} lies outside of the header's folder, which is never read; put both into "
            "one folder and name the file alone"
        )
    if not exists:
        raise ImageError(f"{header}: its data file {name!r} is missing; copy header and data together")
    return file


def numbered_files(header: Path, pattern: str, first: int, last: int, step: int, most: int) -> list[Path]:
    """The files of a pattern such as `slice%03d.raw`, for numbers from `first` to `last`, both included.

    Raises ImageError for another pattern, and for more than `most` files.
    """
    places = NUMBER.findall(pattern)
    if len(places) != 1 or pattern.count("%") != 1 or step == 0 or int(places[0] or 0) > 20:
        raise ImageError(f"{header}: expected one number as %03d in the data files' names, got {pattern!r}")
    numbers = range(first, last + (1 if step > 0 else -1), step)
    if len(numbers) > most:
        raise ImageError(f"{header}: names {len(numbers)} data files, its sizes allow {most}; repair the header")
    place = NUMBER.search(pattern)
    assert place is not None  # counted above
    return [
        data_file(header, pattern[: place.start()] + place.group().replace("i", "d") % number + pattern[place.end() :])
        for number in numbers
    ]
