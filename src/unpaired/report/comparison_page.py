"""One self-contained HTML page per comparison: tables, plots, worst cases side by side, every missed structure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unpaired.comparison.cells import (
    count_text,
    number,
    row_name,
    short_title,
    table_cell,
    test_cells,
    test_headings,
    title,
)
from unpaired.comparison.comparison import Comparison
from unpaired.comparison.contenders import Contender
from unpaired.comparison.files import FEW_SHOT_FILE, FILES, PAPER_FILE
from unpaired.comparison.notes import cautions, notes
from unpaired.comparison.papers.layout import PaperLayout
from unpaired.comparison.records import Key
from unpaired.data.dataset import Dataset
from unpaired.files import is_written, write_text
from unpaired.report.comparison_pictures import (
    few_shot_picture,
    methods_pictures,
    score_pictures,
    write_figures,
)
from unpaired.report.comparison_training import methods_training
from unpaired.report.comparison_viewer import build_comparison_viewer
from unpaired.report.template import render
from unpaired.report.viewer import VIEWER_MB
from unpaired.scores.freshness import unchecked
from unpaired.scores.scores import Score
from unpaired.scores.summaries import MEAN
from unpaired.tables import Table, TableCell

WORST_LISTED = 20


@dataclass(frozen=True)
class AboutStudy:
    """What a comparison is the result of: a study's title, what became of its rows, and (run, why it failed)."""

    title: str
    rows: Table
    failures: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class EmptyStructure:
    """A structure that a method missed or invented, with the seed where it has several."""

    method: str
    row: Score


def write_comparison_report(
    comparison: Comparison,
    out: Path,
    dataset: Dataset | None = None,
    predictions: Mapping[str, Sequence[Path]] | None = None,
    viewer_mb: float = VIEWER_MB,
    layouts: Sequence[PaperLayout] = (),
    study: AboutStudy | None = None,
) -> Path:
    """Write the page of a comparison to `out` and return it; its plots go into `figures` beside it as well.

    `dataset` says where images and references are, `predictions` where each method's label maps are, a folder per
    seed; what is missing is not drawn, and the page says why. Its viewer holds `viewer_mb` megabytes of scans at most.
    `layouts` are shown as papers' tables, `study` above all else. Raises InputError if `out` can't be written, or if
    `viewer_mb` is negative or no number.
    """
    viewer = build_comparison_viewer(comparison, dataset, predictions or {}, viewer_mb)
    plots = list(score_pictures(comparison))
    few_shot = few_shot_picture(comparison)
    figures = write_figures(plots, comparison.modalities, out.parent / "figures", few_shot)
    page = render(
        "comparison.html.jinja",
        comparison=comparison,
        layouts=list(layouts),
        study=study,
        plots=plots,
        short_title=short_title,
        number=number,
        pictures=list(methods_pictures(comparison, dataset, predictions or {})),
        viewer=viewer,
        training=methods_training(comparison),
        few_shot=few_shot,
        files=[
            *(name for name in (*FILES, PAPER_FILE, FEW_SHOT_FILE) if is_written(out.parent / name)),
            *(f"figures/{figure.name}" for figure in figures),
        ],
        **_what_was_compared(comparison),
        **_numbers(comparison),
        **_troubles(comparison, predictions or {}),
    )
    write_text(out, page)
    return out


def _what_was_compared(comparison: Comparison) -> dict[str, Any]:
    """Patients, cases and methods, and what to keep in mind about them."""
    return {
        "patients": {
            modality: len({row.patient for row in comparison.reference.rows(modality)})
            for modality in comparison.modalities
        },
        "cases": len({row.case for row in comparison.reference.scores}),
        "warnings": list(cautions(comparison)),
        "notes": list(notes(comparison)),
        "row_names": {name: row_name(comparison, name) for name in comparison.names},
        "counts": {name: count_text(comparison, name) for name in comparison.names},
    }


def _numbers(comparison: Comparison) -> dict[str, Any]:
    """The tables of scores, of tests (the main columns first) and of patients."""
    return {
        "mean": MEAN,
        "main_columns": comparison.main_columns,
        "groups": [
            (modality, [column for column in comparison.columns if column.modality == modality])
            for modality in comparison.modalities
        ],
        "tables": {title(score): _table(comparison, score) for score in comparison.scores},
        "test_headings": test_headings(comparison),
        "tests": [
            (key, difference, test_cells(comparison, key))
            for key, difference in sorted(
                comparison.differences.items(), key=lambda item: item[0].column not in comparison.main_columns
            )
        ],
        "patient_tables": {short_title(score): _patients(comparison, score) for score in comparison.scores},
    }


def _troubles(comparison: Comparison, predictions: Mapping[str, Sequence[Path]]) -> dict[str, Any]:
    """Where a method lost most, what it missed or invented, and scores that may not be those of its label maps."""
    main_score = comparison.scores[0]
    losses = [loss for loss in comparison.losses()[:WORST_LISTED] if loss.loss > 0]
    return {
        "worst_score": short_title(main_score),
        "losses": [(loss, number(main_score, loss.loss)) for loss in losses],
        "empty": list(_empty(comparison)),
        "unchecked": {
            method.name: _unchecked(method, predictions.get(method.name, ())) for method in comparison.contenders
        },
    }


def _table(comparison: Comparison, score: str) -> dict[str, list[TableCell]]:
    """{method: its cells in the columns' order}."""
    return {
        name: [table_cell(comparison, Key(score, column, name)) for column in comparison.columns]
        for name in comparison.names
    }


def _unchecked(method: Contender, folders: Sequence[Path]) -> list[str]:
    """For each run of a method why its scores can't be compared with its label maps; empty where they were."""
    return [
        unchecked(evaluation, folders[number] if number < len(folders) else None)
        for number, evaluation in enumerate(method.seeds)
    ]


def _empty(comparison: Comparison) -> Iterator[EmptyStructure]:
    for method in comparison.contenders:
        for label, evaluation in zip(method.labels(), method.seeds, strict=True):
            for row in evaluation.scores:
                if row.status in ("missed", "false_positive"):
                    yield EmptyStructure(label, row)


def _patients(comparison: Comparison, score: str) -> list[tuple[str, str, list[str]]]:
    """(modality, patient, every method's value, then each other's difference to the baseline), by the mean columns."""
    rows: list[tuple[str, str, list[str]]] = []
    for column in comparison.main_columns:
        values = {name: comparison.patient_values(score, column, name) for name in comparison.names}
        for patient in dict.fromkeys(row.patient for row in comparison.reference.rows(column.modality)):
            base = values[comparison.baseline].get(patient)
            texts = [number(score, values[name].get(patient)) for name in comparison.names]
            for name in comparison.others:
                theirs = values[name].get(patient)
                gap = None if base is None or theirs is None else theirs - base
                texts.append(number(score, gap, signed=True))
            rows.append((column.modality, patient, texts))
    return rows
