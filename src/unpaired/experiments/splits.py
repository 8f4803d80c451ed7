"""The splits of a study: each is a value that draws {name: split} for a dataset, the same ones every time."""

from dataclasses import dataclass

from unpaired.data.dataset import Dataset
from unpaired.data.simulated import of_patients
from unpaired.data.split import Split
from unpaired.data.splits import folds_by_patient, split_by_patient
from unpaired.data.subsets import with_so_many_patients
from unpaired.errors import InputError


@dataclass(frozen=True)
class OwnSides:
    """The sides that the manifest itself has, called "own"."""

    def __call__(self, dataset: Dataset) -> dict[str, Split]:
        """Raises InputError for a dataset without training and test cases."""
        for side in ("train", "test"):
            if not dataset.of(split=side):
                raise InputError(
                    f"dataset {dataset.name} says of no case that it is for {side}; draw sides with `unpaired split` "
                    "and name the file: --split"
                )
        return {"own": Split.of(dataset)}


@dataclass(frozen=True)
class Folds:
    """Cross-validation: "fold0", "fold1", ...; each patient with labels is tested in one (`unpaired split --folds`)."""

    folds: int = 5
    validation: float = 0.1
    seed: int = 0

    def __call__(self, dataset: Dataset) -> dict[str, Split]:
        """Raises InputError for more folds than patients."""
        drawn = folds_by_patient(dataset, folds=self.folds, validation=self.validation, seed=self.seed)
        return {f"fold{number}": split for number, split in enumerate(drawn)}


@dataclass(frozen=True)
class RandomSplits:
    """So many random splits by patient, "draw0", "draw1", ...; a patient may be tested in several."""

    draws: int = 1
    test: float = 0.2
    validation: float = 0.1
    patients: tuple[tuple[str, int], ...] = ()
    """(modality, number): only so many of its patients take part in a draw, others in each, as in SSC's abdomen; see
    `with_so_many_patients`."""

    def __call__(self, dataset: Dataset) -> dict[str, Split]:
        """Draw n is `unpaired split --seed n`, with `--patients` where the study has some."""
        parts = {seed: with_so_many_patients(dataset, dict(self.patients), seed) for seed in range(self.draws)}
        return {
            f"draw{seed}": split_by_patient(part, test=self.test, validation=self.validation, seed=seed)
            for seed, part in parts.items()
        }


@dataclass(frozen=True)
class DrawsBeside:
    """Random splits in which the modality `whole` has all of its patients and each other one so many, drawn anew for
    each split (all that it has, if there are fewer). So SSC's abdomen has all CT and five draws of MR."""

    whole: str = "ct"
    patients: int = 9
    """The paper doesn't print how many; UMMKD, which it compares with, has nine of MR."""
    draws: int = 5

    def __call__(self, dataset: Dataset) -> dict[str, Split]:
        """ "draw0", "draw1", ..., as `RandomSplits` draws them."""
        there = {
            name: len({case.patient for case in of_patients(dataset, name, labeled=True)})
            for name in dataset.modalities
            if name != self.whole
        }
        drawn = tuple((name, min(self.patients, count)) for name, count in there.items() if count)
        return RandomSplits(self.draws, patients=drawn)(dataset)


@dataclass(frozen=True)
class TheseSplits:
    """Splits that a person drew, by name: those of files given with --split are called as their files."""

    splits: tuple[tuple[str, Split], ...]

    def __call__(self, dataset: Dataset) -> dict[str, Split]:
        """Those and no others."""
        return dict(self.splits)
