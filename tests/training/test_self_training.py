"""Self-training: rounds on own labels, kept only if better, the same call goes on."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_runs import tiny

from unpaired.data.dataset import CaseEntry, Dataset, encode_values, without_labels
from unpaired.data.images import read_image, read_label_map, write_image
from unpaired.data.randomization import Randomization
from unpaired.errors import InputError, Stopped
from unpaired.inference.predictor import Predictor
from unpaired.runs.run import Run
from unpaired.training import self_training
from unpaired.training.batches import pseudo_labeled
from unpaired.training.rounds import Round, SelfTraining
from unpaired.training.self_training import ROUNDS, self_train
from unpaired.training.stability import contrast_stability, validation_dice

RECIPE = tiny(steps=1, randomization=Randomization(borrowed=0.5), modalities=("ct", "lge"))


def scarce(phantom: Dataset) -> Dataset:
    """No LGE label outside of test."""
    return without_labels(phantom, {case.id for case in phantom.of("lge") if case.split != "test"})


def test_a_round_learns_from_the_labels_of_the_one_before(phantom: Dataset, tmp_path: Path) -> None:
    trained = self_train(
        RECIPE, scarce(phantom), tmp_path, rounds=1, confidence=0.51, device="cpu", workers=0, show=False
    )
    first, second = trained.rounds
    assert first.kept
    assert set(first.dice) == {"ct"}
    assert set(first.stability) == {"lge"}
    learned = Run.open(second.run).dataset
    unlabeled = [case.id for case in scarce(phantom).of("lge", "train")]
    assert [case.id for case in learned.of("lge", "train", labeled=True)] == unlabeled
    labels = [case.label.resolve() for case in learned.of("lge", "train", labeled=True) if case.label]
    assert labels == [(tmp_path / "labels1" / f"{case}.nii.gz").resolve() for case in unlabeled]
    assert pseudo_labeled(learned) == set(unlabeled)
    assert 0 < second.sure["lge"] <= 1
    assert second.kept == (second.score > first.score and second.dice["ct"] >= first.dice["ct"] - 0.01)
    assert trained.run.folder == Path(second.run if second.kept else first.run)
    stored = json.loads((tmp_path / ROUNDS).read_text())
    assert [of["run"] for of in stored] == [first.run, second.run]
    assert stored[1]["before"] == {**stored[0]["dice"], **stored[0]["stability"]}
    assert stored[1]["worse"] == list(second.worse)
    weights = Run.open(second.run).weights("last").stat().st_mtime_ns
    again = self_train(
        RECIPE, scarce(phantom), tmp_path, rounds=1, confidence=0.51, device="cpu", workers=0, show=False
    )
    assert again == trained
    assert Run.open(second.run).weights("last").stat().st_mtime_ns == weights
    with pytest.raises(InputError, match=r"labels1 holds what self-train made of confidence 0\.51, weights"):
        self_train(RECIPE, scarce(phantom), tmp_path, rounds=1, confidence=0.6, device="cpu", workers=0, show=False)


def test_a_teacher_that_never_saw_a_modality_labels_it_with_the_norms_of_another(
    phantom: Dataset, tmp_path: Path
) -> None:
    given = scarce(phantom)
    teacher = self_training.train(tiny(steps=1, modalities=("ct",)), given, tmp_path / "ct", show=False)
    whole: dict[str, Any] = {"rounds": 1, "confidence": 0.51, "device": "cpu", "workers": 0, "show": False}
    with pytest.raises(InputError, match=r"no unlabeled training case of ct, the modalities.*--norms-of"):
        self_train(RECIPE, given, tmp_path / "self", teacher=teacher, **whole)
    begin = [f"init_from={teacher.folder}", "begin_as=ct"]
    trained = self_train(RECIPE, given, tmp_path / "self", teacher=teacher, norms_of="ct", changes=begin, **whole)
    first, second = trained.rounds
    assert first.run == str(teacher.folder)
    for done in (first, second):
        assert (set(done.dice), set(done.stability)) == ({"ct"}, {"lge"})
    assert Run.open(second.run).modalities == ("ct", "lge")
    case = given.of("lge", "train")[0]
    expected = Predictor(teacher, device="cpu", norms_of="ct").segment(read_image(case.image), "lge")
    values = np.asarray(read_label_map(tmp_path / "self" / "labels1" / f"{case.id}.nii.gz").array)
    sure = np.isin(values, given.source_values("lge"))
    assert sure.any()
    np.testing.assert_array_equal(values[sure], np.array(given.source_values("lge"))[expected][sure])


def test_labels_of_other_scans_values_or_classes_are_not_taken(
    phantom: Dataset, straight: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise Stopped("after the labels")

    monkeypatch.setattr(self_training, "train", stop)
    monkeypatch.setattr(self_training, "validation_dice", lambda *_: 0.5)
    monkeypatch.setattr(self_training, "contrast_stability", lambda *_: 0.5)
    given = scarce(phantom)
    whole: dict[str, Any] = {"rounds": 1, "confidence": 0.51, "device": "cpu", "workers": 0, "show": False}
    for _ in range(2):  # the same call goes on
        with pytest.raises(Stopped):
            self_train(RECIPE, given, tmp_path, teacher=straight, **whole)
    first, second = given.of("lge", "train")
    of_first = np.asarray(read_label_map(tmp_path / "labels1" / f"{first.id}.nii.gz").array)
    for place, damage in ((f"{first.id}.nii.gz", second), ("written.json", None)):
        file = tmp_path / "labels1" / place
        before = file.read_bytes()
        file.write_bytes(b"" if damage is None else (tmp_path / "labels1" / f"{damage.id}.nii.gz").read_bytes())
        with pytest.raises(InputError, match=rf"labels1.{place}.* and (it is|its scans are) labeled anew"):
            self_train(RECIPE, given, tmp_path, teacher=straight, **whole)
        if damage is None:
            file.write_bytes(before)
        else:
            file.unlink()
            with pytest.raises(Stopped):
                self_train(RECIPE, given, tmp_path, teacher=straight, **whole)
            assert np.array_equal(read_label_map(file).array, of_first)
    rescanned = replace(given, cases=tuple(replace(c, image=second.image) if c == first else c for c in given.cases))
    labeled = given.of("lge", labeled=True)[0]
    values = dict(given.label_map_of(labeled))
    low, high = sorted(values)[1:3]
    corrected = values | {low: values[high], high: values[low]}
    renamed = replace(given, label_maps={**given.label_maps, labeled.label_map: corrected})
    for changed in (rescanned, renamed):
        with pytest.raises(InputError, match=r"labels1 holds what self-train made of .*, scans, label values and"):
            self_train(RECIPE, changed, tmp_path, teacher=straight, **whole)
    background, *structures = given.classes
    turned = replace(given, classes=(background, *reversed(structures)))
    with pytest.raises(InputError, match=rf"has the classes {', '.join(given.classes)}, but .*--set init_from="):
        self_train(RECIPE, turned, tmp_path / "turned", teacher=straight, **whole)
    assert not (tmp_path / "turned").exists()


def test_rounds_are_judged_by_validation_cases_and_by_scans_of_no_test(
    phantom: Dataset, straight: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, list[str]] = {}

    def stop(*_: object, **__: object) -> None:
        raise Stopped("after round 0")

    def noted(name: str, cases: list[CaseEntry]) -> float:
        seen[name] = [case.id for case in cases]
        return 0.5

    monkeypatch.setattr(self_training, "_labeled", stop)
    monkeypatch.setattr(self_training, "validation_dice", lambda _, __, cases: noted("dice", cases))
    monkeypatch.setattr(self_training, "contrast_stability", lambda _, cases: noted("stability", cases))
    given = without_labels(phantom, {case.id for case in phantom.of("lge")})
    unused = replace(given.of("lge", "train")[0], id="unused", patient="unused", split=None)
    given = replace(given, cases=(unused, *reversed(given.cases)))
    with pytest.raises(Stopped):
        self_train(RECIPE, given, tmp_path, teacher=straight, rounds=1, device="cpu", workers=0, show=False)
    assert seen["dice"] == [case.id for case in given.of("ct", "validation")]
    assert {*seen["stability"]} == {case.id for side in ("train", "validation") for case in given.of("lge", side)}


def test_a_label_map_that_lies_elsewhere_gives_no_dice(phantom: Dataset, straight: Run, tmp_path: Path) -> None:
    case = phantom.of("ct", "validation")[0]
    assert case.label is not None
    label = read_label_map(case.label)
    away = label.affine.copy()
    away[0, 3] += 50
    write_image(tmp_path / "away.nii.gz", np.asarray(label.array), away)
    with pytest.raises(InputError, match=r"away\.nii\.gz: a corner of the label map lies .* away"):
        validation_dice(Predictor(straight, device="cpu"), phantom, [replace(case, label=tmp_path / "away.nii.gz")])


def test_rounds_end_with_the_first_that_is_no_better(
    phantom: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = iter([0.5, 0.6, 0.55])
    monkeypatch.setattr(self_training, "validation_dice", lambda *_: next(marks))
    monkeypatch.setattr(self_training, "contrast_stability", lambda *_: 0.5)
    trained = self_train(
        RECIPE, scarce(phantom), tmp_path, rounds=5, confidence=0.51, device="cpu", workers=0, show=False
    )
    assert [done.kept for done in trained.rounds] == [True, True, False]
    assert trained.run.folder.name == "round1"
    table = trained.table()
    assert table.head == ["round", "Dice ct", "stability lge", "mean", "labeled", "kept"]
    assert [row[:4] for row in table.rows] == [
        ["round0", "50.0", "50.0", "50.0"],
        ["round1", "60.0", "50.0", "55.0"],
        ["round2", "55.0", "50.0", "52.5"],
    ]
    assert table.notes[2:] == [
        "round2 is not kept: Dice of ct fell from 60.0 to 55.0, more than the 1 allowed; round1 stays the best."
    ]


def test_what_cannot_be_self_trained_is_one_line(phantom: Dataset, tmp_path: Path) -> None:
    whole: dict[str, Any] = {"rounds": 1, "device": "cpu", "workers": 0, "show": False}
    with pytest.raises(InputError, match="expected 1 round or more"):
        self_train(RECIPE, phantom, tmp_path, **(whole | {"rounds": 0}))
    for tolerance in (-0.1, 2.0, float("nan")):
        with pytest.raises(InputError, match="expected a tolerance from 0 to 1"):
            self_train(RECIPE, phantom, tmp_path, **(whole | {"tolerance": tolerance}))
    with pytest.raises(InputError, match=r"with its run as teacher"):
        self_train(RECIPE, phantom, tmp_path, changes=["unlabeled_batch_size=2"], **whole)
    with pytest.raises(InputError, match=r"no unlabeled training case, so there is nothing to label"):
        self_train(RECIPE, phantom, tmp_path, **whole)
    own = tiny(steps=1, modalities=("ct",))
    with pytest.raises(InputError, match=r"no unlabeled training case of ct, the modalities"):
        self_train(own, scarce(phantom), tmp_path, **whole)
    with pytest.raises(InputError, match=r"norms of 'lge': round 0 will not be trained on it; .*ct"):
        self_train(own, scarce(phantom), tmp_path, norms_of="lge", **whole)
    assert not list(tmp_path.iterdir())  # said before anything is trained


def test_scores_are_those_of_the_label_maps(phantom: Dataset, tmp_path: Path) -> None:
    given = scarce(phantom)
    trained = SelfTraining((Round("a", True, {"ct": 0.8}, {"lge": 0.6}, {}, {}),))
    assert trained.rounds[0].score == pytest.approx(0.7)
    self_training.train(RECIPE, given, tmp_path / "run", show=False)
    predictor = Predictor(Run.open(tmp_path / "run"), device="cpu")
    cases = given.of("ct", "validation")
    assert 0 <= validation_dice(predictor, given, cases) <= 1
    assert contrast_stability(predictor, given.of("lge", "train")[:1]) <= 1

    class Right(Predictor):
        """Says what the reference says."""

        def segment(self, image: object, modality: str) -> np.ndarray:
            assert cases[0].label is not None
            values = np.asarray(read_label_map(cases[0].label).array)
            said = np.zeros(values.shape, np.uint8)
            for value, members in encode_values(given, cases[0]).items():
                said[values == value] = members[0]
            return said

    assert validation_dice(Right(Run.open(tmp_path / "run"), device="cpu"), given, cases[:1]) == pytest.approx(1)
