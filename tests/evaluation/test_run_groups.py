"""Which runs are one method, and which row of a paper a recipe is: from recipes as run folders hold them."""

import json

import pytest

from unpaired.errors import InputError
from unpaired.evaluation.recipe_rows import recipe_row
from unpaired.evaluation.run_groups import RunGroup, group_runs
from unpaired.recipe import to_json
from unpaired.recipes import class_specific_affinity as csa


def save(folder, recipe, split=("p1",), **fields):
    folder.mkdir(parents=True)
    document = to_json(recipe) | fields
    (folder / "recipe.json").write_text(json.dumps(document))
    (folder / "split.json").write_text(json.dumps({"test": list(split)}))
    return str(folder)


def row(recipe):
    return recipe_row(recipe, "csa-table-1")


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


# ---- groups


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
