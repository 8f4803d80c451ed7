"""A cross-validation's folds predict its own cases: each case by those that were not trained with it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from unpaired.choices import counted
from unpaired.data.dataset import Dataset
from unpaired.data.out_of_fold import out_of_fold
from unpaired.errors import InputError
from unpaired.inference.jobs import Job
from unpaired.inference.known_cases import sides_in
from unpaired.runs.run import Run


@dataclass(frozen=True)
class JudgedByFolds:
    """A dataset with the sides that its cases have over all folds, and the runs that may predict each case."""

    dataset: Dataset
    runs: Mapping[str, tuple[Run, ...]]

    def groups(self, jobs: Sequence[Job]) -> dict[tuple[Run, ...], list[Job]]:
        """The jobs by the runs that predict them together."""
        groups: dict[tuple[Run, ...], list[Job]] = {}
        for job in jobs:
            groups.setdefault(self.runs[job.name], []).append(job)
        return groups


def judged_by_folds(
    runs: Sequence[Run], dataset: Dataset, split: str, note: Callable[[str], None] = lambda line: None
) -> JudgedByFolds:
    """Which of the runs predict which case of a side: "test" are cases that are kept out of all folds (predicted by
    all), "validation" those that some fold was not trained with (predicted by the folds that tested it; where none
    did, by those that it validated, which `note` tells).

    Raises InputError where no case is on that side, or where it is the side that all folds were trained with.
    """
    sides = [sides_in(run, dataset) for run in runs]
    judged = out_of_fold(dataset, sides)
    cases = [case.id for case in judged.dataset.of(split=split)]
    if split not in ("validation", "test"):
        raise InputError(f"folds predict the side validation (out of fold) or test (kept out of all), got {split!r}")
    if not cases:
        raise InputError(_nothing(runs, dataset, split))
    chose = judged.chose_weights(sides) if split == "validation" else []
    if chose:
        note(
            f"{counted(len(chose), 'case was', 'cases were')} tested by no fold: each is predicted by a fold whose "
            "weights it helped to choose"
        )
    return JudgedByFolds(
        judged.dataset,
        {case: tuple(runs[number] for number in numbers) for case, numbers in judged.folds.items()},
    )


def _nothing(runs: Sequence[Run], dataset: Dataset, split: str) -> str:
    where = f"dataset {dataset.name}: no case is"
    if split == "test":
        return (
            f"{where} kept out of all {len(runs)} folds; --split validation predicts each case by the fold that was "
            "not trained with it"
        )
    return f"{where} left out by one of the {len(runs)} folds; leave --split out to predict all cases by all folds"
