"""BIDS: subjects, sessions and entities in the names, label maps among the derivatives.

    BIDS/dataset_description.json, participants.tsv
    BIDS/sub-01/ses-1/anat/sub-01_ses-1_acq-short_T1w.nii.gz
    BIDS/derivatives/manual/sub-01/ses-1/anat/sub-01_ses-1_acq-short_dseg.nii.gz
    BIDS/derivatives/manual/sub-02/anat/sub-02_T1w_dseg.nii.gz, or sub-02_T1w_label-liver_seg.nii.gz
    BIDS/derivatives/manual/dseg.tsv                           index and name of the label maps' values

A scan's suffix is its modality ("t1w"; "bold" and the like are left out), with `-ce` where a contrast agent is named.
Its subject is the patient, in every session. Age, sex, site and scanner are those of participants.tsv.
References: Gorgolewski et al. 2016 (Scientific Data 3:160044); BIDS derivatives, imaging.
"""

import csv
from dataclasses import dataclass, replace
from pathlib import Path

from unpaired.data.dataset import SPLITS, CaseEntry, Dataset
from unpaired.data.demographics import UNSTATED, Demographics
from unpaired.data.importers.label_names import classes_by_value
from unpaired.data.importers.listing import Listing, about, list_files, make_dataset, read_description, stem
from unpaired.data.importers.options import ImportOptions, modality_name
from unpaired.data.importers.participants import participants_beside
from unpaired.errors import InputError
from unpaired.files import placed, resolved

LABEL_SUFFIXES = ("dseg", "seg", "mask")
NOT_ANATOMY = {"bold", "sbref", "dwi", "events", "physio", "epi", "m0scan", "asl", "defacemask", "probseg"}
_OF_LABELS = {"space", "desc", "label", "res", "den", "seg", "atlas", "rater", "orig"}
"""Entities that a label map has of its own."""


@dataclass(frozen=True)
class _Name:
    """A BIDS file name in parts: {entity: value}, the words without a hyphen before the last, and the suffix."""

    file: str
    entities: dict[str, str]
    words: tuple[str, ...]
    suffix: str


def recognize(listing: Listing) -> str | None:
    """Why a folder looks like BIDS."""
    if not any(file.startswith("sub-") and file.count("/") >= 2 for file in listing.scans()):
        return None
    return "sub-* folders" + (" beside dataset_description.json" if "dataset_description.json" in listing.files else "")


def import_bids(folder: str | Path, options: ImportOptions) -> Dataset:
    """The anatomical scans below `folder` with the label maps of its derivatives; nothing is copied or written.

    Classes are those of a dseg.tsv (index, name), or of `options.classes`. Raises InputError if there is no scan, for a
    label map that fits several scans of a session or none, and if nothing names the label maps' values.
    """
    listing = list_files(folder)
    names = [_parsed(file) for file in listing.scans()]
    scans = [
        name
        for name in names
        if name.file.startswith("sub-") and name.suffix not in LABEL_SUFFIXES and name.suffix.lower() not in NOT_ANATOMY
    ]
    if not scans:
        raise InputError(
            f"{folder}: expected scans such as sub-01/anat/sub-01_T1w.nii.gz, found none; name the folder above sub-01"
        )
    labels: dict[str, str] = {}
    for label in (name for name in names if name.suffix in LABEL_SUFFIXES and "sub" in name.entities):
        scan = _scan_of(label, scans, listing.source)
        if scan in labels:
            raise InputError(
                f"{listing.source / label.file}: a second label map of {scan}, beside {labels[scan]}; "
                "keep one of the derivatives in the folder that is imported"
            )
        labels[scan] = label.file
    sides, people = _sides(listing), _people(listing, options)
    cases = [_case(listing, scan, labels.get(scan.file), sides, options) for scan in scans]
    cases = [
        replace(case, demographics=people.get(f"sub-{scan.entities.get('sub')}", UNSTATED))
        for case, scan in zip(cases, scans, strict=True)
    ]
    classes, table = _classes(listing, bool(labels), options)
    told = listing.source / "dataset_description.json"
    description = read_description(told) if told.is_file() else {}
    name = str(description.get("Name") or resolved(listing.source).name)
    return make_dataset(
        name, classes, {"bids": table}, cases, about({**description, "license": description.get("License")})
    )


def _parsed(file: str) -> _Name:
    *parts, suffix = (stem(file) or "").split("_")
    pairs = [part.split("-", 1) for part in parts if "-" in part]
    return _Name(file, dict(pairs), tuple(part for part in parts if "-" not in part), suffix)


def _scan_of(label: _Name, scans: list[_Name], folder: Path) -> str:
    """The scan of the subject and session that a label map is of: its entities are the scan's, but for its own."""
    own = {key: value for key, value in label.entities.items() if key not in _OF_LABELS}
    same = [scan for scan in scans if _place(scan) == _place(label)]
    said = {*label.words, label.entities.get("space", ""), label.entities.get("orig", "")}
    fitting = [scan for scan in same if scan.suffix in said] or same
    fitting = [scan for scan in fitting if scan.entities == own] or [
        scan for scan in fitting if own.items() <= scan.entities.items()
    ]
    if len(fitting) == 1:
        return fitting[0].file
    which = " and ".join(scan.file.rsplit("/", 1)[-1] for scan in fitting[:3]) or "none"
    raise InputError(
        f"{folder / label.file}: a label map that fits {which} of its session; name its scan's suffix in it "
        "(sub-01_T1w_dseg.nii.gz), or import a folder without it"
    )


def _place(name: _Name) -> tuple[str | None, str | None]:
    return name.entities.get("sub"), name.entities.get("ses")


def _case(listing: Listing, scan: _Name, label: str | None, sides: dict[str, str], options: ImportOptions) -> CaseEntry:
    subject = f"sub-{scan.entities.get('sub')}"
    contrast = "-ce" if "ce" in scan.entities else ""
    patient = options.patient_of(scan.file, subject) if options.patient_from else subject
    return CaseEntry(
        id=stem(scan.file) or scan.file,
        patient=patient,
        modality=options.modality_of(scan.file, modality_name(scan.suffix + contrast)),
        image=placed(listing.source / scan.file),
        label=None if label is None else placed(listing.source / label),
        label_map="bids",
        split=sides.get(subject),
    )


def _classes(
    listing: Listing, labeled: bool, options: ImportOptions
) -> tuple[tuple[str, ...], dict[int, tuple[str, ...]]]:
    if options.classes:
        return classes_by_value(options.classes)
    tables = [file for file in listing.files if file.endswith("dseg.tsv")]
    named: dict[int, str] = {}
    for file in tables:
        for row in _rows(listing.source / file):
            index, name = row.get("index", ""), row.get("name", "")
            if index.isdecimal() and name and named.setdefault(int(index), name) != name:
                raise InputError(
                    f"{listing.source / file}: {index} is {name!r} here and {named[int(index)]!r} in another table; "
                    "say --classes 1:NAME,2:NAME"
                )
    if not named:
        reason = "no dseg.tsv names the values of its label maps" if labeled else "it has no label map"
        raise InputError(f"{listing.source}: {reason}; name the classes: --classes 1:NAME,2:NAME")
    return classes_by_value({value: name for value, name in named.items() if value})


def _sides(listing: Listing) -> dict[str, str]:
    """{subject: side} of participants.tsv, if it has a column `split` or `group` with our words."""
    table = listing.source / "participants.tsv"
    if not table.is_file():
        return {}
    rows = list(_rows(table))
    return {
        row["participant_id"]: side
        for row in rows
        if (side := row.get("split", row.get("group", ""))) in SPLITS and row.get("participant_id")
    }


def _people(listing: Listing, options: ImportOptions) -> dict[str, Demographics]:
    return participants_beside(listing.source / "participants.tsv", options.warn)


def _rows(table: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        rows = [[cell.strip() for cell in row] for row in csv.reader(file, delimiter="\t")]
    return [dict(zip(rows[0], row, strict=False)) for row in rows[1:]] if rows else []
