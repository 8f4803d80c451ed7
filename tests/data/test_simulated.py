"""Simulated scans beside those of patients: they train in every split, and are no patients."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from unpaired.data.dataset import CaseEntry, Dataset, Modality
from unpaired.data.demographics import Demographics
from unpaired.data.fewer_labels import few_shot, labeled_fraction
from unpaired.data.join import join_datasets
from unpaired.data.manifest import read_dataset, write_dataset
from unpaired.data.simulated import idle_simulated, left_out, of_patients, simulated_beside
from unpaired.data.splits import folds_by_patient, split_by_patient, with_sides
from unpaired.data.store import stored_lines
from unpaired.data.subsets import with_so_many_patients
from unpaired.errors import InputError
from unpaired.experiments.labels import ScarceLabels, Simulated
from unpaired.inference.jobs import Event, plan
from unpaired.inference.opened import opened_request
from unpaired.inference.request import Request
from unpaired.recipes.random_convolutions import small_unet_plain
from unpaired.report.page import split_rows
from unpaired.training.modalities import modalities_to_train


def scan(patient: str, modality: str = "lge", simulated: bool = False, split: str | None = None) -> CaseEntry:
    label = Path(f"{patient}_label.nii")
    return CaseEntry(patient, patient, modality, Path(f"{patient}.nii"), label, split=split, simulated=simulated)


def dataset(*cases: CaseEntry, name: str = "real") -> Dataset:
    return Dataset(name, ("background", "LV"), {"bssfp": Modality(), "lge": Modality()}, cases)


REAL = dataset(*(scan(f"p{n}") for n in range(6)), *(scan(f"q{n}", "bssfp") for n in range(6)))
PHANTOM = dataset(
    *(scan(f"s{n}", simulated=True, split=side) for n, side in enumerate(("train", "validation", "test"))),
    scan("s3", "bssfp", simulated=True, split="train"),
    name="phantom",
)
BOTH = join_datasets([REAL, PHANTOM], "both")
INVENTED = {"s0", "s1", "s2", "s3"}


def test_they_train_in_every_split_and_patients_are_drawn_as_without_them() -> None:
    assert simulated_beside(BOTH) == INVENTED
    for drawn, alone in zip(
        [*folds_by_patient(BOTH), split_by_patient(BOTH)],
        [*folds_by_patient(REAL), split_by_patient(REAL)],
        strict=True,
    ):
        assert set(drawn.train) == set(alone.train) | INVENTED
        assert (set(drawn.validation), set(drawn.test)) == (set(alone.validation), set(alone.test))


def test_a_phantom_alone_is_a_dataset_like_any_other() -> None:
    assert simulated_beside(PHANTOM) == frozenset()
    assert with_sides(PHANTOM) == (PHANTOM, "")
    assert "simulated" not in str(PHANTOM)
    assert split_by_patient(PHANTOM, test=0.5, validation=0).test


def test_joined_with_patients_who_have_no_side_they_have_none_until_sides_are_drawn() -> None:
    assert {case.split for case in BOTH.cases} == {None}, "else only what is simulated would train"
    sided, said = with_sides(BOTH)
    assert said
    assert {case.split for case in sided.cases if case.id in INVENTED} == {"train"}
    assert {case.split for case in of_patients(sided)} == {"train", "validation", "test"}
    given = dataset(scan("p0", split="train"), scan("p1", split="test"))
    joined = join_datasets([given, PHANTOM], "both")
    assert {case.split for case in joined.cases if case.simulated} == {"train"}, "the phantom's own sides are gone"
    assert with_sides(joined) == (joined, "")


def test_they_train_alone_where_all_patients_test() -> None:
    tested = replace(BOTH, cases=tuple(c if c.simulated else replace(c, split="test") for c in BOTH.cases))
    sided, said = with_sides(tested)
    assert {case.id for case in sided.of(split="train")} == INVENTED
    assert {case.split for case in of_patients(sided)} == {"test"}
    assert not said


def test_they_are_no_patients_where_patients_are_counted() -> None:
    sided = split_by_patient(BOTH, test=0, validation=0).apply(BOTH)
    few = few_shot(sided, "lge", 2, warn=lambda line: None)
    assert set(few.train) >= INVENTED
    assert len([name for name in few.train if name.startswith("p")]) == 2
    with pytest.raises(InputError, match="between 1 and 6 training patients"):
        few_shot(sided, "lge", 7)
    tenth = labeled_fraction(sided, 0.1, warn=lambda line: None)
    assert set(tenth.unlabeled).isdisjoint(INVENTED)
    assert len(tenth.unlabeled) == 12 - 2
    kept = with_so_many_patients(BOTH, {"lge": 2}, 0)
    assert {case.id for case in kept.cases if case.simulated} == INVENTED
    assert len(of_patients(kept, "lge")) == 2


def test_rows_of_a_study_take_those_that_they_name() -> None:
    sided = split_by_patient(BOTH, test=0, validation=0).apply(BOTH)

    def taught(seen: Dataset) -> set[str]:
        return {case.id[0] + case.modality[0] for case in seen.of(split="train", labeled=True)}

    assert taught(Simulated()(sided, 0)) == {"pl", "qb"}
    assert taught(Simulated(("lge",))(sided, 0)) == {"pl", "qb", "sl"}
    assert taught(ScarceLabels("lge")(sided, 0)) == {"qb"}
    assert taught(ScarceLabels("lge", simulated=True)(sided, 0)) == {"qb", "sl"}
    one = ScarceLabels("lge", 1, simulated=True)(sided, 3)
    assert len(of_patients(one, "lge", labeled=True)) == 1
    alone = split_by_patient(REAL, test=0, validation=0).apply(REAL)
    drawn, without = (ScarceLabels("lge", 2)(seen, 3).of(labeled=True) for seen in (sided, alone))
    assert [case.id for case in drawn] == [case.id for case in without], "the same patients as without simulated scans"
    with pytest.raises(InputError, match="dataset real has no simulated training scan of lge"):
        Simulated(("lge",))(alone, 0)


def test_a_split_that_was_drawn_without_them_is_warned_of() -> None:
    assert "4 simulated cases are on no side of the split" in idle_simulated(split_by_patient(REAL).apply(BOTH))
    assert idle_simulated(split_by_patient(BOTH).apply(BOTH)) == ""
    without = ScarceLabels("lge", simulated=True)(split_by_patient(BOTH).apply(BOTH), 0)
    of_patients_alone = split_by_patient(REAL).apply(without)
    with pytest.raises(
        InputError, match=r"no labeled training case of modality 'lge'.*; 3 simulated cases are on no side"
    ):
        modalities_to_train(small_unet_plain(), of_patients_alone)
    assert idle_simulated(split_by_patient(REAL).apply(REAL)) == ""


def test_what_a_joined_manifest_holds_is_said(tmp_path: Path) -> None:
    lines = list(stored_lines(BOTH, tmp_path))
    assert lines[:2] == [
        "bssfp: 7 cases, 7 labeled, 6 patients, 1 of the cases simulated",
        "lge: 9 cases, 9 labeled, 6 patients, 3 of the cases simulated",
    ]


def test_fewer_labels_name_patients_alone() -> None:
    sided = split_by_patient(BOTH, test=0, validation=0).apply(BOTH)
    said: list[str] = []
    drawn = few_shot(sided, "lge", 1, say=said.append, warn=lambda line: None)
    (patient,) = [name for name in drawn.train if name.startswith("p")]
    assert said == [f"both: lge trains on 1 case of {patient}, and 3 simulated cases"]
    labeled_fraction(sided, 0.5, say=said.append, warn=lambda line: None)
    assert said[1:] == [
        "both: bssfp trains on 3 labeled and 3 unlabeled patients, and 1 simulated case",
        "both: lge trains on 3 labeled and 3 unlabeled patients, and 3 simulated cases",
    ]


def test_the_page_of_a_run_counts_them_apart() -> None:
    rows = [row for row in split_rows(with_sides(BOTH)[0]) if row.split == "train" and row.modality == "lge"]
    assert [(row.cases, row.patients, row.simulated) for row in rows] == [(7, 4, 3)]
    assert all(row.simulated == 0 and row.patients == row.cases for row in split_rows(PHANTOM))


def test_what_is_known_of_patients_is_counted_among_them(tmp_path: Path) -> None:
    known = replace(
        BOTH,
        cases=tuple(
            replace(case, demographics=Demographics(age=60, sex="F"), patient="s0" if case.id == "s3" else case.patient)
            for case in BOTH.cases
        ),
    )
    said = list(stored_lines(known, tmp_path / "both.json"))
    assert "known of 12 patients: age of 12, sex of 12" in said
    assert not any("several modalities" in line for line in said), "that of s0 is nobody's"


def test_a_simulated_patient_is_nobody_else() -> None:
    with pytest.raises(InputError, match="patient 'p0' has simulated cases, such as s9, and others"):
        join_datasets([REAL, dataset(replace(scan("s9", simulated=True), patient="p0"), name="phantom")], "both")


def test_the_manifest_says_so(tmp_path: Path) -> None:
    file = write_dataset(BOTH, tmp_path / "both.json")
    cases = {case["id"]: case for case in json.loads(file.read_text())["cases"]}
    assert cases["s0"]["simulated"] is True
    assert "simulated" not in cases["p0"]
    again = read_dataset(file)
    assert {case.id for case in again.cases if case.simulated} == INVENTED
    assert (
        str(again)
        == "both: 16 cases of 12 patients; bssfp 7 (7 labeled, 1 simulated), lge 9 (9 labeled, 3 simulated); LV"
    )


def test_a_table_says_yes_or_no(tmp_path: Path) -> None:
    table = tmp_path / "cases.csv"
    table.with_suffix(".json").write_text('{"classes": ["background", "LV"]}')
    table.write_text("patient,modality,image,simulated\np,ct,p.nii,\nq,ct,q.nii,No\ns,ct,s.nii,yes\n")
    assert [case.simulated for case in read_dataset(table).cases] == [False, False, True]
    table.write_text("patient,modality,image,simulated\np,ct,p.nii,perhaps\n")
    with pytest.raises(InputError, match="row 2: simulated must be yes or no, got 'perhaps'"):
        read_dataset(table)


def test_they_are_segmented_by_a_manifest_of_their_own_alone(tmp_path: Path) -> None:
    assert [job.name for job in plan(BOTH, tmp_path)] == [case.id for case in REAL.cases]
    assert [job.name for job in plan(PHANTOM, tmp_path)] == [case.id for case in PHANTOM.cases]
    told: list[Event] = []
    for images in (BOTH, PHANTOM, REAL):
        opened_request(Request((Path("unpaired://phantom_heart"),), images, tmp_path), told.append)
    lines = [line for event in told for line in event.lines()]
    assert lines == ["note: cases of both: 4 simulated, left out; for these name a manifest of them alone"]
    assert [left_out(PHANTOM), left_out(REAL), left_out(BOTH, "ct")] == ["", "", ""]
    scarce = replace(BOTH, cases=tuple(case for case in BOTH.cases if case.simulated or case.modality == "bssfp"))
    with pytest.raises(InputError, match=r"has no case of 'lge' \(3 simulated, left out; for these name a manifest"):
        plan(scarce, tmp_path, "lge")
