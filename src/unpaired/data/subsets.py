"""Patients in groups and in a drawn order, and a part of a dataset: so many patients of a modality."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from unpaired.data.dataset import Dataset
from unpaired.errors import InputError, nearest

Patients = Mapping[str, int] | Sequence[str]
"""{"mr": 9}, or ["mr=9"] as it is typed: how many patients of a modality."""


def with_so_many_patients(dataset: Dataset, patients: Mapping[str, int], seed: int) -> Dataset:
    """The dataset with so many patients of each modality named; those of other modalities all stay.

    {modality: number of patients}. They are drawn by `seed` among those with labels of it, as SSC draws the MR patients
    of its abdomen (Yang et al., MIDL 2023, five times). What others have of that modality is left out, labeled or not.
    Raises InputError for an unknown modality, and for more patients than there are.
    """
    kept = {modality: _drawn(dataset, modality, number, seed) for modality, number in patients.items()}
    cases = tuple(case for case in dataset.cases if case.modality not in kept or case.patient in kept[case.modality])
    return replace(dataset, cases=cases)


def parse_patients(given: Patients) -> dict[str, int]:
    """{modality: number of patients}. Raises InputError for other texts than "mr=9", and a modality named twice."""
    if isinstance(given, Mapping):
        return dict(given)
    patients: dict[str, int] = {}
    for text in given:
        modality, equals, number = text.rpartition("=")
        if not (equals and modality and number.isdecimal()) or modality in patients:
            raise InputError(f'patients: expected each modality once with a number, such as "mr=9", got {text!r}')
        patients[modality] = int(number)
    return patients


def _drawn(dataset: Dataset, modality: str, number: int, seed: int) -> set[str]:
    if modality not in dataset.modalities:
        raise InputError(
            f"dataset {dataset.name} has no modality {modality!r}; {nearest(modality, list(dataset.modalities))}"
        )
    candidates = sorted({case.patient for case in dataset.of(modality, labeled=True)})
    if not 1 <= number <= len(candidates):
        raise InputError(
            f"patients: expected between 1 and {len(candidates)} of {modality} (as many with labels as dataset "
            f"{dataset.name} has), got {number}"
        )
    return set(shuffled_patients(candidates, (modality,), seed)[:number])


def groups_of_patients(dataset: Dataset) -> dict[tuple[str, ...], list[str]]:
    """{set of modalities: patients who have exactly these}, both in a fixed order."""
    modalities: dict[str, set[str]] = defaultdict(set)
    for case in dataset.cases:
        modalities[case.patient].add(case.modality)
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for patient in sorted(modalities):
        groups[tuple(sorted(modalities[patient]))].append(patient)
    return dict(sorted(groups.items()))


def shuffled_patients(patients: list[str], group: tuple[str, ...], seed: int) -> list[str]:
    """The patients of a group in an order that the seed and the group's modalities decide."""
    rng = np.random.default_rng([seed, *(ord(letter) for letter in "+".join(group))])
    return [patients[index] for index in rng.permutation(len(patients))]
