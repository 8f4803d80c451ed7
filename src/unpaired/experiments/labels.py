"""What the rows of a study may see: few patients of a modality, labels for a share of them, or none of a modality.

Each is called with a dataset that has its sides, and the seed of the run: another seed draws other patients. Test cases
are never touched, so that all rows are tested on the same ones.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from unpaired.data.dataset import Dataset, without_labels
from unpaired.data.fewer_labels import few_shot, labeled_fraction
from unpaired.data.simulated import of_patients, simulated_beside
from unpaired.errors import InputError, nearest


def _silent(line: str) -> None:
    """Training itself warns of what is not taught."""


@dataclass(frozen=True)
class FewPatients:
    """So many training patients of a modality; its other training cases take no part (`unpaired few-shot`)."""

    modality: str
    patients: int

    def __call__(self, dataset: Dataset, seed: int) -> Dataset:
        """Raises InputError for a modality or so many patients that the dataset lacks."""
        return few_shot(dataset, self.modality, self.patients, seed=seed, warn=_silent).apply(dataset)


@dataclass(frozen=True)
class LabeledShare:
    """Labels for a share of the training patients; the others train unlabeled (`unpaired labeled-fraction`)."""

    share: float

    def __call__(self, dataset: Dataset, seed: int) -> Dataset:
        """Raises InputError for a dataset without labeled training cases."""
        return labeled_fraction(dataset, self.share, seed=seed, warn=_silent).apply(dataset)


@dataclass(frozen=True)
class ScarceLabels:
    """Labels of one modality in so many training patients alone, none in validation; its other scans are unlabeled."""

    modality: str
    patients: int = 0
    simulated: bool = False
    """Whether scans of that modality, simulated beside those of patients, train too."""

    def __call__(self, dataset: Dataset, seed: int) -> Dataset:
        """Raises InputError for a modality that the dataset lacks, more patients than train, and no simulated scan."""
        dataset = _with_simulated(dataset, (self.modality,) if self.simulated else ())
        if self.modality not in dataset.modalities:
            raise InputError(
                f"dataset {dataset.name} has no modality {self.modality!r}; "
                f"{nearest(self.modality, list(dataset.modalities))}"
            )
        training = sorted({case.patient for case in of_patients(dataset, self.modality, "train", labeled=True)})
        if self.patients > len(training):
            raise InputError(
                f"dataset {dataset.name} has {len(training)} labeled training patients of {self.modality}, "
                f"expected {self.patients}"
            )
        kept = set(np.random.default_rng(seed).permutation(training)[: self.patients])
        return without_labels(
            dataset,
            {
                case.id
                for case in of_patients(dataset, self.modality)
                if case.split != "test" and not (case.split == "train" and case.patient in kept)
            },
        )


@dataclass(frozen=True)
class Simulated:
    """All labels; of the scans that are simulated beside those of patients, these modalities' alone."""

    modalities: tuple[str, ...] = ()

    def __call__(self, dataset: Dataset, seed: int) -> Dataset:
        """Raises InputError for a modality without a simulated scan."""
        return _with_simulated(dataset, self.modalities)


@dataclass(frozen=True)
class OfPatients:
    """What other labels leave of scans of patients alone: no simulated scan takes part."""

    labels: Callable[[Dataset, int], Dataset]

    def __call__(self, dataset: Dataset, seed: int) -> Dataset:
        """Raises what `labels` raise."""
        return self.labels(_with_simulated(dataset, ()), seed)


def _with_simulated(dataset: Dataset, modalities: Sequence[str]) -> Dataset:
    """The dataset without the simulated scans of other modalities, for rows with and without them on one dataset."""
    beside = simulated_beside(dataset)
    for modality in modalities:
        if not any(case.id in beside for case in dataset.of(modality, "train", labeled=True)):
            raise InputError(
                f"dataset {dataset.name} has no simulated training scan of {modality} beside those of patients; join "
                "it with one of `unpaired phantom --like`"
            )
    return replace(
        dataset, cases=tuple(case for case in dataset.cases if case.id not in beside or case.modality in modalities)
    )
