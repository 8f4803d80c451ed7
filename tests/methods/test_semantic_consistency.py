"""The terms of SSC, its Eq. 9-11: against plain loops and by hand, for any number of modalities."""

from dataclasses import replace

import pytest
import torch
from random_batches import C, random_batches
from torch import Tensor

from oracles import structured_consistency_loops as loops
from unpaired.data.batch import Batch
from unpaired.methods.structured_consistency import (
    SSCConfig,
    auxiliary_loss,
    class_distances,
    correlation_distributions,
    image_consistency,
    modality_consistency,
)
from unpaired.networks.external_attention import ScaleOutput

SCALES = ("group9", "group5", "group3")

PLAIN = SSCConfig(scales=SCALES)

NAMES = [("ct", "mr"), ("ct", "mr", "lge"), ("ct", "mr", "lge", "t2")]

MERGED = torch.cat([torch.eye(C, dtype=torch.bool), torch.tensor([[False, True, True], [True, True, False]])])


def matrices(names: tuple[str, ...], scales: int = 2) -> dict[str, list[ScaleOutput]]:
    """Random R with rows of sum 1, in double precision."""
    generator = torch.Generator().manual_seed(len(names))

    def random_rows() -> Tensor:
        return torch.rand(2, C, C, generator=generator, dtype=torch.float64).softmax(-1).requires_grad_()

    S = torch.zeros(2, 1, C, 4, dtype=torch.float64)
    return {name: [ScaleOutput(S, None, random_rows()) for _ in range(scales)] for name in names}


def leaves_of(attended: dict[str, list[ScaleOutput]]) -> list[Tensor]:
    return [scale.correlations for scales in attended.values() for scale in scales if scale.correlations is not None]


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("distance", ["squared", "absolute", "cosine"])
@pytest.mark.parametrize("names", NAMES, ids=len)
def test_equation_10_over_all_pairs(names: tuple[str, ...], distance: str, background: bool) -> None:
    config = replace(PLAIN, distance=distance, background=background)  # pyright: ignore[reportArgumentType]
    vectors = [torch.randn(C, 5, dtype=torch.float64, requires_grad=True) for _ in names]
    got = modality_consistency(vectors, config)
    expected = loops.modality_consistency(vectors, distance, list(range(0 if background else 1, C)))
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(torch.autograd.grad(got, vectors), torch.autograd.grad(expected, vectors))
    of_each = [loops.modality_consistency(vectors, distance, [c]) for c in range(C)]
    torch.testing.assert_close(class_distances(vectors, config), torch.stack(of_each))


@pytest.mark.parametrize("absent", ["compare", "skip"])
@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("names", NAMES, ids=len)
def test_equation_11_over_all_pairs(names: tuple[str, ...], background: bool, absent: str) -> None:
    config = replace(PLAIN, background=background, absent=absent, temperature=0.3)  # pyright: ignore
    attended, batches = matrices(names), random_batches(names, (2, 2))
    batches["ct"].label_map[0] = 1  # class 2 and background are absent from one image
    present = [
        torch.tensor([[bool((labels == c).any()) for c in range(C)] for labels in batch.label_map])
        for batch in batches.values()
    ]
    assert not all(p.all() for p in present)
    got = image_consistency(attended, batches, config)
    expected = loops.image_consistency(
        [[s.correlations for s in scales if s.correlations is not None] for scales in attended.values()],
        present,
        0.3,
        list(range(0 if background else 1, C)),
        absent == "skip",
    )
    torch.testing.assert_close(got, expected)
    leaves = leaves_of(attended)
    torch.testing.assert_close(torch.autograd.grad(got, leaves), torch.autograd.grad(expected, leaves))


@pytest.mark.parametrize("label_sets", [MERGED[:C], MERGED], ids=["single", "sets"])
@pytest.mark.parametrize("grid", ["labels", "features"])
@pytest.mark.parametrize("weighting", ["frequency", "none"])
def test_equation_9(weighting: str, grid: str, label_sets: Tensor) -> None:
    config = replace(PLAIN, class_weighting=weighting, auxiliary_grid=grid)  # pyright: ignore[reportArgumentType]
    batch = random_batches(("ct",), (4, 6), label_sets)["ct"]
    predictions = [torch.randn(2, C, *size, dtype=torch.float64, requires_grad=True) for size in ((2, 2), (2, 3))]
    scales = [ScaleOutput(torch.zeros(2, 1, C, p[0, 0].numel()), p, None) for p in predictions]
    got = auxiliary_loss(scales, batch, config)
    expected = loops.auxiliary_loss(predictions, batch.label_map, label_sets, weighting == "frequency", grid)
    torch.testing.assert_close(got, expected, check_dtype=False)
    torch.testing.assert_close(torch.autograd.grad(got, predictions), torch.autograd.grad(expected, predictions))


@pytest.mark.parametrize("grid", ["labels", "features"])
def test_equation_9_has_no_side(grid: str) -> None:
    """Mirrored label maps and predictions have the same loss: cells are compared with what lies in their middle."""
    config = replace(PLAIN, auxiliary_grid=grid)  # pyright: ignore[reportArgumentType]
    batch = random_batches(("ct",), (6, 9))["ct"]
    prediction = torch.randn(2, C, 2, 3)
    losses = [
        auxiliary_loss(
            [ScaleOutput(torch.zeros(2, 1, C, 6), prediction.flip(axes), None)],
            batch._replace(label_map=batch.label_map.flip([axis - 1 for axis in axes])),
            config,
        )
        for axes in ([], [2], [3], [2, 3])
    ]
    torch.testing.assert_close(torch.stack(losses), losses[0].expand(4))


def test_equal_correlations_agree_and_others_do_not() -> None:
    attended, batches = matrices(("ct", "mr")), random_batches(("ct", "mr"), (2, 2))
    assert image_consistency(attended, batches, PLAIN) > 0
    equal = dict.fromkeys(("ct", "mr"), attended["ct"])
    assert image_consistency(equal, batches, PLAIN) == 0


def test_equation_11_by_hand() -> None:
    """Two classes, one image: p = (3/4, 1/4) and its mirror image, so both KL are 1/2 log 3; the other row agrees."""
    tau = 0.5
    R = tau * torch.tensor([[[3.0, 1.0], [1.0, 1.0]]]).log()
    S = torch.zeros(1, 1, 2, 4)
    attended = {"ct": [ScaleOutput(S, None, R)], "mr": [ScaleOutput(S, None, R.flip(-1))]}
    batch = Batch(torch.zeros(1, 1, 2, 2), torch.zeros(1, 2, 2, dtype=torch.long), torch.eye(2, dtype=torch.bool))
    config = replace(PLAIN, temperature=tau)
    torch.testing.assert_close(
        image_consistency(attended, {"ct": batch, "mr": batch}, config), torch.tensor(3.0).log() / 4
    )


def test_a_class_is_present_where_a_voxel_is_certainly_of_it() -> None:
    """Merged labels, "class 1 or 2" and "0 or 1", make no class present: with `skip` only certain ones are compared."""
    attended, batches = matrices(("ct", "mr")), random_batches(("ct", "mr"), (2, 2), MERGED)
    for batch in batches.values():
        batch.label_map[:] = torch.tensor([[0, 3], [3, 4]])
    got = image_consistency(attended, batches, replace(PLAIN, absent="skip", temperature=0.3))
    only_background = [torch.tensor([[True, False, False]] * 2)] * 2
    rows = [[s.correlations for s in scales if s.correlations is not None] for scales in attended.values()]
    expected = loops.image_consistency(rows, only_background, 0.3, list(range(C)), True)
    assert expected > 0
    torch.testing.assert_close(got, expected)


def test_the_temperature_softens() -> None:
    R = matrices(("ct", "mr"))["ct"][0].correlations
    assert R is not None
    hot, cold = (correlation_distributions(R, replace(PLAIN, temperature=t)).exp() for t in (10.0, 0.1))
    assert (hot - 1 / C).abs().max() < 0.05 < (cold - 1 / C).abs().max()
    torch.testing.assert_close(cold.sum(-1), torch.ones(2, C, dtype=torch.float64))


def test_images_without_a_partner_take_no_part() -> None:
    attended, batches = matrices(("ct", "mr")), random_batches(("ct", "mr"), (2, 2))
    first = {name: [ScaleOutput(*(p if p is None else p[:1] for p in s)) for s in of] for name, of in attended.items()}
    single = {name: Batch(b.images[:1], b.label_map[:1], b.label_sets) for name, b in batches.items()}
    expected = image_consistency(first, single, PLAIN)
    got = image_consistency(attended | {"mr": first["mr"]}, batches | {"mr": single["mr"]}, PLAIN)
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("absent", ["compare", "skip"])
@pytest.mark.parametrize("counts", [(1, 2, 2), (2, 1, 2), (2, 2, 1)], ids=str)
def test_a_small_batch_takes_no_partner_from_the_others(counts: tuple[int, ...], absent: str) -> None:
    """The second images of two modalities are compared although the third has one image, whichever that is."""
    names = ("ct", "mr", "lge")
    whole, full = matrices(names), random_batches(names, (2, 2))
    attended = {
        name: [ScaleOutput(s.attention[:n], None, None if s.correlations is None else s.correlations[:n]) for s in of]
        for (name, of), n in zip(whole.items(), counts, strict=True)
    }
    batches = {
        name: Batch(batch.images[:n], batch.label_map[:n], batch.label_sets)
        for (name, batch), n in zip(full.items(), counts, strict=True)
    }
    rows = [[s.correlations for s in scales if s.correlations is not None] for scales in attended.values()]
    present = [
        torch.tensor([[bool((labels == c).any()) for c in range(C)] for labels in batch.label_map])
        for batch in batches.values()
    ]
    expected = loops.image_consistency(rows, present, 0.3, list(range(C)), absent == "skip")
    config = replace(PLAIN, absent=absent, temperature=0.3)  # pyright: ignore[reportArgumentType]
    got = image_consistency(attended, batches, config)
    torch.testing.assert_close(got, expected)
    leaves = leaves_of(whole)
    torch.testing.assert_close(torch.autograd.grad(got, leaves), torch.autograd.grad(expected, leaves))
