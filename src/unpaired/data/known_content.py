"""The hashes of image files, remembered beside what is made of them, so that no file is read twice to be hashed.

A hash is taken as known while name, size, both times (of the content and of the directory entry) and number of every
file that the image consists of are what they were, as git does it. Replacing a file changes the second time, even where
the first was set back (`cp -p`, `rsync -t`). What isn't seen: a change within the same tick of a file system's clock,
which is why a file that changed less than two seconds before it was hashed is hashed again; bytes changed by a failing
disk; and on Windows, which has no second time, a file of equal size whose time was set back.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from unpaired.data.content import content_hash, image_parts, what_is_at
from unpaired.documents import read
from unpaired.errors import InputError
from unpaired.files import resolved, write_json

RECENT_NS = 2 * 10**9
"""Coarse clocks (FAT: two seconds) give a file that is changed twice in that time one time."""

Stamps = tuple[tuple[str, int, int, int, int], ...]
"""Name, size, times of content and of directory entry (nanoseconds), and number, of each file of an image."""


@dataclass(frozen=True)
class Hashed:
    """An image file, the stamps it had when it was hashed, and its `content_hash`."""

    file: str
    stamps: Stamps
    sha256: str
    lasting: bool
    """Whether the files were at rest, so that equal stamps mean equal bytes from now on."""

    def is_current(self, file: Path) -> bool:
        """Whether the stamps of an image file are still what they were."""
        return _stamps(file) == self.stamps


def hashed(file: Path, known: Hashed | None = None) -> Hashed:
    """The hash of an image file; the known one if the file's stamps say that it is still the same."""
    if not file.is_file():
        raise InputError(f"expected a file, found {what_is_at(file)} at {file}; correct the manifest's path")
    stamps = _stamps(file)
    if known is not None and known.stamps == stamps:
        return known
    began = time.time_ns()
    sha256 = content_hash(file)
    newest = max(max(changed, entered) for _, _, changed, entered, _ in stamps)
    return Hashed(str(resolved(file)), stamps, sha256, newest < began - RECENT_NS and _stamps(file) == stamps)


def read_hashes(path: Path) -> dict[str, Hashed]:
    """{resolved file: its hash} as `remember_hashes` wrote it; empty if there is none, or none that can be read.

    What is lost here costs a second reading of the files, nothing else.
    """
    if not path.is_file():
        return {}
    try:
        known = read(path, dict[str, tuple[Stamps, str]], "it is made anew")
    except InputError:
        return {}
    return {file: Hashed(file, stamps, sha256, True) for file, (stamps, sha256) in known.items()}


def remember_hashes(path: Path, known: Mapping[str, Hashed], new: Iterable[Hashed]) -> None:
    """Write the hashes that last, those that were known and the new ones."""
    table = {**known, **{each.file: each for each in new}}
    document = {file: [each.stamps, each.sha256] for file, each in table.items() if each.lasting}
    write_json(path, document, compact=True)


def _stamps(file: Path) -> Stamps:
    return tuple(
        (part.name, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
        for part, status in ((part, part.stat()) for part in image_parts(file))
    )
