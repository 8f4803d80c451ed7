"""The pictures of a comparison: boxes, differences, and cases as every method segmented them."""

import re
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from unpaired.comparison.cells import number, short_title
from unpaired.comparison.comparison import Comparison, empty_structures
from unpaired.comparison.few_shot import few_shot_curves
from unpaired.comparison.few_shot_figure import draw_few_shot, few_shot_alt
from unpaired.comparison.figures import boxes_alt, differences_alt, draw_boxes, draw_differences
from unpaired.comparison.records import CaseLoss
from unpaired.data.dataset import Dataset
from unpaired.errors import InputError
from unpaired.failures import attempt
from unpaired.figures.case_view import CaseView, read_case_view
from unpaired.figures.method_overlays import draw_methods
from unpaired.figures.style import webp
from unpaired.files import write_bytes
from unpaired.report.pictures import Picture, data_uri, themed
from unpaired.report.ranking import prediction_file
from unpaired.report.viewer import NO_SCANS
from unpaired.scores.scores import higher_is_better
from unpaired.scores.summaries import case_means

WORST_PER_MODALITY = 2
DRAWN = 60
"""Of more missed or invented structures the largest are drawn; the page's table names them all."""
MANY = 24
"""Up to so many missed or invented structures are drawn on three slices each, more of them on one, so that a page with
all of them still opens."""


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
class Shown:
    """What a picture tells: a case, the method whose errors choose the slices, and the structure they are about."""

    case: str
    method: str
    structure: str | None = None
    slices: int = 3


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


def few_shot_picture(comparison: Comparison) -> Picture | None:
    """The few-shot curves of the first score; None if the runs draw none."""
    curves = few_shot_curves(comparison)
    if not curves:
        return None
    return themed("Few training patients", lambda theme: draw_few_shot(curves, theme), few_shot_alt(curves))


def write_figures(
    plots: Sequence[ScorePictures], modalities: Sequence[str], folder: Path, few_shot: Picture | None = None
) -> list[Path]:
    """Write the light drawings as `<score>_<modality>.svg`, `<score>_differences.svg` and `few_shot.svg`, for papers;
    returns them."""
    written: list[Path] = []
    for plot in plots:
        for name, picture in zip([*modalities, "differences"], [*plot.boxes, plot.differences], strict=True):
            stem = re.sub(r"[^\w.-]", "_", f"{plot.score}_{name}")  # scores may come from anybody's file
            written.append(folder / f"{stem}.svg")
            write_bytes(written[-1], b64decode(picture.light.partition(",")[2]))
    if few_shot is not None:
        written.append(folder / "few_shot.svg")
        write_bytes(written[-1], b64decode(few_shot.light.partition(",")[2]))
    return written


def worst_cases(comparison: Comparison) -> list[CaseLoss]:
    """Per modality the cases with the largest loss against the baseline, each case once; none without a loss."""
    shown: dict[str, list[CaseLoss]] = {modality: [] for modality in comparison.modalities}
    for loss in comparison.losses():
        worse = shown[loss.modality]
        if loss.loss > 0 and len(worse) < WORST_PER_MODALITY and loss.case not in {other.case for other in worse}:
            worse.append(loss)
    return [loss for losses in shown.values() for loss in losses]


def methods_pictures(
    comparison: Comparison, dataset: Dataset | None, predictions: Mapping[str, Sequence[Path]]
) -> Iterator[MethodsPicture]:
    """The largest losses of each modality, its hardest, median and easiest case, and the structures that a method
    missed or invented, the `DRAWN` largest of them.

    `predictions` {method: a folder for each seed}; of several seeds the one with the worst value in the case is drawn.
    A case or file that can't be read becomes a picture's `problem`.
    """
    worst = worst_cases(comparison)
    for loss in worst:
        value = number(comparison.scores[0], loss.loss)
        why = f"{loss.method} loses {value} {short_title(comparison.scores[0])} against {comparison.baseline}"
        yield _methods_picture(comparison, dataset, predictions, Shown(loss.case, loss.method), why)
    drawn = {loss.case for loss in worst}
    for case, rank in typical_cases(comparison).items():
        if case not in drawn:
            shown = Shown(case, hardest_method(comparison, case))
            yield _methods_picture(comparison, dataset, predictions, shown, f"{rank} for all methods together")
    structures = largest_structures(comparison, troubled_structures(comparison))
    for (case, name), methods in structures.items():
        shown = Shown(case, methods[0], name, 3 if len(structures) <= MANY else 1)
        yield _methods_picture(
            comparison, dataset, predictions, shown, f"{', '.join(methods)} missed or invented {name}"
        )


def typical_cases(comparison: Comparison) -> dict[str, str]:
    """{case: "hardest", "median" or "easiest"} of each modality, by the mean over methods of the first score."""
    score = comparison.scores[0]
    sign = 1 if higher_is_better(score) else -1
    modality = {row.case: row.modality for row in comparison.reference.scores}
    means: dict[str, dict[str, float]] = {name: {} for name in comparison.modalities}
    for case, of in modality.items():
        values = [comparison.case_values[score, name].get(case) for name in comparison.names]
        known = [value for value in values if value is not None]
        if known:
            means[of][case] = sign * sum(known) / len(known)
    typical: dict[str, str] = {}
    for of_cases in means.values():
        order = sorted(of_cases, key=lambda case: (of_cases[case], case))
        if order:
            ranks = {order[0]: "hardest", order[(len(order) - 1) // 2]: "median", order[-1]: "easiest"}
            typical |= ranks if len(order) > 1 else {order[0]: "only"}
    return typical


def hardest_method(comparison: Comparison, case: str) -> str:
    """The method with the worst value of the first score in a case: its errors choose the slices."""
    score = comparison.scores[0]
    sign = 1 if higher_is_better(score) else -1
    values = [(comparison.case_values[score, name].get(case), name) for name in comparison.names]
    known = [(sign * value, name) for value, name in values if value is not None]
    return min(known)[1] if known else comparison.names[0]


def troubled_structures(comparison: Comparison) -> dict[tuple[str, str], list[str]]:
    """{(case, class): the methods that missed or invented it}, in the order of the cases; of any of their seeds."""
    methods_by_structure: dict[tuple[str, str], list[str]] = {}
    for method in comparison.contenders:
        for evaluation in method.seeds:
            for row in evaluation.scores:
                if row.status in ("missed", "false_positive"):
                    methods = methods_by_structure.setdefault((row.case, row.class_name), [])
                    if method.name not in methods:
                        methods.append(method.name)
    structures = dict.fromkeys((row.case, row.class_name) for row in comparison.reference.scores)
    return {structure: methods_by_structure[structure] for structure in structures if structure in methods_by_structure}


def largest_structures(
    comparison: Comparison, structures: Mapping[tuple[str, str], list[str]]
) -> dict[tuple[str, str], list[str]]:
    """The `DRAWN` of some structures {(case, class): methods} that are largest in a label map, in their order."""
    sizes: dict[tuple[str, str], float] = {}
    for method in comparison.contenders if len(structures) > DRAWN else ():
        for evaluation in method.seeds:
            for row in evaluation.scores:
                key = row.case, row.class_name
                sizes[key] = max(sizes.get(key, 0.0), row.reference_ml or 0.0, row.prediction_ml or 0.0)
    largest = set(sorted(structures, key=lambda key: -sizes.get(key, 0.0))[:DRAWN])
    return {structure: methods for structure, methods in structures.items() if structure in largest}


def _methods_picture(
    comparison: Comparison,
    dataset: Dataset | None,
    predictions: Mapping[str, Sequence[Path]],
    shown: Shown,
    why: str,
) -> MethodsPicture:
    case = shown.case
    score = comparison.scores[0]
    values = "; ".join(
        f"{name} {number(score, comparison.case_values[score, name].get(case))}" for name in comparison.names
    )
    remarks = [f"{method.name} {text}" for method in comparison.contenders for text in empty_structures(method, case)]
    row = next(row for row in comparison.reference.scores if row.case == case)
    text = f"{short_title(score)}: {values}"
    drawn, failure = attempt(partial(_drawn, comparison, dataset, predictions, shown))
    if drawn is None:
        return MethodsPicture(case, row.modality, why, text, remarks, None, failure or "")
    methods, picture = drawn
    alt = (
        f"The same slices of {case} ({row.modality}), a column per method ({', '.join(methods)}): prediction as a "
        f"fill, reference as an outline. {why}. {text}"
    )
    uri = data_uri("image/webp", picture)
    return MethodsPicture(case, row.modality, why, text, remarks, Picture(case, uri, uri, alt))


def _drawn(
    comparison: Comparison, dataset: Dataset | None, predictions: Mapping[str, Sequence[Path]], shown: Shown
) -> tuple[list[str], bytes]:
    """The methods that stand beside each other, and the picture (WebP)."""
    views = _views(comparison, dataset, predictions, shown.case)
    classes = views[shown.method].classes
    focus = classes.index(shown.structure) if shown.structure in classes else None
    return list(views), webp(draw_methods(views, shown.method, shown.slices, focus), dpi=130)


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
    values = [case_means(evaluation, score).get(case) for evaluation in comparison.contender(name).seeds]
    known = [(sign * value, seed) for seed, value in enumerate(values) if value is not None]
    return min(known)[1] if known else 0
