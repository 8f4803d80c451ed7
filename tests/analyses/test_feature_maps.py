"""Feature maps over whole cases: one window is the network's own output, many own a voxel once, parts make a whole."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from unpaired.analyses.cases import read_labeled_case
from unpaired.analyses.feature_maps import feature_windows, require_layers, slice_maps
from unpaired.analyses.localization.computation import layer_cells
from unpaired.analyses.localization.scores import average_precision, localize
from unpaired.data.case import Case, Geometry
from unpaired.data.dataset import Dataset
from unpaired.data.prepare import prepare
from unpaired.errors import InputError
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.fcn import FCNConfig
from unpaired.networks.network import Network, NetworkOutput
from unpaired.recipe import Recipe, build_method

CLASSES = 3
RECIPE = Recipe(FCNConfig(width=2, dropout=0.0, initialization="he"), SupervisedConfig(), (16, 16), steps=1)


class Blocks(Network):
    """Feature "same" is twice the image, "coarse" the mean of each block of two voxels, with its sign turned."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.modalities, self.feature_names, self.size_multiples = ("ct",), ("same", "coarse"), (2,) * dims
        self.pool = {2: nn.AvgPool2d, 3: nn.AvgPool3d}[dims](2)
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, images: dict[str, Tensor]) -> dict[str, NetworkOutput]:
        x = images["ct"]
        return {"ct": NetworkOutput(x, {"same": torch.cat([2 * x, x.square()], 1), "coarse": -self.pool(x)})}


def case_of(shape: tuple[int, int, int], unsure: bool = False) -> Case:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES + unsure, shape).astype(np.uint8)
    box = tuple((0, size) for size in shape)
    geometry = Geometry(shape, tuple(map(tuple, np.eye(4).tolist())), (0, 1, 2), (False,) * 3, box, shape)
    return Case("a", "p", "ct", rng.standard_normal(shape).astype(np.float32), labels, geometry)


def recipe_of(patch: tuple[int, ...], overlap: float = 0.5) -> Recipe:
    return replace(RECIPE, patch_size=patch, window_overlap=overlap)


@pytest.mark.parametrize(("patch", "shape"), [((8, 8), (3, 13, 21)), ((8, 8), (2, 5, 30)), ((4, 6, 4), (9, 7, 11))])
@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.75])
def test_every_voxel_belongs_to_one_window_in_which_it_lies(patch, shape, overlap):
    case, owners = case_of(shape), np.zeros(shape, int)
    for window in feature_windows(Blocks(len(patch)), recipe_of(patch, overlap), case.volume, "ct", ["same"]):
        owners[window.owned] += 1
        for own, start, size in zip(window.owned, window.start, window.size, strict=True):
            assert start <= own.start < own.stop <= start + size
        inside = tuple(slice(o.start - s, o.stop - s) for o, s in zip(window.owned, window.start, strict=True))
        assert np.allclose(window.features["same"][0][inside], 2 * case.volume[window.owned])
    assert (owners == 1).all()


@pytest.mark.parametrize(("patch", "shape"), [((8, 8), (3, 13, 21)), ((4, 6, 4), (9, 7, 11))])
def test_cells_of_many_windows_are_the_voxels_of_the_case(patch, shape):
    case = case_of(shape, unsure=True)
    certain = case.label_map < CLASSES
    ((name, parts), _) = layer_cells(Blocks(len(patch)), recipe_of(patch), case, ["same", "coarse"], CLASSES)
    (cells,) = parts
    assert name == "same"
    assert cells.voxels.sum() == certain.sum()
    assert cells.positives.sum(axis=1).tolist() == [(case.label_map == c).sum() for c in range(CLASSES)]
    found = localize([cells], "a", "p", "ct", "same")
    for c in range(CLASSES):
        for channel, saliency in enumerate((np.abs(2 * case.volume), case.volume**2)):
            expected = average_precision(saliency[certain], case.label_map[certain] == c)
            assert found.channels[channel, c] == pytest.approx(expected, abs=1e-9)


def test_a_coarse_map_is_repeated_to_the_images_grid():
    case = case_of((2, 8, 8))
    ((_, parts),) = layer_cells(Blocks(2), recipe_of((8, 8)), case, ["coarse"], CLASSES)
    coarse = case.volume.reshape(2, 4, 2, 4, 2).mean(axis=(2, 4))
    fine = np.abs(coarse).repeat(2, axis=1).repeat(2, axis=2)
    found = localize(parts, "a", "p", "ct", "coarse")
    expected = [average_precision(fine, case.label_map == c) for c in range(CLASSES)]
    assert found.channels[0] == pytest.approx(expected, abs=1e-9)
    maps = slice_maps(Blocks(2), recipe_of((8, 8)), case, "coarse", 1, [0])
    assert np.allclose(maps.mean, fine[1])
    assert np.allclose(maps.channels, fine[1:2])


@pytest.mark.parametrize(("patch", "shape"), [((8, 8), (3, 13, 21)), ((4, 6, 4), (9, 7, 11))])
def test_a_slice_across_windows_is_the_cases_own(patch, shape):
    case = case_of(shape)
    for depth in range(shape[0]):
        maps = slice_maps(Blocks(len(patch)), recipe_of(patch), case, "same", depth, [1, 0])
        assert np.allclose(maps.channels[0], case.volume[depth] ** 2)
        assert np.allclose(maps.channels[1], np.abs(2 * case.volume[depth]))
        assert np.allclose(maps.mean, maps.channels.mean(axis=0))


@pytest.mark.parametrize("memory", [1, 1200, 2500, 4000])
def test_little_memory_gives_the_same_numbers(memory):
    case, network, layers = case_of((2, 12, 16)), Blocks(2), ["same", "coarse"]

    def everything(limit):
        cells = layer_cells(network, recipe_of((8, 8)), case, layers, CLASSES, limit)
        return {layer: localize(parts, "a", "p", "ct", layer) for layer, parts in cells}

    small, whole = everything(memory), everything(10**9)
    assert list(small) == layers
    for layer in layers:
        assert np.array_equal(small[layer].channels, whole[layer].channels)
        assert np.allclose(small[layer].mean_map, whole[layer].mean_map)


def test_one_window_holds_what_the_network_says():
    case = case_of((2, 16, 16))
    network = build_method(RECIPE, ("ct",), CLASSES).network.eval()
    (first, second) = feature_windows(network, RECIPE, case.volume, "ct", ["group4"])
    with torch.no_grad():
        expected = network({"ct": torch.from_numpy(case.volume)[:, None]})["ct"].features["group4"].numpy()
    assert np.allclose(first.features["group4"][:, 0], expected[0], atol=1e-6)
    assert np.allclose(second.features["group4"][:, 0], expected[1], atol=1e-6)
    assert second.owned == (slice(1, 2), slice(0, 16), slice(0, 16))


def test_a_case_is_prepared_as_for_training(phantom: Dataset, tmp_path: Path):
    entry = phantom.of("ct", "test")[0]
    case = read_labeled_case(phantom, entry, RECIPE.preprocessing)
    stored = prepare(phantom, RECIPE.preprocessing, tmp_path, only=[entry.id]).cases[entry.id].load()
    assert np.array_equal(case.volume, stored.volume)
    assert np.array_equal(case.label_map, stored.label_map)  # type: ignore[union-attr]
    with pytest.raises(InputError, match="no label map"):
        read_labeled_case(phantom, replace(entry, label=None), RECIPE.preprocessing)


def test_layers_that_are_not_there_are_refused():
    network = build_method(RECIPE, ("ct",), CLASSES).network
    with pytest.raises(InputError, match="did you mean group1") as error:
        require_layers(network, ["groop1"], "run x")
    assert "\n" not in str(error.value)
    network.feature_names = ()
    with pytest.raises(InputError, match="no named feature maps"):
        require_layers(network, [], "run x")
