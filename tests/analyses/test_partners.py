"""Who is whose partner: by patient id, seeded, never by chance of manifest order."""

from dataclasses import replace
from pathlib import Path

import pytest

from unpaired.analyses.partners.pairing import own_scans, random_partners, sorted_partners
from unpaired.data.dataset import CaseEntry, Dataset, Modality
from unpaired.errors import InputError

NAMES = ("ct", "mr", "pet")


def entry(patient: str, modality: str, split: str) -> CaseEntry:
    return CaseEntry(f"{patient}_{modality}", patient, modality, Path("x.nii"), split=split)


CASES = (
    *(entry(f"a{number}", "ct", "test") for number in (3, 1, 2)),
    *(entry(f"b{number}", "mr", "test") for number in (2, 1)),
    entry("a1", "mr", "test"),
    *(entry(f"c{number}", name, "train") for number in range(6) for name in ("mr", "ct")),
    *(entry(f"d{number}", "pet", "train") for number in range(2)),
)
DATASET = Dataset("d", ("background", "x"), {name: Modality() for name in NAMES}, CASES)


def ids(partners) -> dict[str, str]:
    return {name: case.id for name, case in partners.items()}


def test_sorted_partners_are_those_of_equal_place_on_the_side() -> None:
    found = {case.id: ids(sorted_partners(DATASET, case, NAMES)) for case in DATASET.of("ct", "test")}
    assert found == {"a1_ct": {"mr": "a1_mr"}, "a2_ct": {"mr": "b1_mr"}, "a3_ct": {"mr": "b2_mr"}}
    one = DATASET.case("d1_pet")
    assert ids(sorted_partners(DATASET, one, NAMES)) == {"ct": "c1_ct", "mr": "c1_mr"}
    many = DATASET.case("c3_ct")
    assert ids(sorted_partners(DATASET, many, ("ct", "pet"))) == {"pet": "d1_pet"}  # counted anew


def test_own_scans_are_the_patients() -> None:
    assert ids(own_scans(DATASET, DATASET.case("a1_ct"), NAMES)) == {"mr": "a1_mr"}
    assert own_scans(DATASET, DATASET.case("a2_ct"), NAMES) == {}
    assert own_scans(DATASET, DATASET.case("a1_ct"), ("ct", "pet")) == {}


def test_random_partners_are_other_patients_of_the_training_side() -> None:
    for case in CASES:
        draws = random_partners(DATASET, case, NAMES, 4, seed=1)
        assert len(draws) == 4
        for draw in draws:
            assert set(draw) == set(NAMES) - {case.modality}
            assert all(one.split == "train" and one.patient != case.patient for one in draw.values())
            assert all(one.modality == name for name, one in draw.items())
        for name in set(NAMES) - {case.modality} - {"pet"}:
            assert len({draw[name].id for draw in draws}) == 4  # no repetition while there are scans


def test_a_random_partner_is_a_patient_where_there_is_one() -> None:
    simulated = tuple(replace(case, simulated=case.patient in ("c0", "c1", "d0", "d1")) for case in CASES)
    draws = random_partners(replace(DATASET, cases=simulated), DATASET.case("a2_ct"), NAMES, 9)
    assert {draw["mr"].patient for draw in draws} == {"c2", "c3", "c4", "c5"}
    assert {draw["pet"].patient for draw in draws} == {"d0", "d1"}, "it has no others"


def test_draws_are_seeded_and_end_where_scans_end() -> None:
    case = DATASET.case("a2_ct")
    draws = [ids(one) for one in random_partners(DATASET, case, ("ct", "mr"), 9, seed=1)]
    assert draws == [ids(one) for one in random_partners(DATASET, case, ("ct", "mr"), 9, seed=1)]
    assert sorted(one["mr"] for one in draws) == [f"c{number}_mr" for number in range(6)]
    assert draws != [ids(one) for one in random_partners(DATASET, case, ("ct", "mr"), 9, seed=2)]
    assert draws[:3] == [ids(one) for one in random_partners(DATASET, case, ("ct", "mr"), 3, seed=1)]


def test_there_has_to_be_a_partner() -> None:
    with pytest.raises(InputError, match="no pet scan of another patient on the test side"):
        random_partners(DATASET, DATASET.case("a1_ct"), NAMES, 1, side="test")
    with pytest.raises(InputError, match="one partner or more, got 0"):
        random_partners(DATASET, DATASET.case("a1_ct"), NAMES, 0)
    with pytest.raises(InputError, match="seed: expected a whole number of 0 or more, got -1"):
        random_partners(DATASET, DATASET.case("a1_ct"), NAMES, 1, seed=-1)
