"""What an image file holds, as one short text: two scans of one name are told apart, a copied one is known again."""

import re
from collections.abc import Iterator
from hashlib import file_digest, sha256
from pathlib import Path

from unpaired.errors import InputError

HEADERS = (".mhd", ".mha", ".nrrd", ".nhdr")
HEADER_BYTES = 1 << 16
DETACHED = re.compile(rb"^\s*(?:ElementDataFile\s*=|data ?file\s*:)[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
"""The line of a MetaImage or NRRD header that says where the voxels are."""


def content_hash(path: Path) -> str:
    """The SHA-256 (hexadecimal) of all bytes that an image file stands for; of a folder, of its files by name.

    A header that names a data file of its own (MetaImage, NRRD) is hashed with it. Where a file lies, what it is called
    and when it was written don't matter. Raises InputError if there is none.
    """
    files = [*image_parts(path)]
    if not files:
        raise InputError(f"expected an image, found {what_is_at(path)} at {path}; check the path")
    if len(files) == 1:
        return _hash(files[0])
    return sha256(" ".join(map(_hash, files)).encode()).hexdigest()


def what_is_at(path: Path) -> str:
    """What is at a path where a file should be and none is, in words for a message."""
    if path.is_symlink() and not path.exists():
        return f"a link to {path.readlink()}, where nothing is,"
    return "a folder" if path.is_dir() else "a pipe, socket or device" if path.exists() else "none"


def image_parts(path: Path) -> Iterator[Path]:
    """The files that an image consists of: itself, and the data files that its header names; a folder's files, sorted.

    Those that are missing are left out: whoever reads the image says so.
    """
    if path.is_dir():
        yield from sorted(file for file in path.rglob("*") if file.is_file())
        return
    if not path.is_file():
        return
    yield path
    if path.suffix.lower() in HEADERS:
        yield from (file for file in _data_files(path) if file.is_file())


def _data_files(path: Path) -> Iterator[Path]:
    """By the header's line: one name, a pattern such as "slice%03d.raw 1 20 1", or LIST and a name on each next."""
    with path.open("rb") as file:
        head = file.read(HEADER_BYTES)
    line = DETACHED.search(head)
    name = line[1].decode("utf-8", "replace").strip() if line else "LOCAL"
    if name.upper() == "LOCAL":
        return
    if name.upper().startswith("LIST") and line:
        names = head[line.end() :].decode("utf-8", "replace").splitlines()
        yield from (path.parent / each.strip() for each in names if each.strip())
    elif "%" in name:
        yield from sorted(path.parent.glob(re.sub(r"%\d*d", "*", name.split()[0])))
    else:
        yield path.parent / name


def _hash(file: Path) -> str:
    with file.open("rb") as opened:
        return file_digest(opened, "sha256").hexdigest()
