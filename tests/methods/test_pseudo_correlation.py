"""GIN and IPA: maps and splines against plain loops, views blended both ways, agreement where there is nothing between
views."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from random_batches import C, random_batches

from oracles.semi_supervision_loops import probabilities
from unpaired.data.randomization import random_convolutions
from unpaired.methods.pseudo_correlation import (
    PseudoCorrelation,
    PseudoCorrelationConfig,
    blend_maps,
    divergence,
    views,
)
from unpaired.methods.supervised import labeled_outputs, supervised_terms
from unpaired.networks.unet import UNetConfig

NAMES = ("ct", "mr")
CONFIG = PseudoCorrelationConfig(spacing=4)


def built(config: PseudoCorrelationConfig = CONFIG) -> PseudoCorrelation:
    torch.manual_seed(0)
    return config.build(UNetConfig(width=2, widest=4, blocks=(1, 1)).build(NAMES, 1, C, 2), C)


@pytest.mark.parametrize("size", [(12, 9), (5, 8, 6)])
def test_blend_maps_reach_from_0_to_1_smoothly_and_differ(size: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    maps = blend_maps(3, size, 4)
    assert maps.shape == (3, 1, *size)
    for b in maps:
        assert b.min().item() == 0
        assert b.max().item() == pytest.approx(1)
        for axis in range(1, b.ndim):
            assert b.diff(dim=axis).abs().max() < 0.7
    assert not torch.allclose(maps[0], maps[1])


def test_the_first_two_views_are_blended_both_ways_and_the_third_is_itself() -> None:
    images = torch.randn(2, 1, 10, 12)
    torch.manual_seed(5)
    first, second, third = views(images, CONFIG)
    torch.manual_seed(5)
    T = [random_convolutions(images, torch.randint(2**31, (2,)).tolist(), CONFIG.randomization) for _ in range(3)]
    b = blend_maps(2, (10, 12), 4)
    for i in range(2):
        for h in range(10):
            for w in range(12):
                share = b[i, 0, h, w].item()
                one, two = T[0][i, 0, h, w].item(), T[1][i, 0, h, w].item()
                assert first[i, 0, h, w].item() == pytest.approx(share * one + (1 - share) * two, abs=1e-5)
                assert second[i, 0, h, w].item() == pytest.approx((1 - share) * one + share * two, abs=1e-5)
    assert torch.equal(third, T[2])


def test_the_divergence_equals_the_loops_and_is_0_for_equal_views() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = [2 * torch.randn(2, C, 3, 4, generator=generator) for _ in range(3)]
    rows = [probabilities(view.numpy().astype(float)) for view in logits]
    total = 0.0
    for of_voxel in zip(*rows, strict=True):
        mean = np.mean(of_voxel, axis=0)
        total += sum(float(m * math.log(m / p)) for row in of_voxel for m, p in zip(mean, row, strict=True)) / 3
    assert divergence(logits).item() == pytest.approx(total / len(rows[0]), rel=1e-4)
    assert divergence([logits[0]] * 3).item() == pytest.approx(0, abs=1e-6)


def test_the_objective_is_the_supervised_one_of_the_first_view_and_the_views_agreement() -> None:
    method, batches = built(), random_batches(NAMES, (8, 8), unlabeled=dict.fromkeys(NAMES, 2))
    torch.manual_seed(3)
    objective = method(batches, 0.0)
    torch.manual_seed(3)
    seen = {name: views(batch.images, CONFIG) for name, batch in batches.items()}
    first = {name: batch._replace(images=seen[name][0]) for name, batch in batches.items()}
    expected = supervised_terms(labeled_outputs(method.network, first), first, CONFIG)
    for name, term in expected.terms.items():
        assert objective.terms[name].item() == pytest.approx(term.item(), rel=1e-4)
    of_views = [term for name, term in objective.terms.items() if "views/" in name]
    assert len(of_views) == 4
    loss = expected.loss + CONFIG.weight * torch.stack(of_views).sum()
    assert objective.loss.item() == pytest.approx(loss.item(), rel=1e-4)


def test_views_that_do_not_change_agree() -> None:
    still = replace(CONFIG, randomization=replace(CONFIG.randomization, strength=0.0))
    objective = built(still)(random_batches(NAMES, (8, 8)), 0.0)
    assert objective.terms["views/ct"].item() == pytest.approx(0, abs=1e-6)


def test_all_views_can_be_supervised() -> None:
    method, batches = built(replace(CONFIG, supervised_views=3)), random_batches(NAMES, (8, 8))
    torch.manual_seed(3)
    objective = method(batches, 0.0)
    torch.manual_seed(3)
    batch = batches["ct"]
    x = torch.cat(views(batch.images, CONFIG))
    logits = method.network({"ct": x})["ct"]
    thrice = batch._replace(images=x, label_map=torch.cat([batch.label_map] * 3))
    expected = supervised_terms({"ct": logits}, {"ct": thrice}, CONFIG)
    assert objective.terms["ce/ct"].item() == pytest.approx(expected.terms["ce/ct"].item(), rel=1e-4)
