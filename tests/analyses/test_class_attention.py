"""Attention and correlations of whole cases are those of the method's own modules, window by window."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from unpaired.analyses.attention.computation import attention_maps, mean_correlations, trained_ssc
from unpaired.analyses.cases import read_labeled_case
from unpaired.data.dataset import Dataset
from unpaired.errors import InputError
from unpaired.methods.mean_teacher import MeanTeacherConfig
from unpaired.methods.structured_consistency import SSC, SSCConfig
from unpaired.networks.network import NetworkOutput
from unpaired.networks.unet import UNetConfig
from unpaired.recipe import Recipe, build_method
from unpaired.runs.run import Run

NETWORK = UNetConfig(width=6, blocks=(1, 1, 1), modality_norm=False)
METHOD = SSCConfig(scales=("encoder3", "decoder2"))
RECIPE = Recipe(NETWORK, METHOD, (48, 48), steps=1, modalities=("ct", "lge"), window_overlap=0.0)
CLASSES = 6


@pytest.fixture(scope="module")
def method() -> SSC:
    torch.manual_seed(3)
    built = build_method(RECIPE, ("ct", "lge"), CLASSES).eval()
    assert isinstance(built, SSC)
    with torch.no_grad():
        for parameter in built.attention.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return built


def directly(method: SSC, images: np.ndarray, modality: str):
    """What the EAM says of all slices as one batch."""
    with torch.no_grad():
        output: NetworkOutput = method.network({modality: torch.from_numpy(images)[:, None].float()})[modality]
        return method.attend(output, modality), output


def test_correlations_are_means_over_slices_with_foreground_then_cases(phantom: Dataset, method: SSC):
    cases = [read_labeled_case(phantom, entry, RECIPE.preprocessing) for entry in phantom.of("ct")[:2]]
    cases[0].label_map[0] = 0  # one slice at least doesn't count
    assert (cases[0].label_map > 0).any()
    got = mean_correlations(method, RECIPE, cases, CLASSES)
    expected = [np.zeros((CLASSES, CLASSES)) for _ in METHOD.scales]
    for case in cases:
        outputs, _ = directly(method, case.volume, "ct")
        counted = [index for index, labels in enumerate(case.label_map) if (labels > 0).any()]
        for total, output in zip(expected, outputs, strict=True):
            assert output.correlations is not None
            total += output.correlations[counted].double().numpy().mean(axis=0) / len(cases)
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
        np.testing.assert_allclose(other.sum(axis=1), 1, atol=1e-6)
        assert other.std() > 1e-4


def test_cases_without_certain_foreground_have_no_correlations(phantom: Dataset, method: SSC):
    case = read_labeled_case(phantom, phantom.of("lge")[0], RECIPE.preprocessing)
    case.label_map[:] = 0
    case.label_map[1] = CLASSES  # several possible classes
    assert mean_correlations(method, RECIPE, [case], CLASSES) == [None, None]
    assert mean_correlations(method, RECIPE, [], CLASSES) == [None, None]


def test_attention_is_repeated_to_the_slice_and_one_is_even(phantom: Dataset, method: SSC):
    case = read_labeled_case(phantom, phantom.of("lge")[0], RECIPE.preprocessing)
    depth = 2
    maps = attention_maps(method, RECIPE, case, depth)
    outputs, output = directly(method, case.volume[depth : depth + 1], "lge")
    for got, name, of_scale in zip(maps, METHOD.scales, outputs, strict=True):
        rows, cols = output.features[name].shape[2:]
        S = of_scale.attention[0].mean(dim=0).reshape(CLASSES, rows, cols).numpy()
        cell = 48 // rows
        for c, y, x in ((0, 0, 0), (1, 17, 30), (3, 47, 46)):
            assert got[c, y, x] == pytest.approx(S[c, y // cell, x // cell] * rows * cols, rel=1e-4)
        np.testing.assert_allclose(got.mean(axis=(1, 2)), 1, rtol=1e-4)


def test_windows_are_laid_side_by_side(phantom: Dataset, method: SSC):
    small = replace(RECIPE, patch_size=(24, 24))
    case = read_labeled_case(phantom, phantom.of("ct")[0], RECIPE.preprocessing)
    assert case.volume.shape[1:] == (48, 48)
    maps = attention_maps(method, small, case, 1)
    corner = directly(method, case.volume[1:2, 24:, :24], "ct")[0][0].attention[0].mean(dim=0)
    expected = corner.reshape(CLASSES, 6, 6).numpy().repeat(4, axis=1).repeat(4, axis=2) * 36
    np.testing.assert_allclose(maps[0][:, 24:, :24], expected, rtol=1e-4)


def test_trained_eams_come_from_the_state_not_from_the_weights(phantom: Dataset, method: SSC, tmp_path: Path):
    run = Run.create(tmp_path / "run", RECIPE, phantom)
    run.save_weights(method.network, "best")
    with pytest.raises(InputError, match=r"has no resume\.pt"):
        trained_ssc(run)
    run.save_state({"step": 1, "method": method.state_dict()})
    found = trained_ssc(run)
    assert found is not None
    assert not found.training
    state = method.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in found.state_dict().items())
    assert not torch.equal(
        run.load_method("best").state_dict()["attention.ct.scales.0.query.weight"],
        state["attention.ct.scales.0.query.weight"],
    )
    run.save_state({"step": 1, "method": {}})
    with pytest.raises(InputError, match="another method"):
        trained_ssc(run)
    wrapped = replace(RECIPE, method=MeanTeacherConfig(METHOD), unlabeled_batch_size=1)
    taught = Run.create(tmp_path / "taught", wrapped, phantom)
    around = build_method(wrapped, ("ct", "lge"), CLASSES)
    taught.save_state({"step": 1, "method": around.state_dict()})
    inside = trained_ssc(taught)
    assert inside is not None
    trained = around.state_dict()
    assert all(torch.equal(value, trained[f"method.{name}"]) for name, value in inside.state_dict().items())
    bare = replace(RECIPE, method=replace(METHOD, auxiliary_weight=0.0, image_weight=0.0))
    other = Run.create(tmp_path / "bare", bare, phantom)
    other.save_state({"step": 1, "method": build_method(bare, ("ct", "lge"), CLASSES).state_dict()})
    assert trained_ssc(other) is None
