"""Who keeps all labels in the study of label sets, and what the others' labels then say."""

from dataclasses import replace
from pathlib import Path

import pytest

from unpaired.data.dataset import CaseEntry, Dataset, Modality
from unpaired.errors import InputError
from unpaired.experiments.shipped.label_sets import IncompleteLabels, Kind

CLASSES = ("background", "liver", "spleen", "left kidney", "right kidney")
OTHER = {0: ("background",), 10: ("spleen",), 20: ("left kidney",), 30: ("right kidney",)}


def abdomens(patients: int = 8) -> Dataset:
    """So many training patients of CT, each with two scans, and of T2, whose last has values of its own; a test case
    of each; no files."""
    cases = [
        CaseEntry(f"{name}{n}{scan}", f"{name}{n}", name, Path("i.nii"), Path("l.nii"), split="train")
        for name, scans in (("ct", "ab"), ("t2", "a"))
        for n in range(patients)
        for scan in scans
    ]
    cases[-1] = replace(cases[-1], label_map="other")
    tests = [CaseEntry(f"{name}x", f"{name}x", name, Path("i"), Path("l"), split="test") for name in ("ct", "t2")]
    return Dataset("abdomens", CLASSES, {"ct": Modality(), "t2": Modality()}, (*cases, *tests), {"other": OTHER})


def whole(dataset: Dataset, kind: Kind, seed: int) -> set[str]:
    """The training patients who keep all labels."""
    made = IncompleteLabels(kind)(dataset, seed)
    same = {case.patient for case in made.cases if case in dataset.cases and case.split == "train"}
    other = {case.patient for case in made.cases if case not in dataset.cases}
    assert not same & other, "all scans of a patient, or none"
    return same


def test_the_seed_draws_who_keeps_all_labels_the_same_for_every_kind() -> None:
    dataset = abdomens()
    draws = [whole(dataset, "sets", seed) for seed in range(6)]
    for seed, drawn in enumerate(draws):
        assert len([name for name in drawn if name.startswith("ct")]) == 2
        assert len([name for name in drawn if name.startswith("t2")]) == 2
        assert whole(dataset, "left out", seed) == whole(dataset, "naive", seed) == drawn
    assert len(set(map(frozenset, draws))) > 1


def test_simulated_scans_are_not_among_the_patients_drawn() -> None:
    dataset = abdomens()
    beside = [replace(case, id=f"s{case.id}", patient=f"a{case.patient}", simulated=True) for case in dataset.cases]
    both = replace(dataset, cases=(*dataset.cases, *beside))
    for seed in range(3):
        invented = {case.patient for case in beside if case.split == "train"}
        assert whole(both, "sets", seed) == whole(dataset, "sets", seed) | invented


def test_each_case_says_its_own_values_with_what_is_missing() -> None:
    made = IncompleteLabels("sets", complete=0)(replace(abdomens(), cases=abdomens().cases[:-2]), 0)
    ct, t2, last = made.cases[0], made.cases[-2], made.cases[-1]
    assert made.label_map_of(ct)[2] == ("background",)
    assert ct.annotated == ("liver", "left kidney", "right kidney")
    assert made.label_map_of(t2)[3] == made.label_map_of(t2)[4] == ("left kidney", "right kidney")
    assert made.label_map_of(last) == {
        **OTHER,
        20: ("left kidney", "right kidney"),
        30: ("left kidney", "right kidney"),
    }
    assert (t2.annotated, last.annotated) == (None, None)
    of_liver = replace(abdomens().cases[0], annotated=("liver", "spleen"))
    partly = IncompleteLabels("sets", complete=0)(replace(abdomens(), cases=(of_liver,)), 0)
    assert partly.cases[0].annotated == ("liver",), "as far as anybody looked for it before"


def test_patients_who_all_keep_their_labels_are_refused() -> None:
    with pytest.raises(InputError, match=r"no modality with more than 2 labeled training patients"):
        IncompleteLabels("sets")(abdomens(2), 0)
