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
from unpaired.data.importers.named_files import find_named_files
from unpaired.files import placed

MODALITIES = {"C0": "bssfp", "LGE": "lge", "T2": "t2"}
LABEL_MAP = {0: ("background",), 500: ("LV",), 200: ("myo",), 600: ("RV",)}
_NAME = re.compile(r"patient(\d+)_(C0|LGE|T2)(_manual)?\.nii(\.gz)?", re.IGNORECASE)


def import_mscmrseg(folder: str | Path) -> Dataset:
    """The dataset found in `folder`, searched with its subfolders; nothing is copied or written.

    One patient has the same name in every sequence, so that splits by patient keep them together; no split is made
    here. Values are z-scored per slice, as the CSA paper does. Raises InputError if no image is found, if one is found
    twice, or if a label map has no image.
    """
    files = find_named_files(
        folder,
        "MS-CMRSeg",
        _NAME,
        key_of=lambda match: (int(match[1]), match[2].upper()),
        is_label=lambda match: bool(match[3]),
        image_name=lambda key: f"patient{key[0]}_{key[1]}.nii.gz",
        example="patient1_C0.nii.gz and patient1_LGE.nii.gz",
    )
    present = {sequence for _, sequence in files.images}
    return Dataset(
        name="ms-cmrseg",
        classes=("background", "LV", "myo", "RV"),
        modalities={name: Modality("zscore_slice") for sequence, name in MODALITIES.items() if sequence in present},
        cases=tuple(_entry(key, files.images[key], files.labels.get(key)) for key in sorted(files.images)),
        label_maps={"mscmrseg": LABEL_MAP},
        about="MS-CMRSeg 2019 challenge. Research use; not to be redistributed.",
    )


def _entry(key: tuple[int, str], image: Path, label: Path | None) -> CaseEntry:
    number, sequence = key
    return CaseEntry(
        id=f"patient{number}_{MODALITIES[sequence]}",
        patient=f"patient{number}",
        modality=MODALITIES[sequence],
        image=placed(image),
        label=None if label is None else placed(label),
        label_map="mscmrseg",
    )
