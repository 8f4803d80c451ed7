"""What several predictions of one case disagree on: an interval of each class's volume, and a score of agreement.

The *agreement* of a class is the mean Dice over all pairs of members (single predictions); a case's is the mean over
its classes. The lower it is, the sooner a person should look (as Roy et al., Bayesian QuickNAT, NeuroImage 195, 2019,
have it for Monte Carlo samples). The *interval* reaches from the smallest to the largest volume among the members and
their average. It is no confidence interval: errors that all members share, the annotator's habits and scans unlike the
training's are not in it, so `scores.trust.uncertainty_check` counts how often the true volume is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from unpaired.documents import decode, read
from unpaired.errors import InputError
from unpaired.files import together, write_json, write_text
from unpaired.runs.folder import UNCERTAINTY, UNCERTAINTY_TABLE
from unpaired.scores.overlap import dice
from unpaired.tables import csv_records

SCHEMA = 1
AGAIN = "predict again"
DEFINITIONS = (
    "agreement: mean Dice over all pairs of members, the single predictions that were averaged (pairs in which neither "
    "finds the class are left out); low_ml, high_ml: the smallest and the largest volume among the members and the "
    "averaged label map. Errors that all members share are not in the interval."
)


@dataclass(frozen=True)
class ClassUncertainty:
    """One foreground class of one case. Volumes in ml; `agreement` is None where no member finds the class."""

    case: str
    modality: str
    class_name: str
    members: int
    volume_ml: float
    low_ml: float
    high_ml: float
    agreement: float | None


COLUMNS = tuple(field.name for field in fields(ClassUncertainty))


@dataclass(frozen=True)
class CaseUncertainty:
    """All foreground classes of one case."""

    case: str
    modality: str
    classes: tuple[ClassUncertainty, ...]

    @property
    def agreement(self) -> float | None:
        """The mean over the classes that a member found; None if none was found, which is as bad as it gets."""
        agreements = [row.agreement for row in self.classes if row.agreement is not None]
        return sum(agreements) / len(agreements) if agreements else None


@dataclass(frozen=True)
class _Document:
    """What uncertainty.json holds."""

    cases: tuple[dict[str, Any], ...]


def measure_uncertainty(
    label_map: np.ndarray,
    members: Sequence[np.ndarray],
    voxel_ml: float,
    classes: Sequence[str],
    case: str = "case",
    modality: str = "all",
) -> CaseUncertainty:
    """The uncertainty of one case from its members' label maps and the averaged one, class numbers on one grid.

    `voxel_ml` is a voxel's volume; `classes[0]` is background. Raises InputError for fewer than two members or shapes
    that differ.
    """
    if len(members) < 2:
        raise InputError(f"case {case}: agreement needs two predictions or more, got {len(members)}")
    if any(member.shape != label_map.shape for member in members):
        shapes = sorted({member.shape for member in members} | {label_map.shape})
        raise InputError(f"case {case}: expected predictions of one shape, got {shapes}")
    together = np.stack([label_map, *members]).reshape(len(members) + 1, -1)
    together = together[:, (together != 0).any(axis=0)]  # background everywhere says nothing about a foreground class
    rows: list[ClassUncertainty] = []
    for number, name in enumerate(classes[1:], start=1):
        masks = together == number
        volumes = masks.sum(axis=1) * voxel_ml
        agreement = mean_pairwise_dice(masks[1:])
        sizes = (float(volumes[0]), float(volumes.min()), float(volumes.max()))
        rows.append(ClassUncertainty(case, modality, name, len(members), *sizes, agreement))
    return CaseUncertainty(case, modality, tuple(rows))


def mean_pairwise_dice(masks: np.ndarray) -> float | None:
    """The mean Dice over all pairs of `masks` (member, voxel), boolean; None if every one is empty.

    A pair of empty masks has no Dice and is left out; a pair with one empty mask has 0.
    """
    # Voxels in which all agree are counted, not multiplied: as a rule they are nearly all of them.
    everywhere = masks.all(axis=0)
    split = masks[:, masks.any(axis=0) & ~everywhere].astype(np.float32)
    both = np.rint(split @ split.T).astype(np.int64) + int(everywhere.sum())  # exact below 2^24 disputed voxels
    sizes = masks.sum(axis=1)
    values = [
        value
        for first in range(len(masks))
        for second in range(first + 1, len(masks))
        if (value := dice(int(both[first, second]), int(sizes[first]), int(sizes[second]))) is not None
    ]
    return sum(values) / len(values) if values else None


def least_agreed_first(cases: Iterable[CaseUncertainty]) -> list[CaseUncertainty]:
    """Cases in the order in which to look at them: nothing found at all, then the lowest agreement."""
    return sorted(cases, key=lambda case: -1.0 if case.agreement is None else case.agreement)


def write_uncertainty(cases: Iterable[CaseUncertainty], folder: Path) -> None:
    """Write uncertainty.csv (a row per case and class) and uncertainty.json, the case to look at first on top."""
    ordered = least_agreed_first(cases)
    rows = (asdict(row) for case in ordered for row in case.classes)
    document = {
        "schema": SCHEMA,
        "definitions": DEFINITIONS,
        "cases": [uncertainty_to_json(case) for case in ordered],
    }
    with together():
        write_text(folder / UNCERTAINTY_TABLE, csv_records(rows, COLUMNS))
        write_json(folder / UNCERTAINTY, document)


def read_uncertainty(folder: Path) -> list[CaseUncertainty]:
    """Read back what `write_uncertainty` wrote. Raises InputError if it isn't there or isn't whole."""
    path = folder / UNCERTAINTY
    if not path.is_file():
        raise InputError(f"found no {path}; write it with `unpaired predict --mirror` or `--also`")
    cases = read(path, _Document, AGAIN, schema=SCHEMA).cases
    return [uncertainty_from_json(case, f"{path}: cases[{number}]") for number, case in enumerate(cases)]


def uncertainty_to_json(case: CaseUncertainty) -> dict[str, Any]:
    """One case as JSON values."""
    return asdict(case) | {"agreement": case.agreement}


def uncertainty_from_json(document: Mapping[str, Any], where: str) -> CaseUncertainty:
    """Back from `uncertainty_to_json`; `where` is named in the InputError for anything else."""
    stored = {name: value for name, value in document.items() if name != "agreement"}  # the classes' say it again
    return decode(stored, CaseUncertainty, where, AGAIN)
