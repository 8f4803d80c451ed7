"""Curves of label regions: Bezier's formula in loops, one curve a region, monotone, from the sample's number alone."""

import numpy as np
import pytest
import torch

from unpaired.data.intensity_curves import POINTS, curves, region_curves


def bezier_in_loops(number: int, regions: int) -> list[list[tuple[float, float]]]:
    """Points (x, y) of each region's curve, at many t, with the random numbers in the order they are drawn."""
    generator = torch.Generator().manual_seed(number)
    result = []
    for _ in range(regions):
        (x1, y1), (x2, y2) = torch.rand(2, 2, generator=generator).tolist()
        falling = torch.rand((), generator=generator).item() < 0.5
        first, second = torch.randn(2, generator=generator).tolist()
        points = []
        for t in np.linspace(0, 1, 2001):
            x, y = (3 * (1 - t) ** 2 * t * a + 3 * (1 - t) * t**2 * b + t**3 for a, b in ((x1, x2), (y1, y2)))
            points.append((x, (1 + 0.1 * first) * (1 - y if falling else y) + 0.5 / 3 * second))
        result.append(points)
    return result


@pytest.mark.parametrize("number", range(4))
def test_curves_are_beziers(number: int) -> None:
    got = curves(number, 3).numpy()
    for curve, points in zip(got, bezier_in_loops(number, 3), strict=True):
        xs, ys = zip(*points, strict=True)
        expected = np.interp(np.linspace(0, 1, POINTS), xs, ys)
        np.testing.assert_allclose(curve, expected, atol=5e-3)


@pytest.mark.parametrize("shape", [(2, 1, 12, 10), (2, 3, 8, 8), (2, 1, 4, 6, 6)], ids=["2d", "channels", "3d"])
def test_each_region_goes_through_its_own_curve(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(shape, generator=generator)
    labels = torch.randint(0, 3, (shape[0], *shape[2:]), generator=generator)
    state = torch.get_rng_state()
    result = region_curves(images, labels, [5, 6])
    assert torch.equal(torch.get_rng_state(), state)
    for image, label, made, number in zip(images, labels, result, (5, 6), strict=True):
        low, high = image.min().item(), image.max().item()
        tables = curves(number, 3).numpy()
        for channel, after in zip(image, made, strict=True):
            for place in np.ndindex(*label.shape):
                at = (channel[place].item() - low) / (high - low)
                value = np.interp(at, np.linspace(0, 1, POINTS), tables[int(label[place])])
                assert after[place].item() == pytest.approx(low + value * (high - low), abs=1e-3)
    alone = region_curves(images[1:], labels[1:], [6])
    torch.testing.assert_close(alone, result[1:], rtol=1e-4, atol=1e-5)


def test_tissues_can_change_their_order_and_a_constant_image_stays() -> None:
    images = torch.tensor([[0.0, 0.0, 1.0, 1.0]]).reshape(1, 1, 1, 4)
    labels = torch.tensor([[0, 0, 1, 1]]).reshape(1, 1, 4)
    orders = {
        bool(made[0, 0, 0, 0] < made[0, 0, 0, 3]) for made in (region_curves(images, labels, [n]) for n in range(20))
    }
    assert orders == {True, False}
    assert torch.equal(
        region_curves(torch.full((1, 1, 2, 4), 3.0), labels.expand(1, 2, 4), [1]), torch.full((1, 1, 2, 4), 3.0)
    )
    assert region_curves(images, labels, []) is images
