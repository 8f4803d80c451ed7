"""Partners as files: CSV (a row per case, class and form), JSON, and a table for the terminal."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from unpaired.files import write_text
from unpaired.studies.partners.scores import (
    PartnerRow,
    PartnerSummary,
    form_text,
    ignores_partners,
    spreads,
    summarize_partners,
)
from unpaired.tables import DASH, Table, csv_text

SCHEMA = 1
FORMS = ("alone", "own", "sorted", "random")
COLUMNS = (
    "case",
    "patient",
    "modality",
    "class",
    "form",
    "partners",
    "alignments",
    "dice",
    "prediction_ml",
    "reference_ml",
    "agreement",
)


def percent(value: float | None) -> str:
    """A Dice in percent with two digits; a dash for None."""
    return DASH if value is None else f"{100 * value:.2f}"


def conclusion(rows: Sequence[PartnerRow]) -> str:
    """What to remember, in a sentence."""
    if ignores_partners(rows):
        return "No partner changed a voxel of any prediction: this network doesn't use partners."
    largest = max(spreads(rows), key=lambda spread: spread.width)
    return (
        f"Predictions depend on the partner: {largest.case}, {largest.class_name}, has a Dice of "
        f"{percent(largest.least)} to {percent(largest.most)} %, depending on who is beside it."
    )


def summary_table(rows: Sequence[PartnerRow]) -> Table:
    """A row per modality and class: mean Dice of each form, the spread over partners, the case with the largest.

    A form that fewer patients have says how many.
    """
    summaries = summarize_partners(rows)
    forms = [form for form in FORMS if any(form in summary.dice for summary in summaries)]
    head = ["modality", "class", "patients", *forms, "spread", "largest", "of case", "ml"]
    align = f"ll{'r' * (len(forms) + 3)}lr"
    return Table(head, [_cells(row, forms) for row in summaries], align, "Dice % by partner (means over patients)")


def _cells(summary: PartnerSummary, forms: Sequence[str]) -> list[str]:
    ml = DASH if summary.spread_ml is None else f"{summary.spread_ml:.2f}"
    few = {form: f" ({count})" for form, count in summary.form_patients.items() if count < summary.patients}
    dice = [percent(summary.dice.get(form)) + few.get(form, "") for form in forms]
    name = [summary.modality, summary.class_name, str(summary.patients)]
    return [*name, *dice, percent(summary.spread), percent(summary.largest), summary.largest_case, ml]


def to_json(rows: Sequence[PartnerRow], settings: dict[str, Any]) -> dict[str, Any]:
    """Everything but the rows as JSON values; Dice from 0 to 1."""
    return {
        "schema": SCHEMA,
        **settings,
        "uses_partners": not ignores_partners(rows),
        "summaries": [asdict(summary) for summary in summarize_partners(rows)],
        "spreads": [{**asdict(spread), "width": spread.width} for spread in spreads(rows)],
    }


def write_partner_tables(rows: Sequence[PartnerRow], settings: dict[str, Any], folder: Path) -> None:
    """Write partners.csv and partners.json into `folder`."""
    write_text(folder / "partners.csv", csv_text(COLUMNS, map(_csv_row, rows)))
    document = to_json(rows, settings)
    write_text(folder / "partners.json", json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def _csv_row(row: PartnerRow) -> list[Any]:
    who = [row.case, row.patient, row.modality, row.class_name, row.form]
    how = [form_text(row.partners), form_text(row.alignments)]
    return [*who, *how, row.dice, row.prediction_ml, row.reference_ml, row.agreement]
