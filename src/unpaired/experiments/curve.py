"""A study at several budgets: how good each of its rows is after so many minutes, and how far from the baseline."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

SCORE = "dice"
LEVEL = 0.05


@dataclass(frozen=True)
class CurvePoint:
    """A row's mean Dice (0 to 1, over patients and classes) in a modality after so many minutes.

    `difference` is to the baseline at the same budget, with its p after Holm's correction; None of the baseline itself.
    """

    row: str
    modality: str
    minutes: float
    mean: float
    patients: int
    difference: float | None = None
    p: float | None = None

    @property
    def significant(self) -> bool:
        """Whether it differs from the baseline, by the corrected p."""
        return self.p is not None and self.p < LEVEL


@dataclass(frozen=True)
class StudyCurve:
    """The points of all budgets; `baseline` is the row that the others are tested against, `order` the study's rows."""

    points: tuple[CurvePoint, ...]
    baseline: str
    order: tuple[str, ...] = ()

    @classmethod
    def of(cls, comparisons: Mapping[float, Mapping[str, Any]]) -> "StudyCurve | None":
        """From {minutes: a comparison as JSON values}; None where nothing is compared yet."""
        points = [point for minutes, document in comparisons.items() for point in _points(minutes, document)]
        order = dict.fromkeys(cell["method"] for document in comparisons.values() for cell in document["columns"])
        baselines = [str(document["baseline"]) for document in comparisons.values()]
        return cls(tuple(points), baselines[0], tuple(order)) if points else None

    @property
    def rows(self) -> list[str]:
        """The rows that have a number, in the study's order."""
        there = dict.fromkeys(point.row for point in self.points)
        return sorted(there, key=lambda row: self.order.index(row) if row in self.order else len(self.order))

    @property
    def modalities(self) -> list[str]:
        """The modalities that are scored."""
        return list(dict.fromkeys(point.modality for point in self.points))

    @property
    def minutes(self) -> list[float]:
        """The budgets, from the smallest."""
        return sorted({point.minutes for point in self.points})

    def point(self, row: str, modality: str, minutes: float) -> CurvePoint | None:
        """A row's point; None where it isn't compared at this budget."""
        place = (row, modality, minutes)
        return next((each for each in self.points if (each.row, each.modality, each.minutes) == place), None)

    def line(self, row: str, modality: str) -> list[CurvePoint]:
        """A row's points, from the smallest budget."""
        points = [self.point(row, modality, minutes) for minutes in self.minutes]
        return [point for point in points if point is not None]

    def best(self, modality: str, minutes: float) -> float | None:
        """The best mean at a budget."""
        means = [point.mean for point in self.points if (point.modality, point.minutes) == (modality, minutes)]
        return max(means, default=None)

    def notes(self) -> Sequence[str]:
        """What the table's marks mean, and of how many patients it is."""
        counts = ", ".join(f"{name} {max(self._patients(name))}" for name in self.modalities)
        return (
            f"Patients: {counts}. * differs from {self.baseline} at the same budget (paired, p < {LEVEL} after Holm "
            "over its rows). Each budget is a training of its own, from the beginning.",
        )

    def to_json(self) -> dict[str, Any]:
        """The points as JSON values."""
        return {"baseline": self.baseline, "points": [asdict(point) for point in self.points]}

    def _patients(self, modality: str) -> list[int]:
        return [point.patients for point in self.points if point.modality == modality]


def _points(minutes: float, document: Mapping[str, Any]) -> Iterator[CurvePoint]:
    """The points of one budget; a row without a number has none."""
    for cell in document["columns"]:
        if (cell["score"], cell["class"]) == (SCORE, "mean") and cell["mean"] is not None:
            tested = cell["difference"], cell["p_holm"]
            yield CurvePoint(cell["method"], cell["modality"], minutes, cell["mean"], cell["patients"], *tested)
