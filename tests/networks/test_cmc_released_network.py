"""CMC's released network: equal to the authors' code, its defects shown, and gone where they are mended."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from golden.released_networks import image, sample, wave, weight
from unpaired.data.batch import Batch
from unpaired.errors import InputError
from unpaired.methods.cmc_released import dice_agreement, released_supervision, row_contrast
from unpaired.networks.cmc_released import CMCReleasedNetworkConfig, channel_attention

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "cmc_released.json").read_text(encoding="utf-8"))
"""From the authors' code (cb8dd11, with MONAI 1.6.1), its channels divided by 8: weights by formula from our names, two
images of 16x16x16 of each modality. At full width it was equal to the last bit, once."""
TINY = CMCReleasedNetworkConfig(width=2)


def built(config: CMCReleasedNetworkConfig = TINY, modalities: tuple[str, ...] = ("ct", "mr"), dims: int = 2):
    torch.manual_seed(0)
    network = config.build(modalities, 1, 3, dims)
    torch.nn.init.constant_(network.gamma, 0.5)  # at 0 the channel attention would go untested
    return network


def images(*names: str, size: tuple[int, ...] = (16, 16), count: int = 2) -> dict[str, torch.Tensor]:
    return {
        name: wave(count * math.prod(size), phase).reshape(count, 1, *size).float() for phase, name in enumerate(names)
    }


def test_equals_the_released_code() -> None:
    """Logits and F in train and evaluation mode alike, and the three losses of them."""
    network = CMCReleasedNetworkConfig(width=4).build(("ct", "mr"), 1, 14, 3).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(weight(name, parameter.shape))
        ct = image((2, 1, 16, 16, 16))
        mr = wave(2 * 16**3, 1.5).reshape(ct.shape).float()
        outputs = network({"ct": ct, "mr": mr})
    logits = {name: output.logits for name, output in outputs.items()}
    features = {name: output.features["encoder4"] for name, output in outputs.items()}
    for key, tensor in (("ct", logits["ct"]), ("mr", logits["mr"]), ("ct_features", features["ct"])):
        mine = sample(tensor)
        assert mine["shape"] == GOLDEN[key]["shape"]
        assert mine["mean_square"] == pytest.approx(GOLDEN[key]["mean_square"], rel=1e-4)
        assert mine["values"] == pytest.approx(GOLDEN[key]["values"], abs=1e-3)
    some = {name: maps[:, :24] for name, maps in features.items()}
    assert row_contrast(some["ct"], some["mr"], 0.5).item() == pytest.approx(GOLDEN["csc"], rel=1e-4)
    assert dice_agreement(logits["ct"], logits["mr"]).item() == pytest.approx(GOLDEN["cac"], rel=1e-4)
    labels = (wave(2 * 16**3, 0.3).reshape(2, 16, 16, 16) * 3.4).abs().long()
    batch = Batch(ct, labels, torch.eye(14, dtype=torch.bool))
    supervised = released_supervision(outputs, dict.fromkeys(outputs, batch))
    assert supervised.loss.item() == pytest.approx(GOLDEN["supervised"], rel=1e-4)


def test_parameters_of_the_released_size() -> None:
    """Counted by hand: convolutions of 3 with bias and a norm's two vectors, in out (27 in + 3)."""
    with torch.device("meta"):
        network = CMCReleasedNetworkConfig().build(("ct", "mr"), 1, 14, 3)

    def units(*pairs: tuple[int, int]) -> int:
        return sum(after * (27 * before + 3) for before, after in pairs)

    encoder = units((1, 32), (32, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512))
    fusion = units((1024, 512), (512, 512)) + 2 * 1024 + 1024 * 512 + 512
    up = sum(channels * channels * 8 + channels for channels in (512, 256, 128))
    decoder = units((768, 256), (256, 256), (384, 128), (128, 128), (192, 64), (64, 64))
    expected = encoder + 1 + fusion + up + decoder + 64 * 14 + 14
    assert expected == 40_838_095
    assert sum(parameter.numel() for parameter in network.parameters()) == expected


def test_channel_attention_is_that_of_dissimilar_channels() -> None:
    """In loops; and a channel's own energy is its largest, so it attends least to itself."""
    x = wave(2 * 3 * 4, 0.2).reshape(2, 3, 2, 2).float()
    expected = x.clone()
    for image_number in range(2):
        rows = x[image_number].reshape(3, 4)
        for k in range(3):
            energy = [float((rows[k] * rows[other]).sum()) for other in range(3)]
            weights = torch.tensor([max(energy) - e for e in energy]).exp()
            weights = weights / weights.sum()
            expected[image_number, k] += 0.7 * sum(weights[n] * x[image_number, n] for n in range(3))
            if energy[k] == max(energy):
                assert weights[k] == weights.min()
    assert torch.allclose(channel_attention(x, torch.tensor([0.7])), expected, atol=1e-6)


def test_awareness_does_nothing_at_first() -> None:
    x = wave(2 * 3 * 4, 0.2).reshape(2, 3, 2, 2).float()
    assert torch.equal(channel_attention(x, torch.zeros(1)), x)
    assert TINY.build(("ct", "mr"), 1, 3, 2).gamma.item() == 0


@pytest.mark.parametrize(("dims", "size"), [(2, (16, 24)), (3, (8, 16, 8))])
def test_slices_and_volumes_of_any_number_of_modalities(dims: int, size: tuple[int, ...]) -> None:
    network = built(modalities=("ct", "mr", "lge"), dims=dims)
    for names in (("ct",), ("lge", "ct"), ("ct", "mr", "lge")):
        outputs = network(images(*names, size=size))
        for name in names:
            assert outputs[name].logits.shape == (2, 3, *size)
            assert tuple(outputs[name].features) == network.feature_names
    assert outputs["ct"].features["encoder4"].shape == (2, 32, *[n // 8 for n in size])


def test_a_prediction_depends_on_the_partner_as_released() -> None:
    network = built()
    x = images("ct", "mr", "other")
    with torch.no_grad():
        with_mr, with_other = (network({"ct": x["ct"], "mr": x[name]})["ct"].logits for name in ("mr", "other"))
        assert (with_mr - with_other).abs().max() > 1e-4
        alone = built(replace(TINY, fusion="alone"))
        with_mr, with_other = (alone({"ct": x["ct"], "mr": x[name]})["ct"].logits for name in ("mr", "other"))
    assert torch.equal(with_mr, with_other)


def test_a_lone_modality_is_fused_with_itself() -> None:
    network = built(modalities=("ct", "mr"))
    x = images("ct")["ct"]
    with torch.no_grad():
        lone = network({"ct": x})["ct"].logits
        doubled = network({"ct": x, "mr": x})["ct"].logits
    torch.testing.assert_close(lone, doubled)


def test_a_window_depends_on_the_windows_beside_it_as_released() -> None:
    x = images("ct")["ct"]
    for mended in (False, True):
        network = built(replace(TINY, batch_statistics=not mended)).train()
        network({"ct": x, "mr": x})
        network.eval()
        with torch.no_grad():
            together, apart = network({"ct": x})["ct"].logits[:1], network({"ct": x[:1]})["ct"].logits
        assert torch.allclose(together, apart, atol=1e-6) == mended


def test_mended_norms_are_each_modalitys_own() -> None:
    network = built(replace(TINY, batch_statistics=False, fusion="alone")).train()
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    network(images("ct"))
    moved = {name for name, buffer in network.named_buffers() if not torch.equal(buffer, before[name])}
    assert any(".by_modality.ct." in name for name in moved)
    assert not any(".by_modality.mr." in name for name in moved)


def test_unequal_sizes_are_refused_as_released_or_interpolated() -> None:
    x = images("ct") | images("mr", size=(16, 32))
    with pytest.raises(InputError, match=r"pairs images of one size, got .*\(16, 32\)"):
        built()(x)
    with torch.no_grad():
        network = built(replace(TINY, unequal_sizes="interpolated"))
        outputs = network(x)
        assert outputs["mr"].logits.shape == (2, 3, 16, 32)
        other = network({"ct": x["ct"], "mr": x["mr"].flip(-1).roll(3, -1)})["ct"].logits
        equal = {"ct": x["ct"], "mr": x["mr"][..., :16]}
        torch.testing.assert_close(network(equal)["mr"].logits, built()(equal)["mr"].logits)
    assert (outputs["ct"].logits - other).abs().max() > 1e-5, "the CT still sees its partner"


def test_wrong_images_get_one_line() -> None:
    network = built()
    with pytest.raises(InputError, match="multiples of"):
        network(images("ct", size=(12, 16)))
    with pytest.raises(InputError, match=r"batch norm needs more than one value .* one image of \(8, 8\)"):
        network(images("ct", size=(8, 8), count=1))
    with pytest.raises(InputError, match="as many images of each modality"):
        network(images("ct") | images("mr", count=3))
    with pytest.raises(InputError, match="2D or 3D"):
        TINY.build(("ct",), 1, 3, 4)
