"""Which runs are one method, and which row of a paper a recipe is: from recipes as run folders hold them."""

import json

import pytest

from unpaired.comparison.papers.recipe_rows import recipe_row
from unpaired.comparison.papers.tables import paper_table
from unpaired.comparison.run_groups import RunGroup, group_runs
from unpaired.errors import InputError
from unpaired.recipe import to_json
from unpaired.recipes import class_specific_affinity as csa
from unpaired.recipes import structured_consistency as ssc


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
    (folder / "split.json").write_text(json.dumps({"test": list(split), "train": [one["id"] for one in cases]}))
    return str(folder)


def row(recipe, training=None):
    return recipe_row(recipe, "csa-table-1", training)


def ssc_row(recipe, training=None):
    return recipe_row(recipe, "ssc-cardiac", training)


# ---- rows


@pytest.mark.parametrize("data", ["mscmrseg", "mmwhs", "small"])
@pytest.mark.parametrize("name", ["Single", "UMMKD", "Joint", "MSBN", "Affinity", "CSA"])
def test_every_recipe_of_the_paper_is_its_row(data, name):
    recipe = getattr(csa, f"{data}_{name.lower()}")()
    assert row(json.loads(json.dumps(to_json(recipe)))) == name


@pytest.mark.parametrize(
    "change",
    [
        {"method": {"type": "unpaired.methods.mine:MyConfig"}},
        {"network": {"type": "mine:NetConfig"}},
        {"network": None},
        {"method": None, "network": None},
    ],
)
def test_a_recipe_that_is_no_row(change):
    assert row(to_json(csa.small_msbn()) | change) is None


def test_csa_with_shared_norms_is_not_the_paper_s_row():
    recipe = to_json(csa.small_csa())
    recipe["network"]["modality_norm"] = False
    assert row(recipe) is None


SSC_ROWS = {
    "backbone": "Backbone",
    "baseline": "Baseline",
    "v1": "V1",
    "v2": "V2",
    "v3": "V3",
    "v1_cr": "V1 + CR",
    "v2_cr": "V2 + CR",
    "v3_cr": "V3 + CR",
    "v3_mod": "V3 + modality",
    "v3_img": "V3 + image",
}


@pytest.mark.parametrize("data", ["mmwhs", "abdomen"])
@pytest.mark.parametrize("name", SSC_ROWS)
def test_every_recipe_of_the_other_paper_is_its_row(data, name):
    recipe = getattr(ssc, f"{data}_{name}")()
    assert ssc_row(to_json(recipe), {"ct": 16, "mr": 16}) == SSC_ROWS[name]
    assert SSC_ROWS[name] in (*paper_table("ssc-cardiac").rows, *paper_table("ssc-abdomen").rows)


@pytest.mark.parametrize(
    ("recipe", "training", "expected"),
    [
        ("mmwhs_v3_cr", {"ct": 14, "mr": 1}, "1 MR"),
        ("mmwhs_v3_cr", {"ct": 14, "mri": 3}, "3 MR"),
        ("mmwhs_v3_cr", {"ct": 1, "mr": 14}, "1 CT"),
        ("mmwhs_v3_cr", {"ct": 14, "mr": 2}, None),
        ("mmwhs_v3_cr", {"ct": 1, "mr": 1}, None),
        ("mmwhs_v3", {"ct": 14, "mr": 1}, None),
        ("mmwhs_v3_cr", {"mr": 1}, "V3 + CR"),
        ("mmwhs_v3_cr", {}, "V3 + CR"),
        ("mmwhs_baseline", {"ct": 14, "mr": 1}, "Baseline"),
    ],
)
def test_few_shot_rows_follow_from_what_was_trained_on(recipe, training, expected):
    assert ssc_row(to_json(getattr(ssc, recipe)()), training) == expected


def test_recipes_that_ssc_has_no_row_for():
    v1 = to_json(ssc.mmwhs_v1())
    v1["method"]["image_weight"] = 1.0
    assert ssc_row(v1) is None
    assert ssc_row(to_json(csa.small_csa())) is None
    assert ssc_row(to_json(csa.small_joint())) is None
    assert ssc_row(to_json(csa.small_ummkd())) == "UMMKD"


# ---- groups


def test_few_shot_runs_are_not_repetitions_of_the_whole(tmp_path):
    recipe = ssc.mmwhs_v3_cr()
    whole = [save(tmp_path / f"all{k}", recipe, seed=k, training={"ct": 8, "mr": 8 - k}) for k in range(2)]
    one = [save(tmp_path / f"one{k}", recipe, (str(k),), {"ct": 8, "mr": 1}) for k in range(2)]
    two = save(tmp_path / "two", recipe, training={"ct": 8, "mr": 2})
    found = [(group.name, len(group.places)) for group in group_runs([*whole, *one, two], ssc_row)]
    assert found == [("V3 + CR", 2), ("1 MR", 2), ("two", 1)]
    found = [group.name for group in group_runs([*whole, *one], lambda recipe, training: "same")]
    assert found == ["same", "same (8 ct patients, 1 mr patients)"]


def test_seeds_and_splits_of_one_recipe_are_one_method(tmp_path):
    a = [save(tmp_path / f"x{k}", csa.small_csa(), seed=k) for k in range(2)]
    a += [save(tmp_path / "x2", csa.small_csa(), split=("p2",))]
    b = save(tmp_path / "CSA_really", csa.small_joint())
    found = group_runs([a[0], b, a[1], a[2]], row)
    assert [(one.name, [str(place) for place in one.places]) for one in found] == [("CSA", a), ("Joint", [b])]


def test_without_a_paper_methods_are_called_as_their_first_folder(tmp_path):
    runs = [save(tmp_path / f"x{k}", csa.small_csa(), seed=k) for k in range(2)]
    assert [one.name for one in group_runs(runs)] == ["x0"]


def test_other_recipes_of_one_row_stay_apart_and_say_why(tmp_path):
    literal = csa.mscmrseg_csa_literal()
    runs = [
        save(tmp_path / "a", csa.mscmrseg_csa()),
        save(tmp_path / "b", literal),
        save(tmp_path / "c", csa.small_csa()),
    ]
    first, second, third = (one.name for one in group_runs(runs, row))
    assert first == "CSA"
    assert second == "CSA (method.consistency=literal, method.roi_size=pixels)"
    assert third.startswith("CSA (network.width=4, network.dropout=0.0, ")
    assert third.endswith(" more)")


def test_names_given_by_hand_stay_whatever_the_recipe(tmp_path):
    a, b = (save(tmp_path / f"x{k}", csa.small_csa(), seed=k) for k in range(2))
    found = group_runs([f"mine={a},{b}", b], row)
    assert [one.name for one in found] == ["mine", "CSA"]
    assert [len(one.places) for one in found] == [2, 1]


def test_a_folder_without_a_recipe_is_a_method_of_its_own(tmp_path):
    (tmp_path / "theirs").mkdir()
    assert group_runs([str(tmp_path / "theirs")], row) == [RunGroup("theirs", (tmp_path / "theirs",))]


def test_the_same_run_twice_is_no_repetition(tmp_path):
    a, b = (save(tmp_path / name, csa.small_csa()) for name in "ab")
    with pytest.raises(InputError, match="are one recipe with one seed and split, which is no repetition"):
        group_runs([a, b], row)


@pytest.mark.parametrize(("text", "words"), [("{", "expected JSON"), ("[]", "holds no recipe")])
def test_a_damaged_recipe_is_said(tmp_path, text, words):
    (tmp_path / "recipe.json").write_text(text)
    with pytest.raises(InputError, match=words):
        group_runs([str(tmp_path)], row)
