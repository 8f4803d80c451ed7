"""MM-WHS 2017: whole hearts in CT and MR of different patients (Zhuang and Shen 2016, Medical Image Analysis 31:77).

    FOLDER/**/ct_train_1001_image.nii.gz     FOLDER/**/ct_train_1001_label.nii.gz     (1001 to 1020)
    FOLDER/**/mr_train_1001_image.nii.gz     FOLDER/**/mr_train_1001_label.nii.gz     (1001 to 1020)
    FOLDER/**/ct_test_2001_image.nii.gz      unlabeled: the challenge keeps these references

A CT and an MR of the same number are different people. Traps of the files: axes are stored in several orders, so cut
slices by anatomical plane (`preprocessing.plane`), never by file axis; mr_train_1010 holds a stray value 421, read here
as 420 (left atrium); mr_train_1002 is said to have blocks of label at its border, which no rule of `unpaired verify`
looks for: look at it, and mend the file if they are there.
"""

import re
from pathlib import Path
from typing import Literal

from unpaired.data.dataset import CaseEntry, Dataset, Modality
from unpaired.data.importers.named_files import find_named_files
from unpaired.files import placed

Structures = Literal["four", "seven"]
VALUES = {500: "LV", 205: "myo", 420: "LA", 820: "AA", 600: "RV", 550: "RA", 850: "PA"}
STRAY = {421: "LA"}
FOUR = ("myo", "LA", "LV", "AA")
"""What UMMKD, CSA and SSC segment, in the order of their tables: LVM, LAC, LVC, AA."""
TEST = {"ct": (1003, 1008, 1014, 1019), "mr": (1007, 1009, 1018, 1019)}
"""Test scans of the works after PnP-AdaNet (SIFA, UMMKD), as named in their public threads."""
VALIDATION = {"ct": (1010, 1020), "mr": (1010, 1020)}
"""Never published; these two are an inference (one third party uses them)."""
_NAME = re.compile(r"(ct|mr)_(train|test)_(\d+)_(image|label)\.nii(\.gz)?", re.IGNORECASE)


def import_mmwhs(folder: str | Path, structures: Structures = "four") -> Dataset:
    """The dataset found in `folder`, searched with its subfolders; nothing is copied or written.

    "four" structures are those of the papers' tables; the other three are background. Cases come with the split that
    the papers after PnP-AdaNet use (`TEST`, `VALIDATION`, the rest trains); `unpaired split` draws another. Values are
    clipped at each volume's 98th percentile and z-scored, as UMMKD did. Raises InputError if no image is found, if one
    is found twice, or if a label map has no image.
    """
    files = find_named_files(
        folder,
        "MM-WHS",
        _NAME,
        key_of=lambda match: (match[1].lower(), match[2].lower(), int(match[3])),
        is_label=lambda match: match[4].lower() == "label",
        image_name=lambda key: f"{key[0]}_{key[1]}_{key[2]}_image.nii.gz",
        example="ct_train_1001_image.nii.gz and mr_train_1001_label.nii.gz",
    )
    names = FOUR if structures == "four" else tuple(VALUES.values())
    label_map = {0: ("background",)} | {
        value: (name if name in names else "background",) for value, name in (VALUES | STRAY).items()
    }
    present = {modality for modality, _, _ in files.images}
    return Dataset(
        name="mm-whs",
        classes=("background", *names),
        modalities={name: Modality("zscore", clip_percentiles=(0.0, 98.0)) for name in ("ct", "mr") if name in present},
        cases=tuple(_entry(key, files.images[key], files.labels.get(key)) for key in sorted(files.images)),
        label_maps={"mmwhs": label_map},
        about="MM-WHS 2017 challenge. Research use after registration; not to be redistributed.",
    )


def _entry(key: tuple[str, str, int], image: Path, label: Path | None) -> CaseEntry:
    modality, part, number = key
    split = None
    if part == "train":
        split = "test" if number in TEST[modality] else "validation" if number in VALIDATION[modality] else "train"
    return CaseEntry(
        id=f"{modality}{number}",
        patient=f"{modality}{number}",
        modality=modality,
        image=placed(image),
        label=None if label is None else placed(label),
        label_map="mmwhs",
        split=split,
    )
