"""Image and label files of a public dataset, found by their names anywhere below a folder."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from unpaired.data.importers.listing import walk_files
from unpaired.errors import InputError

Key = TypeVar("Key")


@dataclass(frozen=True)
class NamedFiles(Generic[Key]):
    """What was found: {key: file} of the images, and of the label maps that exist."""

    images: dict[Key, Path]
    labels: dict[Key, Path]


def find_named_files(
    folder: str | Path,
    dataset: str,
    pattern: re.Pattern[str],
    key_of: Callable[[re.Match[str]], Key],
    is_label: Callable[[re.Match[str]], bool],
    image_name: Callable[[Key], str],
    example: str,
    parts: int = 1,
) -> NamedFiles[Key]:
    """Search a folder and its subfolders for files whose whole name fits `pattern`; nothing is opened.

    `key_of` says which case a name means, `image_name` how its image would be called, `example` what such names look
    like. With `parts=2` names are those with the folder in front, such as imagesTr/amos_0001.nii.gz. Raises InputError
    if the folder isn't there or holds no image, for a file that is found twice, and for a label map without its image.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(
            f"{folder}: expected the folder of {dataset}, found {'a file' if folder.exists() else 'nothing'}"
        )
    files = NamedFiles[Key]({}, {})
    for file in sorted(walk_files(folder)):
        match = pattern.fullmatch("/".join(file.parts[-parts:]))
        if match is None:
            continue
        known, key = files.labels if is_label(match) else files.images, key_of(match)
        if key in known:
            raise InputError(
                f"{file}: found a second time (first {known[key]}); name a folder that holds each file once"
            )
        known[key] = file
    if not files.images:
        raise InputError(f"{folder}: expected {dataset} files like {example}; {_seen(folder)}")
    for key, file in files.labels.items():
        if key not in files.images:
            raise InputError(f"{file}: label map without its image {image_name(key)} anywhere in {folder}; add it")
    return files


def _seen(folder: Path) -> str:
    """What the folder holds instead, in a few words."""
    names = sorted(path.name for path in folder.iterdir())
    if not names:
        return "the folder is empty"
    return f"found {', '.join(names[:4])}{' ...' if len(names) > 4 else ''} and no such name below it"
