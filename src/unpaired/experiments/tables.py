"""A study's tables besides its scores: what became of each row, what it took, what is left and how long that is."""

from collections.abc import Sequence

from unpaired.experiments.estimate import Estimate
from unpaired.experiments.status import RowStatus
from unpaired.runs.progress import duration
from unpaired.tables import DASH, Table


def status_table(rows: Sequence[RowStatus], notes: Sequence[str]) -> Table:
    """A row for each of the study's: runs done of those planned and failed, steps, hours."""
    cells = [
        [
            row.name,
            f"{row.done} of {row.planned}",
            str(row.failed or ""),
            ", ".join(map(str, row.steps)) or DASH,
            duration(row.training_seconds),
            duration(row.other_seconds),
        ]
        for row in rows
    ]
    head = ["row", "runs done", "failed", "steps", "training", "predicting, scoring"]
    return Table(head, cells, "lr", title="Rows", notes=notes)


def estimate_table(estimate: Estimate) -> Table:
    """A row for each of the study's: what a step takes, and how long its runs do that are left."""
    cells = [
        [
            row.name,
            DASH if row.speed is None else f"{row.speed.seconds:.3g}",
            DASH if row.speed is None else f"{row.speed.gigabytes:.1f}",
            ", ".join(map(str, row.steps)) or DASH,
            str(row.left),
            duration(row.seconds) if row.seconds else DASH,
            *([] if estimate.hours is None else [f"{row.fitting} of {row.left}"]),
            row.note,
        ]
        for row in estimate.rows
    ]
    head = ["row", "s / step", "GB", "steps", "runs left", "h:mm:ss"]
    head += [] if estimate.hours is None else [f"fit into {estimate.hours:g} h"]
    return Table(
        [*head, "remarks"], cells, "l" + "r" * (len(head) - 1) + "l", title="Estimate", notes=[*estimate.notes()]
    )
