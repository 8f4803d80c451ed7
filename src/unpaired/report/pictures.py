"""The pictures of a report as data URIs, each with its words for those who can't see it."""

from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

from matplotlib.figure import Figure

from unpaired.data.dataset import Dataset
from unpaired.failures import attempt
from unpaired.figures.case_view import CaseView, read_case_view
from unpaired.figures.overlays import draw_case
from unpaired.figures.style import DARK, LIGHT, Theme, svg, webp
from unpaired.report.ranking import prediction_file, ranked_cases
from unpaired.scores.scores import Evaluation, Score

EMPTY = {"missed": "missed", "false_positive": "false positive"}
MANY = 40
DRAWN = 100
"""Of more missed and invented structures the largest are drawn, so that a page with thousands still opens."""


@dataclass(frozen=True)
class Picture:
    """An image to embed: data URIs for light and dark pages (equal where one serves both), and its words."""

    title: str
    light: str
    dark: str
    alt: str


@dataclass(frozen=True)
class CasePicture:
    """The overlay of one test case, or why it can't be drawn."""

    rank: str
    case: str
    dice: str
    remarks: str
    picture: Picture | None
    problem: str = ""


@dataclass(frozen=True)
class EmptyMask:
    """The overlay of one structure that was missed or invented, or why it can't be drawn.

    Without a picture and without a problem it is one of many that are smaller than those that are drawn.
    """

    case: str
    modality: str
    class_name: str
    status: str
    milliliters: float | None
    picture: Picture | None
    problem: str = ""


def overlays(dataset: Dataset, predictions: Path, evaluation: Evaluation, modality: str) -> Iterator[CasePicture]:
    """Worst, median and best test case of a modality by mean Dice over its classes (fewer if there are fewer cases)."""
    for item in ranked_cases(evaluation, modality):
        text = f"{item.dice:.3f}"
        remarks = "; ".join(_remarks(evaluation, item.case))
        view, failure = attempt(partial(_view, dataset, predictions, item.case))
        if view is None:
            yield CasePicture(item.rank, item.case, text, remarks, None, failure or "")
            continue
        alt = (
            f"Slices of {item.case} ({modality}), the {item.rank} test case with a mean Dice of {text}: the image "
            "alone above, below it the prediction as a colored fill and the reference as an outline"
        )
        uri = data_uri("image/webp", webp(draw_case(view)))
        yield CasePicture(item.rank, item.case, text, remarks, Picture(item.case, uri, uri, alt))


def empty_masks(dataset: Dataset, predictions: Path, evaluation: Evaluation) -> Iterator[EmptyMask]:
    """Every missed and every false positive structure, in the order of the cases; an empty iterator if there is none.

    Each is drawn on up to three slices, on one where there are more than `MANY` of them; of more than `DRAWN` the
    largest alone are drawn, so that the page stays small enough to open, and the others are named.
    """
    rows = [row for row in evaluation.scores if row.status in EMPTY]
    columns = 3 if len(rows) <= MANY else 1
    largest = sorted(rows, key=_milliliters, reverse=True)[:DRAWN]
    drawn = {(row.case, row.class_name) for row in largest}
    for case, group in groupby(rows, key=lambda row: row.case):
        of_case = list(group)
        shown = any((case, row.class_name) in drawn for row in of_case)
        view, problem = attempt(partial(_view, dataset, predictions, case)) if shown else (None, None)
        for row in of_case:
            is_drawn = (case, row.class_name) in drawn
            picture = None if view is None or not is_drawn else _empty_mask_picture(view, row, columns)
            said = (problem or "") if is_drawn else ""
            yield EmptyMask(case, row.modality, row.class_name, row.status, _there(row), picture, said)


def _there(row: Score) -> float | None:
    """The milliliters of a structure in the label map that has it."""
    return row.reference_ml if row.status == "missed" else row.prediction_ml


def _milliliters(row: Score) -> float:
    return _there(row) or 0.0


def _view(dataset: Dataset, predictions: Path, case: str) -> CaseView:
    return read_case_view(dataset, dataset.case(case), prediction_file(predictions, case))


def _empty_mask_picture(view: CaseView, row: Score, columns: int) -> Picture:
    number = view.classes.index(row.class_name)
    which, other = ("reference", "prediction") if row.status == "missed" else ("prediction", "reference")
    alt = (
        f"{row.class_name} of {row.case} ({row.modality}): in the {which}, but not in the {other}. "
        "The image alone above, below it the prediction as a colored fill and the reference as an outline"
    )
    figure = draw_case(view, columns, f"{row.case} · {row.class_name}: {EMPTY[row.status]}", focus=number)
    uri = data_uri("image/webp", webp(figure, dpi=110))
    return Picture(f"{row.case} {row.class_name}", uri, uri, alt)


def _remarks(evaluation: Evaluation, case: str) -> Iterator[str]:
    """The classes of a case that were missed or invented: a reader shouldn't have to find out from the picture."""
    for status in ("missed", "false_positive"):
        names = [row.class_name for row in evaluation.scores if row.case == case and row.status == status]
        if names:
            yield f"{status.replace('_', ' ')}: {', '.join(names)}"


def themed(title: str, draw: Callable[[Theme], Figure], alt: str) -> Picture:
    light, dark = (data_uri("image/svg+xml", svg(draw(theme))) for theme in (LIGHT, DARK))
    return Picture(title, light, dark, alt)


def data_uri(kind: str, content: bytes) -> str:
    """A file of the media type `kind`, to stand in a page instead of its address."""
    return f"data:{kind};base64,{b64encode(content).decode('ascii')}"


def dice_strips_alt(evaluation: Evaluation) -> str:
    counts = {status: sum(row.status == status for row in evaluation.scores) for status in ("missed", "false_positive")}
    return (
        f"Dice of every test case by class and modality, a dot per case; {counts['missed']} missed and "
        f"{counts['false_positive']} false positive classes as crosses at zero. The numbers are in the table of cases."
    )
