"""The files of a folder by their paths below it: what a dataset's layout is recognized by."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unpaired.data.dataset import MANIFEST, CaseEntry, Dataset, Modality
from unpaired.data.file_names import require_distinct
from unpaired.data.importers.options import is_ct
from unpaired.documents import read
from unpaired.errors import InputError

SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd", ".png")
"""The suffixes of scans that `read_image` reads."""
DESCRIPTION = MANIFEST
"""nnU-Net, the Decathlon and MONAI call their description of a dataset as this package calls its own."""
MOST = 100_000
"""How many files of a tree are looked at to recognize its layout."""
HOUNSFIELD = Modality("minmax", clip=(-1000.0, 1000.0))
"""How a CT is scaled of which nothing else is known: the whole range from air to bone, brought to 0..1."""


@dataclass(frozen=True)
class Listing:
    """A folder (or a file, then `files` is empty) and its files, as sorted paths below it with `/` between parts."""

    source: Path
    files: tuple[str, ...]

    def scans(self, below: str = "") -> list[str]:
        """The image files in the folder `below` and its subfolders."""
        start = f"{below}/" if below else ""
        return [file for file in self.files if file.startswith(start) and stem(file) is not None]


def list_files(source: str | Path, most: int | None = None) -> Listing:
    """The files at `source`; hidden ones (and the `._` copies of macOS) are left out.

    Linked folders are followed, links to nowhere are files that are missing. `most` ends the list early, for a first
    look. Raises InputError if nothing is there, and for a folder that can't be listed.
    """
    source = Path(source)
    if source.is_file():
        return Listing(source, ())
    if not source.is_dir():
        raise InputError(f"{source}: expected a folder or file with a dataset, got nothing at this path; correct it")
    files: list[str] = []
    for file in walk_files(source):
        files.append(file.relative_to(source).as_posix())
        if most is not None and len(files) > most:
            break
    return Listing(source, tuple(sorted(files)))


def walk_files(folder: Path, above: frozenset[str] = frozenset()) -> Iterator[Path]:
    """Every file in a folder and in those below, linked ones too, but for hidden files and folders.

    A link back to a folder that it lies in is not followed. Raises InputError for a folder that can't be listed: what
    it holds would be missing without a word.
    """
    above = above | {os.path.realpath(folder)}
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"{folder}: can't be listed ({error.strerror}); make it readable, or move it away") from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if not Path(entry).is_dir():  # False for a link in a circle, where entry.is_dir() raises
            yield folder / entry.name
        elif os.path.realpath(entry.path) not in above:
            yield from walk_files(folder / entry.name, above)


def stem(file: str) -> str | None:
    """A scan's name without folders and suffix, "case_1" of "a/case_1.nii.gz"; None if it is no image file."""
    name = file.rsplit("/", 1)[-1]
    suffix = next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), None)
    return name[: -len(suffix)] if suffix else None


def read_description(path: Path) -> dict[str, Any]:
    """The JSON object in a dataset.json or datalist. Raises InputError if it is none."""
    return read(path, dict[str, Any], "it should describe a dataset")


def about(document: dict[str, Any]) -> str:
    """What a description says of origin and terms, in one line."""
    told = [document.get(key) for key in ("description", "reference", "licence", "license")]
    return " · ".join(dict.fromkeys(" ".join(text.split()) for text in told if isinstance(text, str) and text.strip()))


def make_dataset(
    name: str,
    classes: tuple[str, ...],
    label_maps: dict[str, dict[int, tuple[str, ...]]],
    cases: list[CaseEntry],
    about: str = "",
) -> Dataset:
    """A dataset of these cases; a modality called CT is taken as Hounsfield units, the others are z-scored.

    Raises InputError if two cases have one id, which names their predictions.
    """
    seen: dict[str, CaseEntry] = {}
    for case in cases:
        if case.id in seen:
            first = seen[case.id].image
            if case.image == first:
                raise InputError(f"{first} is listed twice, as the case {case.id!r}; take one out")
            raise InputError(f"{case.image} and {first} would both be the case {case.id!r}; rename one")
        seen[case.id] = case
    require_distinct(seen, "case id", "rename one of the images")
    modalities = {
        modality: HOUNSFIELD if is_ct(modality) else Modality()
        for modality in dict.fromkeys(case.modality for case in cases)
    }
    return Dataset(name, classes, modalities, tuple(cases), label_maps, about)
