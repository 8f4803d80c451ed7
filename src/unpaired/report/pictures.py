"""The pictures of a report as data URIs, each with its words for those who can't see it."""

from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from unpaired.data.dataset import Dataset
from unpaired.data.images import NIFTI
from unpaired.errors import InputError
from unpaired.evaluation.scores import Evaluation
from unpaired.figures.case_view import read_case_view
from unpaired.figures.overlays import draw_case
from unpaired.figures.style import DARK, LIGHT, Theme, svg, webp


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


def overlays(dataset: Dataset, predictions: Path, evaluation: Evaluation, modality: str) -> Iterator[CasePicture]:
    """Worst, median and best test case of a modality by mean Dice over its classes (fewer if there are fewer cases)."""
    means = {}
    for case in dict.fromkeys(row.case for row in evaluation.rows(modality)):
        dice = [row.dice for row in evaluation.rows(modality) if row.case == case and row.dice is not None]
        if dice:
            means[case] = sum(dice) / len(dice)
    ranked = sorted(means, key=lambda case: means[case])
    ranks = {"worst": 0, "median": (len(ranked) - 1) // 2, "best": len(ranked) - 1} if ranked else {}
    shown: set[int] = set()
    for rank, place in ranks.items():
        if place in shown:
            continue
        shown.add(place)
        name = ranked[place]
        text = f"{means[name]:.3f}"
        label = rank if len(ranked) > 1 else "only"
        remarks = "; ".join(_remarks(evaluation, name))
        try:
            view = read_case_view(dataset, dataset.case(name), _prediction(predictions, name))
        except InputError as error:
            yield CasePicture(label, name, text, remarks, None, str(error))
            continue
        alt = (
            f"Slices of {name} ({modality}), the {label} test case with a mean Dice of {text}: the image alone above, "
            "below it the prediction as a colored fill and the reference as an outline"
        )
        uri = _uri("image/webp", webp(draw_case(view)))
        yield CasePicture(label, name, text, remarks, Picture(name, uri, uri, alt))


def _remarks(evaluation: Evaluation, case: str) -> Iterator[str]:
    """The classes of a case that were missed or invented: a reader shouldn't have to find out from the picture."""
    for status in ("missed", "false_positive"):
        names = [row.class_name for row in evaluation.scores if row.case == case and row.status == status]
        if names:
            yield f"{status.replace('_', ' ')}: {', '.join(names)}"


def _prediction(folder: Path, case: str) -> Path:
    for suffix in NIFTI:
        if (folder / f"{case}{suffix}").is_file():
            return folder / f"{case}{suffix}"
    raise InputError(f"the prediction {case}.nii.gz is no longer in {folder}")


def themed(title: str, draw: Callable[[Theme], Figure], alt: str) -> Picture:
    light, dark = (_uri("image/svg+xml", svg(draw(theme))) for theme in (LIGHT, DARK))
    return Picture(title, light, dark, alt)


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{b64encode(content).decode('ascii')}"


def dice_strips_alt(evaluation: Evaluation) -> str:
    counts = {status: sum(row.status == status for row in evaluation.scores) for status in ("missed", "false_positive")}
    return (
        f"Dice of every test case by class and modality, a dot per case; {counts['missed']} missed and "
        f"{counts['false_positive']} false positive classes as crosses at zero. The numbers are in the table of cases."
    )
