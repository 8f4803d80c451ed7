"""L_CSA, the term of class-specific affinity: every reading of CSA Eq. 2-4 against plain loops, and its properties."""

import itertools
from dataclasses import replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
import torch
from random_batches import C
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from oracles import affinity_loops
from unpaired.data.batch import Batch
from unpaired.errors import InputError
from unpaired.methods.class_specific_affinity import (
    CSAConfig,
    affinity_consistency,
    class_affinities,
    nearest_on_grid,
    on_one_grid,
    regions,
)

PLAIN = CSAConfig(layer_pairs=(("l", "k"),))
CHOICES = {name: get_args(hint) for name, hint in get_type_hints(CSAConfig).items() if get_origin(hint) is Literal}

Example = tuple[dict[str, dict[str, Tensor]], dict[str, Batch]]


def example(
    names: tuple[str, ...] = ("ct", "mr"), grid: tuple[int, ...] = (4, 3), absent: tuple[str, ...] = ()
) -> Example:
    """Random features (M=3, N=4) in double precision, labels at twice the resolution; the `absent` lack class 1."""
    generator = torch.Generator().manual_seed(len(names))
    features, batches = {}, {}
    for name in names:
        size = [2 * n for n in grid]
        labels = torch.randint(0, C, (2, *size), generator=generator)
        if name in absent:
            labels[labels == 1] = 2
        features[name] = {
            layer: torch.randn(2, channels, *grid, generator=generator, dtype=torch.float64).requires_grad_()
            for layer, channels in (("l", 3), ("k", 4))
        }
        batches[name] = Batch(torch.zeros(2, 1, *size), labels, torch.eye(C, dtype=torch.bool))
    return features, batches


def loss_and_gradients(loss: Tensor, features: dict[str, dict[str, Tensor]]) -> list[Tensor]:
    leaves = [leaf for of_modality in features.values() for leaf in of_modality.values()]
    return [loss.detach(), *torch.autograd.grad(loss, leaves)]


def oracle(features: dict[str, dict[str, Tensor]], batches: dict[str, Batch], config: CSAConfig) -> Tensor:
    return affinity_loops.csa_loss(
        [(features[name]["l"], features[name]["k"], batch.label_map) for name, batch in batches.items()],
        list(range(0 if config.background else 1, C)),
        config.consistency,
        config.roi_size,
        config.pooling,
        config.mask_resizing,
        config.absent,
    )


VARIANTS = [
    dict(zip(("consistency", "roi_size", "pooling", "mask_resizing"), values, strict=True))
    for values in itertools.product(
        *(CHOICES[field] for field in ("consistency", "roi_size", "pooling", "mask_resizing"))
    )
]


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: "-".join(variant.values()))
def test_every_reading_equals_the_loops(variant: dict[str, str]) -> None:
    config = replace(PLAIN, **variant)  # pyright: ignore[reportArgumentType]
    features, batches = example()
    got = affinity_consistency(features, batches, config)
    expected = oracle(features, batches, config)
    torch.testing.assert_close(
        loss_and_gradients(got, features), loss_and_gradients(expected, features), rtol=1e-6, atol=1e-12
    )


@pytest.mark.parametrize("consistency", CHOICES["consistency"])
def test_a_class_that_one_lacks_may_count_as_affinity_0(consistency: str) -> None:
    config = replace(PLAIN, absent="zero", consistency=consistency)  # pyright: ignore[reportArgumentType]
    features, batches = example(absent=("ct",))
    got, expected = (function(features, batches, config) for function in (affinity_consistency, oracle))
    torch.testing.assert_close(loss_and_gradients(got, features), loss_and_gradients(expected, features))


def test_of_several_layer_pairs_it_is_the_mean() -> None:
    features, batches = example()
    pairs = (("l", "k"), ("l", "l"), ("k", "k"))
    of_each = [affinity_consistency(features, batches, replace(PLAIN, layer_pairs=(pair,))).item() for pair in pairs]
    got = affinity_consistency(features, batches, replace(PLAIN, layer_pairs=pairs))
    assert got.item() == pytest.approx(sum(of_each) / 3)


GRIDS = {"2d": (4, 3), "3d": (2, 3, 2)}

LACKING = {"all have it": (), "one lacks": ("ct",), "two lack": ("ct", "mr"), "one has it": ("ct", "mr", "lge")}


@pytest.mark.parametrize("absent", ["skip", "zero"])
@pytest.mark.parametrize("lacking", LACKING)
@pytest.mark.parametrize("names", [("ct", "mr"), ("ct", "mr", "lge"), ("ct", "mr", "lge", "t2")], ids=len)
@pytest.mark.parametrize("grid", GRIDS)
def test_all_pairs_at_linear_cost_equal_the_loop_over_pairs(
    grid: str, names: tuple[str, ...], lacking: str, absent: str
) -> None:
    config = replace(PLAIN, absent=absent)  # pyright: ignore[reportArgumentType]
    features, batches = example(names, GRIDS[grid], LACKING[lacking])
    got = affinity_consistency(features, batches, config)
    expected = oracle(features, batches, config)
    assert got > 0
    torch.testing.assert_close(loss_and_gradients(got, features), loss_and_gradients(expected, features))


@pytest.mark.parametrize("consistency", CHOICES["consistency"])
@pytest.mark.parametrize("masks", CHOICES["mask_resizing"])
@pytest.mark.parametrize("grid", GRIDS)
def test_readings_with_three_modalities_without_background(grid: str, masks: str, consistency: str) -> None:
    config = replace(PLAIN, mask_resizing=masks, consistency=consistency, background=False)  # pyright: ignore
    features, batches = example(("ct", "mr", "lge"), GRIDS[grid], ("mr",))
    got, expected = (function(features, batches, config) for function in (affinity_consistency, oracle))
    torch.testing.assert_close(loss_and_gradients(got, features), loss_and_gradients(expected, features))


@pytest.mark.parametrize("pooling", ["batch", "image"])
@pytest.mark.parametrize("roi_size", ["one", "pixels"])
@pytest.mark.parametrize("names", [("ct", "mr"), ("ct", "mr", "lge"), ("ct", "mr", "lge", "t2")], ids=len)
@pytest.mark.parametrize("grid", GRIDS)
def test_the_class_free_row_is_one_class_everywhere(
    grid: str, names: tuple[str, ...], roi_size: str, pooling: str
) -> None:
    """Whatever classes a modality lacks: there are no masks."""
    config = replace(PLAIN, class_specific=False, roi_size=roi_size, pooling=pooling)  # pyright: ignore
    features, batches = example(names, GRIDS[grid], ("ct",))
    one_class = torch.zeros(2, *GRIDS[grid], dtype=torch.long)
    expected = affinity_loops.csa_loss([(f["l"], f["k"], one_class) for f in features.values()], [0], pooling=pooling)
    got = affinity_consistency(features, batches, config)
    torch.testing.assert_close(loss_and_gradients(got, features), loss_and_gradients(expected, features))


class LargestResult(TorchDispatchMode):
    """Inside, forward and backward: `nbytes` of the largest memory that an operation's result lies in."""

    def __init__(self) -> None:
        super().__init__()
        self.nbytes = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for part in result if isinstance(result, tuple | list) else (result,):
            if isinstance(part, Tensor):
                self.nbytes = max(self.nbytes, part.untyped_storage().nbytes())
        return result


def test_the_largest_result_is_seen_forward_and_backward() -> None:
    ones = torch.ones(3, requires_grad=True)
    with LargestResult() as largest:
        (ones[:, None] * torch.ones(5)).sum()
    assert largest.nbytes == 15 * 4
    loss = ones.sum()
    with LargestResult() as largest:
        loss.backward()
    assert largest.nbytes == 3 * 4


@pytest.mark.parametrize("pooling", CHOICES["pooling"])
@pytest.mark.parametrize("consistency", CHOICES["consistency"])
@pytest.mark.parametrize("masks", ["none", *CHOICES["mask_resizing"]])
def test_nothing_larger_than_a_feature_map_is_made_in_3d(masks: str, consistency: str, pooling: str) -> None:
    """Maps of all M x N products would be 8 times as large, and the masked maps of all classes three times."""
    grid, M = (8, 16, 16), 8
    generator = torch.Generator().manual_seed(0)
    features = {
        name: {layer: torch.randn(2, M, *grid, generator=generator).requires_grad_() for layer in "lk"}
        for name in ("ct", "mr", "lge")
    }
    labels = torch.randint(0, C, (2, *grid), generator=generator)
    batches = {name: Batch(torch.zeros(2, 1, *grid), labels, torch.eye(C, dtype=torch.bool)) for name in features}
    masking = {"class_specific": False} if masks == "none" else {"mask_resizing": masks}
    config = replace(PLAIN, **masking, consistency=consistency, pooling=pooling)  # pyright: ignore
    with LargestResult() as largest:
        affinity_consistency(features, batches, config).backward()
    assert largest.nbytes == features["ct"]["l"].nbytes


@pytest.mark.parametrize("consistency", CHOICES["consistency"])
def test_gradcheck(consistency: str) -> None:
    config = replace(PLAIN, consistency=consistency)  # pyright: ignore[reportArgumentType]
    features, batches = example(grid=(2, 2))
    leaves = [features[name][layer] for name in ("ct", "mr") for layer in ("l", "k")]

    def loss(ct_l: Tensor, ct_k: Tensor, mr_l: Tensor, mr_k: Tensor) -> Tensor:
        return affinity_consistency({"ct": {"l": ct_l, "k": ct_k}, "mr": {"l": mr_l, "k": mr_k}}, batches, config)

    assert torch.autograd.gradcheck(loss, leaves)


def test_modalities_may_be_swapped() -> None:
    features, batches = example()
    swapped = affinity_consistency(dict(reversed(features.items())), dict(reversed(batches.items())), PLAIN)
    torch.testing.assert_close(affinity_consistency(features, batches, PLAIN), swapped)


@pytest.mark.parametrize("consistency", CHOICES["consistency"])
def test_equal_features_agree(consistency: str) -> None:
    config = replace(PLAIN, consistency=consistency)  # pyright: ignore[reportArgumentType]
    features, batches = example()
    twice = dict.fromkeys(batches, features["ct"]), dict.fromkeys(batches, batches["ct"])
    assert affinity_consistency(*twice, config) == 0


def affinities(l: Tensor, k: Tensor, batch: Batch, config: CSAConfig = PLAIN) -> list[Tensor]:  # noqa: E741
    return [A for A in class_affinities(l, k, regions(batch, l.shape[2:], config), config) if A is not None]


def test_affinity_ignores_a_channels_scale_and_the_order_of_pixels() -> None:
    features, batches = example()
    l, k, batch = features["ct"]["l"], features["ct"]["k"], batches["ct"]  # noqa: E741
    expected = affinities(l, k, batch)
    scale = torch.tensor([0.1, 3.0, 70.0], dtype=torch.float64).reshape(1, 3, 1, 1)
    torch.testing.assert_close(affinities(scale * l, k, batch), expected)

    order = torch.randperm(24, generator=torch.Generator().manual_seed(0))
    on_grid = batch._replace(label_map=nearest_on_grid(batch.label_map, 1, (4, 3)))
    moved = on_grid._replace(label_map=on_grid.label_map.flatten()[order].reshape(2, 4, 3))
    shuffled = [x.movedim(1, -1).flatten(0, 2)[order].reshape(2, 4, 3, -1).movedim(-1, 1) for x in (l, k)]
    torch.testing.assert_close(affinities(*shuffled, moved), expected)


def test_affinities_are_cosines() -> None:
    features, batches = example()
    for of_class in affinities(features["ct"]["l"], features["ct"]["k"], batches["ct"]):
        assert of_class.shape == (3, 4)
        assert of_class.abs().max() <= 1
    same = affinities(features["ct"]["l"], features["ct"]["l"], batches["ct"])[0]
    torch.testing.assert_close(same.diagonal(), torch.ones(3, dtype=torch.float64))


def test_the_literal_reading_is_never_larger() -> None:
    features, batches = example()
    literal = affinity_consistency(features, batches, replace(PLAIN, consistency="literal"))
    assert 0 < literal <= affinity_consistency(features, batches, PLAIN)


@pytest.mark.parametrize("absent", ["skip", "zero"])
@pytest.mark.parametrize("consistency", CHOICES["consistency"])
def test_silent_channels_and_absent_classes_give_no_nan(consistency: str, absent: str) -> None:
    config = replace(PLAIN, consistency=consistency, absent=absent, roi_size="pixels")  # pyright: ignore
    features, batches = example(absent=("ct",))
    with torch.no_grad():
        features["ct"]["l"][:, 0] = 0
    assert all(
        torch.isfinite(g).all() for g in loss_and_gradients(affinity_consistency(features, batches, config), features)
    )


def test_no_common_class_is_no_loss() -> None:
    features, batches = example()
    batches = {n: b._replace(label_map=torch.full_like(b.label_map, i)) for i, (n, b) in enumerate(batches.items())}
    assert affinity_consistency(features, batches, PLAIN) == 0


def test_a_label_that_may_be_several_classes_is_in_no_mask() -> None:
    features, batches = example()
    merged = torch.cat([torch.eye(C, dtype=torch.bool), torch.tensor([[False, True, True]])])
    with_sets = {
        n: b._replace(label_sets=merged, label_map=b.label_map.masked_fill(b.label_map == 1, 3))
        for n, b in batches.items()
    }
    for masks in ("nearest", "area"):
        got = affinity_consistency(features, with_sets, replace(PLAIN, mask_resizing=masks))  # pyright: ignore
        without_1 = affinity_loops.csa_loss(
            [(features[n]["l"], features[n]["k"], b.label_map) for n, b in batches.items()], [0, 2], masks=masks
        )
        torch.testing.assert_close(got, without_1)


def test_layers_of_different_size_meet_on_the_finer_grid() -> None:
    fine, coarse = torch.randn(1, 2, 4, 6), torch.arange(4.0).reshape(1, 1, 2, 2)
    same, repeated = on_one_grid(fine, coarse)
    assert same is fine
    assert repeated[0, 0].tolist() == [[0, 0, 0, 1, 1, 1]] * 2 + [[2, 2, 2, 3, 3, 3]] * 2


def test_the_first_voxel_of_each_block_is_the_mask() -> None:
    assert nearest_on_grid(torch.arange(8).reshape(1, 8), 1, [2]).tolist() == [[0, 4]]
    assert nearest_on_grid(torch.arange(8).reshape(1, 8), 1, [2], center=True).tolist() == [[2, 6]]
    assert nearest_on_grid(torch.arange(9).reshape(1, 9), 1, [3], center=True).tolist() == [[1, 4, 7]]
    assert nearest_on_grid(torch.arange(2).reshape(1, 2), 1, [4], center=True).tolist() == [[0, 0, 1, 1]]


def test_affinity_is_computed_in_full_precision_under_autocast() -> None:
    features, batches = example()
    half = {n: {layer: x.detach().bfloat16() for layer, x in of.items()} for n, of in features.items()}
    full = {n: {layer: x.float() for layer, x in of.items()} for n, of in half.items()}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = affinity_consistency(half, batches, PLAIN)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, affinity_consistency(full, batches, PLAIN))


def split_example(images: int, seed: int, shift: float = 0.0) -> Example:
    """Two modalities of `images` images whose features are drawn alike; with `shift` one has other affinities."""
    generator = torch.Generator().manual_seed(seed)
    features, batches = {}, {}
    for name in ("ct", "mr"):
        labels = torch.randint(0, C, (images, 4, 3), generator=generator)
        common = torch.randn(images, 1, 4, 3, generator=generator, dtype=torch.float64)
        mixed = shift * common if name == "mr" else 0.0
        features[name] = {
            layer: (torch.randn(images, n, 4, 3, generator=generator, dtype=torch.float64) + mixed).requires_grad_()
            for layer, n in (("l", 3), ("k", 4))
        }
        batches[name] = Batch(torch.zeros(images, 1, 4, 3), labels, torch.eye(C, dtype=torch.bool))
    return features, batches


@pytest.mark.parametrize("consistency", ["elementwise", "literal"])
@pytest.mark.parametrize("images", [2, 5])
def test_cross_fitted_halves_equal_the_loops(consistency: str, images: int) -> None:
    features, batches = split_example(images, 3)
    config = replace(PLAIN, estimate="cross_fitted", consistency=consistency)  # pyright: ignore
    got = affinity_consistency(features, batches, config)
    of_modalities = [(features[n]["l"], features[n]["k"], batch.label_map) for n, batch in batches.items()]
    expected = affinity_loops.cross_fitted_loss(of_modalities, list(range(C)), consistency)
    torch.testing.assert_close(
        loss_and_gradients(got, features), loss_and_gradients(expected, features), rtol=1e-6, atol=1e-12
    )


def test_cross_fitted_is_zero_in_the_mean_where_modalities_agree_and_plain_is_not() -> None:
    def mean(estimate: str, shift: float) -> float:
        config = replace(PLAIN, estimate=estimate)  # pyright: ignore[reportArgumentType]
        values = [affinity_consistency(*split_example(4, seed, shift), config).item() for seed in range(60)]
        return sum(values) / len(values)

    alike, apart = mean("cross_fitted", 0.0), mean("cross_fitted", 2.0)
    assert abs(alike) < 0.1 * mean("plain", 0.0)
    assert apart > 5 * abs(alike)


def test_cross_fitting_one_image_is_one_line() -> None:
    with pytest.raises(InputError, match=r"'cross_fitted' needs 2 images of ct in a batch, got 1; raise") as caught:
        affinity_consistency(*split_example(1, 0), replace(PLAIN, estimate="cross_fitted"))
    assert "\n" not in str(caught.value)
