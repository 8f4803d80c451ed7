"""Prediction beside partners: what the network gets, what it says, and what a network without fusion doesn't say."""

from pathlib import Path

import numpy as np
import pytest
import torch

from unpaired.analyses.partners.alignment import Misalignment
from unpaired.analyses.partners.computation import (
    place_partners,
    prepare_image,
    require_partners,
    segment_with_partners,
)
from unpaired.data.dataset import Dataset
from unpaired.data.images import Image
from unpaired.data.postprocess import Postprocessing
from unpaired.errors import InputError
from unpaired.inference.predictor import Predictor
from unpaired.inference.windows import probability_boxes, whole
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.network import Network, NetworkOutput
from unpaired.networks.unet import UNetConfig
from unpaired.recipe import Recipe, build_method
from unpaired.runs.run import Run


def new_run(folder: Path, dataset: Dataset, fusion: str | None = "paired", patch=(16, 16), **fields) -> Run:
    blocks = (1, 1)
    network = UNetConfig(width=4, blocks=blocks, fusion=fusion)
    recipe = Recipe(network, SupervisedConfig(), patch, **{"steps": 1, "modalities": ("ct", "lge"), **fields})
    run = Run.create(folder, recipe, dataset)
    run.save_weights(build_method(recipe, run.modalities, len(dataset.classes)).network, "best")
    return run


def scan(seed: int, shape=(20, 18, 3)) -> Image:
    return Image(np.random.default_rng(seed).normal(size=shape).astype(np.float32), np.diag([1.0, 1.0, 6.0, 1.0]))


class Reveals(Network):
    """Class 1 exactly where the partner is above 0; alone, where the image itself is."""

    modalities = ("lge", "ct")
    channels = 1
    feature_names = ()
    size_multiples = (1, 1)

    def __init__(self) -> None:
        super().__init__()
        self.orders: list[tuple[str, ...]] = []

    def forward(self, images) -> dict[str, NetworkOutput]:
        self.orders.append(tuple(images))
        found = {}
        for name, own in images.items():
            seen = next((other for key, other in images.items() if key != name), own)
            middle = seen[:, seen.shape[1] // 2 : seen.shape[1] // 2 + 1]
            rest = torch.full_like(middle, -9).expand(-1, 4, *middle.shape[2:])
            found[name] = NetworkOutput(torch.cat([-middle, middle, rest], 1), {})
        return found


@pytest.mark.parametrize(("patch", "context"), [((16, 16), 1), ((16, 16), 3), ((2, 16, 16), 1)])
def test_the_network_gets_the_partners_windows_at_the_same_places(phantom, tmp_path, patch, context) -> None:
    predictor = Predictor(new_run(tmp_path, phantom, None, patch, context_slices=context), device="cpu")
    network = Reveals()
    predictor.method.network = network
    case, partner = prepare_image(predictor, scan(0), "ct"), prepare_image(predictor, scan(1), "lge", "b", "b")
    volumes, how = place_partners(predictor, case, {"lge": partner})
    assert how == {"lge": "centers"}
    assert np.array_equal(volumes["lge"], partner.volume)
    beside, alone = segment_with_partners(predictor, case, volumes), segment_with_partners(predictor, case)
    assert np.array_equal(beside, scan(1).array > scan(1).array.mean())  # z-scored: above 0 is above the mean
    assert np.array_equal(alone, scan(0).array > scan(0).array.mean())
    assert set(network.orders) == {("lge", "ct"), ("ct",)}  # the network's own order, whoever is segmented
    moved, _ = place_partners(predictor, case, {"lge": partner}, Misalignment(shift_mm=5))
    assert not np.array_equal(segment_with_partners(predictor, case, moved), beside)


@pytest.mark.parametrize("patch", [(16, 16), (2, 16, 16)])
def test_only_a_fusion_listens_to_partners(phantom, tmp_path, patch) -> None:
    for fusion in ("paired", "alone", None):
        smooth = Postprocessing(smoothing_mm=1.5 if fusion == "alone" else 0.0, background_log_odds=0.3)
        run = new_run(tmp_path / str(fusion), phantom, fusion, patch)
        predictor = Predictor(run, device="cpu", postprocessing=smooth)
        case = prepare_image(predictor, scan(0, (18, 16, 2)), "ct", "a", "a")
        assert np.array_equal(
            segment_with_partners(predictor, case), predictor.segment(scan(0, (18, 16, 2)), "ct")
        )  # partner-free is what `predict` gives
        logits = []
        for seed in (1, 2):
            partner = prepare_image(predictor, scan(seed, (18, 16, 2)), "lge", "b", "b")
            volumes, _ = place_partners(predictor, case, {"lge": partner})
            images = {name: torch.from_numpy(one[None, :1, :16, :16]) for name, one in volumes.items()}
            own = torch.from_numpy(case.volume[None, :1, :16, :16])
            if len(patch) == 3:
                own, images = (
                    torch.from_numpy(case.volume[None, None, :, :16, :16]),
                    {n: torch.from_numpy(v[None, None, :, :16, :16]) for n, v in volumes.items()},
                )
            with torch.inference_mode():
                logits.append(predictor.method.predict(own, "ct", images))
        assert torch.allclose(logits[0], logits[1], atol=1e-5) == (fusion != "paired")


def test_partner_windows_share_the_overlap_and_wrong_grids_are_refused() -> None:
    volume, partner = (np.random.default_rng(seed).normal(size=(3, 11, 13)).astype(np.float32) for seed in (0, 1))

    def difference(images: torch.Tensor, beside: dict[str, torch.Tensor]) -> torch.Tensor:
        return torch.cat([images - beside["mr"], beside["mr"]], 1)

    found = whole(probability_boxes(difference, volume, patch_size=(6, 8), partners={"mr": partner}), volume.shape)
    expected = torch.stack([torch.from_numpy(volume - partner), torch.from_numpy(partner)]).softmax(0)
    assert torch.allclose(found, expected, atol=1e-6)
    with pytest.raises(ValueError, match="not on the grid"):
        next(probability_boxes(difference, volume, patch_size=(6, 8), partners={"mr": partner[1:]}))


def test_bad_partners_are_one_line(phantom, tmp_path) -> None:
    predictor = Predictor(new_run(tmp_path / "two", phantom), device="cpu")
    case = prepare_image(predictor, scan(0), "ct", "a", "a")
    for partners, said in (
        ({"pet": case.volume}, "no modality 'pet'"),
        ({"ct": case.volume}, "is a ct scan itself"),
        ({"lge": case.volume[1:]}, "bring it there with unpaired.analyses.partners.alignment.place"),
    ):
        with pytest.raises(InputError, match=said) as error:
            segment_with_partners(predictor, case, partners)
        assert "\n" not in str(error.value)
    lonely = Predictor(new_run(tmp_path / "one", phantom, None, modalities=("ct",)), device="cpu")
    with pytest.raises(InputError, match="knows one modality \\(ct\\)"):
        require_partners(lonely)
