"""Which row of a paper's table a run is: what its recipe states and what it was trained on, never its folder's name.

A recipe is the JSON that a run folder holds (`recipe.json`), so nothing here needs torch or the classes it names. A run
of a version that didn't write `paper_row` is of no row; name it: `unpaired compare "CSA=runs/csa" ...`.
"""

from collections.abc import Mapping
from typing import Any

from unpaired.comparison.papers.tables import PaperTable

FEW = (1, 3)
"""How many training patients of one modality SSC's few-shot rows have."""
MANY = 4
"""A modality with at least this many training patients isn't few-shot."""
FEW_SHOT = "V3 + CR"
"""The row whose method SSC also trains on few patients of a modality."""


def recipe_row(recipe: Mapping[str, Any], table: PaperTable, training: Mapping[str, int] | None = None) -> str | None:
    """The row of a paper's table that a run is, with what its recipe has changed: "CSA", "CSA (network.width=8)".

    None if the recipe (`Recipe.paper_row`) states no row, or one of another paper. `training` says how many patients of
    each modality the run was trained on: SSC has rows on few patients of one modality ("1 MR", appendix E), and a run
    on few patients is no other row of it.
    """
    stated = recipe.get("paper_row")
    if not isinstance(stated, str):
        return None
    name, bracket, changes = stated.partition(" (")
    row = table.row_called(name)
    if row is not None and table.name.startswith("ssc"):
        row = _with_few(row, training or {})
    return None if row is None else f"{row}{bracket}{changes}"


def _with_few(row: str, training: Mapping[str, int]) -> str | None:
    few = {modality: count for modality, count in training.items() if count < MANY}
    if not few or len(training) < 2:
        return row
    modality, count = min(few.items(), key=lambda item: item[1])
    known = row == FEW_SHOT and len(few) == 1 and count in FEW
    return f"{count} {modality.upper().replace('MRI', 'MR')}" if known else None
