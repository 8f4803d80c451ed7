"""Training curves of compared runs: a line per run, a method's color, and a reason for whoever has none."""

from dataclasses import replace

import pytest
from matplotlib.colors import to_rgb

from undrawn import undrawn
from unpaired.comparison.comparison import compare
from unpaired.comparison.contenders import Contender
from unpaired.figures import curves
from unpaired.figures.curves import draw_curve
from unpaired.figures.style import LIGHT
from unpaired.report import comparison_training
from unpaired.report.comparison_training import methods_training
from unpaired.report.pictures import Picture

LOG = "step,loss,term/ce/ct,lr\n0,{start},1.0,0.1\n10,1.0,0.5,0.1\n"
VALIDATION = "step,modality,class,dice\n10,ct,LV,0.5\n10,ct,RV,0.7\n10,mr,LV,0.9\n"


@pytest.fixture
def drawn(monkeypatch):
    """The curves that were drawn, instead of their pictures."""
    found = {}

    def picture(curve, names):
        found[curve.title] = (curve, names)
        return Picture(curve.title, "", "", curve.alt)

    monkeypatch.setattr(comparison_training, "_picture", picture)
    return found


@pytest.fixture
def runs(rivals, tmp_path):
    """Runs a (whole), b twice (one without validation), c (its log has gone), d (predictions alone)."""
    evaluation = rivals[1][0].seeds[0]
    for name in ("a", "b0", "b1", "c", "d"):
        (tmp_path / name / "evaluation").mkdir(parents=True)
        if name != "d":
            (tmp_path / name / "recipe.json").write_text("{}")
    for start, name in enumerate(("a", "b0", "b1"), start=2):
        (tmp_path / name / "log.csv").write_text(LOG.format(start=start))
    for name in ("a", "b0"):
        (tmp_path / name / "validation.csv").write_text(VALIDATION)
    places = {"a": ("a",), "b": ("b0", "b1"), "c": ("c",), "d": ("d",)}
    contenders = [
        Contender(name, (evaluation,) * len(folders), tuple(tmp_path / folder for folder in folders))
        for name, folders in places.items()
    ]
    return compare([*contenders, replace(contenders[0], name="e", places=())], ["dice"])


def test_a_line_per_run_and_a_panel_per_modality(runs, drawn):
    training = methods_training(runs)
    assert [curve.title for curve in training.curves] == ["loss", "validation Dice, ct", "validation Dice, mr"]
    loss, names = drawn["loss"]
    assert names == ["a", "b", "c", "d", "e"]
    assert {name: line[0] for name, line in loss.lines.items()} == {"a": (0, 2), "b, run 1": (0, 3), "b, run 2": (0, 4)}
    dice, _ = drawn["validation Dice, ct"]
    assert dice.lines["a"] == [(10, pytest.approx(0.6))]
    assert not dice.smooth
    assert "b, run 2" not in dice.lines


def test_who_has_none_is_named_with_the_reason(runs, drawn):
    reasons = dict(methods_training(runs).without)
    assert list(reasons) == ["b, run 2", "c", "d", "e"]
    assert reasons["b, run 2"] == "validation.csv is not in the run folder"
    assert reasons["c"] == "log.csv is not in the run folder; validation.csv is not in the run folder"
    assert "no run folder" in reasons["d"]
    assert "no folder" in reasons["e"]


def test_seeds_of_a_method_look_alike_and_are_named_once(runs, drawn):
    methods_training(runs)
    curve, names = drawn["loss"]
    figure = draw_curve(curve, names)
    (axes,) = figure.axes
    assert [to_rgb(line.get_color()) for line in axes.lines] == [to_rgb(LIGHT.series[place]) for place in (0, 1, 1)]
    assert [line.get_linestyle() for line in axes.lines] == [curves.LINE_STYLES[place] for place in (0, 1, 1)]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b"]


def test_differences_between_methods_fill_the_panel_of_validation(runs, drawn):
    methods_training(runs)
    curve, names = drawn["validation Dice, mr"]
    low, high = draw_curve(curve, names).axes[0].get_ylim()
    assert (low, high) == (pytest.approx(0.87), 1.0)


def test_pictures_have_words(runs):
    with undrawn():
        (loss, *_) = methods_training(runs).curves
    assert loss.light.startswith("data:image/svg+xml")
    assert "b, run 2 from 4 to 1" in loss.alt
