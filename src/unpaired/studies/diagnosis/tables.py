"""The terms of an objective as a table, and as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from unpaired.studies.diagnosis.computation import LEVEL, TermDiagnosis
from unpaired.studies.diagnosis.scores import advice, cosine_text, strength_text, verdict, verdicts
from unpaired.tables import Table

SCHEMA = 1


def diagnosis_table(terms: Sequence[TermDiagnosis]) -> Table:
    """A row for each term."""
    rows = [
        [
            term.name,
            f"{term.value:.3g}",
            f"{term.weight:.3g}",
            strength_text(term),
            cosine_text(term),
            "" if term.noise is None else f"{term.noise:.0%}",
            verdict(term),
        ]
        for term in terms
    ]
    head = ["term", "value", "weight", "gradient", "cosine", "noise", "verdict"]
    title = f"gradients on the shared weights, relative to the supervised terms' ({LEVEL:.0%} intervals)"
    return Table(head, rows, "lrrrrrl", title)


def to_json(terms: Sequence[TermDiagnosis], settings: dict[str, Any]) -> dict[str, Any]:
    """The diagnosis as JSON values."""
    rows = [
        {**asdict(term), "verdict": verdict(term), "verdicts": verdicts(term), "advice": advice(term)} for term in terms
    ]
    return {"schema": SCHEMA, **settings, "terms": rows}
