"""Affinities over whole cases against CSA's own for one batch that holds them, and against the paper's loops."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from unpaired.analyses.affinities.computation import pooled_affinities, untrained_network
from unpaired.data.batch import Batch
from unpaired.data.case import Case, Geometry
from unpaired.data.dataset import Dataset
from unpaired.errors import InputError
from unpaired.methods.class_specific_affinity import CSAConfig, class_affinities, regions
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.fcn import FCNConfig
from unpaired.networks.network import Network, NetworkOutput
from unpaired.recipe import Recipe, build_method
from unpaired.runs.run import Run

CLASSES = 3
RECIPE = Recipe(FCNConfig(width=1, dropout=0.0, initialization="he"), SupervisedConfig(), (16, 16), steps=1)
PAIR = ("group4", "group5")


class Pointwise(Network):
    """Two layers that see one voxel each, so that windows make no difference."""

    modalities, feature_names, size_multiples = ("ct",), ("l", "k"), (1, 1)

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))

    def forward(self, images: dict[str, Tensor]) -> dict[str, NetworkOutput]:
        x = images["ct"]
        maps = {"l": torch.cat([x, x.sin(), x**3], 1), "k": torch.cat([x.cos(), x - 0.3], 1)}
        return {"ct": NetworkOutput(x, maps)}


def case_of(name: str, shape: tuple[int, int, int], seed: int = 0) -> Case:
    rng = np.random.default_rng(seed)
    box = tuple((0, size) for size in shape)
    geometry = Geometry(shape, tuple(map(tuple, np.eye(4).tolist())), (0, 1, 2), (False,) * 3, box, shape)
    labels = rng.integers(0, CLASSES, shape).astype(np.uint8)
    return Case(name, "p", "ct", rng.standard_normal(shape).astype(np.float32), labels, geometry)


@pytest.fixture(scope="module")
def run(phantom: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run.create(tmp_path_factory.mktemp("run") / "a", RECIPE, phantom)


def test_one_window_per_slice_is_csas_own_batch(run: Run):
    network = build_method(RECIPE, ("ct",), CLASSES).network.eval()
    cases = [case_of("a", (2, 16, 16)), case_of("b", (3, 16, 16), seed=1)]
    images, labels = (
        torch.from_numpy(np.concatenate([getattr(case, name) for case in cases])) for name in ("volume", "label_map")
    )
    with torch.no_grad():
        features = network({"ct": images[:, None]})["ct"].features
    batch = Batch(images[:, None], labels.long(), torch.eye(CLASSES, dtype=torch.bool))
    F_l, F_k = (features[layer] for layer in PAIR)
    expected = class_affinities(F_l, F_k, regions(batch, F_l.shape[2:], CSAConfig()), CSAConfig())
    found = pooled_affinities(network, run, iter(cases), PAIR, CLASSES)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours is not None
        assert theirs is not None
        assert np.allclose(ours, theirs.numpy(), atol=1e-5)


def test_many_windows_count_every_voxel_once_as_the_papers_loops(run: Run):
    case, network = case_of("a", (1, 19, 23)), Pointwise()
    with torch.no_grad():
        maps = network({"ct": torch.from_numpy(case.volume)[:, None]})["ct"].features
    label_map = torch.from_numpy(case.label_map.astype(np.int64))
    found = pooled_affinities(network, run, [case], ("l", "k"), CLASSES)
    for number, ours in enumerate(found):
        mask = (label_map == number).double()[:, None]
        l, k = ((maps[layer].double() * mask).flatten(2)[0] for layer in ("l", "k"))  # noqa: E741
        assert ours is not None
        for m in range(3):
            for n in range(2):
                cosine = float((l[m] * k[n]).sum() / (l[m].norm() * k[n].norm()))
                assert ours[m, n] == pytest.approx(cosine, abs=1e-6)


def test_a_class_that_no_case_has_has_no_matrix_and_nan_is_refused(run: Run):
    case, network = case_of("a", (1, 16, 16)), Pointwise()
    case.label_map[case.label_map == 2] = CLASSES  # may be several classes: in no region
    first, second, third = pooled_affinities(network, run, [case], ("l", "k"), CLASSES)
    assert first is not None
    assert second is not None
    assert third is None
    case.volume[:] = np.nan
    with pytest.raises(InputError, match="diverge"):
        pooled_affinities(network, run, [case], ("l", "k"), CLASSES)


def test_the_network_before_training_is_the_recipes_or_the_run_it_started_from(
    run: Run, phantom: Dataset, tmp_path: Path
):
    expected = build_method(RECIPE, run.modalities, len(phantom.classes)).network.state_dict()
    for name, tensor in untrained_network(run).state_dict().items():
        assert torch.equal(tensor, expected[name])
    other = build_method(replace(RECIPE, seed=7), run.modalities, len(phantom.classes)).network
    run.save_weights(other, "best")
    later = Run.create(tmp_path / "later", replace(RECIPE, init_from=str(run.folder)), phantom)
    fresh = untrained_network(later)
    assert not fresh.training
    for name, tensor in fresh.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])


def test_pretrained_weights_are_there_before_training(run: Run, monkeypatch: pytest.MonkeyPatch):
    def fill(config, network):
        for parameter in network.parameters():
            torch.nn.init.constant_(parameter, 2.5)

    monkeypatch.setattr(type(RECIPE.network), "load_pretrained", fill)
    assert all((parameter == 2.5).all() for parameter in untrained_network(run).parameters())
