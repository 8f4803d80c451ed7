"""Misalignment as files: CSV (a row per run, case, class and amount), JSON, and a table for the terminal."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from unpaired.analyses.misalignment.scores import (
    UNITS,
    MisalignmentRow,
    flat_runs,
    misalignment_curves,
)
from unpaired.analyses.partners.tables import csv_record
from unpaired.choices import counted
from unpaired.files import write_json, write_text
from unpaired.statistics import Interval
from unpaired.tables import Table, csv_records, percent

SCHEMA = 1
MISALIGNMENT = "misalignment.json"
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


def curve_table(rows: Sequence[MisalignmentRow]) -> Table:
    """A row per run, modality and kind: Dice alone and in place, then the change at each amount.

    A run that uses no partner has one row per modality.
    """
    flat = flat_runs(rows)
    cells: list[list[str]] = []
    for curve in misalignment_curves(rows):
        first = curve.points[0]
        start = [curve.run, curve.modality, str(first.patients), percent(curve.alone), percent(first.dice)]
        if curve.run not in flat:
            changes = ", ".join(f"{point.amount:g}: {percent(point.change, signed=True)}" for point in curve.points[1:])
            cells.append([*start, f"{curve.kind} {UNITS[curve.kind]}: {changes}"])
        elif [curve.run, curve.modality] not in [row[:2] for row in cells]:
            cells.append([*start, "none: uses no partner"])
    head = ["run", "modality", "patients", "alone", "in place", "change of Dice at"]
    return Table(head, cells, "llrrrl", "Dice % beside partners out of place (means over patients)")


def conclusions(rows: Sequence[MisalignmentRow]) -> list[str]:
    """A sentence on each run: that it doesn't use partners, or where it loses most, with the interval."""
    flat = flat_runs(rows)
    sentences: list[str] = []
    for run in dict.fromkeys(row.run for row in rows):
        if run in flat:
            sentences.append(
                f"{run}: no partner changed a voxel of any prediction; the line is flat because it uses none."
            )
            continue
        points = [(curve, point) for curve in misalignment_curves(rows) if curve.run == run for point in curve.points]
        if not points:
            continue
        curve, worst = min(points, key=lambda pair: pair[1].change)
        interval = f", 95 % {_ends(worst.change_interval)}" if worst.change_interval else ""
        sentences.append(
            f"{run}: mean Dice falls most by {percent(worst.change, signed=True)} points{interval}: {curve.modality}, "
            f"{curve.kind} {worst.amount:g} {UNITS[curve.kind]}, {counted(worst.patients, 'patient')}."
        )
    return sentences


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
    write_text(folder / "misalignment.csv", csv_records(map(csv_record, rows), COLUMNS))
    write_json(folder / MISALIGNMENT, to_json(rows, settings))


def _ends(interval: Interval) -> str:
    return f"{percent(interval.low, signed=True)} to {percent(interval.high, signed=True)}"
