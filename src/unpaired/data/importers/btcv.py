"""BTCV (Synapse, "Beyond the Cranial Vault", 2015): abdominal CT with thirteen organs (Landman et al.).

    FOLDER/**/img/img0001.nii.gz       FOLDER/**/label/label0001.nii.gz     (0001-0010 and 0021-0040)
    FOLDER/**/img/img0061.nii.gz       unlabeled: the challenge keeps these references (0061-0080)
    FOLDER/**/image_0.nii.gz           FOLDER/**/label_0.nii.gz             copies with numbers of their own

AMOS and TotalSegmentator number their organs in another order. Which kidney is the right one is said by the header,
never by the side of the array.
"""

import re
from pathlib import Path
from typing import Literal

from unpaired.data.dataset import CaseEntry, Dataset, Modality
from unpaired.data.importers.chaos import ORGANS
from unpaired.data.importers.named_files import find_named_files
from unpaired.files import placed

Organs = Literal["four", "thirteen"]
VALUES = {
    "spleen": 1,
    "right kidney": 2,
    "left kidney": 3,
    "gallbladder": 4,
    "esophagus": 5,
    "liver": 6,
    "stomach": 7,
    "aorta": 8,
    "inferior vena cava": 9,
    "portal and splenic veins": 10,
    "pancreas": 11,
    "right adrenal gland": 12,
    "left adrenal gland": 13,
}
TEST = (1, 9, 30, 32, 33, 39)
"""Scans that SIFA and the works after it test on, as its authors say in their public thread."""
_NAME = re.compile(r"(img|label)(\d{4})\.nii(\.gz)?|(image|label)_(\d+)\.nii(\.gz)?", re.IGNORECASE)


def import_btcv(folder: str | Path, organs: Organs = "four") -> Dataset:
    """The dataset found in `folder`, searched with its subfolders; nothing is copied or written.

    "four" organs are those that CHAOS has too (the tables of SSC), the others are background; "thirteen" are all.
    Official files come with the split of `TEST`, all other labeled scans train; copies have other numbers and no split.
    Values are clipped to -175..250 HU and z-scored. Raises InputError if no image is found, if one is found twice, or
    if a label map has no image.
    """
    files = find_named_files(
        folder,
        "BTCV",
        _NAME,
        key_of=lambda match: (match[2] is not None, int(match[2] or match[5])),
        is_label=lambda match: (match[1] or match[4]).lower() == "label",
        image_name=lambda key: f"img{key[1]:04d}.nii.gz" if key[0] else f"image_{key[1]}.nii.gz",
        example="img/img0001.nii.gz and label/label0001.nii.gz",
    )
    names = ORGANS if organs == "four" else tuple(VALUES)
    label_map = {0: ("background",)} | {
        value: (name if name in names else "background",) for name, value in VALUES.items()
    }
    return Dataset(
        name="btcv",
        classes=("background", *names),
        modalities={"ct": Modality("zscore", clip=(-175.0, 250.0))},
        cases=tuple(_entry(key, files.images[key], files.labels.get(key)) for key in sorted(files.images)),
        label_maps={"btcv": label_map},
        about="BTCV challenge (Synapse syn3193805). Research use after registration; not to be redistributed.",
    )


def _entry(key: tuple[bool, int], image: Path, label: Path | None) -> CaseEntry:
    official, number = key
    split = None
    if official and label is not None:
        split = "test" if number in TEST else "train"
    return CaseEntry(
        id=f"btcv{number}",
        patient=f"btcv{number}",
        modality="ct",
        image=placed(image),
        label=None if label is None else placed(label),
        label_map="btcv",
        split=split,
    )
