"""The terms of an objective as a table, and as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from unpaired.studies.diagnosis.computation import TermDiagnosis
from unpaired.studies.diagnosis.scores import advice, verdict
from unpaired.tables import Table

SCHEMA = 1


def diagnosis_table(terms: Sequence[TermDiagnosis]) -> Table:
    """A row for each term."""
    rows = [
        [
            term.name,
            f"{term.value:.3g}",
            f"{term.weight:.3g}",
            f"{term.strength:.3f}",
            "" if term.cosine is None else f"{term.cosine:+.2f}",
            "" if term.noise is None else f"{term.noise:.0%}",
            verdict(term),
        ]
        for term in terms
    ]
    head = ["term", "value", "weight", "gradient", "cosine", "noise", "verdict"]
    return Table(head, rows, "lrrrrrl", "gradients on the shared weights, relative to the supervised terms'")


def to_json(terms: Sequence[TermDiagnosis], settings: dict[str, Any]) -> dict[str, Any]:
    """The diagnosis as JSON values."""
    rows = [{**asdict(term), "verdict": verdict(term), "advice": advice(term)} for term in terms]
    return {"schema": SCHEMA, **settings, "terms": rows}
