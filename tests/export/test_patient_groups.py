"""A model card's demographics: right where they are told, and nothing in them singles out a few patients."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from unpaired.data.dataset import CaseEntry, Dataset, Modality
from unpaired.data.demographics import UNSTATED, Demographics
from unpaired.export.patient_groups import SMALLEST_GROUP, counts, of_patients, patient_groups, patient_groups_table


def case(patient: int, of: Demographics, modality: str = "ct", split: str = "train", scan: int = 0) -> CaseEntry:
    return CaseEntry(
        f"{modality}{patient}_{scan}", f"p{patient}", modality, Path("a.nii"), split=split, demographics=of
    )


def dataset(cases: Sequence[CaseEntry]) -> Dataset:
    return Dataset("d", ("background", "liver"), {"ct": Modality(), "mr": Modality()}, tuple(cases))


def test_patients_count_once_and_groups_are_told(tmp_path: Path) -> None:
    ages = (34, 40, 41.9, 61, 70, 93)
    cases = [case(number, Demographics(age, "F" if number < 5 else "M")) for number, age in enumerate(ages)]
    cases += [case(number, Demographics(50, "M", scanner="Avanto")) for number in range(10, 15)]
    cases += [case(20, UNSTATED), case(20, Demographics(70), scan=1)]
    assert of_patients(cases) == {
        "patients": 12,
        "age": {"median": 50, "from": 34, "to": 90, "known": 12},
        "sex": {"M": 6, "F": 5, "not stated": 1},
        "scanner": {"Avanto": 5, "not stated": 7},
    }
    assert of_patients(cases[:4]) == {"patients": 4}
    assert of_patients([]) == {"patients": 0}


@pytest.mark.parametrize(
    ("number", "told"),
    [
        ({"F": 12, "M": 3}, {}),
        ({"F": 12, "M": 5}, {"F": 12, "M": 5}),
        ({"A": 12, "B": 8, "C": 3, "D": 1}, {"A": 12, "other": 12}),
        ({"A": 12, "B": 8, "C": 3, "D": 2}, {"A": 12, "B": 8, "other": 5}),
        ({"A": 12, "other": 6, "C": 1, None: 2}, {"A": 12, "other": 7, "not stated": 2}),
        ({"A": 2, "B": 2}, {}),
        ({None: 30}, {}),
        ({}, {}),
    ],
)
def test_small_groups_are_counted_together(number: dict[str | None, int], told: dict[str, int]) -> None:
    assert counts(Counter(number).elements()) == told


def test_no_group_below_the_smallest_follows_from_what_is_told() -> None:
    """Every way to spread patients over three sites: what is told and what is left are groups large enough."""
    for numbers in product((0, 1, 4, 5, 9), repeat=3):
        values = Counter(dict(zip("ABC", numbers, strict=True)))
        told = counts(values.elements())
        assert all(count >= SMALLEST_GROUP for count in told.values())
        assert all(told[site] == values[site] for site in told.keys() & {"A", "B", "C"})
        hidden = sum(values.values()) - sum(told.values())
        assert hidden == 0 or not told


def test_what_is_simulated_beside_patients_is_nobody() -> None:
    people = [case(number, Demographics(sex="F")) for number in range(6)]
    simulated = [replace(case(number, UNSTATED), simulated=True) for number in range(10, 20)]
    assert patient_groups([dataset([*people, *simulated])], ["ct"]) == patient_groups([dataset(people)], ["ct"])


def test_sides_of_all_folds_are_told_by_modality() -> None:
    people = [case(number, Demographics(40 + number)) for number in range(6)]
    first = dataset([*people, *(replace(c, split="test", patient=f"t{c.patient}") for c in people[:5])])
    told = patient_groups([first, dataset([replace(c, split="validation") for c in people])], ["ct", "mr"])
    assert told == {
        "ct": {
            "trained": {"patients": 6, "age": {"median": 42, "from": 40, "to": 45, "known": 6}},
            "tested": {"patients": 5, "age": {"median": 42, "from": 40, "to": 44, "known": 5}},
        },
        "mr": {},
    }
    assert patient_groups_table(told).markdown().splitlines()[2:4] == [
        "| ct | 6 trained | 42 (40 to 45) |",
        "| ct | 5 tested | 42 (40 to 44) |",
    ]
    assert patient_groups([dataset([case(1, UNSTATED)])], ["ct"]) == {}
