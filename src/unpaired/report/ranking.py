"""Which test cases a page shows: worst, median and best of each modality, and those with an empty mask."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from unpaired.data.images import NIFTI
from unpaired.errors import InputError
from unpaired.scores.scores import Evaluation


@dataclass(frozen=True)
class RankedCase:
    """A case and why it is shown; `dice` is the mean over its classes."""

    rank: str
    case: str
    modality: str
    dice: float


def mean_dice(evaluation: Evaluation, modality: str) -> dict[str, float]:
    """{case: mean Dice over its classes} of a modality; cases without any Dice are left out."""
    values: dict[str, list[float]] = {}
    for row in evaluation.rows(modality):
        if row.dice is not None:
            values.setdefault(row.case, []).append(row.dice)
    return {case: sum(dice) / len(dice) for case, dice in values.items()}


def ranked_cases(evaluation: Evaluation, modality: str) -> list[RankedCase]:
    """Worst, median and best case of a modality by mean Dice; fewer if there are fewer, a single one is "only"."""
    means = mean_dice(evaluation, modality)
    order = sorted(means, key=lambda case: means[case])
    if not order:
        return []
    ranks = {"worst" if len(order) > 1 else "only": 0, "median": (len(order) - 1) // 2, "best": len(order) - 1}
    places = {place: rank for rank, place in reversed(ranks.items())}  # a place keeps its first rank
    return [RankedCase(places[place], order[place], modality, means[order[place]]) for place in sorted(places)]


def troubled_cases(evaluation: Evaluation) -> Iterator[tuple[str, str, float]]:
    """(case, modality, mean Dice) of the cases with a missed or false positive class, worst first per modality."""
    for modality in evaluation.modalities:
        means = mean_dice(evaluation, modality)
        troubled = {row.case for row in evaluation.rows(modality) if row.status in ("missed", "false_positive")}
        for case in sorted(troubled, key=lambda case: (means[case], case)):
            yield case, modality, means[case]


def prediction_file(folder: Path, case: str) -> Path:
    """The prediction of a case. Raises InputError if it isn't in the folder (any more)."""
    for suffix in NIFTI:
        if (folder / f"{case}{suffix}").is_file():
            return folder / f"{case}{suffix}"
    raise InputError(
        f"the prediction {case}.nii.gz is no longer in {folder}; run `unpaired predict` and `unpaired evaluate` again"
    )
