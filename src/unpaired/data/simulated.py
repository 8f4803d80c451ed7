"""Simulated scans beside those of patients: they train, and are not drawn, counted, segmented or scored as patients."""

from dataclasses import replace

from unpaired.data.dataset import CaseEntry, Dataset
from unpaired.errors import InputError


def simulated_beside(dataset: Dataset) -> frozenset[str]:
    """The ids of the simulated cases of a dataset that has cases of patients too; none where all are simulated.

    Raises InputError for a patient who has cases of both kinds.
    """
    simulated = [case for case in dataset.cases if case.simulated]
    patients = {case.patient for case in dataset.cases if not case.simulated}
    if not patients:
        return frozenset()
    for case in simulated:
        if case.patient in patients:
            raise InputError(
                f"dataset {dataset.name}: patient {case.patient!r} has simulated cases, such as {case.id}, and others; "
                "give the simulated one another name"
            )
    return frozenset(case.id for case in simulated)


def of_patients(
    dataset: Dataset, modality: str | None = None, split: str | None = None, labeled: bool | None = None
) -> list[CaseEntry]:
    """As `Dataset.of`, without the cases that are simulated beside those of patients."""
    beside = simulated_beside(dataset)
    return [case for case in dataset.of(modality, split, labeled) if case.id not in beside]


def left_out(dataset: Dataset, modality: str | None = None, split: str | None = None) -> str:
    """How many cases `of_patients` leaves out, and how they are had, for a person; "" where it leaves out none."""
    count = len(dataset.of(modality, split)) - len(of_patients(dataset, modality, split))
    return f"{count} simulated, left out; for these name a manifest of them alone" if count else ""


def with_simulated_training(dataset: Dataset) -> Dataset:
    """The dataset with its simulated cases on the training side, or on none where no patient has a side yet: else what
    is simulated would train alone."""
    beside = simulated_beside(dataset)
    side = "train" if any(case.split for case in dataset.cases if case.id not in beside) else None
    cases = tuple(replace(case, split=side) if case.id in beside else case for case in dataset.cases)
    return replace(dataset, cases=cases)


def idle_simulated(dataset: Dataset) -> str:
    """A line where a dataset has simulated cases beside those of patients, and a split that was drawn without them."""
    beside = simulated_beside(dataset)
    if not beside or any(case.split for case in dataset.cases if case.id in beside):
        return ""
    return (
        f"{len(beside)} simulated cases are on no side of the split, so they take no part; to train with them, split "
        f"dataset {dataset.name} anew with `unpaired split`"
    )
