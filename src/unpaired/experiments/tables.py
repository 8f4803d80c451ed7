"""A study's tables besides its scores: what became of each row, what it took, what is left and how long that is."""

from collections.abc import Sequence

from unpaired.experiments.curve import StudyCurve
from unpaired.experiments.estimate import Estimate
from unpaired.experiments.status import RowStatus
from unpaired.runs.progress import duration
from unpaired.tables import DASH, Table, TableCell


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
    """A row for each of the study's: what a step takes, and how long its runs do that are left; remarks stand below."""
    cells = [
        [
            row.name,
            DASH if row.speed is None else f"{row.speed.seconds:.3g}",
            DASH if row.speed is None else f"{row.speed.gigabytes:.1f}",
            ", ".join(map(str, row.steps)) or DASH,
            str(row.left),
            duration(row.seconds) if row.seconds else DASH,
            *([] if estimate.hours is None else [f"{row.fitting} of {row.left}"]),
        ]
        for row in estimate.rows
    ]
    head = ["row", "s / step", "memory, GB", "steps", "runs left", "time left, h:mm:ss"]
    head += [] if estimate.hours is None else [f"fit into {estimate.hours:g} h"]
    remarks = [f"{row.name}: {row.note}." for row in estimate.rows if row.note]
    return Table(head, cells, "lr", title="Estimate", notes=[*remarks, *estimate.notes()])


def curve_table(curve: StudyCurve) -> Table:
    """A line for each row and modality with numbers, a column for each budget; the best of each modality is bold."""
    rows: list[list[str | TableCell]] = []
    for modality in curve.modalities:
        for name in filter(lambda row: curve.line(row, modality), curve.rows):
            cells: list[TableCell] = []
            for minutes in curve.minutes:
                point, best = curve.point(name, modality, minutes), curve.best(modality, minutes)
                text = DASH if point is None else f"{100 * point.mean:.2f}"
                mark = "*" if point is not None and point.significant else ""
                cells.append(TableCell(text, best is not None and text == f"{100 * best:.2f}", mark))
            rows.append([modality, name, *cells])
    head = ["modality", "row", *(f"{minutes:g} min" for minutes in curve.minutes)]
    return Table(head, rows, "llr", title="Mean Dice % by minutes", notes=curve.notes())
