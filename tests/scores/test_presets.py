"""What other protocols print, by hand: voxels instead of mm, misses that count as perfect distances."""

import math

import numpy as np
import pytest

from unpaired.scores.case_scores import evaluate_case
from unpaired.scores.scores import PRESET_COLUMNS, Evaluation, Score
from unpaired.scores.scoring import Scoring, parse_tolerances
from unpaired.scores.tables import definitions, score_table

SPACING = (1.0, 2.0, 4.0)
ALL = Scoring(presets=tuple(PRESET_COLUMNS))
CLASSES = ("background", "there", "missed", "invented", "nowhere")


@pytest.fixture
def scores():
    """One voxel that is 3 and 4 voxels off along two axes, a missed, an invented and an absent class."""
    reference, prediction = np.zeros((2, 8, 8, 8), np.uint8)
    reference[1, 1, 1] = prediction[1, 4, 5] = 1
    reference[7, 7, 7] = 2
    prediction[7, 0, 0] = 3
    return {score.class_name: score for score in evaluate_case(prediction, reference, SPACING, CLASSES, scoring=ALL)}


def test_distances_in_voxels_stand_beside_ours_in_mm(scores):
    there = scores["there"]
    assert there.hd == pytest.approx(math.hypot(3 * 2, 4 * 4))
    assert there.value("csa:hd_voxels") == there.value("transunet:hd95_voxels") == 5.0
    assert there.value("ssc:asd_mm") == there.assd
    assert there.value("amos:nsd") == 0.0


def test_transunet_counts_a_miss_as_distance_0_and_an_invented_structure_as_dice_1(scores):
    found = {name: (s.value("transunet:dice"), s.value("transunet:hd95_voxels")) for name, s in scores.items()}
    assert found == {"there": (0.0, 5.0), "missed": (0.0, 0.0), "invented": (1.0, 0.0), "nowhere": (0.0, 0.0)}
    # ours, beside it
    assert [scores[name].dice for name in found] == [0.0, 0.0, 0.0, None]
    assert scores["missed"].hd95 == pytest.approx(math.hypot(8, 16, 32))


def test_the_others_leave_out_what_they_have_no_number_for(scores):
    assert scores["missed"].value("csa:hd_voxels") is None
    assert scores["missed"].value("ssc:asd_mm") is None
    assert scores["missed"].value("amos:nsd") == 0.0
    assert scores["nowhere"].value("amos:nsd") is None


def test_pooled_percentile_is_not_the_larger_of_two():
    """One voxel against a line of 20: 19 of 21 pooled distances are small in voxels; ours takes the worse side."""
    reference, prediction = np.zeros((2, 3, 40), np.uint8)
    reference[1, 5:25] = 1
    prediction[1, 5] = 1
    score = evaluate_case(prediction, reference, (1.0, 1.0), CLASSES[:2], scoring=ALL)[0]
    distances = [*range(20), 0]
    assert score.value("transunet:hd95_voxels") == pytest.approx(np.percentile(distances, 95))
    assert score.hd95 == pytest.approx(np.percentile(range(20), 95))


def test_means_follow_the_protocol_and_a_sentence_says_what_differs(scores):
    evaluation = Evaluation(list(scores.values()), [], presets=ALL.presets, tolerances_mm=ALL.tolerances_mm)
    assert evaluation.mean("transunet:dice").value == pytest.approx(1 / 4)
    assert evaluation.mean("transunet:hd95_voxels", class_name="missed").value == 0.0
    assert evaluation.mean("hd95", class_name="missed").value is None
    assert evaluation.mean("csa:hd_voxels").value == 5.0
    text = definitions(evaluation)
    for name in PRESET_COLUMNS:
        assert f"{name}: " in text
    header = score_table(evaluation).markdown().splitlines()[0]
    assert "HD95 mm" in header
    assert "transunet HD95 vox" in header
    assert "csa:" not in definitions(Evaluation([Score("a", "p", "ct", "LV", "missed", 0.0)], []))


def test_classes_have_tolerances_of_their_own():
    assert parse_tolerances(["1", "left kidney=2.5", "3"]) == ((1.0, 3.0), {"left kidney": 2.5})
    reference, prediction = np.zeros((2, 9, 9), np.uint8)
    reference[2, 2], prediction[2, 4] = 1, 1
    reference[7, 7], prediction[7, 5] = 2, 2
    scoring = Scoring(tolerances_mm=(1.9, 2.0), class_tolerances_mm={"there": 3.0})
    there, other = evaluate_case(prediction, reference, (1.0, 1.0), CLASSES[:3], scoring=scoring)
    assert there.nsd == {"nsd@1.9": 0.0, "nsd@2": 1.0, "nsd@own": 1.0}
    assert other.nsd == {"nsd@1.9": 0.0, "nsd@2": 1.0}


def test_a_header_that_rounds_spacing_does_not_push_a_voxel_over_the_tolerance():
    reference, prediction = np.zeros((2, 9, 9), np.uint8)
    reference[2, 2] = prediction[2, 3] = 1
    spacing = float(np.float32(0.3))  # a little more than 0.3
    score = evaluate_case(prediction, reference, (1.0, spacing), CLASSES[:2], scoring=Scoring(tolerances_mm=(0.3,)))[0]
    assert score.nsd == {"nsd@0.3": 1.0}
