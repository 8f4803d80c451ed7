"""The pictures of a comparison: boxes, differences, and cases as every method segmented them."""

import re
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from unpaired.data.dataset import Dataset
from unpaired.errors import InputError
from unpaired.evaluation.comparison import Comparison, empty_structures
from unpaired.evaluation.comparison_cells import number, short_title
from unpaired.evaluation.comparison_records import CaseLoss
from unpaired.evaluation.scores import higher_is_better
from unpaired.evaluation.summaries import case_means
from unpaired.figures.case_view import CaseView, read_case_view
from unpaired.figures.comparison import boxes_alt, differences_alt, draw_boxes, draw_differences
from unpaired.figures.method_overlays import draw_methods
from unpaired.figures.style import webp
from unpaired.files import write_bytes
from unpaired.report.pictures import Picture, data_uri, themed
from unpaired.report.ranking import prediction_file
from unpaired.report.viewer import NO_SCANS

WORST_PER_MODALITY = 2
MISSED_AT_MOST = 24
"""Cases, each with all methods: a page of them still opens quickly; every structure is listed in any case."""


@dataclass(frozen=True)
class MethodsPicture:
    """One case beside itself: why it is shown, the methods' values in words, the picture or why there is none."""

    case: str
    modality: str
    why: str
    values: str
    remarks: list[str]
    picture: Picture | None
    problem: str = ""


@dataclass(frozen=True)
class ScorePictures:
    """The drawings of one score: boxes by modality, and differences to the baseline."""

    score: str
    boxes: list[Picture]
    differences: Picture


def score_pictures(comparison: Comparison) -> Iterator[ScorePictures]:
    """For each score a box plot per modality and one plot of the differences."""
    for score in comparison.scores:
        boxes = [
            themed(
                f"{short_title(score)}, {modality}",
                lambda theme, score=score, modality=modality: draw_boxes(comparison, score, modality, theme),
                boxes_alt(comparison, score, modality),
            )
            for modality in comparison.modalities
        ]
        differences = themed(
            f"{short_title(score)}, minus {comparison.baseline}",
            lambda theme, score=score: draw_differences(comparison, score, theme),
            differences_alt(comparison, score),
        )
        yield ScorePictures(score, boxes, differences)


def write_figures(plots: Sequence[ScorePictures], modalities: Sequence[str], folder: Path) -> list[Path]:
    """Write the light drawings as `<score>_<modality>.svg` and `<score>_differences.svg`, for papers; returns them."""
    written = []
    for plot in plots:
        for name, picture in zip([*modalities, "differences"], [*plot.boxes, plot.differences], strict=True):
            stem = re.sub(r"[^\w.-]", "_", f"{plot.score}_{name}")  # scores may come from anybody's file
            written.append(folder / f"{stem}.svg")
            write_bytes(written[-1], b64decode(picture.light.partition(",")[2]))
    return written


def worst_cases(comparison: Comparison) -> list[CaseLoss]:
    """Per modality the cases with the largest loss against the baseline, each case once; none without a loss."""
    shown: dict[str, list[CaseLoss]] = {modality: [] for modality in comparison.modalities}
    for loss in comparison.losses():
        found = shown[loss.modality]
        if loss.loss > 0 and len(found) < WORST_PER_MODALITY and loss.case not in {one.case for one in found}:
            found.append(loss)
    return [loss for losses in shown.values() for loss in losses]


def methods_pictures(
    comparison: Comparison, dataset: Dataset | None, predictions: Mapping[str, Sequence[Path]]
) -> Iterator[MethodsPicture]:
    """The worst cases of each modality, then others with a missed or invented structure (at most MISSED_AT_MOST).

    `predictions` {method: a folder for each seed}; of several seeds the one with the worst value in the case is drawn.
    A case or file that can't be read becomes a picture's `problem`.
    """
    worst = worst_cases(comparison)
    for loss in worst:
        value = number(comparison.scores[0], loss.loss)
        why = f"{loss.method} loses {value} {short_title(comparison.scores[0])} against {comparison.baseline}"
        yield _methods_picture(comparison, dataset, predictions, (loss.case, loss.method, None), why)
    drawn = {loss.case for loss in worst}
    for case, (method, name) in list(troubled(comparison).items())[:MISSED_AT_MOST]:
        if case not in drawn:
            why = f"{method} missed or invented {name}"
            yield _methods_picture(comparison, dataset, predictions, (case, method, name), why)


def troubled(comparison: Comparison) -> dict[str, tuple[str, str]]:
    """{case: (method, class)} of the first structure that any method missed or invented in each such case."""
    found: dict[str, tuple[str, str]] = {}
    for method in comparison.contenders:
        for one in method.seeds:
            for row in one.scores:
                if row.status in ("missed", "false_positive"):
                    found.setdefault(row.case, (method.name, row.class_name))
    cases = dict.fromkeys(row.case for row in comparison.reference.scores)
    return {case: found[case] for case in cases if case in found}


def _methods_picture(
    comparison: Comparison,
    dataset: Dataset | None,
    predictions: Mapping[str, Sequence[Path]],
    shown: tuple[str, str, str | None],
    why: str,
) -> MethodsPicture:
    """`shown` is the case, the method that the slices tell most of, and the class they are about (None: all)."""
    case, worst, focus = shown
    score = comparison.scores[0]
    values = "; ".join(
        f"{name} {number(score, comparison.case_values[score, name].get(case))}" for name in comparison.names
    )
    remarks = [f"{method.name} {text}" for method in comparison.contenders for text in empty_structures(method, case)]
    row = next(row for row in comparison.reference.scores if row.case == case)
    text = f"{short_title(score)}: {values}"
    try:
        views = _views(comparison, dataset, predictions, case)
        classes = views[worst].classes
        drawn = draw_methods(views, worst, focus=classes.index(focus) if focus in classes else None)
    except InputError as error:
        return MethodsPicture(case, row.modality, why, text, remarks, None, str(error))
    alt = (
        f"The same slices of {case} ({row.modality}), a column per method ({', '.join(views)}): prediction as a fill, "
        f"reference as an outline. {why}. {text}"
    )
    uri = data_uri("image/webp", webp(drawn, dpi=130))
    return MethodsPicture(case, row.modality, why, text, remarks, Picture(case, uri, uri, alt))


def _views(
    comparison: Comparison, dataset: Dataset | None, predictions: Mapping[str, Sequence[Path]], case: str
) -> dict[str, CaseView]:
    if dataset is None:
        raise InputError(NO_SCANS)
    entry = dataset.case(case)
    return {
        name: read_case_view(dataset, entry, prediction_file(folders[worst_seed(comparison, name, case)], case))
        for name, folders in predictions.items()
    }


def worst_seed(comparison: Comparison, name: str, case: str) -> int:
    """Which of a method's seeds has the worst value in a case, by the first score: the one that is drawn."""
    score = comparison.scores[0]
    sign = 1 if higher_is_better(score) else -1
    values = [case_means(one, score).get(case) for one in comparison.contender(name).seeds]
    known = [(sign * value, seed) for seed, value in enumerate(values) if value is not None]
    return min(known)[1] if known else 0
