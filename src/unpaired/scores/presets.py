"""What other protocols print for the same masks, to lay our numbers beside a paper's; never in place of ours.

Each preset adds columns called "<preset>:<score>" and a sentence that says what differs. Columns and names are in
`PRESET_COLUMNS`. Where a protocol hides a miss, its column hides it too: that is what it is there to show.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from unpaired.scores.area_surface import area_distances_in_box
from unpaired.scores.surface import SurfaceDistances, distances_in_box

PRESETS = {
    "csa": (
        "csa: HD between voxel surfaces in units of voxels, as the paper's printed distances are (most are square "
        "roots of integers), whatever its table heading says; a miss has none."
    ),
    "ssc": "ssc: Dice and the pooled mean surface distance, which that paper calls ASD (our ASSD); a miss has none.",
    "transunet": (
        "transunet: HD95 in units of voxels, the 95th percentile of both directions pooled; a missed class has HD95 0 "
        "and Dice 0, an invented one HD95 0 and Dice 1, one that neither mask has both 0; all are averaged."
    ),
    "amos": (
        "amos: Dice and the area-weighted NSD at 1 mm; a missed or invented class has 0, one that neither mask has is "
        "left out."
    ),
}
AMOS_TOLERANCE_MM = 1.0
"""An assumption: no source was found for the challenge's own."""


@dataclass(frozen=True)
class PresetCase:
    """The masks of one class in one case, both of one shape, and what is known of them already.

    `distances` are those of the voxel surfaces in mm if they were computed, else None.
    """

    prediction: np.ndarray
    reference: np.ndarray
    spacing_mm: tuple[float, ...]
    status: str
    dice: float | None
    distances: SurfaceDistances | None = None

    @property
    def scored(self) -> bool:
        """Whether both masks have voxels."""
        return self.status == "scored"

    @cached_property
    def in_mm(self) -> SurfaceDistances:
        """The distances between the voxel surfaces in mm."""
        return self.distances or distances_in_box(self.prediction, self.reference, self.spacing_mm)

    @cached_property
    def in_voxels(self) -> SurfaceDistances:
        """The distances between the voxel surfaces in units of voxels, as if spacing were 1 along each axis."""
        return distances_in_box(self.prediction, self.reference, (1.0,) * self.prediction.ndim)


def preset_columns(names: tuple[str, ...], case: PresetCase) -> dict[str, float | None]:
    """The columns of the presets called `names` for one class of one case; None where a protocol has no number."""
    columns: dict[str, float | None] = {}
    for name in names:
        columns |= _COMPUTE[name](case)
    return columns


def _csa(case: PresetCase) -> Mapping[str, float | None]:
    return {"csa:dice": case.dice, "csa:hd_voxels": case.in_voxels.hausdorff if case.scored else None}


def _ssc(case: PresetCase) -> Mapping[str, float | None]:
    return {"ssc:dice": case.dice, "ssc:asd_mm": case.in_mm.assd if case.scored else None}


def _transunet(case: PresetCase) -> Mapping[str, float | None]:
    if not case.scored:
        return {
            "transunet:dice": 1.0 if case.status == "false_positive" else 0.0,
            "transunet:hd95_voxels": 0.0,
        }
    return {"transunet:dice": case.dice, "transunet:hd95_voxels": case.in_voxels.pooled_percentile(95)}


def _amos(case: PresetCase) -> Mapping[str, float | None]:
    if not case.scored:
        return {"amos:dice": case.dice, "amos:nsd": None if case.dice is None else 0.0}
    distances = area_distances_in_box(case.prediction, case.reference, case.spacing_mm)
    return {"amos:dice": case.dice, "amos:nsd": distances.surface_dice(AMOS_TOLERANCE_MM)}


_COMPUTE: Mapping[str, Callable[[PresetCase], Mapping[str, float | None]]] = {
    "csa": _csa,
    "ssc": _ssc,
    "transunet": _transunet,
    "amos": _amos,
}
