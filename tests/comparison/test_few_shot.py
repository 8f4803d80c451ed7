"""Few-shot curves: which runs belong to one, and each point against a mean taken by hand."""

import json
from dataclasses import replace

import numpy as np
import pytest

from unpaired.comparison.comparison import compare
from unpaired.comparison.contenders import Contender, read_runs
from unpaired.comparison.few_shot import few_shot_curves
from unpaired.comparison.few_shot_figure import draw_few_shot, few_shot_alt
from unpaired.comparison.files import write_comparison
from unpaired.comparison.run_groups import group_runs
from unpaired.errors import InputError
from unpaired.recipe import to_json
from unpaired.recipes import structured_consistency as ssc
from unpaired.report.comparison_pictures import few_shot_picture, write_figures
from unpaired.scores.scores import Evaluation, Score
from unpaired.scores.tables import read_evaluation, write_evaluation


def evaluation(ct: float, mr: float) -> Evaluation:
    """Two patients of each modality with two classes; their means are `ct` and `mr`."""
    rows = [
        Score(f"{m}{k}", f"{m}{k}", m, name, "scored", mean + 0.1 * k - 0.05 + shift, 9.0, 5.0, 1.0, 1.0, 2.0, 2.0)
        for m, mean in (("ct", ct), ("mr", mr))
        for k in (0, 1)
        for name, shift in (("LV", 0.02), ("RV", -0.02))
    ]
    return Evaluation(rows, [])


def save(folder, training, dice, recipe=None, seed=0):
    """A finished run: recipe, split, dataset and scores."""
    folder.mkdir()
    cases = [
        {"id": f"{m}t{k}", "patient": f"{m}t{k}", "modality": m, "label": "x"}
        for m, n in training.items()
        for k in range(n)
    ]
    (folder / "dataset.json").write_text(json.dumps({"cases": cases}))
    (folder / "split.json").write_text(json.dumps({"train": [one["id"] for one in cases], "test": [str(folder)]}))
    (folder / "recipe.json").write_text(json.dumps(to_json(replace(recipe or ssc.mmwhs_v3_cr(), seed=seed))))
    write_evaluation(evaluation(*dice), folder / "evaluation")
    return folder


@pytest.fixture
def folders(tmp_path):
    """All; three draws of one MR patient; one of three; one of one CT patient; another recipe on all and on one MR."""
    other = ssc.mmwhs_v2()
    return [
        save(tmp_path / "all", {"ct": 14, "mr": 16}, (0.9, 0.8)),
        save(tmp_path / "mr_a", {"ct": 14, "mr": 1}, (0.8, 0.5)),
        save(tmp_path / "mr_b", {"ct": 14, "mr": 1}, (0.85, 0.4), seed=1),
        save(tmp_path / "mr_c", {"ct": 14, "mr": 1}, (0.75, 0.6), seed=2),
        save(tmp_path / "mr_3", {"ct": 14, "mr": 3}, (0.87, 0.7)),
        save(tmp_path / "ct_1", {"ct": 1, "mr": 16}, (0.3, 0.75)),
        save(tmp_path / "v2", {"ct": 14, "mr": 16}, (0.88, 0.7), other),
        save(tmp_path / "v2_mr", {"ct": 14, "mr": 1}, (0.8, 0.2), other),
    ]


def comparison_of(folders):
    methods = [Contender(one.name, (read_evaluation(one / "evaluation"),), (one,)) for one in folders]
    return compare(methods, ("dice",))


def test_a_run_of_an_earlier_version_is_a_point_of_its_recipes_curve(folders):
    file = folders[1] / "recipe.json"
    document = json.loads(file.read_text())
    del document["memory_format"]
    file.write_text(json.dumps(document))
    curve = next(
        each for each in few_shot_curves(comparison_of(folders)) if (each.method, each.scarce) == ("all", "mr")
    )
    assert [draw.patients for draw in curve.draws] == [1, 1, 1, 3, 16]


def test_runs_of_one_recipe_are_one_curve(folders):
    curves = {(one.method, one.scarce, one.measured): one for one in few_shot_curves(comparison_of(folders))}
    assert set(curves) == {
        ("all", "ct", "ct"),
        ("all", "ct", "mr"),
        ("all", "mr", "ct"),
        ("all", "mr", "mr"),
        ("v2", "mr", "ct"),
        ("v2", "mr", "mr"),
    }
    found = curves["all", "mr", "mr"]
    assert [(draw.patients, round(draw.value, 6)) for draw in found.draws] == [
        (1, 0.5),
        (1, 0.4),
        (1, 0.6),
        (3, 0.7),
        (16, 0.8),
    ]
    assert found.means == pytest.approx({1: 0.5, 3: 0.7, 16: 0.8})
    assert curves["all", "ct", "ct"].means == pytest.approx({1: 0.3, 14: 0.9})
    assert curves["v2", "mr", "ct"].means == pytest.approx({1: 0.8, 16: 0.88})


def test_without_few_shot_runs_there_is_no_curve(folders):
    assert few_shot_curves(comparison_of([folders[0], folders[6]])) == []
    assert few_shot_curves(comparison_of([folders[1], folders[7]])) == []
    (folders[1] / "recipe.json").unlink()
    assert few_shot_curves(comparison_of(folders[:2])) == []
    (folders[0] / "recipe.json").write_text("[]")
    with pytest.raises(InputError, match="expected a JSON object"):
        few_shot_curves(comparison_of(folders[:2]))


def test_every_draw_is_a_point_and_the_line_goes_through_means(folders):
    curves = few_shot_curves(comparison_of(folders))
    figure = draw_few_shot(curves)
    panels = {(axes.get_xlabel(), axes.get_title(loc="left")): axes for axes in figure.axes}
    axes = panels["training patients of mr", "scored on mr"]
    np.testing.assert_allclose(axes.lines[0].get_xydata(), [(1, 50), (3, 70), (16, 80)])
    points = np.asarray(axes.collections[0].get_offsets())
    np.testing.assert_allclose(points, [(1, 50), (1, 40), (1, 60), (3, 70), (16, 80)])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "3", "16"]
    assert len(panels["training patients of ct", "scored on ct"].lines) == 1
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["all", "v2"]
    assert "all on mr, patients of mr: 50.00 with 1, 70.00 with 3, 80.00 with 16" in few_shot_alt(curves)
    with pytest.raises(InputError, match="got none"):
        draw_few_shot([])


def test_grouped_runs_draw_the_same_curves(folders):
    methods = [read_runs(one.name, one.places) for one in group_runs([str(folder) for folder in folders])]
    assert [len(one.seeds) for one in methods] == [1, 3, 1, 1, 1, 1]
    grouped = few_shot_curves(compare(methods, ("dice",)))
    apart = few_shot_curves(comparison_of(folders))
    assert [(one.scarce, one.measured, one.means) for one in grouped] == [
        (one.scarce, one.measured, one.means) for one in apart
    ]


def test_files_have_every_draw_and_go_when_there_is_none(folders, tmp_path):
    out = tmp_path / "out"
    comparison = comparison_of(folders)
    write_comparison(comparison, out)
    rows = (out / "few_shot.csv").read_text().splitlines()
    assert rows[0] == "method,few_patients_of,training_patients,scored_on,score,mean,run,trained"
    assert len(rows) == 1 + 2 * (2 + 5 + 2)
    assert any(row.startswith("all,mr,3,mr,dice,0.7") for row in rows)
    picture = few_shot_picture(comparison)
    assert picture is not None
    (written,) = write_figures([], [], out / "figures", picture)
    assert written.read_text().startswith("<?xml")
    none = comparison_of([folders[0], folders[6]])
    write_comparison(none, out)
    assert not (out / "few_shot.csv").exists()
    assert few_shot_picture(none) is None
