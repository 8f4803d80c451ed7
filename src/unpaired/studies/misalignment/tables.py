"""Misalignment as files: CSV (a row per run, case, class and amount), JSON, and a table for the terminal."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from unpaired.files import write_text
from unpaired.statistics import Interval
from unpaired.studies.misalignment.scores import (
    UNITS,
    MisalignmentRow,
    flat_runs,
    misalignment_curves,
)
from unpaired.studies.partners.scores import form_text
from unpaired.studies.partners.tables import percent

SCHEMA = 1
COLUMNS = (
    "run",
    "case",
    "patient",
    "modality",
    "kind",
    "amount",
    "partners",
    "alignments",
    "class",
    "dice",
    "prediction_ml",
    "reference_ml",
    "agreement",
)


def terminal(rows: Sequence[MisalignmentRow]) -> Table:
    """A row per run, modality and kind: Dice alone and in place, then the change at each amount.

    A run that uses no partner has one row per modality.
    """
    flat = flat_runs(rows)
    table = Table(title="Dice % beside partners out of place (means over patients)", title_justify="left")
    table.box = SIMPLE_HEAD
    for place, text in enumerate(("run", "modality", "patients", "alone", "in place", "change of Dice at")):
        table.add_column(text, justify="right" if place in (2, 3, 4) else "left", no_wrap=place == 3)
    for curve in misalignment_curves(rows):
        first = curve.points[0]
        start = [curve.run, curve.modality, str(first.patients), percent(curve.alone), percent(first.dice)]
        if curve.run not in flat:
            changes = ", ".join(f"{point.amount:g}: {_signed(point.change)}" for point in curve.points[1:])
            table.add_row(*start, f"{curve.kind} {UNITS[curve.kind]}: {changes}")
        elif curve.kind == next(one.kind for one in misalignment_curves(rows) if one.run == curve.run):
            table.add_row(*start, "none: uses no partner")
    return table


def conclusions(rows: Sequence[MisalignmentRow]) -> list[str]:
    """A sentence on each run: that it doesn't use partners, or where it loses most, with the interval."""
    flat = flat_runs(rows)
    found = []
    for run in dict.fromkeys(row.run for row in rows):
        if run in flat:
            found.append(f"{run}: no partner changed a voxel of any prediction; the line is flat because it uses none.")
            continue
        points = [(curve, point) for curve in misalignment_curves(rows) if curve.run == run for point in curve.points]
        if not points:
            continue
        curve, worst = min(points, key=lambda one: one[1].change)
        interval = f", 95 % {_ends(worst.change_interval)}" if worst.change_interval else ""
        found.append(
            f"{run}: mean Dice falls most by {_signed(worst.change)} points{interval}: {curve.modality}, "
            f"{curve.kind} {worst.amount:g} {UNITS[curve.kind]}, {worst.patients} patients."
        )
    return found


def to_json(rows: Sequence[MisalignmentRow], settings: dict[str, Any]) -> dict[str, Any]:
    """Everything but the rows as JSON values; Dice from 0 to 1."""
    return {
        "schema": SCHEMA,
        **settings,
        "units": UNITS,
        "runs_without_partners": flat_runs(rows),
        "curves": [asdict(curve) for curve in misalignment_curves(rows)],
    }


def write_misalignment_tables(rows: Sequence[MisalignmentRow], settings: dict[str, Any], folder: Path) -> None:
    """Write misalignment.csv and misalignment.json into `folder`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        who = [row.run, row.case, row.patient, row.modality, row.kind, row.amount]
        how = [form_text(row.partners), form_text(row.alignments), row.class_name]
        writer.writerow([*who, *how, row.dice, row.prediction_ml, row.reference_ml, row.agreement])
    write_text(folder / "misalignment.csv", text.getvalue())
    document = to_json(rows, settings)
    write_text(folder / "misalignment.json", json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def _signed(value: float) -> str:
    return f"{100 * value:+.2f}"


def _ends(interval: Interval) -> str:
    return f"{_signed(interval.low)} to {_signed(interval.high)}"
