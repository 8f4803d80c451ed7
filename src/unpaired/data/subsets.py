"""Patients in groups and in a drawn order, and a part of a dataset: so many patients of a modality."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from unpaired.choices import require_seed
from unpaired.data.dataset import Dataset
from unpaired.data.simulated import of_patients, simulated_beside
from unpaired.errors import InputError, nearest

Patients = Mapping[str, int] | Sequence[str]
"""{"mr": 9}, or ["mr=9"] as it is typed: how many patients of a modality."""


def with_so_many_patients(dataset: Dataset, patients: Mapping[str, int], seed: int) -> Dataset:
    """The dataset with so many patients of each modality named; those of other modalities all stay.

    {modality: number of patients}. They are drawn by `seed` among those with labels of it, as SSC draws the MR patients
    of its abdomen (Yang et al., MIDL 2023, five times). What others have of that modality is left out, labeled or not.
    Scans that are simulated beside those of patients stay, and don't count. Raises InputError for an unknown modality,
    and for more patients than there are.
    """
    kept = {modality: _drawn(dataset, modality, number, seed) for modality, number in patients.items()}
    simulated = simulated_beside(dataset)
    cases = tuple(
        case
        for case in dataset.cases
        if case.modality not in kept or case.patient in kept[case.modality] or case.id in simulated
    )
    return replace(dataset, cases=cases)


def parse_patients(given: Patients) -> dict[str, int]:
    """{modality: number of patients}. Raises InputError for other texts than "mr=9", and a modality named twice."""
    return parse_counts(given, "modality", "mr=9")


def parse_counts(given: Patients, what: str, example: str) -> dict[str, int]:
    """{name: number of patients} of texts such as `example`. Raises InputError for other texts, and names that come
    twice; `what` is what the names are of."""
    if isinstance(given, Mapping):
        return dict(given)
    patients: dict[str, int] = {}
    for text in given:
        name, equals, number = text.rpartition("=")
        if not (equals and name and number.isdecimal()) or name in patients:
            raise InputError(f'patients: expected each {what} once with a number, such as "{example}", got {text!r}')
        patients[name] = int(number)
    return patients


def training_only_cases(dataset: Dataset, training_only: Dataset) -> dict[str, str]:
    """{case id: "train"} of the cases that only train. Raises InputError where one isn't in the dataset, or shares its
    patient with a case that is drawn."""
    ids = {case.id for case in training_only.cases}
    if absent := sorted(ids - {case.id for case in dataset.cases}):
        raise InputError(
            f"split: {len(absent)} cases that only train, such as {absent[0]}, are not in dataset {dataset.name}; join "
            "the two manifests first"
        )
    patients = {case.patient for case in dataset.cases if case.id in ids}
    if both := sorted({case.patient for case in dataset.cases if case.id not in ids} & patients):
        raise InputError(f"split: patient {both[0]} has cases that only train and others that are drawn; rename one")
    return dict.fromkeys(sorted(ids), "train")


def _drawn(dataset: Dataset, modality: str, number: int, seed: int) -> set[str]:
    if modality not in dataset.modalities:
        raise InputError(
            f"dataset {dataset.name} has no modality {modality!r}; {nearest(modality, list(dataset.modalities))}"
        )
    candidates = sorted({case.patient for case in of_patients(dataset, modality, labeled=True)})
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
    """The patients of a group in an order that the seed and the group's modalities decide. InputError for no seed."""
    require_seed(seed)
    rng = np.random.default_rng([seed, *(ord(letter) for letter in "+".join(group))])
    return [patients[index] for index in rng.permutation(len(patients))]
