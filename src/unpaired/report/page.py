"""One self-contained HTML page per run: scores, failures, pictures, curves, recipe. It opens from disk, offline."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from unpaired.comparison.run_warnings import run_warnings
from unpaired.data.dataset import SPLITS, Dataset
from unpaired.data.overwriting import Subject
from unpaired.data.simulated import simulated_beside
from unpaired.figures.curves import curves_of, draw_curve
from unpaired.files import is_object, write_text
from unpaired.report.pictures import dice_strips_alt, empty_masks, overlays, themed
from unpaired.report.template import render
from unpaired.report.trust import trust_view
from unpaired.report.viewer import VIEWER_MB, build_viewer
from unpaired.runs.facts import read_run_facts
from unpaired.runs.folder import FEATURES_PAGE, RunFolder
from unpaired.scores.figure import draw_dice_strips
from unpaired.scores.files import CASE_TABLE, SCORES
from unpaired.scores.freshness import unchecked
from unpaired.scores.places import evaluation_folder
from unpaired.scores.scores import Evaluation
from unpaired.scores.tables import MEAN, SummaryRow, definitions, summary_rows


class Section(NamedTuple):
    """A part of the page: `sections/<name>.html.jinja`, the id to link to, and its entry in the navigation."""

    name: str
    title: str


SECTIONS = (
    Section("scores", "Scores"),
    Section("cases", "Test cases"),
    Section("empty_masks", "Missed and invented"),
    Section("trust", "Trust"),
    Section("viewer", "Volumes"),
    Section("training", "Training"),
    Section("data", "Data and split"),
    Section("recipe", "Recipe"),
    Section("files", "Versions and files"),
)
"""The page's sections, in its order. To add one: its template, a line here, and its values in `write_run_page`."""


@dataclass(frozen=True)
class SplitRow:
    """How many cases, labeled cases and patients one modality has on one side, and how many of the cases are simulated
    beside those of patients."""

    modality: str
    split: str
    cases: int
    labeled: int
    patients: int
    simulated: int


def write_run_page(
    run_folder: Path,
    dataset: Dataset,
    predictions: Path,
    evaluation: Evaluation,
    out: Path,
    viewer_mb: float = VIEWER_MB,
    about: Subject | None = None,
) -> Path:
    """Write the page of a run to `out` and return it; `about` is what its head says it is about.

    Shows the scores with their counts and statuses, every failure, the worst, median and best test case of each
    modality, the training curves and the recipe. Files of the run that are missing are named in the page. Raises
    InputError if the run folder isn't there or `out` can't be written.
    """
    facts = read_run_facts(run_folder)
    page = render(
        "page.html.jinja",
        about,
        sections=SECTIONS,
        dataset=dataset,
        facts=facts,
        evaluation=evaluation,
        **_scores(evaluation),
        warnings=list(run_warnings(facts, dataset, evaluation)),
        notes=[*facts.notes, *filter(None, [unchecked(evaluation, predictions)])],
        overlays={
            modality: list(overlays(dataset, predictions, evaluation, modality))
            for modality in _drawn(dataset, evaluation)
        },
        empty_masks=list(empty_masks(dataset, predictions, evaluation)),
        trust=trust_view(predictions, evaluation_folder(predictions)),
        viewer=build_viewer(dataset, predictions, evaluation, viewer_mb),
        curves=[
            themed(
                curve.title, lambda theme, curve=curve: draw_curve(curve, tuple(dataset.modalities), theme), curve.alt
            )
            for curve in curves_of(facts.log, facts.validation, dataset.classes)
        ],
        splits=list(split_rows(dataset)),
        recipe=None if facts.recipe is None else json.dumps(facts.recipe, indent=2, ensure_ascii=False),
        versions={name: _plain(value) for name, value in (facts.versions or {}).items()},
        files=list(_files(run_folder, predictions, out)),
    )
    write_text(out, page)
    return out


def _scores(evaluation: Evaluation) -> dict[str, Any]:
    """The page's first part: a tile per modality's mean, the table, what the scores mean, every case as a point."""
    rows = list(summary_rows(evaluation))
    return {
        "tiles": [row for row in rows if row.class_name == MEAN or _single_class(evaluation, row)],
        "rows": rows,
        "mean": MEAN,
        "definitions": definitions(evaluation),
        "strips": themed(
            "Dice of every case", lambda theme: draw_dice_strips(evaluation, theme), dice_strips_alt(evaluation)
        ),
    }


def _single_class(evaluation: Evaluation, row: SummaryRow) -> bool:
    return sum(other.modality == row.modality for other in summary_rows(evaluation)) == 1


def _drawn(dataset: Dataset, evaluation: Evaluation) -> list[str]:
    return [name for name in dataset.modalities if name in evaluation.modalities]


def split_rows(dataset: Dataset) -> Iterator[SplitRow]:
    """A row for each modality and side that has cases."""
    beside = simulated_beside(dataset)
    for modality in dataset.modalities:
        for split in (*SPLITS, None):
            cases = [case for case in dataset.of(modality) if case.split == split]
            if cases:
                labeled = sum(case.label is not None for case in cases)
                patients = len({case.patient for case in cases if case.id not in beside})
                simulated = sum(case.id in beside for case in cases)
                yield SplitRow(modality, split or "not assigned", len(cases), labeled, patients, simulated)


def _files(run_folder: Path, predictions: Path, out: Path) -> Iterator[tuple[str, str]]:
    """(what, path relative to the page) of what lies around the run, so that the page's links work from its place."""
    run = RunFolder(run_folder)
    evaluation = evaluation_folder(predictions)
    known = {
        run.weights("best"): "best weights",
        run.weights("last"): "last weights",
        run.recipe_file: "recipe",
        run.split_file: "split",
        run.log_file: "training log",
        run.validation_file: "validation scores",
        run.features / FEATURES_PAGE: "what the network learned",
        evaluation / CASE_TABLE: "scores per case and class",
        evaluation / SCORES: "scores with definitions and means",
    }
    yield "run folder", _relative(run_folder, out)
    yield "predictions", _relative(predictions, out)
    for file, what in known.items():
        if file.is_file():
            yield what, _relative(file, out)


def _relative(path: Path, out: Path) -> str:
    try:
        return Path(os.path.relpath(path.resolve(), out.resolve().parent)).as_posix()
    except ValueError:  # another drive on Windows
        return path.resolve().as_posix()


def _plain(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, list):
        return " ".join(str(item) for item in value)
    if is_object(value):
        return ", ".join(f"{name} {_plain(item)}" for name, item in value.items())
    return str(value)
