"""Partners as files: CSV (a row per case, class and form), JSON, and a table for the terminal."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from unpaired.analyses.partners.results import ResultBesidePartners, ignores_partners
from unpaired.analyses.partners.scores import PartnerRow, PartnerSummary, spreads, summarize_partners
from unpaired.files import write_json, write_text
from unpaired.tables import DASH, Table, csv_records, percent

SCHEMA = 1
FORMS = ("alone", "own", "sorted", "random")
PARTNERS = "partners.json"
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
    write_text(folder / "partners.csv", csv_records(map(csv_record, rows), COLUMNS))
    write_json(folder / PARTNERS, to_json(rows, settings))


def csv_record(row: ResultBesidePartners) -> dict[str, Any]:
    """{column: value} of a CSV file; partners and alignments are one cell each: "bssfp=patient3_bssfp"."""
    mappings = {"partners": row.partners, "alignments": row.alignments}
    texts = {name: " ".join(f"{key}={value}" for key, value in each.items()) for name, each in mappings.items()}
    return {**asdict(row), "class": row.class_name, **texts}
