"""So many patients of a modality: who stays, who is left out, and what can't be drawn."""

from pathlib import Path

import pytest

from unpaired.cli import main
from unpaired.data.dataset import CaseEntry, Dataset, Modality
from unpaired.data.manifest import write_dataset
from unpaired.data.split import read_split
from unpaired.data.splits import split
from unpaired.data.subsets import parse_patients, with_so_many_patients
from unpaired.errors import InputError
from unpaired.experiments.splits import RandomSplits


def abdomen() -> Dataset:
    """CT of patients c0 to c9, MR of m0 to m9, of whom m9 has no label; c0 has both."""
    cases = [case(f"c{n}", "ct") for n in range(10)] + [case(f"m{n}", "mr", labeled=n < 9) for n in range(10)]
    cases.append(case("c0", "mr"))
    return Dataset("abdomen", ("background", "liver"), {"ct": Modality(), "mr": Modality()}, tuple(cases))


def case(patient: str, modality: str, labeled: bool = True) -> CaseEntry:
    name = f"{patient}_{modality}"
    return CaseEntry(name, patient, modality, Path(f"{name}.nii"), Path(f"{name}_label.nii") if labeled else None)


def test_so_many_labeled_patients_of_mr_and_every_ct() -> None:
    data = abdomen()
    draws = [with_so_many_patients(data, {"mr": 4}, seed) for seed in range(4)]
    for drawn in draws:
        assert len(drawn.of("ct")) == 10
        assert len({of_mr.patient for of_mr in drawn.of("mr")}) == 4
        assert all(of_mr.label is not None for of_mr in drawn.of("mr"))
    assert len({tuple(of_mr.id for of_mr in drawn.of("mr")) for drawn in draws}) > 1
    assert draws[0] == with_so_many_patients(data, {"mr": 4}, 0)
    assert with_so_many_patients(data, {}, 0) == data


def test_the_others_are_in_no_side_and_studies_draw_the_same(tmp_path: Path) -> None:
    manifest = write_dataset(abdomen(), tmp_path / "data.json")
    out = tmp_path / "draw1.json"
    assert main(["split", str(manifest), str(out), "--patients", "mr=5", "--seed", "1"]) == 0
    drawn = read_split(out)
    assert len(drawn.sides) == 10 + 5
    assert drawn == split(abdomen(), patients={"mr": 5}, seed=1)
    of_study = RandomSplits(draws=2, patients=(("mr", 5),))(abdomen())
    assert list(of_study) == ["draw0", "draw1"]
    assert of_study["draw1"] == drawn
    sides = drawn.counts(abdomen())
    assert all(sides[side]["mr"] >= 1 for side in ("train", "validation", "test"))


def test_what_cannot_be_drawn() -> None:
    with pytest.raises(InputError, match=r"no modality 'mri'.*mr"):
        with_so_many_patients(abdomen(), {"mri": 3}, 0)
    for number in (0, 11):
        with pytest.raises(InputError, match=f"between 1 and 10 of mr .*got {number}"):
            with_so_many_patients(abdomen(), {"mr": number}, 0)


def test_numbers_of_patients_as_they_are_typed() -> None:
    assert parse_patients(["mr=9", "t2=spir=3"]) == parse_patients({"mr": 9, "t2=spir": 3}) == {"mr": 9, "t2=spir": 3}
    for wrong in (["mr"], ["=3"], ["mr=few"], ["mr=-1"], ["mr=1", "mr=2"]):
        with pytest.raises(InputError, match="expected each modality once"):
            parse_patients(wrong)
