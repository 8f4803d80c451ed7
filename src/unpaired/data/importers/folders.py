"""A folder for each modality, as people lay them out by hand; label maps beside the scans or in folders of their own.

    FOLDER/ct/p01.nii.gz            FOLDER/ct/p01_seg.nii.gz
    FOLDER/mr/images/p02.nii.gz     FOLDER/mr/labels/p02.nii.gz
    FOLDER/mr/p03.nii.gz            no label map: an unlabeled scan

A label map has its scan's name, with `_seg`, `_label`, `_mask`, `_gt`, `_manual` or the like behind it (or before it,
as in `label_1` of `image_1`), or lies in a folder called labels, masks, segmentations or the like. It doesn't say what
its values mean: `classes` does. Scans in no modality's folder are of the only one that `modalities` names.
"""

import re
from pathlib import Path

import numpy as np

from unpaired.data.dataset import CaseEntry, Dataset
from unpaired.data.images import read_label_map
from unpaired.data.importers.label_names import classes_by_value
from unpaired.data.importers.listing import Listing, list_files, make_dataset, stem
from unpaired.data.importers.options import ImportOptions, modality_name
from unpaired.errors import InputError
from unpaired.files import placed, resolved

MODALITY_WORDS = {
    "ct",
    "cta",
    "mr",
    "mri",
    "t1",
    "t1w",
    "t1ce",
    "t1c",
    "t2",
    "t2w",
    "flair",
    "adc",
    "dwi",
    "pet",
    "lge",
    "bssfp",
    "cine",
    "us",
    "dixon",
}
_LABEL = r"(seg(mentation)?s?|labels?|masks?|gt|ground[_-]?truth|manual|annotations?|dseg|rois?)"
_LABEL_NAME = re.compile(rf"[_.-]{_LABEL}$|^{_LABEL}[_.-](?=.)", re.IGNORECASE)
_LABEL_FOLDER = re.compile(rf"{_LABEL}(tr|ts|va)?", re.IGNORECASE)
_IMAGE_NAME = re.compile(r"[_.-](image|img|scan|0000)$|^(image|img|scan)[_.-](?=.)", re.IGNORECASE)
_IMAGE_FOLDER = re.compile(r"(images?|imgs?|scans?|volumes?|data)(tr|ts|va)?", re.IGNORECASE)


def recognize(listing: Listing) -> str | None:
    """Why a folder looks like one of scans with a folder a modality."""
    scans = [file for file in listing.scans() if not _is_label(file)]
    modalities = sorted({_modality(file) for file in scans} - {""})
    if modalities:
        return f"a folder of scans for each of {', '.join(modalities[:6])}"
    return f"{len(scans)} scans in no folder of a modality" if scans else None


def import_folders(folder: str | Path, options: ImportOptions) -> Dataset:
    """The dataset of the scans below `folder`; nothing is copied or written.

    The first folder on the way to a scan is its modality, its name its patient, where `options` don't say otherwise.
    Raises InputError if there is no scan, for a label map without its scan, two of one scan, and for label maps whose
    values `options.classes` doesn't name: the line lists the values.
    """
    listing = list_files(folder)
    images = [file for file in listing.scans() if not _is_label(file)]
    if not images:
        raise InputError(
            f"{folder}: expected scans in a folder for each modality, such as ct/p01.nii.gz, found none; name the "
            "folder above these"
        )
    labels = _labels(listing, images)
    twice = {name for name in map(_name, images) if [_name(file) for file in images].count(name) > 1}
    cases: list[CaseEntry] = []
    for file in images:
        guess = _modality(file) or (options.modalities[0] if len(options.modalities) == 1 else "")
        if not guess and options.modality_from is None:
            raise InputError(
                f"{listing.source / file}: lies in no modality's folder; say it for all of them, such as "
                f"--modalities t2, or where it stands in their names: {_guessed_expression(images)}"
            )
        modality, name = options.modality_of(file, guess), _name(file)
        label = labels.get(_key(file))
        cases.append(
            CaseEntry(
                id=f"{name}_{modality}" if name in twice else name,
                patient=options.patient_of(file, name),
                modality=modality,
                image=placed(listing.source / file),
                label=None if label is None else placed(listing.source / label),
                label_map="folders",
            )
        )
    classes, table = _classes(listing, sorted(set(labels.values())), options)
    return make_dataset(resolved(listing.source).name, classes, {"folders": table}, cases)


def _guessed_expression(images: list[str]) -> str:
    """How to say the modality by an expression: with the words of the names that are modalities', if there are any."""
    words = {word.lower() for file in images for word in re.split(r"[^A-Za-z0-9]+", file)}
    known = sorted(words & MODALITY_WORDS, key=lambda word: (-len(word), word))
    return f"--modality-from '({'|'.join(known or ['ct', 'mr'])})'"


def _is_label(file: str) -> bool:
    *folders, name = file.split("/")
    return bool(_LABEL_NAME.search(stem(name) or "")) or any(_LABEL_FOLDER.fullmatch(folder) for folder in folders)


def _modality(file: str) -> str:
    """The first folder that isn't called after what lies in it; "" if there is none."""
    names = [
        name for name in file.split("/")[:-1] if not (_IMAGE_FOLDER.fullmatch(name) or _LABEL_FOLDER.fullmatch(name))
    ]
    return modality_name(names[0]) if names else ""


def _name(file: str) -> str:
    """A scan's name without what says that it is one."""
    name = _LABEL_NAME.sub("", stem(file) or "")
    return _IMAGE_NAME.sub("", name) or name


def _key(file: str) -> tuple[tuple[str, ...], str]:
    """What a scan and its label map share: the folders that aren't called after what lies in them, and the name."""
    *folders, _ = file.split("/")
    kept = (name for name in folders if not (_IMAGE_FOLDER.fullmatch(name) or _LABEL_FOLDER.fullmatch(name)))
    return tuple(kept), _name(file)


def _labels(listing: Listing, images: list[str]) -> dict[tuple[tuple[str, ...], str], str]:
    """{what scan and label map share: the label map's file}."""
    known = {_key(file) for file in images}
    labels: dict[tuple[tuple[str, ...], str], str] = {}
    for file in filter(_is_label, listing.scans()):
        key = _key(file)
        if key not in known:
            raise InputError(
                f"{listing.source / file}: a label map by its name, but no scan {key[1]!r} lies beside it; "
                "add the scan, or move this away"
            )
        if key in labels:
            raise InputError(
                f"{listing.source / file}: a second label map of {key[1]!r}, beside {labels[key]}; keep one"
            )
        labels[key] = file
    return labels


def _classes(
    listing: Listing, labels: list[str], options: ImportOptions
) -> tuple[tuple[str, ...], dict[int, tuple[str, ...]]]:
    if options.classes:
        return classes_by_value(options.classes)
    values: set[int] = set()
    for file in labels:
        values |= set(np.unique(read_label_map(listing.source / file).array).tolist())
    guess = ",".join(f"{value}:NAME" for value in sorted(values - {0})[:8]) or "1:NAME"
    seen = (
        f"label maps hold the values {', '.join(map(str, sorted(values)[:20]))}" if labels else "no label map is there"
    )
    raise InputError(f"{listing.source}: {seen}; name the classes: --classes {guess}")
