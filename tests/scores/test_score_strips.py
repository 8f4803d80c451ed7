"""A dot per scored case, a cross per miss, nothing for what is not applicable."""

import numpy as np

from unpaired.figures.style import DARK, svg
from unpaired.scores.figure import draw_dice_strips
from unpaired.scores.scores import Evaluation, Score


def score(case, modality, status, dice):
    return Score(case, case, modality, "LV", status, dice)


def test_dots_crosses_and_means():
    evaluation = Evaluation(
        [
            score("a", "ct", "scored", 0.9),
            score("b", "ct", "scored", 0.7),
            score("c", "ct", "missed", 0.0),
            score("d", "ct", "not_applicable", None),
            score("e", "mr", "missed", 0.0),
        ],
        [],
    )
    figure = draw_dice_strips(evaluation, DARK)
    axes = figure.axes[0]
    heights = [np.asarray(dots.get_offsets())[:, 1].tolist() for dots in axes.collections]
    assert heights == [[0.7, 0.9], [0.0], [], [], [0.0], []]  # per modality: scored, missed, the legend's own
    (mean,) = axes.lines  # mr has no scored case, hence no mean
    assert np.allclose(mean.get_ydata(), 1.6 / 3)
    assert DARK.paper.encode() in svg(figure)


def test_an_empty_evaluation_is_an_empty_picture():
    axes = draw_dice_strips(Evaluation([], [])).axes[0]
    assert not axes.collections
