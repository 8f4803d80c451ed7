"""The interactive viewer of a page: which cases it holds, their volumes, and the two scripts that may run.

NiiVue (https://niivue.com) draws; its published bundle lies in `niivue/`, unchanged. It is embedded compressed and
started when a reader opens the viewer, so a page that is only read stays quick.
"""

import gzip
import hashlib
import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from unpaired.data.dataset import Dataset
from unpaired.errors import InputError
from unpaired.failures import attempt
from unpaired.figures.case_view import read_case_files, read_prediction, view_of
from unpaired.figures.crop import crop_of
from unpaired.figures.style import class_color
from unpaired.report.ranking import RankedCase, prediction_file, ranked_cases, troubled_cases
from unpaired.report.volumes import LabeledScan, Volumes, fitting_volumes, slicing_axis, telling_place_mm
from unpaired.scores.scores import Evaluation

MEGABYTE = 10**6
VIEWER_MB = 20.0
PREDICTION, REFERENCE = "prediction", "reference"
TROUBLED = "missed or false positive classes"
NO_SCANS = "no manifest says where the images are; compare run folders, or name one with --reference"


@dataclass(frozen=True)
class WantedCase:
    """A case that the viewer should hold: why, the files of its label maps by method, whose errors are looked at first.

    Where there is no file stands why. `ranked` cases get their share of the budget, others what remains.
    """

    case: str
    caption: str
    predictions: Mapping[str, Path | InputError]
    telling: str
    ranked: bool = True


@dataclass(frozen=True)
class ViewerCase:
    """One case of the viewer.

    number: the place in the viewer, part of the ids of its volumes.
    window: the overlays' black and white. range: the lowest and highest value of the scan.
    axis: the file axis that runs through the acquired slices.
    place_mm: where to look first, in RAS.
    """

    number: int
    case: str
    modality: str
    caption: str
    volumes: Volumes
    window: tuple[float, float]
    range: tuple[float, float]
    axis: int
    place_mm: tuple[float, float, float]

    @property
    def facts(self) -> dict[str, Any]:
        """What the script needs to know besides the volumes; `inverse` takes RAS millimetres to voxels."""
        return {
            "case": self.case,
            "window": self.window,
            "range": self.range,
            "axis": self.axis,
            "place": self.place_mm,
            "inverse": np.linalg.inv(self.volumes.affine)[:3].tolist(),
            "changes": self.volumes.changes,
            "has": list(self.volumes.labels),
        }


@dataclass(frozen=True)
class Viewer:
    """What the page embeds: cases, names of those left out and why, methods, class names with colors, scripts.

    `methods` are {the name of a label map among a case's volumes: what a reader calls it}.
    """

    cases: list[ViewerCase]
    left_out: list[tuple[str, str]]
    methods: dict[str, str]
    classes: list[tuple[str, str]]
    script: str
    niivue: str
    hashes: tuple[str, str]

    @property
    def megabytes(self) -> float:
        """How many megabytes the volumes add to the page."""
        return sum(case.volumes.size for case in self.cases) / MEGABYTE

    @property
    def facts(self) -> str:
        """What the script needs to know, as JSON in which no "<" can end the element that holds it."""
        document = {
            "classes": [{"name": name, "color": color} for name, color in self.classes],
            "methods": [{"id": key, "name": name} for key, name in self.methods.items()],
            "cases": [case.facts for case in self.cases],
        }
        return json.dumps(document).replace("<", "\\u003c")


def build_viewer(dataset: Dataset, predictions: Path, evaluation: Evaluation, budget_mb: float = VIEWER_MB) -> Viewer:
    """The viewer of a run: worst, median and best case of each modality, then those with missed or invented classes.

    Budget and errors as in `filled_viewer`.
    """
    wanted = [
        WantedCase(
            item.case,
            f"{item.rank}, mean Dice {item.dice:.3f}",
            {PREDICTION: _file_or_why(predictions, item.case)},
            PREDICTION,
            item.rank != TROUBLED,
        )
        for item in wanted_cases(dataset, evaluation)
    ]
    return filled_viewer(dataset, wanted, {PREDICTION: PREDICTION}, budget_mb)


def filled_viewer(
    dataset: Dataset | None, wanted: Sequence[WantedCase], methods: dict[str, str], budget_mb: float = VIEWER_MB
) -> Viewer:
    """A viewer of the cases wanted, in that order, each scan once with its reference and every method's label map.

    The volumes take at most `budget_mb` megabytes of the page: each of the ranked cases gets its share of what is
    left, and is cut or made coarser to fit it (`fitting_volumes`); further cases are taken while there is room. What
    was left out is named with its reason. A budget of 0 makes a viewer without cases, which a page doesn't show.
    Raises InputError for a budget below 0 or NaN.
    """
    require_budget(budget_mb)
    shown: list[ViewerCase] = []
    left_out: list[tuple[str, str]] = []
    room = int(budget_mb * MEGABYTE)
    shares = sum(item.ranked for item in wanted)
    for place, item in enumerate(wanted if room else []):
        share = room // (shares - place) if place < shares else min(room, int(budget_mb * MEGABYTE) // max(shares, 1))
        embedded, failure = attempt(partial(_viewer_case, len(shown), dataset, item, share))
        if embedded is None:
            left_out.append((item.case, failure or ""))
            continue
        case, missing = embedded
        if case is None:
            left_out.append((item.case, f"no room left of {budget_mb:g} MB"))
            continue
        left_out += [(f"{item.case}, {methods[key]}", why) for key, why in missing.items()]
        room -= case.volumes.size
        shown.append(case)
    script, niivue = (_text(name) for name in ("viewer.js", "niivue/niivue.umd.js"))
    classes = [(name, class_color(number)) for number, name in enumerate(dataset.classes[1:] if dataset else (), 1)]
    return Viewer(shown, left_out, methods, classes, script, _compressed(niivue), (_hash(script), _hash(niivue)))


def require_budget(budget_mb: float) -> None:
    """InputError unless the budget is a number of megabytes from 0."""
    if not (np.isfinite(budget_mb) and budget_mb >= 0):
        raise InputError(f"viewer budget: expected a number of megabytes from 0, got {budget_mb:g}")


def wanted_cases(dataset: Dataset, evaluation: Evaluation) -> list[RankedCase]:
    """Each modality's worst cases first, then the medians, the best, and all others with an empty mask."""
    ranked = [item for modality in dataset.modalities for item in ranked_cases(evaluation, modality)]
    order = ("worst", "only", "median", "best")
    wanted = sorted(ranked, key=lambda item: order.index(item.rank))
    known = {item.case for item in wanted}
    return wanted + [
        RankedCase(TROUBLED, case, modality, dice)
        for case, modality, dice in troubled_cases(evaluation)
        if case not in known
    ]


def _viewer_case(
    number: int, dataset: Dataset | None, item: WantedCase, limit: int
) -> tuple[ViewerCase | None, dict[str, str]]:
    """The case, None if it takes more than `limit`, and why a method's label map isn't among its volumes.

    Raises InputError if there is no scan, or no method's label map.
    """
    if dataset is None:
        raise InputError(NO_SCANS)
    entry = dataset.case(item.case)
    files = read_case_files(dataset, entry, None)
    label_maps: dict[str, np.ndarray] = {}
    missing: dict[str, str] = {}
    for key, path in item.predictions.items():
        try:
            if isinstance(path, InputError):
                raise path
            label_maps[key] = read_prediction(dataset, entry, files.image, path)
        except InputError as error:
            missing[key] = str(error)
    if not label_maps:
        raise InputError("; ".join(dict.fromkeys(missing.values())) or "no method's label map is known")
    reference = {} if files.reference is None else {REFERENCE: files.reference}
    volumes = fitting_volumes(LabeledScan(files.image, label_maps | reference), limit)
    if volumes is None:
        return None, missing
    telling = label_maps.get(item.telling, next(iter(label_maps.values())))
    view = view_of(dataset, entry, replace(files, prediction=telling))
    case = ViewerCase(
        number,
        item.case,
        entry.modality,
        item.caption,
        volumes,
        crop_of(view).window,
        (float(files.image.array.min()), float(files.image.array.max())),
        slicing_axis(files.image),
        telling_place_mm(files.image, [*reference.values(), telling]),
    )
    return case, missing


def _file_or_why(folder: Path, case: str) -> Path | InputError:
    try:
        return prediction_file(folder, case)
    except InputError as error:
        return error


def _text(name: str) -> str:
    return files("unpaired.report").joinpath(name).read_text(encoding="utf-8")


@cache
def _compressed(text: str) -> str:
    return b64encode(gzip.compress(text.encode(), mtime=0)).decode("ascii")


def _hash(text: str) -> str:
    """What the page's Content-Security-Policy knows a script by."""
    return "sha256-" + b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
