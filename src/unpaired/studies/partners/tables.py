"""Partners as files: CSV (a row per case, class and form), JSON, and a table for the terminal."""

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
from unpaired.studies.partners.scores import (
    PartnerRow,
    PartnerSummary,
    form_text,
    ignores_partners,
    spreads,
    summarize_partners,
)

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
    return "–" if value is None else f"{100 * value:.2f}"


def conclusion(rows: Sequence[PartnerRow]) -> str:
    """What to remember, in a sentence."""
    if ignores_partners(rows):
        return "No partner changed a voxel of any prediction: this network doesn't use partners."
    largest = max(spreads(rows), key=lambda one: one.width)
    return (
        f"Predictions depend on the partner: {largest.case}, {largest.class_name}, has a Dice of "
        f"{percent(largest.least)} to {percent(largest.most)} %, depending on who is beside it."
    )


def terminal(rows: Sequence[PartnerRow]) -> Table:
    """A row per modality and class: mean Dice of each form, the spread over partners, the case with the largest.

    A form that fewer patients have says how many.
    """
    summaries = summarize_partners(rows)
    forms = [form for form in FORMS if any(form in one.dice for one in summaries)]
    table = Table(title="Dice % by partner (means over patients)", title_justify="left", box=SIMPLE_HEAD)
    for place, text in enumerate(("modality", "class", "patients", *forms, "spread", "largest", "of case", "ml")):
        table.add_column(text, justify="left" if place < 2 or text == "of case" else "right")
    for one in summaries:
        table.add_row(*_cells(one, forms))
    return table


def _cells(one: PartnerSummary, forms: Sequence[str]) -> list[str]:
    ml = "–" if one.spread_ml is None else f"{one.spread_ml:.2f}"
    few = {form: f" ({count})" for form, count in one.form_patients.items() if count < one.patients}
    dice = [percent(one.dice.get(form)) + few.get(form, "") for form in forms]
    name = [one.modality, one.class_name, str(one.patients)]
    return [*name, *dice, percent(one.spread), percent(one.largest), one.largest_case, ml]


def to_json(rows: Sequence[PartnerRow], settings: dict[str, Any]) -> dict[str, Any]:
    """Everything but the rows as JSON values; Dice from 0 to 1."""
    return {
        "schema": SCHEMA,
        **settings,
        "uses_partners": not ignores_partners(rows),
        "summaries": [asdict(one) for one in summarize_partners(rows)],
        "spreads": [{**asdict(one), "width": one.width} for one in spreads(rows)],
    }


def write_partner_tables(rows: Sequence[PartnerRow], settings: dict[str, Any], folder: Path) -> None:
    """Write partners.csv and partners.json into `folder`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        who = [row.case, row.patient, row.modality, row.class_name, row.form]
        how = [form_text(row.partners), form_text(row.alignments)]
        writer.writerow([*who, *how, row.dice, row.prediction_ml, row.reference_ml, row.agreement])
    write_text(folder / "partners.csv", text.getvalue())
    document = to_json(rows, settings)
    write_text(folder / "partners.json", json.dumps(document, indent=1, ensure_ascii=False) + "\n")
