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
NUMBER = re.compile(r"%\d*[di]")
"""The place for a number in a pattern of file names, as in C."""


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

    Those that are missing, or lie outside of the header's folder, are left out: whoever reads the image says so.
    """
    if path.is_dir():
        yield from sorted(file for file in path.rglob("*") if file.is_file())
        return
    if not path.is_file():
        return
    yield path
    if path.suffix.lower() in HEADERS:
        yield from (file for name in dict.fromkeys(_data_names(path)) if (file := _beside(path, name)) is not None)


def _data_names(path: Path) -> Iterator[str]:
    """By the header's line: one name, a pattern such as "slice%03d.raw 1 20 1", or LIST and a name on each next.

    A header may come from anywhere, so a pattern's number stands in a file's name, never in a folder's.
    """
    with path.open("rb") as file:
        head = file.read(HEADER_BYTES)
    line = DETACHED.search(head)
    name = line[1].decode("utf-8", "replace").strip() if line else "LOCAL"
    if name.upper() == "LOCAL":
        return
    if name.upper().startswith("LIST") and line:
        names = head[line.end() :].decode("utf-8", "replace").splitlines()
        yield from (each.strip() for each in names if each.strip())
    elif "%" in name:
        folder, _, pattern = name.split()[0].rpartition("/")
        wanted = re.compile(r"\d*".join(map(re.escape, NUMBER.split(pattern))))
        there = _beside(path, folder or ".", is_folder=True)
        files = sorted(file.name for file in there.iterdir()) if there is not None else []
        yield from (f"{folder or '.'}/{file}" for file in files if wanted.fullmatch(file))
    else:
        yield name


def _beside(header: Path, name: str, *, is_folder: bool = False) -> Path | None:
    """What a header names, as long as it is there and lies in the header's folder, as readers want it."""
    try:
        file = (header.parent / name).resolve()
        there = file.is_dir() if is_folder else file.is_file()
        return header.parent / name if there and file.is_relative_to(header.parent.resolve()) else None
    except (OSError, RuntimeError, ValueError):  # names too long, links in a circle
        return None


def _hash(file: Path) -> str:
    with file.open("rb") as opened:
        return file_digest(opened, "sha256").hexdigest()
