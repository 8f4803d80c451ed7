"""Every recipe that comes with unpaired, shrunk until a test can pay for it: it trains and its network segments."""

import functools
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unpaired.data.batch import Batch
from unpaired.data.dataset import Dataset
from unpaired.data.fewer_labels import labeled_fraction
from unpaired.data.images import read_image
from unpaired.data.preprocess import Preprocessing
from unpaired.inference.predictor import Predictor
from unpaired.networks.network import NetworkConfig
from unpaired.networks.nnformer import NNFormerConfig
from unpaired.networks.sam_med3d import SAMMed3DConfig
from unpaired.recipe import Recipe, build_method
from unpaired.recipes import all_recipes
from unpaired.training.loop import Hardware, train

pytestmark = pytest.mark.usefixtures("probed_once", "shallow_fcn")
SIDE = {2: 32, 3: 16}
"""Pixels of a patch by spatial axes."""
ALL = all_recipes()
RECIPES = sorted(ALL)
MODALITIES = ("ct", "lge")
"""Two are enough to be consistent with each other; `test_methods_on_networks.py` has three."""


@pytest.fixture(scope="module")
def phantom(thin_phantom: Dataset) -> Dataset:
    return thin_phantom


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared volumes, shared by all recipes that prepare alike."""
    return tmp_path_factory.mktemp("cache")


def narrow(config: Any) -> int:
    """Channels to shrink a network to: half of nnFormer's first ones must be more than one (layer norm loses it)."""
    return 4 if isinstance(config, NNFormerConfig) else 2


def narrowed(config: Any) -> Any:
    """The config with every `width` in it, however deep, set to a few, one block and one head for several; the rest
    (dropout, norms, strides) is kept. Nothing is frozen: there is no checkpoint."""
    changes = {}
    if isinstance(config, SAMMed3DConfig):
        few = {"depth": 2, "heads": 1, "patch": 4, "size": 16, "window": 2, "global_blocks": (1,), "neck": 4}
        changes = few | {"adapter": config.adapter and 2, "frozen": False}
        return replace(config, width=narrow(config), **changes)
    for part in fields(config):
        value = getattr(config, part.name)
        if part.name == "width":
            changes[part.name] = narrow(config)
        elif part.name in ("blocks", "depths", "heads") and value:
            changes[part.name] = (1,) * len(value)
        elif part.name == "resize_to" and value:
            changes[part.name] = (SIDE[2],) * len(value)
        elif is_dataclass(value):
            changes[part.name] = narrowed(value)
    return replace(config, **changes)


def fitted(preprocessing: Preprocessing) -> Preprocessing:
    """The same steps at a size that the phantom's 48x48 pixels can pay: boxes of at most one patch, coarse voxels."""
    size = preprocessing.size and tuple(length and min(length, SIDE[2]) for length in preprocessing.size)
    spacing = preprocessing.spacing_mm and tuple(step and max(step, 6.0) for step in preprocessing.spacing_mm)
    return replace(preprocessing, size=size, spacing_mm=spacing)


@functools.cache
def size_multiples(network: NetworkConfig, channels: int, spatial_dims: int) -> tuple[int, ...]:
    return tuple(network.build(["any"], channels, 2, spatial_dims).size_multiples)


def shrunk(recipe: Recipe) -> Recipe:
    network = narrowed(recipe.network)
    multiples = size_multiples(network, recipe.channels, recipe.spatial_dims)
    patch = [
        max(multiple, min(size, SIDE[recipe.spatial_dims]) // multiple * multiple)
        for size, multiple in zip(recipe.patch_size, multiples, strict=True)
    ]
    if tuple(patch) == multiples:
        patch[-1] *= 2  # an instance norm needs two voxels at the bottom of the network
    return replace(
        recipe,
        network=network,
        preprocessing=fitted(recipe.preprocessing),
        patch_size=tuple(patch),
        batch_size=1,
        unlabeled_batch_size=min(recipe.unlabeled_batch_size, 1),
        steps=1,
        modalities=MODALITIES,
        window_overlap=0.0,
        init_from=None,
        begin_as=None,
        trained="all",
    )


def widths(config: Any) -> list[int]:
    found = []
    for part in fields(config):
        value = getattr(config, part.name)
        found += [value] if part.name == "width" else widths(value) if is_dataclass(value) else []
    return found


def types(config: Any) -> tuple[str, ...]:
    """The classes of a config and of the configs in it."""
    inner = [getattr(config, part.name) for part in fields(config)]
    return (type(config).__name__, *(name for value in inner if is_dataclass(value) for name in types(value)))


def road(recipe: Recipe) -> tuple[Any, ...]:
    """Recipes alike in this are prepared, sampled and predicted with alike; a loss or the optimizer differs."""
    return types(recipe.network), fitted(recipe.preprocessing), recipe.spatial_dims, recipe.context_slices


WHOLE = sorted({road(ALL[name]()): name for name in reversed(RECIPES)}.values())
"""The first recipe of each kind goes the whole road; the others, such as a paper's other rows, take one step."""


@pytest.mark.parametrize("name", WHOLE)
def test_it_trains_and_segments(name: str, phantom: Dataset, cache: Path, tmp_path: Path) -> None:
    whole = ALL[name]()
    recipe = shrunk(whole)
    assert max(widths(recipe.network)) <= 4, "the shrinking has to reach every width, or this test gets slow"
    assert type(recipe.method) is type(whole.method)
    assert recipe.spatial_dims == whole.spatial_dims
    dataset = labeled_fraction(phantom, 0.5).apply(phantom) if recipe.unlabeled_batch_size else phantom
    run = train(recipe, dataset, tmp_path / "run", hardware=Hardware(device="cpu", workers=0), cache=cache, show=False)
    loss = [float(row["loss"]) for row in run.rows("log")]
    assert loss
    assert np.isfinite(loss).all()
    case = phantom.of("lge", "test")[0]
    image = read_image(case.image)
    predictor = Predictor(run, "last", "cpu")
    probabilities, _ = predictor.probabilities(image, "lge")
    assert probabilities.shape[0] == len(phantom.classes)
    assert probabilities.min() >= 0
    np.testing.assert_allclose(probabilities.sum(0), 1, atol=1e-5)
    assert predictor.segment(image, "lge").shape == image.array.shape


@pytest.mark.parametrize("name", [name for name in RECIPES if name not in WHOLE])
def test_its_objective_trains_every_modality(name: str) -> None:
    """What is left to try of a recipe that goes another's road."""
    recipe = shrunk(ALL[name]())
    assert max(widths(recipe.network)) <= 4, "the shrinking has to reach every width, or this test gets slow"
    method = build_method(recipe, MODALITIES, 4)
    generator = torch.Generator().manual_seed(0)
    images = 2 if getattr(recipe.method, "estimate", "plain") == "cross_fitted" else 1  # two halves of a batch
    batches = {
        modality: Batch(
            torch.randn(images, recipe.channels, *recipe.patch_size, generator=generator),
            torch.randint(0, 4, (images, *recipe.patch_size), generator=generator),
            torch.eye(4, dtype=torch.bool),
            torch.randn(images, recipe.channels, *recipe.patch_size, generator=generator)
            if recipe.unlabeled_batch_size
            else None,
        )
        for modality in MODALITIES
    }
    loss, terms = method(batches, 0.5)
    loss.backward()
    assert all(bool(torch.isfinite(value.detach())) for value in (loss, *terms.values()))
    for modality in MODALITIES:
        own = [p.grad for key, p in method.network.named_parameters() if f"by_modality.{modality}." in key]
        assert not own or any(grad is not None and grad.abs().max() > 0 for grad in own)


@pytest.mark.parametrize("name", RECIPES)
def test_it_says_what_it_is_in_one_line(name: str) -> None:
    lines = (ALL[name].__doc__ or "").strip().splitlines()
    assert lines, f"{name} needs a docstring: `unpaired recipes` prints its first line"
    assert len(lines[0]) > 10
    assert lines[0].endswith((".", ":", "`")), f"the first line of {name} stands alone in `unpaired recipes`"


def test_recipes_differ() -> None:
    """Two names for one recipe would be a row of a table that is compared with itself."""
    seen: dict[Recipe, str] = {}
    for name, function in ALL.items():
        recipe = function()
        assert recipe not in seen, f"{name} is the same as {seen[recipe]}"
        seen[recipe] = name


def test_recipes_draw_no_randomness_while_they_are_made() -> None:
    made: Mapping[str, Recipe] = {name: function() for name, function in ALL.items()}
    before = torch.get_rng_state()
    assert made == {name: function() for name, function in ALL.items()}
    assert torch.equal(torch.get_rng_state(), before)
