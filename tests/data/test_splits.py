"""Splits: every patient on one side, shares kept per modality, files that can't lie."""

import json
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from unpaired.data.dataset import CaseEntry, Dataset, Modality, with_splits
from unpaired.data.fewer_labels import few_shot, labeled_fraction
from unpaired.data.manifest import write_dataset
from unpaired.data.split import Split, check_patients, read_split, write_split
from unpaired.data.splits import folds_by_patient, mend_folds, split, split_by_patient, with_sides
from unpaired.errors import InputError


def dataset(both: int = 10, only_lge: int = 5) -> Dataset:
    """Patients with bssfp and lge, then patients with lge alone."""
    cases = []
    for patient in range(both + only_lge):
        for modality in ("bssfp", "lge") if patient < both else ("lge",):
            cases.append(CaseEntry(f"p{patient}_{modality}", f"p{patient}", modality, Path(f"{patient}.nii")))
    return Dataset("d", ("background", "LV"), {"bssfp": Modality(), "lge": Modality()}, tuple(cases))


def sides_by_patient(data: Dataset, drawn: Split) -> dict[str, set[str]]:
    sides: dict[str, set[str]] = {}
    for case in data.cases:
        sides.setdefault(case.patient, set()).add(drawn.sides[case.id])
    return sides


def test_a_patient_is_on_one_side_and_each_group_gives_its_share() -> None:
    data = dataset()
    sides = sides_by_patient(data, split_by_patient(data, test=0.2, validation=0.2, seed=3))
    assert all(len(side) == 1 for side in sides.values())
    both = Counter(next(iter(sides[f"p{i}"])) for i in range(10))
    alone = Counter(next(iter(sides[f"p{i}"])) for i in range(10, 15))
    assert both == {"train": 6, "validation": 2, "test": 2}
    assert alone == {"train": 3, "validation": 1, "test": 1}


def simulated() -> Dataset:
    """Three patients of the phantom, who have LGE alone."""
    cases = tuple(CaseEntry(f"s{number}", f"s{number}", "lge", Path(f"s{number}.nii")) for number in range(3))
    return replace(dataset(0, 0), name="simulated", cases=cases)


@pytest.mark.parametrize("folds", [None, 5])
def test_cases_that_only_train_change_nothing_for_the_others(folds: int | None) -> None:
    real = dataset()
    joined = replace(real, cases=(*real.cases, *simulated().cases))
    quiet: list[str] = []
    drawn = split(joined, folds=folds, training_only=simulated(), seed=2, warn=quiet.append)
    plain = split(real, folds=folds, seed=2, warn=quiet.append)
    for with_simulated, without in zip(*(s if isinstance(s, list) else [s] for s in (drawn, plain)), strict=True):
        assert with_simulated.sides == without.sides | dict.fromkeys(("s0", "s1", "s2"), "train")


def test_cases_that_only_train_have_to_be_there_and_of_other_patients() -> None:
    real = dataset()
    with pytest.raises(InputError, match="3 cases that only train, such as s0, are not in dataset d; join"):
        split(real, training_only=simulated())
    theirs = replace(simulated(), cases=tuple(replace(case, patient="p1") for case in simulated().cases))
    with pytest.raises(InputError, match="patient p1 has cases that only train and others that are drawn"):
        split(replace(real, cases=(*real.cases, *theirs.cases)), training_only=theirs)


def test_a_split_is_drawn_where_nobody_trains() -> None:
    data = dataset()
    drawn, said = with_sides(data)
    assert drawn == split_by_patient(data).apply(data)
    assert said.startswith("patients drawn (seed 0)")
    counts = [len({case.patient for case in drawn.of(split=side)}) for side in ("train", "validation", "test")]
    assert "{} train, {} validate, {} test".format(*counts) in said
    sides = Counter(case.split for case in drawn.cases)
    assert set(sides) == {"train", "validation", "test"}
    assert with_sides(drawn) == (drawn, "")


def test_who_tests_already_goes_on_testing_and_nobody_else_is_drawn_for_it() -> None:
    data = with_splits(dataset(), {"p3_lge": "test"})
    drawn, said = with_sides(data)
    tested = {case.id for case in drawn.of(split="test")}
    assert tested == {"p3_lge"}
    assert drawn.case("p3_bssfp").split is None  # the same patient: neither to test nor to train on
    assert said.endswith("validate, 1 test; --split names your own")
    check_patients(drawn)


def test_the_seed_decides() -> None:
    data = dataset()
    assert split_by_patient(data, seed=1) == split_by_patient(data, seed=1)
    assert len({split_by_patient(data, seed=seed) for seed in range(5)}) > 1


def test_one_patient_alone_stays_in_training() -> None:
    drawn = split_by_patient(dataset(both=1, only_lge=0), test=0.5, validation=0.4)
    assert drawn == Split(train=("p0_bssfp", "p0_lge"))


def labeled_dataset() -> Dataset:
    """With sides; p0 of bssfp has no label."""
    data = dataset()
    cases = [replace(c, label=None if c.id == "p0_bssfp" else Path("label.nii")) for c in data.cases]
    data = replace(data, cases=tuple(cases))
    return with_splits(data, split_by_patient(data, test=0.2, validation=0.2, seed=3).sides | {"p0_lge": "train"})


@pytest.mark.parametrize("patients", [1, 3])
def test_few_shot_takes_training_cases_of_one_modality_and_nothing_else(patients: int) -> None:
    data = labeled_dataset()
    draws = [few_shot(data, "bssfp", patients, seed=seed) for seed in range(5)]
    assert draws[0] == few_shot(data, "bssfp", patients, seed=0)
    assert len(set(draws)) > 1
    whole = {case.id: case.split for case in data.cases}
    for draw in (drawn.sides for drawn in draws):
        assert all(whole[case] == side for case, side in draw.items())
        left_out = set(whole) - set(draw)
        assert all(case.endswith("bssfp") and whole[case] == "train" for case in left_out)
        assert sum(case.endswith("bssfp") and side == "train" for case, side in draw.items()) == patients
        assert draw.get("p0_bssfp") != "train"


def test_few_shot_of_what_is_not_there() -> None:
    data = labeled_dataset()
    with pytest.raises(InputError, match="no modality 'bsfp'; did you mean bssfp"):
        few_shot(data, "bsfp", 1)
    with pytest.raises(InputError, match=r"between 1 and \d+ training patients of bssfp .*, got 99"):
        few_shot(data, "bssfp", 99)
    with pytest.raises(InputError, match="has no labeled training case of lge; a manifest without sides needs --split"):
        few_shot(dataset(), "lge", 1)


def patients_with_labels(data: Dataset) -> set[str]:
    return {case.patient for case in data.of(split="train", labeled=True)}


@pytest.mark.parametrize("seed", range(4))
def test_a_labeled_fraction_is_of_patients_and_a_smaller_one_lies_in_a_larger_one(seed: int) -> None:
    data = labeled_dataset()
    before: set[str] = set()
    for fraction in (0.01, 0.1, 0.2, 0.35, 0.5, 0.8, 1.0):
        drawn = labeled_fraction(data, fraction, seed=seed).apply(data)
        assert drawn == labeled_fraction(data, fraction, seed=seed).apply(data)
        kept = patients_with_labels(drawn)
        assert before <= kept
        for case, original in zip(drawn.cases, data.cases, strict=True):
            hidden = original.split == "train" and case.patient not in kept
            assert case == (replace(original, label=None) if hidden else original)
        for modality in data.modalities:
            assert drawn.of(modality, "train", labeled=True)
        before = kept
    assert drawn == data


def test_a_labeled_fraction_keeps_its_share_of_each_set_of_modalities() -> None:
    data = dataset(both=10, only_lge=20)
    data = replace(data, cases=tuple(replace(case, label=Path("label.nii"), split="train") for case in data.cases))
    kept = patients_with_labels(labeled_fraction(data, 0.2).apply(data))
    assert Counter("both" if int(patient[1:]) < 10 else "lge" for patient in kept) == {"both": 2, "lge": 4}
    assert len({labeled_fraction(data, 0.2, seed=seed).unlabeled for seed in range(5)}) > 1
    for fraction, both, alone in ((0.25, 3, 5), (0.24, 2, 5), (0.33, 3, 7)):  # 2.5 of ten is three
        kept = patients_with_labels(labeled_fraction(data, fraction).apply(data))
        assert Counter("both" if int(patient[1:]) < 10 else "lge" for patient in kept) == {"both": both, "lge": alone}
    few = labeled_fraction(data, 0.001).apply(data)
    assert len(patients_with_labels(few)) == 1, "bssfp needs a patient, who serves lge too"
    assert few.of("bssfp", labeled=True)


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.1, float("nan")])
def test_impossible_fractions_are_refused(fraction: float) -> None:
    with pytest.raises(InputError, match=r"share above 0 and up to 1, such as 0\.1 for 10 %; got"):
        labeled_fraction(labeled_dataset(), fraction)


def test_a_fraction_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="no labeled training case; a manifest without sides needs --split"):
        labeled_fraction(dataset(), 0.5)


def test_a_split_file_hides_labels_of_training_cases(tmp_path: Path) -> None:
    data = labeled_dataset()
    drawn = labeled_fraction(data, 0.5, tmp_path / "half.json")
    assert read_split(tmp_path / "half.json") == drawn
    assert {case.id for case in drawn.apply(data).of(split="train", labeled=False)} == set(drawn.unlabeled)
    assert "p0_bssfp" in drawn.unlabeled, "it never had a label"
    whole = replace(drawn, unlabeled=())
    assert "unlabeled" not in json.loads(write_split(whole, tmp_path / "whole.json").read_text())
    assert read_split(tmp_path / "whole.json").apply(data) == data


def test_folds_test_every_patient_exactly_once() -> None:
    data = dataset()
    folds = folds_by_patient(data, folds=5, validation=0.1, seed=0)
    tested = Counter(case for fold in folds for case in fold.test)
    assert tested == {case.id: 1 for case in data.cases}
    for fold in folds:
        assert set(fold.sides) == {case.id for case in data.cases}
        assert all(len(side) == 1 for side in sides_by_patient(data, fold).values())
        assert 2 <= len({data.case(case).patient for case in fold.test}) <= 4


@pytest.mark.parametrize(("test", "validation"), [(1.0, 0.0), (-0.1, 0.0), (0.6, 0.4)])
def test_impossible_shares_are_refused(test: float, validation: float) -> None:
    with pytest.raises(InputError, match="shares"):
        split_by_patient(dataset(), test=test, validation=validation)


def test_a_negative_seed_is_one_line() -> None:
    for draw in (split, partial(few_shot, modality="lge", patients=1), partial(labeled_fraction, fraction=0.5)):
        with pytest.raises(InputError, match=r"^seed: expected a whole number of 0 or more, got -1$"):
            draw(labeled_dataset(), seed=-1)


def test_too_many_folds_are_refused() -> None:
    with pytest.raises(InputError, match="between 2 and 15 folds"):
        folds_by_patient(dataset(), folds=16)


def test_a_split_file_comes_back_and_what_it_leaves_out_takes_no_part(tmp_path: Path) -> None:
    data = dataset()
    sides = {case: side for case, side in split_by_patient(data).sides.items() if not case.startswith("p0_")}
    path = write_split(Split.from_sides(sides), tmp_path / "deep" / "split.json")
    stale = with_splits(data, {"p0_lge": "train", "p0_bssfp": "train"})
    back = read_split(path).apply(stale)
    assert {case.id: case.split for case in back.cases if case.split} == sides
    assert back.case("p0_lge").split is None
    assert Split.of(with_splits(data, sides)).sides == sides


def test_a_split_is_drawn_from_a_manifest_and_counted(tmp_path: Path) -> None:
    """By `split` as by the command: stored, with a line of counts, and a warning for what a side lacks."""
    manifest = write_dataset(labeled_dataset(), tmp_path / "data.json")
    said: list[str] = []
    warned: list[str] = []
    drawn = split(manifest, tmp_path / "split.json", test=0.2, validation=0, say=said.append, warn=warned.append)
    assert read_split(tmp_path / "split.json") == drawn == split(manifest, test=0.2, validation=0)
    assert drawn.counts(dataset())["test"] == {"bssfp": 2, "lge": 3}
    assert said == [f"{tmp_path / 'split.json'}: {'; '.join(f'{s} {n}' for s, n in drawn.counts(dataset()).items())}"]
    assert not warned
    folds = split(manifest, tmp_path / "folds", folds=3, validation=0)
    assert [read_split(tmp_path / "folds" / f"fold{number}.json") for number in range(3)] == folds
    with pytest.raises(InputError, match=r"folds holds fold2\.json of a draw of more folds; name another folder"):
        split(manifest, tmp_path / "folds", folds=2)
    assert [read_split(tmp_path / "folds" / f"fold{number}.json") for number in range(3)] == folds
    alone = scarce(a=["ct"], b=["mr"], c=["mr"])
    with pytest.warns(UserWarning, match="d: ct: no labeled case in test"):
        split(alone, validation=0)


def test_no_split_takes_the_place_of_what_it_comes_from(tmp_path: Path) -> None:
    manifest = write_dataset(labeled_dataset(), tmp_path / "data.json")
    before = manifest.read_bytes()
    write_split(Split.of(labeled_dataset()), tmp_path / "split.json")
    with pytest.raises(InputError, match="would overwrite the manifest or split"):
        split(manifest, manifest)
    with pytest.raises(InputError, match="would overwrite the manifest or split"):
        few_shot(manifest, "lge", 1, tmp_path / "split.json", split=tmp_path / "split.json")
    with pytest.raises(InputError, match="would overwrite the manifest or split"):
        labeled_fraction(manifest, 0.5, str(manifest))
    other = write_dataset(simulated(), tmp_path / "simulated" / "dataset.json")
    for out in (other, other.parent):
        with pytest.raises(InputError, match="would overwrite the manifest or split"):
            split(simulated(), out, training_only=other.parent)
    assert manifest.read_bytes() == before
    scan = tmp_path / "scan.nii.gz"
    scan.write_bytes(b"\x1f\x8b")
    for place in (manifest, scan, tmp_path):
        with pytest.raises(InputError, match=r"is there and is no split file; name another file, or delete it"):
            split(labeled_dataset(), place)
    assert (manifest.read_bytes(), scan.read_bytes()) == (before, b"\x1f\x8b")
    split(labeled_dataset(), tmp_path / "split.json", seed=5)  # over another split


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"train": ["p0_lge"], "test": ["p0_bssfp"]}, "patient 'p0' is on 2 sides"),
        ({"train": ["p0_lge"], "test": ["p0_lge"]}, "both in train and in test"),
        ({"train": ["p0_lgee"]}, "did you mean p0_lge"),
        ({"training": []}, "expected lists of case ids under train, validation, test"),
        ({"test": ["p0_lge"], "unlabeled": ["p0_lge"]}, "unlabeled case 'p0_lge' is not in train"),
        ({"train": ["p0_lge"], "unlabeled": ["p0_bssfp"]}, "unlabeled case 'p0_bssfp' is not in train"),
        ({"train": ["p0_lge"], "unlabeled": ["p0_leg"]}, "unlabeled case 'p0_leg' is not in train"),
    ],
)
def test_a_split_file_that_lies_is_refused(tmp_path: Path, document: dict, message: str) -> None:
    path = tmp_path / "split.json"
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match=message):
        read_split(path).apply(dataset())


@pytest.mark.parametrize("ids", [[5], [None], [["a"]], [{"a": 1}], [True]], ids=str)
def test_ids_that_are_no_text_are_one_line(ids: list, tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text(json.dumps({"train": ids}), encoding="utf-8")
    with pytest.raises(InputError, match="expected lists of case ids"):
        read_split(tmp_path / "s.json")


def test_a_missing_or_broken_split_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found no file"):
        read_split(tmp_path / "no.json")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(
        InputError, match=r"expected JSON, .* write a split with `unpaired split`, or expected a list of"
    ):
        read_split(tmp_path / "broken.json")


def test_a_patient_on_both_sides_of_a_manifest_is_refused() -> None:
    with pytest.raises(InputError, match="split by patient"):
        check_patients(with_splits(dataset(), {"p0_lge": "train", "p0_bssfp": "test"}))


def scarce(**labeled: list[str]) -> Dataset:
    """{patient: modalities}: "ct" is a labeled CT, "ct?" one without a label."""
    cases = [
        CaseEntry(f"{patient}_{name}", patient, name.rstrip("?"), Path("x"), None if "?" in name else Path("y"))
        for patient, names in labeled.items()
        for name in names
    ]
    return Dataset("d", ("background", "LV"), {"ct": Modality(), "mr": Modality()}, tuple(cases))


@pytest.mark.parametrize("seed", range(12))
def test_the_only_labeled_case_of_a_modality_trains_and_what_is_missing_is_said(seed: int) -> None:
    data = scarce(a=["ct"], b=["ct?"], c=["ct?"], d=["ct?"], e=["mr"], f=["mr"], g=["mr"], h=["mr"])
    drawn = split_by_patient(data, test=0.25, validation=0.25, seed=seed)
    assert {drawn.sides[case.id] for case in data.of("ct")} == {"train"}, "what has no label trains"
    assert Counter(drawn.sides[case.id] for case in data.of("mr")) == {"train": 2, "test": 1, "validation": 1}
    assert drawn.missing_labels(data) == [
        "ct: no labeled case in validation (1 in train)",
        "ct: no labeled case in test (1 in train)",
    ]
    for fold in folds_by_patient(data, folds=4, validation=0.0, seed=seed):
        assert fold.sides["a_ct"] == "train"
        assert len(fold.test) == 1


@pytest.mark.parametrize("seed", range(12))
def test_a_modality_is_on_every_side_that_it_can_be_on(seed: int) -> None:
    """Each patient's set of modalities is another, so that none has a share of its own to round."""
    data = scarce(a=["ct"], b=["ct", "mr"], c=["ct", "mr?"], d=["mr"], e=["mr", "ct?"])
    drawn = split_by_patient(data, test=0.2, validation=0.2, seed=seed)
    assert drawn.missing_labels(data) == []
    assert drawn == split_by_patient(data, test=0.2, validation=0.2, seed=seed)
    check_patients(drawn.apply(data))
    reordered = replace(data, cases=data.cases[::-1])
    assert split_by_patient(reordered, test=0.2, validation=0.2, seed=seed).sides == drawn.sides
    for fold in folds_by_patient(data, folds=2, validation=0.0, seed=seed):
        assert fold.missing_labels(data, ["train", "test"]) == []
    tested = Counter(case for fold in folds_by_patient(data, folds=2, seed=seed) for case in fold.test)
    assert set(tested.values()) == {1}


def test_a_class_that_no_training_case_is_labeled_with_is_said(tmp_path: Path) -> None:
    """RV was looked for in one patient's CT alone; LV in every scan."""
    data = replace(scarce(a=["ct"], b=["ct"], c=["ct"], d=["mr"], e=["mr"]), classes=("background", "LV", "RV"))
    partly = tuple(case if case.patient == "a" else replace(case, annotated=("LV",)) for case in data.cases)
    data = replace(data, cases=partly)
    unlearned = "RV: no training case is labeled with it, in no modality"
    of_a = Split.from_sides({case.id: "test" if case.patient == "a" else "train" for case in data.cases})
    assert of_a.missing_classes(data) == [unlearned]
    seen = replace(data, cases=tuple(replace(c, annotated=None) if c.patient == "d" else c for c in data.cases))
    assert of_a.missing_classes(seen) == ["ct: no training case is labeled with RV"]
    everybody = dict.fromkeys(of_a.sides, "train")
    assert Split.from_sides(everybody).missing_classes(data) == []
    assert Split.from_sides(everybody, ["a_ct"]).missing_classes(data) == [unlearned]
    said: list[str] = []
    few_shot(of_a.apply(data), "mr", 1, warn=said.append)
    labeled_fraction(of_a.apply(data), 0.5, tmp_path / "half.json", warn=said.append)
    assert said == [f"d: {unlearned}", f"half.json: {unlearned}"]


def test_labels_that_must_not_be_read_are_none() -> None:
    data = scarce(a=["ct"], b=["ct"], c=["mr"])
    hidden = Split.from_sides(dict.fromkeys(("a_ct", "b_ct", "c_mr"), "train"), ["a_ct", "b_ct"])
    assert hidden.missing_labels(data, ["train"]) == ["ct: no labeled case in train (none anywhere)"]


@pytest.mark.parametrize("seed", range(20))
def test_no_fold_trains_without_a_modality_that_two_patients_have(seed: int) -> None:
    """Patients with several modalities, of which dealing out the rarest first can pile the others up in one fold."""
    rng = np.random.default_rng(seed)
    names = ["m0", "m1", "m2", "m3"]
    owned = {f"p{number}": [name for name in names if rng.random() < 0.45] for number in range(8)}
    data = replace(scarce(**owned), modalities={name: Modality() for name in names})
    patients = {name: {case.patient for case in data.of(name)} for name in names}
    for drawn in folds_by_patient(data, folds=2, seed=seed):
        trained = drawn.apply(data)
        for name in names:
            assert len(patients[name]) < 2 or trained.of(name, "train"), (drawn, name)


def test_a_modality_piled_up_in_one_fold_is_moved() -> None:
    modalities = {"p": {"a"}, "q": {"a"}, "r": {"b"}, "s": {"b"}}
    fold_of = {"p": 0, "q": 0, "r": 0, "s": 1}
    mend_folds(fold_of, modalities, 2)
    assert {fold_of["p"], fold_of["q"]} == {0, 1} == {fold_of["r"], fold_of["s"]}
    three = {"p": 0, "q": 0, "r": 1}
    mend_folds(three, {patient: {"a"} for patient in three}, 3)
    assert {*three.values()} == {0, 1, 2}, "as many patients as folds: one in each"


def test_names_that_may_be_one_patient_are_told_when_sides_are_drawn() -> None:
    cases = tuple(CaseEntry(f"c{place}", name, "ct", Path("i"), Path("l")) for place, name in enumerate(["P1", "p_1"]))
    data = Dataset("d", ("background", "liver"), {"ct": Modality()}, cases)
    with pytest.warns(UserWarning, match="patients 'P1' and 'p_1' may be one person each; if so, give one name"):
        split(data, test=0, validation=0)
