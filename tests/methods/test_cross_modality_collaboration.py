"""CMC: channel consistency against plain loops, and what is trained by which images and when."""

import itertools
from dataclasses import replace
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from oracles import collaboration_loops as loops
from unpaired.data.batch import Batch
from unpaired.errors import InputError
from unpaired.methods.anatomy import AnatomyConfig, anatomical_consistency
from unpaired.methods.cross_modality_collaboration import CMCConfig, CSCForm, channel_consistency
from unpaired.methods.ramp import Ramp
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.specific_unets import SpecificUNetsConfig
from unpaired.networks.unet import UNetConfig

NAMES = ("ct", "mr", "lge", "t2")
FORMS = get_args(CSCForm)
C = 3
UNET = UNetConfig(width=2, widest=4, blocks=(1, 1))
AT_ONCE = CMCConfig(layer="encoder2", ramp=Ramp(length=0.0), anatomy=AnatomyConfig(frame_size=8))


def some_features(modalities: int, size: tuple[int, ...] = (3, 2), images: tuple[int, ...] = (2, 2, 2, 2)):
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(n, 5, *size, generator=generator, dtype=torch.double).requires_grad_()
        for name, n in zip(NAMES[:modalities], images, strict=False)
    }


def some_batches(names: tuple[str, ...] = ("ct", "mr"), unlabeled: int | None = 2) -> dict[str, Batch]:
    generator = torch.Generator().manual_seed(1)
    return {
        name: Batch(
            torch.randn(2, 1, 8, 8, generator=generator),
            torch.randint(0, C, (2, 8, 8), generator=generator),
            torch.eye(C, dtype=torch.bool),
            None if unlabeled is None else torch.randn(unlabeled, 1, 8, 8, generator=generator),
        )
        for name in names
    }


def built(config: CMCConfig = AT_ONCE, names: tuple[str, ...] = ("ct", "mr"), **network: Any):
    torch.manual_seed(0)
    return config.build(replace(UNET, **network).build(names, 1, C, 2), C)


@pytest.mark.parametrize("modalities", [2, 3, 4])
@pytest.mark.parametrize("form", FORMS)
def test_channels_equal_the_loops_over_pairs(form: str, modalities: int) -> None:
    features = some_features(modalities, (3, 2) if modalities < 4 else (2, 1, 2))
    expected = loops.channel_consistency([F.detach().flatten(2).tolist() for F in features.values()], form)
    loss = channel_consistency(features, form)  # type: ignore[arg-type]
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    of_pairs = [
        channel_consistency({a: features[a], b: features[b]}, form)  # type: ignore[arg-type]
        for a, b in itertools.combinations(features, 2)
    ]
    values = list(features.values())
    for got, wanted in zip(
        torch.autograd.grad(loss, values), torch.autograd.grad(torch.stack(of_pairs).mean(), values), strict=True
    ):
        torch.testing.assert_close(got, wanted)
        assert got.abs().max() > 1e-4


@pytest.mark.parametrize("form", FORMS)
def test_its_gradient_is_that_of_its_value(form: str) -> None:
    features = some_features(2, (2,))

    def loss(*values: Tensor) -> Tensor:
        return channel_consistency(dict(zip(features, values, strict=True)), form)  # type: ignore[arg-type]

    assert torch.autograd.gradcheck(loss, tuple(features.values()))


@pytest.mark.parametrize("form", ["gram", "gap"])
def test_unpaired_forms_need_no_places_and_no_equal_counts(form: str) -> None:
    features = some_features(2, images=(2, 3))
    shuffled = features["mr"].flatten(2)[..., torch.randperm(6)].unflatten(2, (3, 2))[[2, 0, 1]]
    once = channel_consistency(features, form)  # type: ignore[arg-type]
    twice = channel_consistency({"ct": features["ct"], "mr": shuffled}, form)  # type: ignore[arg-type]
    torch.testing.assert_close(once, twice)
    same = {"ct": features["ct"], "mr": torch.cat([3 * features["ct"]] * 2)}
    assert channel_consistency(same, form).abs() < 1e-9  # type: ignore[arg-type]
    channels_swapped = {"ct": features["ct"], "mr": features["ct"].flip(1)}
    assert channel_consistency(channels_swapped, form) > 0.1  # type: ignore[arg-type]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_a_silent_channel_is_finite(form: str, dtype: torch.dtype) -> None:
    features = {name: F.detach().to(dtype) for name, F in some_features(2).items()}
    features["ct"][:, 1] = 0
    features["mr"][:, 1:3] = 1e-7
    leaves = {name: F.clone().requires_grad_() for name, F in features.items()}
    with torch.autocast("cpu", torch.bfloat16):
        loss = channel_consistency(leaves, form)  # type: ignore[arg-type]
    assert loss.dtype == torch.float32
    loss.backward()
    for F in leaves.values():
        assert F.grad is not None
        assert F.grad.abs().max() < 10


@pytest.mark.parametrize("fusion", [None, "paired"])
def test_the_objective_is_the_sum_of_its_parts(fusion: str | None) -> None:
    config = replace(AT_ONCE, csc_weight=0.3, cac_weight=0.7)
    method, batches = built(config, fusion=fusion), some_batches()
    loss, terms = method(batches, 0.0)
    labeled = method.network({name: batch.images for name, batch in batches.items()})
    unlabeled = method.network({name: batch.unlabeled for name, batch in batches.items()})
    both = {n: torch.cat([o[n].features["encoder2"] for o in (labeled, unlabeled)]) for n in batches}
    csc = channel_consistency(both, "gram")
    cac = anatomical_consistency({n: o.logits for n, o in unlabeled.items()}, config.anatomy)
    supervised = SupervisedConfig().build(method.network, C)(batches, 0.0)
    torch.testing.assert_close(loss, supervised.loss + 0.3 * csc + 0.7 * cac)
    torch.testing.assert_close(terms, {**supervised.terms, "csc": csc.detach(), "cac": cac.detach()})
    assert 0 < terms["cac"] < 1


@pytest.mark.parametrize("form", ["frame", "shape", "voxels"])
def test_unlabeled_images_train_every_weight_of_every_modality(form: str) -> None:
    """The released code computes both terms under `no_grad`; there nothing moves."""
    torch.manual_seed(0)
    network = SpecificUNetsConfig(UNET).build(("ct", "mr"), 1, C, 2)
    anatomy = AnatomyConfig(form, frame_size=8)  # type: ignore[arg-type]
    config = replace(AT_ONCE, dice_weight=0.0, cross_entropy_weight=0.0, csc_weight=0.0, anatomy=anatomy)
    config.build(network, C)(some_batches(), 0.0).loss.backward()
    # Constants in front of an instance norm are taken out by it, and so is one in front of the group norm of the
    # fusion, whose groups are single channels here.
    still = [
        name
        for name, p in network.named_parameters()
        if (p.grad is None or not p.grad.abs().max() > 0)
        and not name.endswith("convolution.bias")
        and name != "fusion.convolution1.bias"
    ]
    assert still == []


def test_a_step_down_the_gradient_of_cac_brings_predictions_together() -> None:
    """The released code adds the similarity itself: minimized, it drives them apart."""
    config = replace(AT_ONCE, dice_weight=0.0, cross_entropy_weight=0.0, csc_weight=0.0)
    method, batches = built(config), some_batches()
    optimizer = torch.optim.Adam(method.parameters(), 1e-2)
    values = []
    for _ in range(8):
        optimizer.zero_grad()
        loss, terms = method(batches, 0.0)
        loss.backward()
        optimizer.step()
        values.append(terms["cac"].item())
    assert values[-1] < 0.8 * values[0]


def test_channels_of_unlabeled_images_count_too() -> None:
    method, batches = built(), some_batches()
    others = {name: batch._replace(unlabeled=batch.unlabeled.flip(0) ** 3) for name, batch in batches.items()}
    _, first = method(batches, 0.0)
    _, second = method(others, 0.0)
    assert first["csc"] != second["csc"]
    assert first["ce/ct"] == second["ce/ct"]


def test_before_its_time_it_is_supervised_training_and_no_unlabeled_image_is_seen() -> None:
    method = built(replace(AT_ONCE, ramp=Ramp(begin=0.7, length=0.1)))
    batches = some_batches()
    passes = []
    method.network.register_forward_hook(lambda *_: passes.append(1))
    supervised = SupervisedConfig().build(method.network, C)(batches, 0.0)
    passes.clear()
    early, late = method(batches, 0.69), method(batches, 0.81)
    assert torch.equal(early.loss, supervised.loss)
    assert early.terms["csc"] == early.terms["cac"] == 0
    assert len(passes) == 1 + 2
    assert late.loss > supervised.loss


def test_without_unlabeled_images_only_channels_are_drawn_together() -> None:
    _, terms = built()(some_batches(unlabeled=None), 0.0)
    assert terms["cac"] == 0
    assert terms["csc"] > 0


def test_labeled_images_stand_for_a_modality_without_unlabeled_ones() -> None:
    method, batches = built(names=("ct", "mr", "lge"), fusion="paired"), some_batches(("ct", "mr", "lge"))
    lonely = {name: batch if name == "ct" else batch._replace(unlabeled=None) for name, batch in batches.items()}
    shown = {name: batch.images if batch.unlabeled is None else batch.unlabeled for name, batch in lonely.items()}
    logits = {name: output.logits for name, output in method.network(shown).items()}
    terms = method(lonely, 0.0).terms
    torch.testing.assert_close(terms["cac"], anatomical_consistency(logits, method.config.anatomy))
    assert terms["cac"] > 0
    loss, terms = method({"ct": batches["ct"]}, 0.0)
    assert terms["csc"] == terms["cac"] == 0
    assert torch.isfinite(loss)


@pytest.mark.parametrize("unlabeled", [1, 3, 5])
@pytest.mark.parametrize(("form", "csc"), [("frame", "gram"), ("voxels", "vec")])
def test_as_many_labeled_images_stand_for_them_as_there_are_unlabeled_ones(form: Any, csc: Any, unlabeled: int) -> None:
    """Two labeled images, and a fusion and forms that pair: they refused other numbers, when the ramp began."""
    config = replace(AT_ONCE, csc=csc, anatomy=AnatomyConfig(form=form, frame_size=8))
    method, batches = built(config, fusion="paired"), some_batches(unlabeled=unlabeled)
    batches["mr"] = batches["mr"]._replace(unlabeled=None)
    assert batches["ct"].unlabeled is not None
    images = batches["mr"].images
    shown = {"ct": batches["ct"].unlabeled, "mr": torch.stack([images[i % 2] for i in range(unlabeled)])}
    seen = method.network(shown)
    beside = method.network({name: batch.images for name, batch in batches.items()})
    predictions = [of.logits.detach().softmax(dim=1)[:, 1:].flatten(2).tolist() for of in seen.values()]
    features = [
        torch.cat([of[name].features["encoder2"] for of in (beside, seen)]).detach().flatten(2).tolist()
        for name in batches
    ]
    expected = loops.voxels(predictions) if form == "voxels" else loops.frame(predictions, (8, 8), 8, 3.0, pairs=False)
    terms = method(batches, 0.0).terms
    assert terms["cac"].item() == pytest.approx(expected, rel=1e-4)
    assert terms["csc"].item() == pytest.approx(loops.channel_consistency(features, csc), rel=1e-4)


def test_labeled_channels_may_be_left_out() -> None:
    method, batches = built(replace(AT_ONCE, csc_labeled=False)), some_batches()
    seen = method.network({name: batch.unlabeled for name, batch in batches.items() if batch.unlabeled is not None})
    features = [of.features["encoder2"].detach().flatten(2).tolist() for of in seen.values()]
    terms = method(batches, 0.0).terms
    assert terms["csc"].item() == pytest.approx(loops.channel_consistency(features, "gram"), rel=1e-4)
    assert method(some_batches(unlabeled=None), 0.0).terms["csc"] == 0


def test_vec_needs_pairs() -> None:
    with pytest.raises(InputError, match=r"csc 'vec' compares image i with image i, got .*choose gram or gap"):
        channel_consistency(some_features(2, images=(2, 1)), "vec")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"layer": "encodr2"}, "layer: the network has no feature map 'encodr2'; did you mean encoder2"),
        ({"layer": "neck"}, "layer: the network has no feature map 'neck'"),
    ],
)
def test_fields_that_do_not_fit(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        built(replace(AT_ONCE, **changes))
