"""Who is drawn for which side, by numpy's generator alone: a seed draws the same patients in every version."""

from pathlib import Path

import numpy as np
import pytest

from unpaired.data.dataset import CaseEntry, Dataset, Modality
from unpaired.data.fewer_labels import few_shot, labeled_fraction
from unpaired.data.split import Split
from unpaired.data.splits import folds_by_patient, split, split_by_patient


def scans(owned: dict[str, str], side: str | None = None) -> Dataset:
    """{patient: letters of the modalities}, every scan labeled."""
    cases = tuple(
        CaseEntry(f"{patient}_{name}", patient, name, Path("x"), Path("y"), split=side)
        for patient, names in owned.items()
        for name in names
    )
    modalities = {name: Modality() for name in sorted({case.modality for case in cases})}
    return Dataset("d", ("background", "LV"), modalities, cases)


def tens(side: str | None = None) -> Dataset:
    """Ten patients with a and b, p0 to p9, and ten with b alone, q0 to q9."""
    return scans({f"p{n}": "ab" for n in range(10)} | {f"q{n}": "b" for n in range(10)}, side)


def drawn(patients: list[str], modalities: str, seed: int) -> list[str]:
    """Patients of one set of modalities in the order in which a seed draws them."""
    letters = [ord(letter) for letter in "+".join(modalities)]
    return [patients[place] for place in np.random.default_rng([seed, *letters]).permutation(len(patients))]


def numbered(letter: str) -> list[str]:
    return [f"{letter}{n}" for n in range(10)]


def patients_on(dataset: Dataset, made: Split, side: str) -> set[str]:
    return {dataset.case(case).patient for case in getattr(made, side)}


@pytest.mark.parametrize("seed", [0, 7])
def test_the_first_drawn_of_each_set_of_modalities_test_and_the_next_validate(seed: int) -> None:
    dataset = tens()
    both, alone = drawn(numbered("p"), "ab", seed), drawn(numbered("q"), "b", seed)
    for made in (
        split_by_patient(dataset, test=0.3, validation=0.2, seed=seed),
        split(dataset, test=0.3, validation=0.2, seed=seed),
    ):
        assert patients_on(dataset, made, "test") == {*both[:3], *alone[:3]}
        assert patients_on(dataset, made, "validation") == {*both[3:5], *alone[3:5]}


@pytest.mark.parametrize("seed", [0, 7])
def test_folds_are_dealt_in_the_drawn_order_and_each_draws_who_validates_anew(seed: int) -> None:
    dataset = scans(dict.fromkeys(numbered("p"), "b"))
    order = drawn(numbered("p"), "b", seed)
    for number, fold in enumerate(folds_by_patient(dataset, folds=5, validation=0.25, seed=seed)):
        tested = {order[number], order[number + 5]}
        rest = [patient for patient in numbered("p") if patient not in tested]
        assert patients_on(dataset, fold, "test") == tested
        assert patients_on(dataset, fold, "validation") == {*drawn(rest, "b", seed + number)[:2]}


def test_patients_of_the_rarest_modality_are_dealt_first() -> None:
    dataset = scans({f"p{n}": "a" for n in range(5)} | {"q0": "ab", "q1": "ab"})
    alone, both = drawn([f"p{n}" for n in range(5)], "a", 0), drawn(["q0", "q1"], "ab", 0)
    first, second = folds_by_patient(dataset, folds=2, validation=0)
    assert patients_on(dataset, first, "test") == {both[0], alone[0], alone[2], alone[4]}
    assert patients_on(dataset, second, "test") == {both[1], alone[1], alone[3]}


@pytest.mark.parametrize("seed", [0, 7])
def test_few_patients_and_labels_for_some_are_those_drawn_first(seed: int) -> None:
    dataset = tens(side="train")
    of_b = [*numbered("p"), *numbered("q")]
    few = few_shot(dataset, "b", 3, seed=seed)
    kept = [dataset.case(case).patient for case in few.train if case.endswith("_b")]
    assert {*kept} == {*drawn(of_b, "b", seed)[:3]}
    taking_part = split(dataset, patients={"b": 4}, test=0.25, validation=0, seed=seed)
    assert {case for case in taking_part.sides if case.endswith("b")} == {f"{p}_b" for p in drawn(of_b, "b", seed)[:4]}
    part = labeled_fraction(dataset, 0.2, seed=seed)
    labeled = {dataset.case(case).patient for case in {*part.train} - {*part.unlabeled}}
    assert labeled == {*drawn(numbered("p"), "ab", seed)[:2], *drawn(numbered("q"), "b", seed)[:2]}


def test_a_small_share_is_a_patient_of_each_set_of_modalities() -> None:
    four = scans({f"{letter}{n}": names for letter, names in (("p", "ab"), ("q", "b")) for n in range(4)})
    made = split_by_patient(four, test=0.1, validation=0.1)
    for side, count in (("test", 1), ("validation", 1), ("train", 2)):
        letters = sorted(patient[0] for patient in patients_on(four, made, side))
        assert letters == ["p"] * count + ["q"] * count


@pytest.mark.parametrize("seed", range(6))
def test_each_fold_tests_its_share_of_every_modality(seed: int) -> None:
    """Of four with a two in each fold, of two with b one, of three with c one or two."""
    dataset = scans({"p0": "ab", "p1": "a", "p2": "abc", "p3": "c", "p4": "ac"})
    for fold in folds_by_patient(dataset, folds=2, validation=0, seed=seed):
        tested = [case.rpartition("_")[2] for case in fold.test]
        assert (tested.count("a"), tested.count("b")) == (2, 1)
        assert tested.count("c") in (1, 2)
