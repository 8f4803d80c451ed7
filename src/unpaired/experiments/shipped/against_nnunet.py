"""nnU-Net v2 and a plain MONAI loop beside rows of ours, each for as many minutes, on the same patients.

The peers are programs (`experiments.program`): the scripts of the repository's studies/peers, which need nnU-Net and
MONAI and don't come with the package. "our size" cuts the network that nnU-Net plans to the width of ours, and its
batch to the slices that a step of ours has; "our grid" also gives it the pixels and the patch of ours.
"train auto" is our plan beside nnU-Net's, each with all that it chooses.
Rows train in float32, as the peers do on a processor; "bf16" is as one would train ours on a processor that computes in
bfloat16, or on a GPU: mixed precision, maps with channels last (which "auto" chooses there).
"""

import os
import sys
from dataclasses import replace
from pathlib import Path

from unpaired.errors import InputError
from unpaired.experiments.labels import ScarceLabels
from unpaired.experiments.program import Program
from unpaired.experiments.shipped.scarce_labels import PATIENTS, few_labels
from unpaired.experiments.splits import Folds
from unpaired.experiments.study import Row, Size, Study
from unpaired.experiments.train_auto import AUTO
from unpaired.recipes import class_specific_affinity as csa

PEERS = "UNPAIRED_PEERS"
"""The variable that names the folder of the peers' scripts, where they aren't in the checkout that runs."""
MINUTES = {"small": 10.0, "full": 720.0}
OUR_SIZE = {"small": ("--width", "12", "--batch", "8"), "full": ("--width", "32", "--batch", "16")}
OUR_GRID = {"small": ("--spacing", "1.3", "--patch", "112"), "full": ("--spacing", "1", "--patch", "160")}
NNUNET: dict[str, tuple[str, ...]] = {
    "nnU-Net": (),
    "nnU-Net each": ("--each",),
    "nnU-Net, residual encoder": ("--preset", "M"),
    "nnU-Net 3D": ("--configuration", "3d_fullres"),
}
CUT: dict[str, tuple[str, ...]] = {
    "nnU-Net, our size": (),
    "nnU-Net each, our size": ("--each",),
    "nnU-Net 3D, our size": ("--configuration", "3d_fullres"),
}


def against_nnunet(size: Size = "small") -> Study:
    """MSBN and CSA beside nnU-Net v2 (planned and cut to our size, 2D and 3D) and MONAI, equal minutes, five folds."""
    recipes = (csa.small_unet_msbn, csa.small_unet_csa) if size == "small" else (csa.unet_msbn, csa.unet_csa)
    width = OUR_SIZE[size][:2]
    bf16 = replace(recipes[0](), precision="bf16-mixed", memory_format="channels_last")
    rows = (
        *(Row(name, recipe()) for name, recipe in zip(("MSBN", "CSA"), recipes, strict=True)),
        Row("MSBN, bf16", bf16),
        Row("train auto", AUTO),
        *(Row(name, _script("nnunet.py", *words, *OUR_SIZE[size])) for name, words in CUT.items()),
        Row("nnU-Net, our size and grid", _script("nnunet.py", *OUR_SIZE[size], *OUR_GRID[size])),
        *(Row(name, _script("nnunet.py", *words)) for name, words in NNUNET.items()),
        Row("MONAI", _script("monai_loop.py", *width)),
    )
    return Study("Against nnU-Net, equal minutes", rows, Folds(), minutes=MINUTES[size], baseline="MSBN")


def few_labels_against_nnunet(size: Size = "small") -> Study:
    """Few labels of LGE, and nnU-Net on bSSFP and LGE with the same labels on our pixels, for as many minutes."""
    study = few_labels(size)
    words = (*OUR_SIZE[size], *OUR_GRID[size])
    counts = {"no label": 0} | {"1 label" if count == 1 else f"{count} labels": count for count in PATIENTS}
    rows = [Row(f"nnU-Net, {said}", _script("nnunet.py", *words), ScarceLabels("lge", n)) for said, n in counts.items()]
    rows.append(Row("nnU-Net, all", _script("nnunet.py", *words)))
    return replace(study, title="Few labels of lge beside nnU-Net", rows=(*study.rows, *rows), minutes=MINUTES[size])


def _script(name: str, *words: str) -> Program:
    """A peer's script. Raises InputError where it isn't."""
    named = os.environ.get(PEERS)
    folder = Path(named) if named else Path(__file__).resolve().parents[4] / "studies" / "peers"
    if not (folder / name).is_file():
        raise InputError(
            f"expected the peers' script {folder / name}, found none; it comes with the repository (studies/peers): "
            f"name that folder, {PEERS}=FOLDER"
        )
    return Program((sys.executable, str(folder / name), *words))
