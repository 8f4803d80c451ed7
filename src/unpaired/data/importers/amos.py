"""AMOS22: abdomens in CT and in MR of other people, with fifteen organs (Ji et al. 2022, NeurIPS, Datasets track).

    FOLDER/**/imagesTr/amos_0001.nii.gz     FOLDER/**/labelsTr/amos_0001.nii.gz     200 CT and 40 MR to train on
    FOLDER/**/imagesVa/amos_0008.nii.gz     FOLDER/**/labelsVa/amos_0008.nii.gz     100 CT and 20 MR to choose models on
    FOLDER/**/imagesTs/amos_0002.nii.gz     FOLDER/**/labelsTs/amos_0002.nii.gz     to test on; often without labels
    FOLDER/**/train_data/{images/amos_0001_CT.nii.gz,masks/amos_0001_CT_gt.nii.gz}  the copy of CMC's authors
    FOLDER/**/val_data/..., FOLDER/**/test_data/...                                 (_MRI, _MRI_gt: the MR scans)

In the official files a number below 500 is a CT, any other an MR, as the data set's own readme says; a CT and an MR are
different people. In the copy of CMC's authors (Zhou et al. 2024) a CT and an MR of one number are different people too,
whom it pairs by that number; its label maps are floats and hold the first thirteen organs only.

Some MR scans were acquired coronally: train on one anatomical plane (`preprocessing.plane="axial"`), never on a file
axis. BTCV numbers its organs in another order.
"""

import re
from pathlib import Path
from typing import Literal

from unpaired.data.dataset import CaseEntry, Dataset, Modality
from unpaired.data.importers.chaos import ORGANS
from unpaired.data.importers.listing import walk_files
from unpaired.data.importers.named_files import NamedFiles, find_named_files
from unpaired.errors import InputError
from unpaired.files import placed

Organs = Literal["four", "thirteen", "all"]
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
    "pancreas": 10,
    "right adrenal gland": 11,
    "left adrenal gland": 12,
    "duodenum": 13,
    "bladder": 14,
    "prostate or uterus": 15,
}
PELVIS = ("bladder", "prostate or uterus")
"""What the copy of CMC's authors lacks, and what MR scans of the upper abdomen don't show."""
FIRST_MR = 500
"""The smallest number of an MR scan among the official files."""
SIDES = {"Tr": "train", "Va": "validation", "Ts": "test"}
COPY_SIDES = {"train_data": "train", "val_data": "validation", "test_data": "test"}
_NAME = re.compile(r"(images|labels)(Tr|Va|Ts)/amos_(\d+)\.nii(\.gz)?", re.IGNORECASE)
_COPY = re.compile(r"amos_(\d+)_(CT|MRI)(_gt)?\.nii(\.gz)?", re.IGNORECASE)
Key = tuple[str, int]


def import_amos(folder: str | Path, organs: Organs = "four", mr_pelvis: bool = True) -> Dataset:
    """The dataset found in `folder`, searched with its subfolders; nothing is copied or written.

    "four" organs are those of CMC's table, the others are background; "thirteen" are all but the bladder and prostate
    or uterus; "all" is what the files have (fifteen; thirteen in the copy of CMC's authors). The data set's own split
    is kept: Tr trains, Va is for validation, Ts tests if its label maps are there. Scans without one are unlabeled: in
    Tr they train so, elsewhere they are on no side. The paper says that all fifteen organs were annotated in every
    scan; `mr_pelvis=False` says that bladder and prostate or uterus were not looked for in MR, so that an MR's
    background may be one of them.

    Values as in the released code of CMC: CT is clipped to -175..250 HU and brought to 0..1, MR is z-scored over voxels
    that are not 0. Raises InputError if no image is found, if one is found twice, if a label map has no image, and if
    official files and the copy lie in one folder.
    """
    folder = Path(folder)
    copied = _is_copy(folder)
    files = _copied(folder) if copied else _official(folder)
    names = _names(organs, copied)
    label_map = {0: ("background",)} | {
        value: (name if name in names else "background",)
        for name, value in VALUES.items()
        if not (copied and name in PELVIS)
    }
    unseen = [name for name in names if name in PELVIS and not mr_pelvis]
    seen_in_mr = tuple(name for name in names if name not in unseen) if unseen else None
    cases = tuple(
        _entry(key, file, files.labels.get(key), copied, seen_in_mr if key[0] == "mr" else None)
        for key, file in sorted(files.images.items())
    )
    options = {"ct": Modality("minmax", clip=(-175.0, 250.0)), "mr": Modality("zscore_nonzero")}
    present = {case.modality for case in cases}
    return Dataset(
        name="amos",
        classes=("background", *names),
        modalities={name: modality for name, modality in options.items() if name in present},
        cases=cases,
        label_maps={"amos": label_map},
        about="AMOS22. Its download page says CC BY 4.0, the paper's listing CC BY-NC-SA: read the terms of your copy.",
    )


def _is_copy(folder: Path) -> bool:
    """Whether the files are named as in the copy of CMC's authors. Raises InputError where both kinds are found."""
    files = list(walk_files(folder)) if folder.is_dir() else []
    copied = [file for file in files if _COPY.fullmatch(file.name)]
    official = [file for file in files if _NAME.fullmatch("/".join(file.parts[-2:]))]
    if copied and official:
        raise InputError(
            f"{folder}: holds AMOS twice, as {official[0].name} and as {copied[0].name}; name the folder of one of them"
        )
    return bool(copied)


def _official(folder: Path) -> NamedFiles[Key]:
    return find_named_files(
        folder,
        "AMOS",
        _NAME,
        key_of=lambda match: ("ct" if int(match[3]) < FIRST_MR else "mr", int(match[3])),
        is_label=lambda match: match[1].lower() == "labels",
        image_name=lambda key: f"amos_{key[1]:04d}.nii.gz",
        example="imagesTr/amos_0001.nii.gz and labelsTr/amos_0001.nii.gz",
        parts=2,
    )


def _copied(folder: Path) -> NamedFiles[Key]:
    return find_named_files(
        folder,
        "AMOS",
        _COPY,
        key_of=lambda match: ("ct" if match[2].upper() == "CT" else "mr", int(match[1])),
        is_label=lambda match: match[3] is not None,
        image_name=lambda key: f"amos_{key[1]:04d}_{'CT' if key[0] == 'ct' else 'MRI'}.nii.gz",
        example="amos_0001_CT.nii.gz and amos_0001_CT_gt.nii.gz",
    )


def _names(organs: Organs, copied: bool) -> tuple[str, ...]:
    """The foreground classes, in the order of CHAOS for the four and of AMOS for more."""
    if organs == "four":
        return ORGANS
    return tuple(name for name in VALUES if not (name in PELVIS and (copied or organs == "thirteen")))


def _entry(key: Key, image: Path, label: Path | None, copied: bool, annotated: tuple[str, ...] | None) -> CaseEntry:
    modality, number = key
    if copied:
        name = f"amos{number:04d}_{modality}"
        side = next((COPY_SIDES[part] for part in reversed(image.parts) if part in COPY_SIDES), None)
    else:
        name = f"amos{number:04d}"
        side = SIDES[image.parent.name[-2:].capitalize()]
    return CaseEntry(
        id=name,
        patient=name,
        modality=modality,
        image=placed(image),
        label=None if label is None else placed(label),
        label_map="amos",
        annotated=annotated,
        split=side if label is not None or side == "train" else None,
    )
