"""CAC against plain loops, and what each form has to see and to overlook."""

import math

import pytest
import torch
from torch import Tensor

from oracles import collaboration_loops as loops
from unpaired.errors import InputError
from unpaired.methods import anatomy
from unpaired.methods.anatomical_frame import in_frame, moments, presence
from unpaired.methods.anatomy import AnatomyConfig, anatomical_consistency, pairwise_dice

FORMS = ("frame", "shape", "voxels")
COUNTS = {"frame": (2, 1, 3), "shape": (2, 1, 3), "voxels": (2, 2, 2)}
"""Images of three modalities: unequal where the form allows it."""


def some_logits(size: tuple[int, ...], counts: tuple[int, ...], seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: (3 * torch.randn(n, 3, *size, generator=generator, dtype=torch.double)).requires_grad_()
        for name, n in zip(("ct", "mr", "lge"), counts, strict=False)
    }


def as_lists(logits: dict[str, Tensor]) -> list:
    return [z.detach().softmax(1)[:, 1:].flatten(2).tolist() for z in logits.values()]


def blobs(*places: tuple[int, int], side: int = 40, sure: float = 8.0, radius: float = 5.0) -> Tensor:
    """Logits (1, class, side, side) of a disk per foreground class at each place."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    disks = [((y - at[0]) ** 2 + (x - at[1]) ** 2 <= radius**2).float() for at in places]
    return sure * torch.stack([1 - torch.stack(disks).amax(0), *disks])[None]


def value(config: AnatomyConfig, **logits: Tensor) -> float:
    return anatomical_consistency(logits, config).item()


@pytest.mark.parametrize("size", [(5, 4), (3, 2, 3)])
@pytest.mark.parametrize("form", ["frame", "frame, pairs", "shape", "voxels"])
def test_it_equals_the_loops_for_three_modalities(form: str, size: tuple[int, ...]) -> None:
    name, _, pairs = form.partition(", ")
    logits = some_logits(size, COUNTS[name])
    config = AnatomyConfig(name, "pairs" if pairs else "means", frame_size=4, frame_extent=2.0)  # type: ignore[arg-type]
    predictions = as_lists(logits)
    if name == "voxels":
        expected = loops.voxels(predictions)
    elif name == "shape":
        expected = loops.shape(predictions, size)
    elif pairs:
        # The loops' mean is over pairs of modalities and images alike, as pairs of images are counted here.
        expected = loops.frame(predictions, size, 4, 2.0, True)
    else:
        expected = loops.frame(predictions, size, 4, 2.0, False)
    assert anatomical_consistency(logits, config).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("form", ["shape", "voxels"])
def test_its_gradient_is_that_of_its_value(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The frame's is not: the frame itself is held fast; its resampling is checked below. So is how much there is."""
    monkeypatch.setattr(anatomy, "presence", torch.ones_like)
    logits = some_logits((3, 2), (2, 2))

    def loss(*values: Tensor) -> Tensor:
        return anatomical_consistency(dict(zip(logits, values, strict=True)), AnatomyConfig(form))  # type: ignore[arg-type]

    assert torch.autograd.gradcheck(loss, tuple(logits.values()))


@pytest.mark.parametrize("dims", [2, 3])
def test_a_fine_frame_interpolates_linearly_as_torch_does(dims: int) -> None:
    """Where cells are closer than voxels it is `grid_sample`, value and gradient."""
    torch.manual_seed(0)
    maps = torch.rand(2, 2, *(7, 9, 8)[:dims], dtype=torch.double, requires_grad=True)
    whole = moments(maps.detach().sum(1, keepdim=True).square())
    cells, extent = 30, 1.5
    sampled, _ = in_frame(maps, cells, extent)
    sizes = torch.tensor(maps.shape[2:])
    places = torch.linspace(-extent, extent, cells, dtype=torch.double)
    grids = []
    for image in range(2):
        lines = [whole.centroid[image, 0, d] + places * whole.spread[image, 0, d] for d in range(dims)]
        mesh = torch.stack(torch.meshgrid(*lines, indexing="ij"), dim=-1)
        grids.append(((2 * mesh + 1) / sizes - 1).flip(-1))
    expected = torch.nn.functional.grid_sample(maps, torch.stack(grids), align_corners=False, padding_mode="zeros")
    torch.testing.assert_close(sampled, expected)
    weights = torch.rand_like(expected)
    torch.testing.assert_close(
        *(torch.autograd.grad((x * weights).sum(), maps, retain_graph=True)[0] for x in (sampled, expected))
    )


def test_in_a_coarse_frame_every_voxel_inside_has_a_gradient() -> None:
    maps = torch.rand(1, 1, 30, 30, requires_grad=True)
    in_frame(maps, 6, 2.5)[0].sum().backward()
    assert maps.grad is not None
    assert (maps.grad[0, 0, 8:22, 8:22] > 0).all()


@pytest.mark.parametrize("form", ["frame", "shape"])
def test_place_and_size_of_a_person_are_overlooked(form: str) -> None:
    config = AnatomyConfig(form)  # type: ignore[arg-type]
    here = blobs((14, 12), (14, 22))
    there = blobs((24, 18), (24, 28))
    larger = blobs((16, 10), (16, 25), radius=7.5)
    swapped = blobs((14, 22), (14, 12))
    assert value(config, ct=here, mr=there) < 1e-6
    assert value(config, ct=here, mr=larger) < 0.1 * value(config, ct=here, mr=swapped)
    assert value(AnatomyConfig("voxels"), ct=here, mr=there) > 0.5


@pytest.mark.parametrize("form", FORMS)
def test_equal_predictions_agree_and_are_a_minimum(form: str) -> None:
    config = AnatomyConfig(form)  # type: ignore[arg-type]
    z = blobs((14, 12), (14, 22), sure=2.0).requires_grad_()  # unsure, and yet in agreement
    loss = anatomical_consistency({"ct": z, "mr": z.detach()}, config)
    assert loss.abs() < 1e-6
    (gradient,) = torch.autograd.grad(loss, z)
    assert gradient.abs().max() < 1e-6
    assert value(config, ct=z.detach(), mr=blobs((14, 22), (14, 12))) > 0.1


def test_how_much_there_is_by_hand_and_without_gradient() -> None:
    """None, one voxel, three; a prediction that could raise its weight would otherwise be drawn to show less."""
    mass = torch.tensor([0.0, 1.0, 3.0], requires_grad=True)
    assert presence(mass).tolist() == [0.0, 0.5, 0.75]
    assert not presence(mass).requires_grad


def test_dice_by_hand() -> None:
    maps = torch.tensor([[[1.0, 1, 0, 0], [0, 1, 1, 1], [0, 0, 0, 0]]])
    expected = torch.tensor([[[1.0, 3 / 6, 1 / 3], [3 / 6, 1.0, 1 / 4], [1 / 3, 1 / 4, 1.0]]])
    torch.testing.assert_close(pairwise_dice(maps), expected)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_nothing_predicted_is_finite(form: str, dims: int, dtype: torch.dtype) -> None:
    """All background beyond doubt, one class without a voxel, one voxel alone: finite values and gradients."""
    size = (6,) * dims
    empty = torch.zeros(2, 4, *size, dtype=dtype)
    empty[:, 0] = 200.0
    absent, single = empty.clone(), empty.clone()
    absent[:, 1, 2:4, 2:5] = absent[:, 2, 4:, 2:5] = 400.0
    single[(slice(None), 3, *[1] * dims)] = 400.0
    config = AnatomyConfig(form, frame_size=6)  # type: ignore[arg-type]
    for first in (empty, absent, single):
        for other in (empty, absent, single):
            pair = {"ct": first.clone().requires_grad_(), "mr": other.clone().requires_grad_()}
            with torch.autocast("cpu", torch.bfloat16):
                loss = anatomical_consistency(pair, config)
            assert loss.dtype == torch.float32
            assert math.isfinite(loss.item())
            loss.backward()
            assert all(z.grad is not None and torch.isfinite(z.grad).all() for z in pair.values())
            if first is empty and other is empty:
                assert loss.item() < 1e-6


@pytest.mark.parametrize("form", FORMS)
def test_half_precision_is_computed_in_full(form: str) -> None:
    z = some_logits((8, 8), COUNTS[form])
    half = {name: x.detach().bfloat16() for name, x in z.items()}
    full = {name: x.float() for name, x in half.items()}
    config = AnatomyConfig(form, frame_size=8)  # type: ignore[arg-type]
    with torch.autocast("cpu", torch.bfloat16):
        assert anatomical_consistency(half, config).item() == anatomical_consistency(full, config).item()


def test_one_modality_or_none_has_nothing_to_agree_on() -> None:
    assert anatomical_consistency({}, AnatomyConfig()) == 0
    assert anatomical_consistency({"ct": blobs((10, 10), (20, 20))}, AnatomyConfig()) == 0


def test_one_foreground_class_has_no_shape_in_itself() -> None:
    with pytest.raises(InputError, match="with one foreground class they are the same"):
        AnatomyConfig(form="shape").require_classes(2)


def test_voxels_need_pairs() -> None:
    with pytest.raises(InputError, match=r"image i with image i, got predictions of shapes .*co-registered"):
        anatomical_consistency(some_logits((4, 4), (2, 1)), AnatomyConfig("voxels"))
