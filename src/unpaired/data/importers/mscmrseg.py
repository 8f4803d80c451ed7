"""MS-CMRSeg 2019: cardiac MR of the same patients in three sequences (bSSFP, late gadolinium enhancement, T2).

    FOLDER/**/patient1_C0.nii.gz     bSSFP        FOLDER/**/patient1_C0_manual.nii.gz
    FOLDER/**/patient1_LGE.nii.gz    LGE          FOLDER/**/patient1_LGE_manual.nii.gz
    FOLDER/**/patient1_T2.nii.gz     T2           FOLDER/**/patient1_T2_manual.nii.gz

The challenge's own archives and their subfolders do as they are, and so does everything in one folder. A label map may
be missing (the challenge kept some): that case is unlabeled. Reference: Zhuang 2019 (IEEE TPAMI 41:2933).
"""

import re
from pathlib import Path

from unpaired.data.dataset import CaseEntry, Dataset, Modality
from unpaired.errors import InputError

MODALITIES = {"C0": "bssfp", "LGE": "lge", "T2": "t2"}
LABEL_MAP = {0: ("background",), 500: ("LV",), 200: ("myo",), 600: ("RV",)}
_NAME = re.compile(r"patient(\d+)_(C0|LGE|T2)(_manual)?\.nii(\.gz)?", re.IGNORECASE)


def import_mscmrseg(folder: str | Path) -> Dataset:
    """The dataset found in `folder`, searched with its subfolders; nothing is copied or written.

    One patient has the same name in every sequence, so that splits by patient keep them together; no split is made
    here. Values are z-scored per slice, as the CSA paper does. Raises InputError if no image is found, if one is found
    twice, or if a label map has no image.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(
            f"{folder}: expected the folder of MS-CMRSeg, found {'a file' if folder.exists() else 'nothing'}"
        )
    images: dict[tuple[int, str], Path] = {}
    labels: dict[tuple[int, str], Path] = {}
    for file in sorted(folder.rglob("*.nii*")):
        match = _NAME.fullmatch(file.name)
        if match is None or not file.is_file():
            continue
        found = labels if match[3] else images
        key = (int(match[1]), match[2].upper())
        if key in found:
            raise InputError(
                f"{file}: found a second time (first {found[key]}); name a folder that holds each file once"
            )
        found[key] = file
    if not images:
        raise InputError(
            f"{folder}: expected MS-CMRSeg files like patient1_C0.nii.gz and patient1_LGE.nii.gz; {_seen(folder)}"
        )
    for key, file in labels.items():
        if key not in images:
            raise InputError(
                f"{file}: label map without its image patient{key[0]}_{key[1]}.nii.gz anywhere in {folder}"
            )
    present = {sequence for _, sequence in images}
    return Dataset(
        name="ms-cmrseg",
        classes=("background", "LV", "myo", "RV"),
        modalities={name: Modality("zscore_slice") for sequence, name in MODALITIES.items() if sequence in present},
        cases=tuple(_entry(key, images[key], labels.get(key)) for key in sorted(images)),
        label_maps={"mscmrseg": LABEL_MAP},
        about="MS-CMRSeg 2019 challenge. Research use; not to be redistributed.",
    )


def _entry(key: tuple[int, str], image: Path, label: Path | None) -> CaseEntry:
    number, sequence = key
    return CaseEntry(
        id=f"patient{number}_{MODALITIES[sequence]}",
        patient=f"patient{number}",
        modality=MODALITIES[sequence],
        image=image.resolve(),
        label=None if label is None else label.resolve(),
        label_map="mscmrseg",
    )


def _seen(folder: Path) -> str:
    """What the folder holds instead, in a few words."""
    names = sorted(path.name for path in folder.iterdir())
    if not names:
        return "the folder is empty"
    return f"found {', '.join(names[:4])}{' ...' if len(names) > 4 else ''} and no such name below it"
