"""A comparison's files: tables for papers, and rows that anyone can test again."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from unpaired.comparison.budget import trained_by, trained_of
from unpaired.comparison.cells import best_methods
from unpaired.comparison.comparison import Comparison
from unpaired.comparison.crossed import SeedDifferences
from unpaired.comparison.few_shot import few_shot_curves
from unpaired.comparison.notes import notes, warnings
from unpaired.comparison.papers.formats import paper_json, paper_latex, paper_markdown, paper_records
from unpaired.comparison.papers.layout import PaperLayout
from unpaired.comparison.records import Key
from unpaired.comparison.tables import latex, markdown
from unpaired.files import remove, together, write_json, write_text
from unpaired.statistics import PairedDifference
from unpaired.tables import csv_records

SCHEMA = 1
FILES = ("comparison.md", "comparison.tex", "comparison.csv", "differences.csv", "comparison.json")
PAGE = "comparison.html"
PAPER_FILE = "paper_tables.csv"
"""Written only where something is laid out as a paper's table."""
FEW_SHOT_FILE = "few_shot.csv"
"""Written only where runs of one recipe were trained on different numbers of patients of a modality."""


def to_json(comparison: Comparison, layouts: Sequence[PaperLayout] = ()) -> dict[str, Any]:
    """Everything as JSON values, in the scores' own units (shares from 0 to 1).

    What is laid out as a paper's table stands apart, in the paper's units.
    """
    document = {
        "schema": SCHEMA,
        "methods": [
            {
                "name": method.name,
                "folds": comparison.replicates[method.name].folds,
                "seeds": comparison.replicates[method.name].seeds,
                "places": [place.as_posix() for place in method.places],
            }
            for method in comparison.contenders
        ],
        "baseline": comparison.baseline,
        "family": comparison.family,
        "policy": comparison.reference.policy,
        "surface": comparison.reference.surface,
        "notes": list(notes(comparison)),
        "warnings": list(warnings(comparison)),
        "left_out": [asdict(item) for item in comparison.left_out],
        "columns": list(_records(comparison)),
        "worst_cases": [asdict(case) for case in comparison.losses() if case.loss > 0],
    }
    return document | ({"paper_tables": [paper_json(layout) for layout in layouts]} if layouts else {})


def write_comparison(comparison: Comparison, folder: Path, layouts: Sequence[PaperLayout] = ()) -> Path:
    """Write `FILES` into `folder` and return it; files of those names are replaced.

    `layouts` are appended to the tables and the JSON; `PAPER_FILE` has them alone, and `FEW_SHOT_FILE` every draw of
    few-shot runs. These two are removed if there are none, so that they never belong to another comparison than the
    files beside them.
    """
    records = list(_records(comparison))
    document = to_json(comparison, layouts)
    papers = [row for layout in layouts for row in paper_records(layout)]
    with together():
        write_text(folder / "comparison.md", markdown(comparison) + paper_markdown(layouts))
        write_text(folder / "comparison.tex", latex(comparison) + paper_latex(layouts))
        write_text(folder / "comparison.csv", csv_records(records))
        write_text(folder / "differences.csv", csv_records(_patient_records(comparison)))
        write_json(folder / "comparison.json", document)
        for name, rows in ((PAPER_FILE, papers), (FEW_SHOT_FILE, list(_draws(comparison)))):
            if rows:
                write_text(folder / name, csv_records(rows))
            else:
                remove(folder / name)
    return folder


def remove_comparison(folder: Path, page: str) -> None:
    """Remove what `write_comparison` has written into `folder`, with the page of that name: it holds no longer."""
    if (folder / FILES[0]).is_file():  # else the page, if there is one, is of something else
        with together():
            for name in (*FILES, PAPER_FILE, FEW_SHOT_FILE, page):
                remove(folder / name)


def _draws(comparison: Comparison) -> Iterable[dict[str, Any]]:
    """A flat row per few-shot run and modality it was scored on."""
    for curve in few_shot_curves(comparison):
        for draw in curve.draws:
            yield {
                "method": curve.method,
                "few_patients_of": curve.scarce,
                "training_patients": draw.patients,
                "scored_on": curve.measured,
                "score": curve.score,
                "mean": draw.value,
                "run": draw.place.as_posix(),
                "trained": trained_of([draw.place]),
            }


def _records(comparison: Comparison) -> Iterable[dict[str, Any]]:
    """A flat row per score, column and method."""
    trained = trained_by(comparison.contenders)
    for score in comparison.scores:
        for column in comparison.columns:
            best = best_methods(comparison, score, column)
            for name in comparison.names:
                key = Key(score, column, name)
                difference, runs = comparison.differences.get(key), comparison.replicates[name]
                yield {
                    "score": score,
                    "modality": column.modality,
                    "class": column.class_name,
                    "method": name,
                    "folds": runs.folds,
                    "seeds": runs.seeds,
                    "trained": trained[name],
                    **asdict(comparison.cells[key]),
                    "std_over": runs.unit if runs.runs > 1 else "patients",
                    "best": name in best,
                    "baseline": comparison.baseline,
                    **_difference_record(difference),
                    **_seed_record(comparison.seed_differences.get(key, SeedDifferences())),
                }


def _difference_record(difference: PairedDifference | None) -> dict[str, Any]:
    """The columns of a paired difference, all of them None for the baseline."""
    interval = None if difference is None else difference.interval
    fields = ("better", "worse", "equal", "effect", "p", "p_holm")
    return {
        "paired_patients": None if difference is None else difference.patients,
        "difference": None if difference is None else difference.mean,
        "interval_low": None if interval is None else interval.low,
        "interval_high": None if interval is None else interval.high,
        **{name: getattr(difference, name, None) for name in fields},
        "p_exact": None if difference is None else difference.exact,
    }


def _seed_record(seeds: SeedDifferences) -> dict[str, float | None]:
    """The ends of what each pair of trainings gives alone, and of their interval; None where there was but one."""
    ends = (min(seeds.by_seed), max(seeds.by_seed)) if seeds.by_seed else (None, None)
    interval = (None, None) if seeds.interval is None else (seeds.interval.low, seeds.interval.high)
    names = ("seeds_lowest", "seeds_highest", "seeds_interval_low", "seeds_interval_high")
    return dict(zip(names, (*ends, *interval), strict=True))


def _patient_records(comparison: Comparison) -> Iterable[dict[str, Any]]:
    trained = trained_by(comparison.contenders)
    for row in comparison.patient_rows():
        yield {
            "score": row.score,
            "modality": row.column.modality,
            "class": row.column.class_name,
            "patient": row.patient,
            "method": row.method,
            "trained": trained[row.method],
            "baseline": comparison.baseline,
            "value": row.value,
            "baseline_value": row.baseline,
            "difference": row.difference,
        }
