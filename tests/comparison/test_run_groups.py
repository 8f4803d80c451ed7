"""Which runs are one method, and which row of a paper a recipe is: from recipes as run folders hold them."""

import json
from pathlib import Path

import pytest

from unpaired.comparison.papers.recipe_rows import recipe_row
from unpaired.comparison.papers.tables import paper_table
from unpaired.comparison.run_groups import RunGroup, group_runs, read_trained_run
from unpaired.errors import InputError
from unpaired.recipe import from_json, override, to_json
from unpaired.recipes import class_specific_affinity as csa
from unpaired.recipes import structured_consistency as ssc
from unpaired.recipes import your_data


def save(folder, recipe, split=("p1",), training=None, **fields):
    """A run folder; `training` has the number of patients of each modality that it was trained on."""
    folder.mkdir(parents=True)
    cases = [
        {"id": f"{m}{k}{suffix}", "patient": f"{m}{k}", "modality": m, "label": "x.nii.gz"}
        for m, count in (training or {}).items()
        for k in range(count)
        for suffix in ("", "b")  # two scans of each patient
    ]
    cases += [{"id": "unlabeled", "patient": "u", "modality": "mr", "label": None}]
    (folder / "dataset.json").write_text(json.dumps({"cases": cases}))
    document = to_json(recipe) | fields
    (folder / "recipe.json").write_text(json.dumps(document))
    (folder / "split.json").write_text(json.dumps({"test": list(split), "train": [case["id"] for case in cases]}))
    return str(folder)


def row(recipe, training=None, table="csa-table-1"):
    return recipe_row(recipe, paper_table(table), training)


def ssc_row(recipe, training=None):
    return row(recipe, training, "ssc-few-shot")


# ---- rows


@pytest.mark.parametrize(
    ("recipe", "table", "expected"),
    [
        (csa.mscmrseg_csa(), "csa-table-1", "CSA"),
        (csa.mmwhs_single(), "csa-tables-2-3", "Single"),
        (csa.small_msbn(), "csa-table-1", "MSBN"),
        (csa.mscmrseg_csa_literal(), "csa-table-1", "CSA (literal)"),
        (override(csa.small_csa(), ["network.width=8"]), "csa-table-1", "CSA (network.width=8)"),
        (ssc.abdomen_v3_mod(), "ssc-abdomen", "V3 + modality"),
        (ssc.abdomen_v3_mod(), "ssc-cardiac", None),  # which has no such row
        (csa.mmwhs_ummkd(), "ssc-cardiac", "UMMKD"),
        (csa.mmwhs_single(), "ssc-cardiac", None),
        (ssc.mmwhs_baseline(), "csa-tables-2-3", None),
        (your_data.csa_2d(), "csa-table-1", None),
    ],
)
def test_a_run_is_the_row_that_its_recipe_states(recipe, table, expected):
    assert row(json.loads(json.dumps(to_json(recipe))), table=table) == expected


@pytest.mark.parametrize("stated", [None, 3, "", "(literal)", "Mine", ["CSA"]])
def test_a_recipe_that_states_no_row_of_the_table_is_none(stated):
    assert row(to_json(csa.small_csa()) | {"paper_row": stated}) is None


def test_a_recipe_from_before_rows_were_stated_is_none():
    recipe = to_json(csa.small_csa())
    del recipe["paper_row"]
    assert row(recipe) is None
    assert from_json(recipe).paper_row is None


@pytest.mark.parametrize(
    ("recipe", "training", "expected"),
    [
        ("mmwhs_v3_cr", {"ct": 14, "mr": 1}, "1 MR"),
        ("mmwhs_v3_cr", {"ct": 14, "mri": 3}, "3 MR"),
        ("mmwhs_v3_cr", {"ct": 1, "mr": 14}, "1 CT"),
        ("mmwhs_v3_cr", {"ct": 14, "mr": 2}, None),
        ("mmwhs_v3_cr", {"ct": 1, "mr": 1}, None),
        ("mmwhs_v3_cr_literal", {"ct": 14, "mr": 1}, "1 MR (literal)"),
        ("mmwhs_baseline", {"ct": 14, "mr": 1}, None),
        ("mmwhs_v3_cr", {"ct": 14, "mr": 14}, "V3 + CR"),
        ("mmwhs_v3_cr", {"mr": 1}, "V3 + CR"),
        ("mmwhs_v3_cr", {}, "V3 + CR"),
    ],
)
def test_few_shot_rows_follow_from_what_was_trained_on(recipe, training, expected):
    assert ssc_row(to_json(getattr(ssc, recipe)()), training) == expected


def test_few_training_patients_say_nothing_in_a_paper_without_few_shot_rows():
    assert row(to_json(csa.small_csa()), {"lge": 14, "bssfp": 1}) == "CSA"


# ---- groups


def test_few_shot_runs_are_not_repetitions_of_the_whole(tmp_path):
    recipe = ssc.mmwhs_v3_cr()
    whole = [save(tmp_path / f"all{k}", recipe, seed=k, training={"ct": 8, "mr": 8 - k}) for k in range(2)]
    few = [save(tmp_path / f"one{k}", recipe, (str(k),), {"ct": 8, "mr": 1}) for k in range(2)]
    two = save(tmp_path / "two", recipe, training={"ct": 8, "mr": 2})
    groups = [(group.name, len(group.places)) for group in group_runs([*whole, *few, two], ssc_row)]
    assert groups == [("V3 + CR", 2), ("1 MR", 2), ("two", 1)]
    names = [group.name for group in group_runs([*whole, *few], lambda recipe, training: "same")]
    assert names == ["same", "same (8 ct patients, 1 mr patient)"]


def test_simulated_scans_are_no_training_patients(tmp_path):
    recipe = ssc.mmwhs_v3_cr()
    run = Path(save(tmp_path / "run", recipe, training={"ct": 8, "mr": 8}))
    document = json.loads((run / "dataset.json").read_text())

    def trained_with(simulated):
        cases = [case | {"simulated": case["id"].startswith(simulated)} for case in document["cases"]]
        (run / "dataset.json").write_text(json.dumps({"cases": cases}))
        return read_trained_run(run).training

    assert trained_with(("mr1", "mr2", "mr3", "mr4", "mr5", "mr6", "mr7")) == {"ct": 8, "mr": 1}
    assert trained_with(("ct", "mr", "unlabeled")) == {"ct": 8, "mr": 8}, "a phantom's patients, where all are"


def test_seeds_and_splits_of_one_recipe_are_one_method(tmp_path):
    a = [save(tmp_path / f"x{k}", csa.small_csa(), seed=k) for k in range(2)]
    a += [save(tmp_path / "x2", csa.small_csa(), split=("p2",))]
    b = save(tmp_path / "CSA_really", csa.small_joint())
    groups = group_runs([a[0], b, a[1], a[2]], row)
    assert [(group.name, [str(place) for place in group.places]) for group in groups] == [("CSA", a), ("Joint", [b])]


def test_without_a_paper_methods_are_called_as_their_first_folder(tmp_path):
    runs = [save(tmp_path / f"x{k}", csa.small_csa(), seed=k) for k in range(2)]
    assert [group.name for group in group_runs(runs)] == ["x0"]


def test_a_run_that_states_its_row_repeats_one_from_before_rows_were_stated(tmp_path):
    new = save(tmp_path / "new", csa.small_csa(), seed=1)
    old = save(tmp_path / "old", csa.small_csa())
    document = json.loads((tmp_path / "old" / "recipe.json").read_text())
    del document["paper_row"]
    (tmp_path / "old" / "recipe.json").write_text(json.dumps(document))
    assert [(group.name, len(group.places)) for group in group_runs([new, old], row)] == [("CSA", 2)]


def test_other_recipes_of_one_row_stay_apart_and_say_why(tmp_path):
    literal = csa.mscmrseg_csa_literal()
    runs = [
        save(tmp_path / "a", csa.mscmrseg_csa()),
        save(tmp_path / "b", literal),
        save(tmp_path / "c", csa.small_csa()),
    ]
    first, second, third = (group.name for group in group_runs(runs, row))
    assert first == "CSA"
    assert second == "CSA (literal)"
    assert third.startswith("CSA (network.width=4, network.dropout=0.0, ")
    assert third.endswith(" more)")


def written_by_an_earlier_version(run):
    """The recipe as a version wrote it that had fewer fields and the post-processing in another room."""
    file = Path(run) / "recipe.json"
    document = json.loads(file.read_text())
    for name in ("memory_format", "trained", "rare_classes"):
        del document[name]
    document["postprocessing"]["type"] = "unpaired.inference.postprocess:Postprocessing"
    file.write_text(json.dumps(document))


def test_seeds_that_two_versions_of_the_package_trained_are_one_method(tmp_path):
    """A field that was added, a class that moved."""
    runs = [save(tmp_path / f"x{k}", csa.small_csa(), seed=k) for k in range(2)]
    written_by_an_earlier_version(runs[1])
    for order in (runs, runs[::-1]):
        assert [(group.name, len(group.places)) for group in group_runs(order)] == [(Path(order[0]).name, 2)]


def test_a_recipe_of_an_earlier_version_differs_in_what_is_another_thing_alone(tmp_path):
    runs = [save(tmp_path / "a" / "x", csa.small_csa(), seed=1), save(tmp_path / "b" / "x", csa.small_csa(), steps=7)]
    written_by_an_earlier_version(runs[1])
    assert [group.name for group in group_runs(runs)] == ["x", "x (steps=7)"]


def test_names_given_by_hand_stay_whatever_the_recipe(tmp_path):
    a, b = (save(tmp_path / f"x{k}", csa.small_csa(), seed=k) for k in range(2))
    groups = group_runs([f"mine={a},{b}", b], row)
    assert [group.name for group in groups] == ["mine", "CSA"]
    assert [len(group.places) for group in groups] == [2, 1]


def test_a_folder_without_a_recipe_is_a_method_of_its_own(tmp_path):
    (tmp_path / "theirs").mkdir()
    assert group_runs([str(tmp_path / "theirs")], row) == [RunGroup("theirs", (tmp_path / "theirs",))]


def test_the_same_run_twice_is_no_repetition(tmp_path):
    a, b = (save(tmp_path / name, csa.small_csa()) for name in "ab")
    with pytest.raises(InputError, match="are one recipe with one seed and split, which is no repetition"):
        group_runs([a, b], row)


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", "expected JSON"), ("[]", r"recipe\.json: expected a JSON object, got \[\]; restore the file")],
)
def test_a_damaged_recipe_is_said(tmp_path, text, words):
    (tmp_path / "recipe.json").write_text(text)
    with pytest.raises(InputError, match=words):
        group_runs([str(tmp_path)], row)
