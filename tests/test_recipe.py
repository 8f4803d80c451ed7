"""Recipes: what is written is read back equal; every wrong name or value is named."""

import json
from dataclasses import replace

import pytest

from unpaired.data.preprocess import Preprocessing
from unpaired.errors import InputError
from unpaired.networks.adapt import AdaptedConfig
from unpaired.recipe import Optimization, Recipe, build_method, dumps, from_json, override, to_json
from unpaired.recipes import all_recipes, find_recipe

NAME = "phantom/csa"


@pytest.mark.parametrize("name", sorted(all_recipes()))
def test_a_recipe_survives_json(name: str) -> None:
    recipe = find_recipe(name)
    assert from_json(json.loads(dumps(recipe))) == recipe


def test_fields_are_replaced_deep_inside() -> None:
    changed = override(
        find_recipe(NAME),
        ["network.width=8", "steps=7", "patch_size=[64, 80]", "optimization.learning_rate=1", 'modalities=["ct"]'],
    )
    expected = find_recipe(NAME)
    expected = replace(
        expected,
        network=replace(expected.network, width=8),
        steps=7,
        patch_size=(64, 80),
        optimization=replace(expected.optimization, learning_rate=1.0),
        modalities=("ct",),
        paper_row='CSA (network.width=8, optimization.learning_rate=1, modalities=["ct"])',
    )
    assert changed == expected


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("network.widht=8", "did you mean width"),
        ("network.width=wide", "FCNConfig.width: expected a whole number between 1 and 16384, got 'wide'"),
        ("steps=1.5", "Recipe.steps: expected a whole number of 1 or more, .* got 1.5"),
        ("steps=true", "expected a whole number .* got True"),
        ("steps", "FIELD=VALUE"),
        ("method.weight=-1", r"CSAConfig\.weight: expected a number of 0 or more, got -1"),
        ("method.dice_weight=-0.1", "dice_weight: expected a number of 0 or more"),
        ("optimization.decay=-3", "decay: expected a number of 0 or more"),
        ("optimization.weight_decay=-1", "weight_decay: expected a number of 0 or more"),
        ("optimization.warmup_steps=-1", "warmup_steps: expected a whole number of 0 or more"),
        ("optimization.momentum=1.5", "momentum: expected a number between 0 and 1"),
        ("optimization.gradient_clip=-1", "gradient_clip: expected a number above 0 or null, got -1"),
        ("augmentation.noise=2", r"Augmentation\.noise: expected a number between 0 and 1, got 2"),
        ("augmentation.elastic=-0.5", "elastic: expected a number between 0 and 1"),
        ("seed=-1", "seed: expected a whole number of 0 or more"),
        (
            "method.layer_pairs=[1,2]",
            r"layer_pairs\[0\]: expected \[text that isn't empty, text that isn't empty\], got 1",
        ),
        ("modalities=[ct, mr]", r"""keep the quotes .* from the shell: --set 'modalities=\["ct", "mr"\]'$"""),
        ("patch_size=[a,b]", r"got '\[a,b\]'$"),
        ("modalities=[1]", r"modalities\[0\]: expected text that isn't empty, got 1"),
        ('patch_size=["a",3]', r"patch_size\[0\]: expected a whole number .*, got 'a'"),
        (
            "network.pool_strides=[1,2,3]",
            r"pool_strides\[0\]: expected \[a whole number .*, \.\.\.\], 2 to 3 of them, got 1",
        ),
        ('augmentation.zoom=["x",1]', r"zoom\[0\]: expected a number above 0 and up to 10, got 'x'"),
        ("augmentation.zoom=[0.5,1,2]", r"zoom: expected \[a number .*, a number .*\], got \(0\.5, 1, 2\)"),
        ("preprocessing.size=[1,2]", r"expected \[depth, height, width\], each a whole number of 1 or more or null"),
        ("optimization.decay=NaN", "--set optimization.decay: expected finite numbers, got NaN"),
        ("optimization.decay=1e999", "--set optimization.decay: expected finite numbers, got 1e999"),
        ("steps.more=1", "plain value"),
        ("steps=0", "steps: expected a whole number of 1 or more"),
        ("network=3", "expected"),
        ("optimization.schedule=cosin", "did you mean cosine"),
        ("precision=fp8", "Recipe.precision: expected .*, got 'fp8'"),
        ("context_slices=2", "expected an odd number"),
        ("patch_size=[3]", "patch_size: expected .* 2 to 3 of them, got .3,."),
        ("foreground_share=2", "expected a number between 0 and 1, got 2"),
        ("window_overlap=0.81", r"window_overlap: expected a number between 0 and 0\.8, got 0\.81"),
        ("turned_degrees=[1,2,3,4,5]", r"turned_degrees: expected .*, 0 to 4 of them, got \(1, 2, 3, 4, 5\)"),
        ("postprocessing.smoothing_mm=31", "smoothing_mm: expected a number between 0 and 30, got 31"),
        ("unlabeled_batch_size=-1", "unlabeled_batch_size: expected a whole number of 0 or more, .* got -1"),
    ],
)
def test_a_wrong_override_is_one_clear_line(assignment: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        override(find_recipe(NAME), [assignment])
    assert "\n" not in str(caught.value)


def test_a_crop_around_the_reference_has_no_place_for_unlabeled_cases() -> None:
    leaking = override(find_recipe(NAME), ["preprocessing.roi=label"])
    with pytest.raises(InputError, match=r"which unlabeled cases lack; set preprocessing\.roi to body or center"):
        override(leaking, ["unlabeled_batch_size=1"])


def test_a_method_inside_a_method_is_stored_and_changed() -> None:
    recipe = override(
        find_recipe("semi_supervised/small_unet_csa_mean_teacher"),
        ["method.method.weight=0.3", "method.ramp.length=0.2", 'method.method.layer_pairs=[["encoder1","encoder2"]]'],
    )
    assert from_json(json.loads(dumps(recipe))) == recipe
    stored = to_json(recipe)["method"]
    assert stored["method"]["type"].endswith(":CSAConfig")
    assert (stored["method"]["weight"], stored["ramp"]["length"]) == (0.3, 0.2)
    with pytest.raises(
        InputError, match=r"method\.method\.wieght: CSAConfig has no field 'wieght'; did you mean weight"
    ):
        override(recipe, ["method.method.wieght=1"])
    with pytest.raises(InputError, match=r"MeanTeacherConfig\.method: expected a MethodConfig, got 3"):
        override(recipe, ["method.method=3"])


def test_a_stored_recipe_from_before_unlabeled_cases_is_read() -> None:
    recipe = find_recipe(NAME)
    document = to_json(recipe)
    del document["unlabeled_batch_size"]
    assert from_json(document) == recipe


def test_a_recipe_name_with_a_typo_suggests_the_near_one() -> None:
    with pytest.raises(InputError, match=r"did you mean .*phantom/csa"):
        find_recipe("phantom/cas")


def test_a_recipe_of_ones_own_file(tmp_path) -> None:
    file = tmp_path / "mine_for_test.py"
    file.write_text(
        "from dataclasses import replace\nfrom unpaired.recipe import Recipe\nfrom unpaired.recipes import phantom\n"
        "def quick() -> Recipe:\n    return replace(phantom.csa(), steps=3)\n"
    )
    assert find_recipe(f"{file}:quick").steps == 3
    with pytest.raises(InputError, match="did you mean quick"):
        find_recipe(f"{file}:quikc")
    with pytest.raises(InputError, match="no file"):
        find_recipe("nowhere.py:quick")
    with pytest.raises(InputError, match=f"holds recipes: name one of them, such as {file}:quick$"):
        find_recipe(str(file))
    file.write_text("def f(:\n")
    with pytest.raises(InputError, match="SyntaxError"):
        find_recipe(f"{file}:f")


def test_a_field_of_a_part_is_guessed_by_its_place() -> None:
    with pytest.raises(InputError, match=r"no field 'learning_rate'; did you mean optimization\.learning_rate\?$"):
        override(find_recipe(NAME), ["learning_rate=0.1"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"type": "os:system"}, "no config class"),
        ({"type": "no_such_module:X"}, "can't be imported"),
        ({"type": "unpaired.recipe:Nothing"}, "no config class"),
        ({"stepz": 3}, "no field 'stepz'"),
        ({"steps": -1}, "steps: expected a whole number of 1 or more"),
        ({"steps": "many"}, "recipe: Recipe.steps: expected a whole number .*, got 'many'"),
        ({"patch_size": [65536, 4]}, r"Recipe.patch_size\[0\]: expected a whole number between 1 and 16384, got 65536"),
        ({"method": None}, "Recipe.method: expected a MethodConfig, got None"),
        (
            {"network": {"type": "unpaired.recipe:Optimization"}},
            "Recipe.network: expected a NetworkConfig, got Optimization",
        ),
    ],
)
def test_a_stored_recipe_that_is_wrong_is_refused(change: dict, message: str) -> None:
    document = {**to_json(find_recipe(NAME)), **change}
    with pytest.raises(InputError, match=message):
        from_json(document)


def test_a_patch_that_the_network_cannot_take_is_refused() -> None:
    with pytest.raises(InputError, match="multiple"):
        build_method(replace(find_recipe(NAME), patch_size=(62, 64)), ("ct", "lge"), 4)


def test_building_is_seeded_and_leaves_the_random_state_alone() -> None:
    import torch

    recipe = override(find_recipe(NAME), ["network.width=2"])
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    first = build_method(recipe, ("ct", "lge"), 4).network.state_dict()
    assert torch.equal(torch.rand(2), expected)
    second = build_method(recipe, ("ct", "lge"), 4).network.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = build_method(replace(recipe, seed=1), ("ct", "lge"), 4).network.state_dict()
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_recipes_are_frozen() -> None:
    with pytest.raises(AttributeError):
        find_recipe(NAME).steps = 3  # type: ignore[misc]
    assert isinstance(find_recipe(NAME), Recipe)
    assert Optimization() == Optimization(learning_rate=1e-4)


def test_fields_that_need_each_other_are_set_together() -> None:
    changes = ["preprocessing.roi=center", "preprocessing.size=[null, 96, 96]"]
    boxless = replace(find_recipe(NAME), preprocessing=Preprocessing())
    for one in changes:
        with pytest.raises(InputError, match=r"roi|size"):
            override(boxless, [one])
    for order in (changes, changes[::-1]):
        assert override(boxless, order).preprocessing == Preprocessing(roi="center", size=(None, 96, 96))


def test_a_value_may_be_a_dictionary() -> None:
    recipe = replace(find_recipe(NAME), network=AdaptedConfig("monai.networks.nets:UNet", ("model.0",), {"a": 1}))
    changed = override(recipe, ['network.arguments={"norm": "batch"}', "network.modality_norm=false", "steps=3"])
    assert changed.network == AdaptedConfig(
        "monai.networks.nets:UNet", ("model.0",), {"norm": "batch"}, modality_norm=False
    )


# ---- rows of papers


@pytest.mark.parametrize(
    "budget",
    [
        "steps=500",
        "seed=3",
        "batch_size=2",
        "accumulate=4",
        "patch_size=[96,96]",
        "window_overlap=0.25",
        "validate_every=100",
        "save_every=100",
        "precision=16-mixed",
        "init_from=runs/first",
        "optimization.warmup_steps=5",
        "optimization.decay_every=500",
    ],
)
def test_another_budget_keeps_the_row_of_the_paper(budget: str) -> None:
    assert override(find_recipe("class_specific_affinity/mscmrseg_csa"), [budget]).paper_row == "CSA"


@pytest.mark.parametrize(
    "change",
    [
        "method.weight=0.5",
        "network.width=8",
        "network.modality_norm=false",
        'modalities=["lge"]',
        "preprocessing.normalization=zscore",
        "augmentation.gamma=0.3",
        "optimization.learning_rate=0.001",
        "foreground_share=0.3",
        "context_slices=3",
        "unlabeled_batch_size=4",
    ],
)
def test_any_other_change_is_named_behind_the_row(change: str) -> None:
    changed = override(find_recipe("class_specific_affinity/mscmrseg_csa"), ["steps=500", f" {change}"])
    assert changed.paper_row == f"CSA ({change})"


def test_a_row_names_all_that_was_changed_and_nothing_that_was_not() -> None:
    csa = find_recipe("class_specific_affinity/mscmrseg_csa_literal")
    assert override(csa, ["method.weight=0.1", "network.width=16"]).paper_row == "CSA (literal)"  # they are that
    twice = override(override(csa, ["network.width=8"]), ["method.weight=0.5"])
    assert twice.paper_row == "CSA (literal, network.width=8, method.weight=0.5)"


def test_a_person_may_say_the_row() -> None:
    csa = find_recipe("class_specific_affinity/mscmrseg_csa")
    assert override(csa, ["network.width=8", "paper_row=CSA (narrow)"]).paper_row == "CSA (narrow)"
    assert override(csa, ["network.width=8", "paper_row=null"]).paper_row is None
    assert override(find_recipe("your_data/csa_2d"), ["network.width=8"]).paper_row is None


def test_weights_of_a_file_of_yours_keep_the_row() -> None:
    ssc = find_recipe("structured_consistency/mmwhs_v3_cr")
    assert override(ssc, ["network.pretrained=swin.pth"]).paper_row == "V3 + CR"
