"""The terms of an objective as a table, and as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from unpaired.analyses.diagnosis.computation import LEVEL, TermDiagnosis
from unpaired.analyses.diagnosis.scores import advice, cosine_text, strength_text, verdict, verdicts
from unpaired.tables import Table

SCHEMA = 1
NOTES = (
    "Value: of the term, before its weight. Gradient: how hard it pulls at the weights, 1 as hard as the labels do. "
    "Cosine: +1 where they pull, -1 against them.",
    "Noise: how much of the value two batches of one modality have as well, which is due to the cases drawn.",
)
"""What the columns are."""


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
    title = f"Each term of the loss, on the weights that modalities share, beside the labels' ({LEVEL:.0%} intervals)"
    return Table(head, rows, "lrrrrrl", title, notes=NOTES)


def to_json(terms: Sequence[TermDiagnosis], settings: dict[str, Any]) -> dict[str, Any]:
    """The diagnosis as JSON values."""
    rows = [
        {**asdict(term), "verdict": verdict(term), "verdicts": verdicts(term), "advice": advice(term)} for term in terms
    ]
    return {"schema": SCHEMA, **settings, "terms": rows}
