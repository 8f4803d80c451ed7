"""A study at several budgets: a folder and a table for each, and one page with the curve over all."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from unpaired.experiments.curve import StudyCurve
from unpaired.experiments.curve_figure import curve_alt, draw_curve
from unpaired.experiments.results import PAGE, STATUS, StudyResults, tables_written
from unpaired.experiments.study import Study
from unpaired.experiments.tables import curve_table, status_table
from unpaired.figures.style import write_figure
from unpaired.files import remove, write_json, write_text
from unpaired.report.curve_page import BudgetLink, write_curve_page
from unpaired.tables import csv_records

FIGURES = "figures"
CURVE = "curve"


def budget_folder(minutes: float) -> str:
    """The name of a budget's folder."""
    return f"{minutes:g}min"


def is_one_of_several(study: Study, folder: Path) -> bool:
    """Whether a folder has one for this study's budget, since it was made at several."""
    return study.minutes is not None and (folder / budget_folder(study.minutes)).is_dir()


def made_by_budget(
    studies: Sequence[Study],
    folder: Path,
    made: Callable[[Study, Path], StudyResults],
    say: Callable[[str], None],
    write: bool = True,
) -> StudyResults:
    """Make the same study at each of its budgets, the smallest first, then the curve of what there is.

    Each budget's runs, tables and page lie in a folder of its own ("5min"); `made` makes one. In `folder` are
    study.html with the curve, curve.csv, curve.md, figures/curve.svg and study.json, unless nothing is to be written
    (of an estimate or a shard); an earlier curve goes where there is none now.
    """
    by_minutes = {study.minutes or 0.0: study for study in sorted(studies, key=lambda study: study.minutes or 0.0)}
    results: dict[float, StudyResults] = {}
    for minutes, study in by_minutes.items():
        say(f"budget of {minutes:g} minutes")
        results[minutes] = made(study, folder / budget_folder(minutes))
    compared = {minutes: each.compared.to_json() for minutes, each in results.items() if each.compared is not None}
    rows = [replace(row, name=f"{row.name}, {minutes:g} min") for minutes, each in results.items() for row in each.rows]
    failures = [(f"{minutes:g} min: {name}", why) for minutes, each in results.items() for name, why in each.failures]
    notes = dict.fromkeys(note for each in results.values() for note in each.notes)
    curve = StudyCurve.of(compared)
    whole = StudyResults(
        folder, tuple(rows), tuple(notes), None, failures, curve=curve, budgets=tuple(results.values())
    )
    if not write:
        return whole
    with tables_written():
        if curve is None:  # what lies there is of rows that have changed since
            _remove(folder)
        else:
            _write(whole, curve, studies[0].title, results)
        write_json(folder / STATUS, {"schema": 1, "study": studies[0].title, **whole.to_json()})
    return whole


def _remove(folder: Path) -> None:
    """Remove an earlier curve's files and page, where there is one."""
    if (folder / f"{CURVE}.csv").is_file():
        for name in (f"{CURVE}.csv", f"{CURVE}.md", f"{FIGURES}/{CURVE}.svg", f"{FIGURES}/{CURVE}.png", PAGE):
            remove(folder / name)


def _write(whole: StudyResults, curve: StudyCurve, title: str, results: dict[float, StudyResults]) -> None:
    """The curve's files and page."""
    folder, table = whole.folder, curve_table(curve)
    links = [
        BudgetLink(f"{minutes:g} minutes", f"{each.folder.name}/{PAGE}")
        for minutes, each in results.items()
        if each.page is not None
    ]
    rows = status_table(whole.rows, whole.notes)
    write_text(folder / f"{CURVE}.csv", csv_records(map(asdict, curve.points)))
    write_text(folder / f"{CURVE}.md", table.markdown(level=1))
    write_figure(draw_curve(curve), folder / FIGURES, CURVE)
    write_curve_page(
        folder / PAGE,
        title,
        table,
        rows,
        lambda theme: draw_curve(curve, theme),
        curve_alt(curve),
        curve.baseline,
        links,
        whole.failures,
    )
