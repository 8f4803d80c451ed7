"""Cases by hand, files that are wrong in every way a user's files are, and scoring without torch."""

import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from unpaired.data.dataset import CaseEntry, Dataset, Modality
from unpaired.data.images import write_image
from unpaired.data.label_values import not_annotated, parse_classes, prediction_values, translate
from unpaired.errors import InputError
from unpaired.scores.case_scores import CaseInfo, evaluate_case
from unpaired.scores.evaluate import evaluate_dataset, evaluate_folders
from unpaired.scores.scoring import Scoring

CLASSES = ("background", "LV", "myo")
HEART = {0: ("background",), 500: ("LV",), 200: ("myo",)}
AFFINE = np.diag([2.0, 1.0, 3.0, 1.0])


def heart(shift=0):
    """A label map (6, 7, 5) with the source's values: an LV of 2x2x2 and a myo of 2x1x1 voxels."""
    array = np.zeros((6, 7, 5), np.int16)
    array[1:3, 1 + shift : 3 + shift, 1:3] = 500
    array[4:6, 5, 2] = 200
    return array


def dataset_at(folder, arrays, label_map=HEART, **entry):
    """A dataset of one modality whose reference files hold `arrays` ({case id: array})."""
    cases = []
    for name, array in arrays.items():
        write_image(folder / "labels" / f"{name}.nii.gz", array, AFFINE)
        label = folder / "labels" / f"{name}.nii.gz"
        cases.append(CaseEntry(name, f"p_{name}", "lge", label, label, label_map="heart", split="test", **entry))
    return Dataset("hearts", CLASSES, {"lge": Modality()}, tuple(cases), {"heart": label_map})


def predict(folder, name, array, affine=AFFINE):
    write_image(folder / "predictions" / f"{name}.nii.gz", array, affine)
    return folder / "predictions"


def by_class(scores):
    return {score.class_name: score for score in scores}


def test_a_shifted_cube_by_hand(tmp_path):
    dataset = dataset_at(tmp_path, {"a": heart()})
    evaluation = evaluate_dataset(dataset, predict(tmp_path, "a", heart(shift=1)))
    lv, myo = by_class(evaluation.scores)["LV"], by_class(evaluation.scores)["myo"]
    assert (lv.case, lv.patient, lv.modality, lv.status) == ("a", "p_a", "lge", "scored")
    assert lv.dice == 0.5  # 4 of 8 voxels shared
    assert (lv.hd, lv.hd95) == (1.0, 1.0)  # the shift, along an axis of 1 mm
    assert lv.assd == lv.masd == 0.5
    assert lv.reference_ml == pytest.approx(8 * 6 / 1000)
    assert (myo.dice, myo.hd) == (1.0, 0.0)
    assert evaluation.failures == []


def test_statuses_and_both_policies():
    reference = np.zeros((4, 4, 4), int)
    reference[0, 0, 0] = 1
    prediction = np.zeros((4, 4, 4), int)
    prediction[1, 1, 1] = 2
    classes = ("background", "missing", "invented", "nowhere")
    diagonal = math.sqrt(4**2 + 4**2 + 8**2)
    found = by_class(evaluate_case(prediction, reference, (1.0, 1.0, 2.0), classes))
    assert [score.status for score in found.values()] == ["missed", "false_positive", "not_applicable"]
    for name in ("missing", "invented"):
        assert found[name].dice == 0.0
        assert found[name].hd == found[name].hd95 == found[name].assd == found[name].masd == pytest.approx(diagonal)
    assert (found["nowhere"].dice, found["nowhere"].hd, found["nowhere"].reference_ml) == (None, None, None)
    excluded = by_class(evaluate_case(prediction, reference, (1.0, 1.0, 2.0), classes, scoring=Scoring("excluded")))
    assert excluded["missing"].dice == 0.0
    assert excluded["missing"].hd is None


@pytest.mark.parametrize("shape", [(3, 4, 5), (4, 5, 1), (1, 1, 1)])
def test_a_case_without_any_label_has_nothing_to_score(shape):
    found = evaluate_case(np.zeros(shape, int), np.zeros(shape, int), (1.0, 1.0, 1.0), CLASSES)
    assert [score.status for score in found] == ["not_applicable", "not_applicable"]


def test_scores_do_not_depend_on_the_empty_space_around():
    random = np.random.default_rng(0)
    prediction, reference = random.integers(0, 3, (2, 5, 6, 7))
    wide = [np.pad(array, 3) for array in (prediction, reference)]
    spacing = (2.0, 1.0, 0.5)
    assert evaluate_case(*wide, spacing, CLASSES) == evaluate_case(prediction, reference, spacing, CLASSES)


def test_one_slice_is_scored_in_2d():
    disk = np.ones((5, 5), int)
    center = np.zeros((5, 5), int)
    center[2, 2] = 1
    flat = evaluate_case(disk, center, (1.0, 1.0), ("background", "disk"))
    thick = evaluate_case(disk[..., None], center[..., None], (1.0, 1.0, 8.0), ("background", "disk"))
    assert flat[0].assd == thick[0].assd
    nothing = np.zeros_like(disk)
    missed = evaluate_case(nothing[..., None], center[..., None], (1.0, 1.0, 8.0), ("background", "disk"))
    assert missed[0].hd == pytest.approx(math.hypot(5, 5))  # the diagonal of the slice, not of the slab
    # In 2D the 16 voxels of the rim are surface, not all 25: 4 at 2, 8 at sqrt 5, 4 at sqrt 8, and 2 on the way back.
    assert flat[0].assd == pytest.approx((4 * 2 + 8 * math.sqrt(5) + 4 * math.sqrt(8) + 2) / 17)


def test_merged_voxels_count_for_no_class_of_their_set():
    sets = ((0,), (1,), (2,), (1, 2))
    reference = np.array([[1, 3, 3, 0, 0, 0]] * 2)
    prediction = np.array([[1, 1, 2, 0, 0, 2]] * 2)
    found = by_class(evaluate_case(prediction, reference, (1.0, 1.0), CLASSES, label_sets=sets))
    assert (found["LV"].dice, found["LV"].hd) == (1.0, 0.0)
    assert found["myo"].status == "false_positive"
    assert found["myo"].prediction_ml == pytest.approx(2 / 1000)  # the two outside; those inside the merged part aside


def test_what_was_not_looked_for_is_not_applicable(tmp_path):
    dataset = dataset_at(tmp_path, {"a": heart()}, annotated=("myo",))
    evaluation = evaluate_dataset(dataset, predict(tmp_path, "a", heart(shift=1)))
    found = by_class(evaluation.scores)
    assert found["LV"].status == "not_applicable"
    assert found["myo"].status == "scored"


def test_a_class_known_only_as_part_of_a_merged_value_is_not_applicable(tmp_path):
    dataset = dataset_at(tmp_path, {"a": heart()}, {0: ("background",), 500: ("LV", "myo"), 200: ("myo",)})
    assert not_annotated(dataset, dataset.cases[0]) == {1}


def test_a_class_without_a_value_that_was_looked_for_can_be_a_false_positive(tmp_path):
    label_map = {0: ("background",), 500: ("LV",)}
    reference = np.where(heart() == 500, 500, 0).astype(np.int16)
    dataset = dataset_at(tmp_path, {"a": reference}, label_map)
    assert not_annotated(dataset, dataset.cases[0]) == frozenset()
    values = prediction_values(dataset, dataset.cases[0])
    assert values == {0: 0, 500: 1, 2: 2}
    prediction = np.where(heart() == 200, 2, heart()).astype(np.int16)
    found = by_class(evaluate_dataset(dataset, predict(tmp_path, "a", prediction)).scores)
    assert found["myo"].status == "false_positive"
    assert found["LV"].dice == 1.0


def test_bad_files_are_failures_and_do_not_stop_the_others(tmp_path):
    names = ("good", "missing", "shape", "affine", "value", "truncated", "fraction", "text")
    dataset = dataset_at(tmp_path, dict.fromkeys(names, heart()))
    folder = predict(tmp_path, "good", heart())
    predict(tmp_path, "shape", heart()[:-1])
    moved = AFFINE.copy()
    moved[1, 3] = 0.6  # half of the smallest voxel side is 0.5 mm
    predict(tmp_path, "affine", heart(), moved)
    predict(tmp_path, "value", np.where(heart() == 500, 7, heart()).astype(np.int16))
    predict(tmp_path, "truncated", heart())
    whole = (folder / "truncated.nii.gz").read_bytes()
    (folder / "truncated.nii.gz").write_bytes(whole[: len(whole) // 2])
    predict(tmp_path, "fraction", heart().astype(np.float32) * 0.3331)
    (folder / "text.nii.gz").write_text("not an image")
    evaluation = evaluate_dataset(dataset, folder, workers=2)
    assert {score.case for score in evaluation.scores} == {"good"}
    messages = {failure.case: failure.message for failure in evaluation.failures}
    assert set(messages) == set(names) - {"good"}
    assert "no prediction missing.nii.gz in" in messages["missing"]
    assert "expected the shape (6, 7, 5) of shape.nii.gz, got (5, 7, 5) (axis 0 by -1 voxels)" in messages["shape"]
    assert "0.60 mm" in messages["affine"]
    assert "found 7;" in messages["value"]
    assert "whole numbers" in messages["fraction"]
    for name, message in messages.items():
        assert f"{name}.nii.gz" in message
        assert "\n" not in message


def test_an_affine_within_half_a_voxel_is_accepted(tmp_path):
    dataset = dataset_at(tmp_path, {"a": heart()})
    moved = AFFINE.copy()
    moved[1, 3] = 0.4
    assert evaluate_dataset(dataset, predict(tmp_path, "a", heart(), moved)).failures == []


def test_float_labels_that_are_whole_numbers_are_read(tmp_path):
    dataset = dataset_at(tmp_path, {"a": heart().astype(np.float64)})
    evaluation = evaluate_dataset(dataset, predict(tmp_path, "a", heart().astype(np.float32)))
    assert evaluation.mean("dice").value == 1.0


def test_workers_do_not_change_the_scores(tmp_path):
    dataset = dataset_at(tmp_path, {name: heart() for name in "abcd"})
    for shift, name in enumerate("abcd"):
        folder = predict(tmp_path, name, heart(shift))
    alone = evaluate_dataset(dataset, folder, workers=1)
    assert alone == evaluate_dataset(dataset, folder, workers=3)  # over cases
    assert alone == evaluate_dataset(dataset, folder, workers=9)  # and over classes


def test_an_oblique_affine_has_the_spacing_of_its_columns(tmp_path):
    """Turned by 30 degrees about one axis and 20 about another: the same patient, the same scores."""
    (c, s), (k, z) = [(math.cos(math.radians(angle)), math.sin(math.radians(angle))) for angle in (30, 20)]
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, k, -z], [0, z, k]])
    oblique = np.eye(4)
    oblique[:3, :3] = turn @ AFFINE[:3, :3]
    oblique[:3, 3] = (-40, 12, 7)
    for name, affine in (("straight", AFFINE), ("turned", oblique)):
        write_image(tmp_path / name / "theirs" / "a.nii.gz", heart(), affine)
        write_image(tmp_path / name / "ours" / "a.nii.gz", heart(shift=1), affine)
    straight, turned = (
        evaluate_folders(tmp_path / name / "ours", tmp_path / name / "theirs", {500: "LV", 200: "myo"}).scores
        for name in ("straight", "turned")
    )
    for one, other in zip(straight, turned, strict=True):
        assert one.hd == pytest.approx(other.hd, rel=1e-6)
        assert one.reference_ml == pytest.approx(other.reference_ml, rel=1e-6)
        assert one.nsd == other.nsd


def test_overlap_and_volumes_by_hand():
    prediction, reference = np.zeros((2, 4, 6), int)
    prediction[0, :3] = 1  # 3 pixels of 2 mm^2, of which
    reference[0, 1:6] = 1  # 2 are among these 5
    score = evaluate_case(prediction, reference, (1.0, 2.0), ("background", "line"))[0]
    assert score.dice == 0.5
    assert score.iou == pytest.approx(2 / 6)
    assert score.volume_difference_ml == pytest.approx(2 * 2 / 1000)
    assert score.relative_volume_difference == pytest.approx(2 / 5)
    assert score.nsd == {"nsd@1": pytest.approx(4 / 8), "nsd@2": pytest.approx(6 / 8)}
    assert evaluate_case(prediction, reference, (1.0, 2.0), ("background", "line"))[0] == score
    nothing = np.zeros_like(reference)
    missed = evaluate_case(nothing, reference, (1.0, 2.0), ("background", "line"))[0]
    assert (missed.iou, missed.relative_volume_difference, missed.nsd) == (0.0, 1.0, {"nsd@1": 0.0, "nsd@2": 0.0})
    invented = evaluate_case(prediction, nothing, (1.0, 2.0), ("background", "line"))[0]
    assert invented.relative_volume_difference is None
    assert invented.volume_difference_ml == pytest.approx(3 * 2 / 1000)
    swapped = evaluate_case(reference, prediction, (1.0, 2.0), ("background", "line"))[0]
    assert swapped.relative_volume_difference == pytest.approx(2 / 3), "of the reference, also where it is the smaller"
    one_slice = evaluate_case(prediction[..., None], reference[..., None], (1.0, 2.0, 10.0), ("background", "line"))[0]
    assert (one_slice.prediction_ml, one_slice.reference_ml) == pytest.approx((3 * 20 / 1000, 5 * 20 / 1000))
    assert one_slice.hd == score.hd


def test_splits_choose_the_cases(tmp_path):
    dataset = dataset_at(tmp_path, {"a": heart()})
    folder = predict(tmp_path, "a", heart())
    assert len(evaluate_dataset(dataset, folder, split=None).scores) == 2
    with pytest.raises(InputError, match="no labeled case in split 'train'"):
        evaluate_dataset(dataset, folder, split="train")


def test_nothing_to_score_is_an_error(tmp_path):
    dataset = dataset_at(tmp_path, {"a": heart()})
    with pytest.raises(InputError, match="folder of predictions, found none"):
        evaluate_dataset(dataset, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="found none"):
        evaluate_dataset(dataset, tmp_path / "empty")
    with pytest.raises(InputError, match="found none"):
        evaluate_folders(tmp_path / "empty", tmp_path / "labels", {500: "LV"})
    for word in ("exclude", "zero"):
        wrong = Scoring()
        object.__setattr__(wrong, "policy", word)  # behind the types that tests hold a call to
        with pytest.raises(InputError, match=f"policy: expected 'diagonal' or 'excluded', got '{word}'"):
            wrong.__post_init__()
    with pytest.raises(InputError, match="workers"):
        evaluate_dataset(dataset, predict(tmp_path, "a", heart()), workers=-1)


def test_two_folders_by_equal_names(tmp_path):
    dataset_at(tmp_path, {"a.b": heart(), "c": heart(), "alone": heart()})
    predict(tmp_path, "a.b", heart(shift=1))
    predict(tmp_path, "c", np.full((6, 7, 5), 9, np.uint8))
    folder = predict(tmp_path, "extra", heart())
    evaluation = evaluate_folders(folder, tmp_path / "labels", {500: "LV", 200: "myo"}, modality="lge")
    assert [(score.case, score.class_name, score.dice) for score in evaluation.scores] == [
        ("a.b", "LV", 0.5),
        ("a.b", "myo", 1.0),
    ]
    assert [failure.case for failure in evaluation.failures] == ["alone", "c", "extra"]
    with pytest.raises(InputError, match="each name once"):
        evaluate_folders(folder, tmp_path / "labels", {500: "LV", 200: "LV"})


@pytest.mark.parametrize("values", [[0, 500, 200, 0], [-1, 3, -1, 2], [0, 10**6, 5, 5], []])
def test_translate_equals_a_plain_lookup(values, tmp_path):
    table = {value: index for index, value in enumerate(sorted(set(values) | {7}))}
    found = translate(np.array(values, dtype=np.int64), table, tmp_path)
    assert found.tolist() == [table[value] for value in values]


@pytest.mark.parametrize("value", [-5, 1, 501, 10**8])
def test_translate_names_unknown_values(value, tmp_path):
    with pytest.raises(InputError, match=f"found {value};"):
        translate(np.array([0, value, 500]), {0: 0, 500: 1}, tmp_path)


def test_translate_does_not_wrap_small_types(tmp_path):
    assert translate(np.array([0, 255], np.uint8), {0: 0, 255: 1, -1: 2}, tmp_path).tolist() == [0, 1]
    with pytest.raises(InputError, match="found 200;"):
        translate(np.array([0, 200], np.uint8), {0: 0, -56: 1, 255: 2}, tmp_path)


def test_classes_from_the_command_line():
    assert parse_classes("1:LV, 2:left kidney") == {1: "LV", 2: "left kidney"}
    assert parse_classes("1:T2: dark,2:layer 3") == {1: "T2: dark", 2: "layer 3"}
    for wrong in ("1:LV;2:myo", "1:LV; 2 :myo", "1:LV 2:myo", "1:LV|2:myo", "1:left kidney\n2:myo"):
        with pytest.raises(InputError, match="expected commas between classes, as in 1:LV,2:myo"):
            parse_classes(wrong)
    for wrong in ("LV", "1:", "x:LV", "1:LV,1:myo", ""):
        with pytest.raises(InputError, match="1:LV,2:myo"):
            parse_classes(wrong)
    for wrong, words in ((f"{'9' * 5000}:LV", "up to 10 digits"), ("1:a\x1bb", "holds '.x1b'")):
        with pytest.raises(InputError, match=words):
            parse_classes(wrong)


def test_arrays_that_do_not_fit_are_named():
    with pytest.raises(InputError, match="one shape"):
        evaluate_case(np.zeros((2, 2), int), np.zeros((2, 3), int), (1.0, 1.0), CLASSES)
    with pytest.raises(InputError, match="case x: expected 2 positive spacings"):
        evaluate_case(np.zeros((2, 2), int), np.zeros((2, 2), int), (1.0,), CLASSES, CaseInfo("x"))


def test_evaluation_does_not_import_torch():
    code = "import sys, unpaired.scores.evaluate, unpaired.scores.tables; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_simulated_cases_beside_those_of_patients_are_not_scored(tmp_path):
    """Case "s" is simulated: it counts in no mean, is missed by nobody, and is said where it was predicted too."""
    dataset = dataset_at(tmp_path, {"a": heart(), "s": heart()})
    both = replace(dataset, cases=(dataset.cases[0], replace(dataset.cases[1], simulated=True)))
    folder = predict(tmp_path, "a", heart())
    for split in ("test", None):
        evaluation = evaluate_dataset(both, folder, split)
        assert {score.case for score in evaluation.scores} == {"a"}
        assert (evaluation.failures, evaluation.remarks) == ([], ())
    predict(tmp_path, "s", heart(1))
    evaluation = evaluate_dataset(both, folder)
    assert {score.case for score in evaluation.scores} == {"a"}
    assert evaluation.remarks == ("1 simulated cases were not scored; for these name a manifest of them alone",)
    alone = evaluate_dataset(replace(both, cases=both.cases[1:]), folder)
    assert {score.case for score in alone.scores} == {"s"}
