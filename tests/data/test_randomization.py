"""Random intensities: the paper's network in plain loops, each image by its own number, nothing else moved."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from oracles.randomization_loops import random_convolutions as in_loops
from oracles.randomization_loops import with_moments_of
from unpaired.data.batch import Batch
from unpaired.data.dataset import Dataset
from unpaired.data.intensity_curves import region_curves
from unpaired.data.prepare import PreparedCase, prepare
from unpaired.data.preprocess import Preprocessing
from unpaired.data.randomization import (
    AS_IT_IS,
    Borrowing,
    Labels,
    Randomization,
    count_labels,
    draw_network,
    random_convolutions,
    randomize,
)
from unpaired.data.sampling import Sampling, UnpairedSteps
from unpaired.errors import InputError

SHAPES = {"2d": (3, 1, 6, 5), "2d, neighbors as channels": (2, 3, 5, 4), "3d": (2, 1, 3, 4, 5)}


def images(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("keep", ["moments", "frobenius"])
def test_images_go_through_the_papers_network_each_through_its_own(shape: tuple[int, ...], keep: str) -> None:
    config = Randomization(slope=0.2, keep=keep)  # pyright: ignore[reportArgumentType]
    x, numbers = images(shape), [7, 8, 9][: shape[0]]
    result = random_convolutions(x, numbers, config)
    for image, number, made in zip(x.numpy(), numbers, result.numpy(), strict=True):
        network = draw_network(number, shape[1], len(shape) - 2, config)
        kernels, biases = [k.numpy() for k in network.kernels], [b.numpy() for b in network.biases]
        expected = in_loops(image, kernels, biases, network.alpha, 0.2)
        if keep == "moments":
            expected = with_moments_of(expected, image)
        else:
            expected = expected * np.linalg.norm(image) / np.linalg.norm(expected)
        assert np.allclose(made, expected, atol=1e-3)


def test_a_network_is_as_published() -> None:
    networks = [draw_network(number, 3, 2, Randomization()) for number in range(200)]
    assert {tuple(k.shape for k in n.kernels) for n in networks} == {
        ((2, 3, 3, 3), (2, 2, 3, 3), (2, 2, 3, 3), (3, 2, 3, 3))
    }
    assert all([len(b) for b in n.biases] == [2, 2, 2, 3] for n in networks)
    small = [sum(int((k[..., 0, 0] == 0).all()) for k in n.kernels) for n in networks]
    assert set(small) == {0, 1, 2, 3, 4}, "kernels of 1 and of 3 in every mixture"
    values = torch.cat([n.kernels[1][:, :, 1, 1].flatten() for n in networks])
    assert abs(float(values.mean())) < 0.15
    assert abs(float(values.std()) - 1) < 0.1
    alphas = sorted(n.alpha for n in networks)
    assert 0 <= alphas[0] < 0.05
    assert 0.95 < alphas[-1] <= 1
    assert max(b - a for a, b in pairwise(alphas)) < 0.05


def test_only_images_with_a_number_change_and_the_same_number_does_the_same() -> None:
    x = images((4, 1, 8, 8))
    before, state = x.clone(), torch.get_rng_state()
    labels = torch.zeros(4, 8, 8, dtype=torch.long)
    result = randomize(x, labels, [AS_IT_IS, 5, AS_IT_IS, 6], Randomization())
    assert torch.equal(x, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert [torch.equal(a, b) for a, b in zip(result, x, strict=True)] == [True, False, True, False]
    alone = randomize(x[1:2], labels[:1], [5], Randomization())
    assert torch.allclose(alone, result[1:2], atol=1e-5), "whatever stands beside it in the batch"
    assert not torch.allclose(randomize(x[1:2], labels[:1], [6], Randomization()), alone, atol=0.1)
    assert randomize(x, labels, [AS_IT_IS] * 4, Randomization()) is x


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_z_score_stays_one_and_strength_zero_is_the_image(shape: tuple[int, ...]) -> None:
    x = images(shape)
    axes = tuple(range(2, x.ndim))
    x = (x - x.mean(dim=axes, keepdim=True)) / x.std(dim=axes, keepdim=True, correction=0)
    result = random_convolutions(x, range(len(x)), Randomization())
    assert torch.allclose(result.mean(dim=axes), torch.zeros(shape[:2]), atol=1e-4)
    assert torch.allclose(result.std(dim=axes, correction=0), torch.ones(shape[:2]), atol=1e-2)
    assert torch.allclose(random_convolutions(x, range(len(x)), Randomization(strength=0)), x, atol=1e-4)
    assert bool(random_convolutions(torch.zeros(shape), range(len(x)), Randomization()).isfinite().all())


def test_curves_of_regions_come_before_the_convolutions_of_that_share_of_samples() -> None:
    x = images((64, 1, 8, 8))
    labels = torch.randint(0, 3, (64, 8, 8), generator=torch.Generator().manual_seed(1))
    numbers = list(range(64))
    plain = randomize(x, labels, numbers, Randomization())
    half = randomize(x, labels, numbers, Randomization(curves=0.5))
    changed = [not torch.allclose(a, b, atol=1e-3) for a, b in zip(plain, half, strict=True)]
    assert 16 <= sum(changed) <= 48
    every = randomize(x, labels, numbers, Randomization(curves=1.0, strength=0.0))
    expected = region_curves(x, labels, numbers)
    for image, curved, original in zip(every.numpy(), expected.numpy(), x.numpy(), strict=True):
        np.testing.assert_allclose(image, with_moments_of(curved, original), atol=1e-3)


def test_where_a_modality_borrows() -> None:
    rule = Randomization(borrowed=0.8, enough=10)
    shares = [rule.borrowed_share(labeled, most=30) for labeled in (0, 1, 5, 10, 30)]
    assert shares == pytest.approx([1.0, 0.72, 0.4, 0.0, 0.0])
    assert [rule.borrowed_share(labeled, most=4) for labeled in (0, 1, 4)] == pytest.approx([1.0, 0.6, 0.0])
    assert [rule.borrowed_share(labeled, 4, pseudo=20) for labeled in (0, 1, 4)] == pytest.approx([0.8, 0.6, 0.0])
    assert Randomization(share=0.5).share_of("ct") == 0.5
    assert Randomization(share=0.5, modalities=("mr",)).share_of("ct") == 0.0


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kernels": (1, 2)}, r"randomization\.kernels: expected odd sizes"),
    ],
)
def test_bad_fields_are_one_line(fields: dict, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        Randomization(**fields)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def cases(phantom: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[PreparedCase]]:
    """ct with two labeled cases, lge with one, mr with none."""
    prepared = prepare(phantom, Preprocessing(), tmp_path_factory.mktemp("prepared"))
    ct, lge = (phantom.of(modality, "train") for modality in ("ct", "lge"))
    return {"ct": [prepared.cases[case.id] for case in ct], "lge": [prepared.cases[lge[0].id]], "mr": []}


def steps(cases: Mapping[str, list[PreparedCase]], randomization: Randomization, **options) -> UnpairedSteps:
    sampling = Sampling((32, 32), options.pop("batch_size", 4), randomization=randomization)
    return UnpairedSteps(cases, [(i,) for i in range(6)], 6, sampling, steps=64, **options)


def numbers_of(batch: Batch) -> list[int]:
    assert batch.random_numbers is not None
    return batch.random_numbers.tolist()


def test_a_modality_without_labels_is_trained_on_borrowed_samples_and_the_others_as_they_are(
    cases: dict[str, list[PreparedCase]],
) -> None:
    labeled = {name: members for name, members in cases.items() if members}
    plain = steps(labeled, Randomization())
    borrowing = steps(cases, Randomization(borrowed=0.5, enough=1))
    for step in range(8):
        batches, alone = borrowing[step], plain[step]
        assert list(batches) == ["ct", "lge", "mr"]
        assert AS_IT_IS not in numbers_of(batches["mr"])
        for name in labeled:
            assert numbers_of(batches[name]) == [AS_IT_IS] * 4
            assert torch.equal(batches[name].images, alone[name].images)
    assert any(bool(borrowing[step]["mr"].label_map.any()) for step in range(8))
    with pytest.raises(InputError, match=r"no labeled training case of modality mr"):
        steps(cases, Randomization())
    with pytest.raises(InputError, match=r"no labeled training case"):
        steps({"mr": []}, Randomization(borrowed=1.0))


def test_shares_are_what_the_rule_says(cases: dict[str, list[PreparedCase]]) -> None:
    labeled = {name: members for name, members in cases.items() if members}
    drawn = steps(labeled, Randomization(borrowed=0.8, enough=2, share=0.25, modalities=("ct",)), batch_size=16)
    batches = [drawn[step] for step in range(40)]
    numbers = {name: [n for step in batches for n in numbers_of(step[name])] for name in labeled}
    shares = {name: np.mean([n != AS_IT_IS for n in drawn]) for name, drawn in numbers.items()}
    assert shares["ct"] == pytest.approx(0.25, abs=0.05), "enough labels: it borrows nothing"
    assert shares["lge"] == pytest.approx(0.4, abs=0.06), "0.8 (1 - 1 / 2)"
    randomized = [n for n in numbers["ct"] + numbers["lge"] if n != AS_IT_IS]
    assert len(set(randomized)) == len(randomized), "every sample has a network of its own"


def test_a_networks_labels_are_no_reason_to_borrow_less(cases: dict[str, list[PreparedCase]]) -> None:
    taught = {"ct": cases["ct"], "lge": cases["lge"] * 12}
    drawn = steps(taught, Randomization(borrowed=0.75), batch_size=16, pseudo={cases["lge"][0].id})
    batches = [drawn[step] for step in range(40)]
    numbers = [n for step in batches for n in numbers_of(step["lge"])]
    assert np.mean([n != AS_IT_IS for n in numbers]) == pytest.approx(0.75, abs=0.06)
    assert all(n == AS_IT_IS for step in batches for n in numbers_of(step["ct"]))


@pytest.mark.parametrize(
    ("ct", "lge", "expected"),
    [
        (Labels(4), Labels(0, simulated=30), (0.0, 0.0)),
        (Labels(4), Labels(1, simulated=1), (0.0, 0.4)),
        (Labels(20), Labels(1, simulated=4), (0.0, 0.4)),
        (Labels(4), Labels(0, simulated=30, pseudo=7), (0.0, 0.0)),
        (Labels(0), Labels(0, simulated=30), (1.0, 0.0)),
        (Labels(0, simulated=5), Labels(0, simulated=30), (0.4, 0.0)),
        (Labels(0, pseudo=5), Labels(0, pseudo=20), (0.4, 0.0)),
    ],
    ids=[
        "simulated scans aren't lent",
        "they show the contrast of their modality",
        "enough",
        "pseudo-labels besides",
        "they lend where no patient is labeled",
        "both simulated",
        "a network's labels alone",
    ],
)
def test_simulated_scans_are_no_labels_to_lend(ct: Labels, lge: Labels, expected: tuple[float, float]) -> None:
    borrowing = Randomization(borrowed=0.8, enough=10).borrowing({"ct": ct, "lge": lge})
    assert (borrowing["ct"].share, borrowing["lge"].share) == pytest.approx(expected)
    for name, other in (("ct", "lge"), ("lge", "ct")):
        if borrowing[name].share:
            assert borrowing[name] == Borrowing(borrowing[name].share, (other,))


def test_labels_are_counted_by_who_made_them() -> None:
    ids = {"ct": ["a", "b"], "lge": ["s", "t", "u"], "mr": []}
    counted = count_labels(ids, simulated={"s", "t"}, pseudo={"t", "b"})
    assert counted == {"ct": Labels(1, pseudo=1), "lge": Labels(1, simulated=1, pseudo=1), "mr": Labels()}


def test_what_is_borrowed_is_of_patients_as_long_as_one_is_labeled(cases: dict[str, list[PreparedCase]]) -> None:
    patient, invented = cases["ct"]
    rule = Randomization(borrowed=1.0)
    drawn = steps(cases, rule, simulated={invented.id})
    assert {case.id for case in drawn.borrowed["mr"]} == {patient.id, cases["lge"][0].id}
    alone = steps({"ct": [invented], "mr": []}, rule, simulated={invented.id})
    assert [case.id for case in alone.borrowed["mr"]] == [invented.id]
    assert AS_IT_IS not in numbers_of(alone[0]["mr"])


def test_own_samples_are_the_same_wherever_others_are_borrowed(cases: dict[str, list[PreparedCase]]) -> None:
    labeled = {name: members for name, members in cases.items() if members}
    plain, borrowing = (steps(labeled, Randomization(borrowed=share, enough=4)) for share in (0.0, 0.9))
    own = borrowed = 0
    for step in range(8):
        for number, image, alone in zip(
            numbers_of(borrowing[step]["lge"]), borrowing[step]["lge"].images, plain[step]["lge"].images, strict=True
        ):
            assert torch.equal(image, alone) == (number == AS_IT_IS)
            own, borrowed = own + (number == AS_IT_IS), borrowed + (number != AS_IT_IS)
    assert own > 0
    assert borrowed > 0


def test_two_ranks_together_are_one_with_the_doubled_batch(cases: dict[str, list[PreparedCase]]) -> None:
    rule = Randomization(borrowed=0.5, share=0.5)
    whole = steps(cases, rule, batch_size=8)[3]
    parts = [steps(cases, rule, rank=rank, world_size=2)[3] for rank in (0, 1)]
    for name in cases:
        assert torch.equal(whole[name].images, torch.cat([part[name].images for part in parts]))
        assert numbers_of(whole[name]) == [n for part in parts for n in numbers_of(part[name])]
