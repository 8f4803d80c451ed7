"""What an evaluation says: a score per case and class with its status, the failures, and means beside their counts."""

from collections.abc import Iterator
from dataclasses import dataclass, fields

from unpaired.errors import InputError, nearest

STATUSES = ("scored", "missed", "false_positive", "not_applicable")
POLICIES = ("diagonal", "excluded")
SCORE_NAMES = ("dice", "hd", "hd95", "assd", "masd")


@dataclass(frozen=True)
class Score:
    """One class in one case. Distances in mm, volumes in ml; None where there is nothing to score.

    `status` says which masks had voxels: both (`scored`), the reference only (`missed`), the prediction only
    (`false_positive`), or neither / not annotated in this case (`not_applicable`).
    """

    case: str
    patient: str
    modality: str
    class_name: str
    status: str
    dice: float | None = None
    hd: float | None = None
    hd95: float | None = None
    assd: float | None = None
    masd: float | None = None
    prediction_ml: float | None = None
    reference_ml: float | None = None


SCORE_FIELDS = tuple(field.name for field in fields(Score))


@dataclass(frozen=True)
class Failure:
    """A case that could not be scored, and why, in one line."""

    case: str
    message: str


@dataclass(frozen=True)
class Summary:
    """A mean with its counts. `n` = scored + missed + false positive; `value` is None where nothing was scored."""

    value: float | None
    n: int
    n_scored: int
    n_missed: int
    n_false_positive: int


@dataclass(frozen=True)
class Evaluation:
    """The scores of many cases. `policy` says what a missed or false positive class gets as its distances."""

    scores: list[Score]
    failures: list[Failure]
    policy: str = "diagonal"
    surface: str = "voxel"

    @property
    def modalities(self) -> list[str]:
        """In order of first appearance."""
        return list(dict.fromkeys(score.modality for score in self.scores))

    @property
    def class_names(self) -> list[str]:
        """The foreground classes, in order of first appearance."""
        return list(dict.fromkeys(score.class_name for score in self.scores))

    def rows(self, modality: str | None = None, class_name: str | None = None) -> Iterator[Score]:
        """The scores of a modality and class (None: all)."""
        for score in self.scores:
            if modality in (None, score.modality) and class_name in (None, score.class_name):
                yield score

    def mean(self, score: str, modality: str | None = None, class_name: str | None = None) -> Summary:
        """The mean of one of dice, hd, hd95, assd, masd over the cases and classes asked for, beside its counts.

        Missed and false positive classes enter with Dice 0 and with the distances that the policy gave them (none
        under "excluded"). No value where no row was scored. Raises InputError for an unknown score.
        """
        if score not in SCORE_NAMES:
            raise InputError(f"there is no score {score!r}; {nearest(score, list(SCORE_NAMES))}")
        rows = [row for row in self.rows(modality, class_name) if row.status != "not_applicable"]
        count = {status: sum(row.status == status for row in rows) for status in STATUSES}
        values = [value for row in rows if (value := getattr(row, score)) is not None]
        value = sum(values) / len(values) if count["scored"] else None
        return Summary(value, len(rows), count["scored"], count["missed"], count["false_positive"])
