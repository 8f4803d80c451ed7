"""Is the uncertainty worth believing? Does low agreement mean low Dice, and does the interval hold the true volume?

Both are asked of cases that have a reference. The rank correlation is Spearman's, with the percentile bootstrap
interval over patients; with few patients it is wide, and that is the message.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

from unpaired.choices import counted
from unpaired.documents import read
from unpaired.errors import InputError
from unpaired.files import write_json
from unpaired.scores.files import UNCERTAINTY_CHECK
from unpaired.scores.scores import Evaluation, Score
from unpaired.scores.trust.uncertainty import CaseUncertainty, ClassUncertainty
from unpaired.statistics import FEWEST, spearman, spearman_interval

SCHEMA = 1
ALL_CLASSES = "mean"
RESAMPLES = 2000
DEFINITIONS = (
    "rho: Spearman's rank correlation of agreement and true Dice over cases (row mean: both averaged over a case's "
    f"classes); low, high: 95 % percentile bootstrap over patients ({RESAMPLES} resamples, seed 0), none below "
    f"{FEWEST} patients. covered: cases whose true volume lies in the interval between low_ml and high_ml."
)


@dataclass(frozen=True)
class CheckRow:
    """What the uncertainty of one class in one modality was worth; class "mean" is the case as a whole.

    `rho` is None where ranks can't be correlated (fewer than three cases, or all equal). `covered` of `n` true volumes
    lay in their interval (None for "mean").
    """

    modality: str
    class_name: str
    n: int
    patients: int
    rho: float | None
    low: float | None
    high: float | None
    covered: int | None


@dataclass(frozen=True)
class Point:
    """One case: what its agreement promised, what its Dice was (means over its classes)."""

    case: str
    patient: str
    modality: str
    agreement: float
    dice: float


@dataclass(frozen=True)
class UncertaintyCheck:
    """The rows per modality and class, and the cases behind the rows "mean"."""

    rows: tuple[CheckRow, ...]
    points: tuple[Point, ...]


def check_uncertainty(cases: Sequence[CaseUncertainty], evaluation: Evaluation) -> UncertaintyCheck:
    """Compare the uncertainty of cases with their scores.

    A class or case that no member found has agreement 0. Classes that are not applicable in a case are left out. Raises
    InputError if not one case was scored.
    """
    scores = {(row.case, row.class_name): row for row in evaluation.scores if row.dice is not None}
    points: list[Point] = []
    rows: list[CheckRow] = []
    scored = {case for case, _ in scores}
    if not scored & {case.case for case in cases}:
        raise InputError("none of the cases with an uncertainty was scored; predict and evaluate the same cases")
    for case in cases:
        of_case = [scores[case.case, row.class_name] for row in case.classes if (case.case, row.class_name) in scores]
        if of_case:
            dice = fmean(row.dice or 0.0 for row in of_case)
            points.append(Point(case.case, of_case[0].patient, case.modality, case.agreement or 0.0, dice))
    points.sort(key=lambda point: evaluation.modalities.index(point.modality))  # colors as in all other figures
    for modality in evaluation.modalities:
        of_modality = [point for point in points if point.modality == modality]
        if of_modality:
            rows += list(_class_rows(modality, cases, scores))
            rows.append(_check_row(modality, ALL_CLASSES, of_modality, None))
    return UncertaintyCheck(tuple(rows), tuple(points))


def _class_rows(
    modality: str, cases: Sequence[CaseUncertainty], scores: dict[tuple[str, str], Score]
) -> Sequence[CheckRow]:
    groups: dict[str, list[tuple[ClassUncertainty, Score]]] = {}
    for case in cases:
        for row in case.classes:
            score = scores.get((row.case, row.class_name))
            if case.modality == modality and score is not None:
                groups.setdefault(row.class_name, []).append((row, score))
    rows: list[CheckRow] = []
    for name, pairs in groups.items():
        points = [
            Point(row.case, score.patient, modality, row.agreement or 0.0, score.dice or 0.0) for row, score in pairs
        ]
        rows.append(_check_row(modality, name, points, sum(_covers(row, score.reference_ml) for row, score in pairs)))
    return rows


def _covers(row: ClassUncertainty, true_ml: float | None) -> bool:
    """Whether the interval holds the true volume; a millionth of it is allowed for rounding."""
    if true_ml is None:
        return False
    slack = 1e-6 * max(true_ml, row.high_ml)
    return row.low_ml - slack <= true_ml <= row.high_ml + slack


def _check_row(modality: str, name: str, points: Sequence[Point], covered: int | None) -> CheckRow:
    agreement, dice = ([getattr(point, key) for point in points] for key in ("agreement", "dice"))
    patients = [point.patient for point in points]
    interval = spearman_interval(agreement, dice, patients, RESAMPLES)
    low, high = (None, None) if interval is None else (interval.low, interval.high)
    return CheckRow(modality, name, len(points), len(set(patients)), spearman(agreement, dice), low, high, covered)


def sentences(check: UncertaintyCheck) -> list[str]:
    """For each modality a line for people: how well agreement ranks cases, how often intervals held the truth."""
    lines: list[str] = []
    for modality in dict.fromkeys(row.modality for row in check.rows):
        rows = [row for row in check.rows if row.modality == modality]
        whole = rows[-1]
        covered = sum(row.covered for row in rows if row.covered is not None)
        total = sum(row.n for row in rows if row.covered is not None)
        rho = "can't be computed" if whole.rho is None else f"{whole.rho:+.2f}"
        interval = (
            "" if whole.low is None or whole.high is None else f" (95 % interval {whole.low:+.2f} to {whole.high:+.2f})"
        )
        lines.append(
            f"{modality}: rank correlation of agreement and Dice {rho}{interval} over {counted(whole.n, 'case')}; "
            f"{covered} of {total} true volumes in their interval"
        )
    return lines


def write_check(check: UncertaintyCheck, folder: Path) -> Path:
    """Write uncertainty_check.json into `folder`; returns the file."""
    document = {"schema": SCHEMA, "definitions": DEFINITIONS, **asdict(check)}
    write_json(folder / UNCERTAINTY_CHECK, document)
    return folder / UNCERTAINTY_CHECK


def read_check(folder: Path) -> UncertaintyCheck:
    """Read back what `write_check` wrote. Raises InputError if it isn't there or isn't whole."""
    path = folder / UNCERTAINTY_CHECK
    if not path.is_file():
        raise InputError(f"found no {path}; run `unpaired evaluate` on predictions made with --mirror or --also")
    return read(path, UncertaintyCheck, "run `unpaired evaluate` again", schema=SCHEMA)
