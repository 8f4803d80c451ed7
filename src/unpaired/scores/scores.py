"""What an evaluation says: a score per case and class with its status, the failures, and means beside their counts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Literal

from unpaired.errors import InputError, nearest

STATUSES = ("scored", "missed", "false_positive", "not_applicable")
Policy = Literal["diagonal", "excluded"]
"""What a missed or false positive class gets as its distances: the image's diagonal, or none."""
Surface = Literal["voxel", "area"]
"""Between what distances run: surface voxels, or surface elements weighted by their area."""
Others = Literal["refuse", "background", "ignore"]
"""What a label value is that nothing names: a failure of its case, background, or, in references, ignored."""
SCORE_NAMES = (
    "dice",
    "iou",
    "hd",
    "hd95",
    "assd",
    "masd",
    "volume_difference_ml",
    "relative_volume_difference",
)
"""The scores that every evaluation has; it may add NSD columns ("nsd@1") and those of presets ("csa:hd_voxels")."""
OWN_TOLERANCE = "nsd@own"
"""The NSD column in which each class is judged at its own tolerance."""
PRESET_COLUMNS = {
    "csa": ("csa:dice", "csa:hd_voxels"),
    "ssc": ("ssc:dice", "ssc:asd_mm"),
    "transunet": ("transunet:dice", "transunet:hd95_voxels"),
    "amos": ("amos:dice", "amos:nsd"),
}


@dataclass(frozen=True)
class Score:
    """One class in one case. Distances in mm, volumes in ml; None where there is nothing to score.

    `status` says which masks had voxels: both (`scored`), the reference only (`missed`), the prediction only
    (`false_positive`), or neither / not annotated in this case (`not_applicable`). Volume differences are absolute
    values; the sign is that of `prediction_ml - reference_ml`. `nsd` has a value per tolerance, by column name
    ("nsd@1"), `presets` what other protocols would print, by column name ("transunet:dice").
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
    iou: float | None = None
    volume_difference_ml: float | None = None
    relative_volume_difference: float | None = None
    nsd: Mapping[str, float] = field(default_factory=dict[str, float], hash=False)
    presets: Mapping[str, float | None] = field(default_factory=dict[str, float | None], hash=False)

    def value(self, name: str) -> float | None:
        """The score called `name`: a field, an NSD column or a preset's column; None where there is no number."""
        return self.nsd.get(name, self.presets.get(name, getattr(self, name, None)))


SCORE_FIELDS = tuple(attribute.name for attribute in fields(Score) if attribute.name not in ("nsd", "presets"))
"""The fields that hold one value; NSD and presets follow them, a column for each name."""


@dataclass(frozen=True)
class Failure:
    """A case that could not be scored, and why, in one line."""

    case: str
    message: str


@dataclass(frozen=True)
class ScoredFiles:
    """The files that a case was scored from: their names, and the SHA-256 of what they held. None where none was."""

    case: str
    prediction: str | None
    prediction_sha256: str | None
    reference: str | None
    reference_sha256: str | None


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
    """The scores of many cases, and how they were made.

    policy: what a missed or false positive class gets as its distances: the image's diagonal, or none.
    surface: between what distances run: surface voxels, or surface elements weighted by their area.
    tolerances_mm: for which there is an NSD column; class_tolerances_mm: each class's own, column "nsd@own".
    presets: the other protocols that have columns of their own.
    files: what each case was scored from, also where that failed (empty: not known).
    remarks: sentences about how label values were read, where that wasn't the usual way, and about files that were not
        made of the image that they are scored for.
    predictions: the folder of the label maps that were scored (empty: not known).
    """

    scores: list[Score]
    failures: list[Failure]
    policy: Policy = "diagonal"
    surface: Surface = "voxel"
    tolerances_mm: tuple[float, ...] = ()
    class_tolerances_mm: Mapping[str, float] = field(default_factory=dict[str, float], hash=False)
    presets: tuple[str, ...] = ()
    files: tuple[ScoredFiles, ...] = ()
    remarks: tuple[str, ...] = ()
    predictions: str = ""

    @property
    def modalities(self) -> list[str]:
        """The modalities of the scores, in order of first appearance."""
        return list(dict.fromkeys(score.modality for score in self.scores))

    @property
    def class_names(self) -> list[str]:
        """The foreground classes, in order of first appearance."""
        return list(dict.fromkeys(score.class_name for score in self.scores))

    @cached_property
    def nsd_names(self) -> tuple[str, ...]:
        """The NSD columns: one per tolerance, then that of the classes' own tolerances."""
        own = (OWN_TOLERANCE,) if self.class_tolerances_mm else ()
        return (*(nsd_name(tolerance) for tolerance in self.tolerances_mm), *own)

    @cached_property
    def score_names(self) -> tuple[str, ...]:
        """Every column that `mean` can take here: `SCORE_NAMES`, NSD, then the presets'."""
        return (*SCORE_NAMES, *self.nsd_names, *(name for preset in self.presets for name in PRESET_COLUMNS[preset]))

    def rows(self, modality: str | None = None, class_name: str | None = None) -> Iterator[Score]:
        """The scores of a modality and class (None: all)."""
        for score in self.scores:
            if modality in (None, score.modality) and class_name in (None, score.class_name):
                yield score

    def mean(self, score: str, modality: str | None = None, class_name: str | None = None) -> Summary:
        """The mean of one of `score_names` over the cases and classes asked for, beside its counts.

        Missed and false positive classes enter with Dice, IoU and NSD 0, and with the distances that the policy gave
        them (none under "excluded"). No value where no row was scored; but a preset's column is averaged as its
        protocol does it, whatever that hides. Raises InputError for an unknown score.
        """
        self.require_score(score)
        rows = list(self.rows(modality, class_name))
        count = {status: sum(row.status == status for row in rows) for status in STATUSES}
        of_preset = score not in SCORE_NAMES and score not in self.nsd_names
        values = [value for row in rows if (value := row.value(score)) is not None]
        value = sum(values) / len(values) if values and (of_preset or count["scored"]) else None
        n = len(rows) - count["not_applicable"]
        return Summary(value, n, count["scored"], count["missed"], count["false_positive"])

    def require_score(self, name: str) -> None:
        """InputError, with a hint, if this evaluation has no score called `name`."""
        if name not in self.score_names:
            raise InputError(f"there is no score {name!r}; {nearest(name, list(self.score_names))}")


def nsd_name(tolerance_mm: float) -> str:
    """The column of NSD at a tolerance: "nsd@1", "nsd@2.5"."""
    return f"nsd@{tolerance_mm:g}"


def higher_is_better(score: str) -> bool:
    """Whether a larger value of a score is the better one (overlap and NSD), or the smaller one (all others)."""
    name = score.rpartition(":")[2]
    return name in ("dice", "iou") or name.startswith("nsd")
