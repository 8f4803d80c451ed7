"""TotalSegmentator's folders: a subject each, with one file per structure (Wasserthal et al. 2023, Radiology: AI).

    FOLDER/meta.csv                               "image_id;age;gender;institute;...;split", if it is there
    FOLDER/s0001/ct.nii.gz, or mri.nii.gz
    FOLDER/s0001/segmentations/liver.nii.gz, spleen.nii.gz, ...

The structures of a subject are written as one label map; a structure without a file was not looked for in that subject.
"""

import csv
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from unpaired.data.dataset import SPLITS, CaseEntry, Dataset
from unpaired.data.demographics import UNSTATED
from unpaired.data.images import read_label_map, write_image
from unpaired.data.importers.converted import convert
from unpaired.data.importers.listing import Listing, list_files, make_dataset, stem
from unpaired.data.importers.options import ImportOptions
from unpaired.data.importers.participants import participants_beside
from unpaired.errors import InputError, nearest
from unpaired.files import placed, resolved

_SCAN = re.compile(r"(?:(.*)/)?(ct|mri?)\.(nii|nii\.gz|nrrd|mha)", re.IGNORECASE)
_MODALITY = {"ct": "ct", "mr": "mr", "mri": "mr"}


def recognize(listing: Listing) -> str | None:
    """Why a folder looks like TotalSegmentator's."""
    subjects = [subject for subject, _ in _scans(listing) if listing.scans(f"{subject}/segmentations")]
    return f"a scan and segmentations/ with a file a structure in {len(subjects)} folders" if subjects else None


def import_totalsegmentator(folder: str | Path, options: ImportOptions) -> Dataset:
    """The dataset of the subjects in `folder`; label maps are written to `options.converted`.

    Classes are those that `options.classes` names ({value: structure}, the values of the written label maps), or all
    that any subject has, by their names in the alphabet. Where structures overlap, the later one counts. Label maps
    that were made of the same structures and classes are kept (`importers.converted`). Raises InputError if there is no
    subject, for a class that no subject has, and for structures on another grid than each other.
    """
    listing = list_files(folder)
    scans = _scans(listing)
    structures = {
        subject: {name: file for file in listing.scans(f"{subject}/segmentations") if (name := stem(file))}
        for subject, _ in scans
    }
    present = sorted({name for files in structures.values() for name in files})
    if not present:
        raise InputError(
            f"{folder}: expected SUBJECT/ct.nii.gz and SUBJECT/segmentations/liver.nii.gz, found none; name "
            "the folder above the subjects"
        )
    classes = dict(options.classes or enumerate(present, start=1))
    for name in classes.values():
        if name not in present and name != "background":
            raise InputError(f"{folder}: no subject has a structure {name!r}; {nearest(name, present)}")
    classes.pop(0, None)
    table = listing.source / "meta.csv"
    sides, people = _sides(table), participants_beside(table, options.warn)
    cases: list[CaseEntry] = []
    for subject, scan in scans:
        own = structures[subject]
        files = {value: listing.source / own[name] for value, name in classes.items() if name in own}
        case = _case(listing.source, subject, scan, files, classes, sides, options)
        cases.append(replace(case, demographics=people.get(case.id, UNSTATED)))
    label_map = {0: ("background",)} | {value: (name,) for value, name in classes.items()}
    about = "TotalSegmentator. Read the terms of your copy (the data set: CC BY 4.0)."
    return make_dataset(
        resolved(listing.source).name, ("background", *classes.values()), {"merged": label_map}, cases, about
    )


def _case(
    folder: Path,
    subject: str,
    scan: str,
    files: dict[int, Path],
    classes: dict[int, str],
    sides: dict[str, str],
    options: ImportOptions,
) -> CaseEntry:
    """The case of a subject, its structures (value: file) merged."""
    name = subject.rsplit("/", 1)[-1]
    label = None
    if files:
        label = resolved(options.converted / f"{name}.nii.gz")
        choices = " ".join(f"{value}:{name}" for value, name in classes.items())
        convert([label], folder / subject, files.values(), choices, partial(_merge, files, label))
    looked_for = tuple(classes[value] for value in files)
    return CaseEntry(
        id=name,
        patient=options.patient_of(scan, name),
        modality=options.modality_of(scan, _MODALITY[(stem(scan) or "").lower()]),
        image=placed(folder / scan),
        label=label,
        label_map="merged",
        annotated=None if len(files) == len(classes) else looked_for,
        split=sides.get(name),
    )


def _scans(listing: Listing) -> list[tuple[str, str]]:
    """(subject's folder, scan) of every subject."""
    matches = [match for file in listing.files if (match := _SCAN.fullmatch(file)) and match[1]]
    return [(match[1], match[0]) for match in matches]


def _merge(paths: dict[int, Path], out: Path) -> None:
    """Write the structures of one subject (value: file) to `out` as one label map."""
    merged, first = None, None
    for value, path in paths.items():
        image = read_label_map(path)
        if merged is None or first is None:
            merged, first = np.zeros(image.array.shape, np.uint8 if max(paths) < 256 else np.uint16), image
        if image.array.shape != merged.shape or not np.allclose(image.affine, first.affine, atol=1e-3):
            raise InputError(f"{path}: isn't on the grid of the subject's other structures; get the subject again")
        merged[image.array > 0] = value
    assert merged is not None
    assert first is not None
    write_image(out, merged, first.affine)


def _sides(table: Path) -> dict[str, str]:
    """{subject: side} from meta.csv, where it says them."""
    if not table.is_file():
        return {}
    with table.open(encoding="utf-8-sig", newline="", errors="replace") as file:
        head = file.readline()
        rows = list(csv.reader([head, *file], delimiter=";" if head.count(";") > head.count(",") else ","))
    if not rows or "image_id" not in rows[0] or "split" not in rows[0]:
        return {}
    subject, side = rows[0].index("image_id"), rows[0].index("split")
    own = {"val": "validation"}
    named = {row[subject]: own.get(row[side], row[side]) for row in rows[1:] if len(row) > max(subject, side)}
    return {name: side for name, side in named.items() if side in SPLITS}
