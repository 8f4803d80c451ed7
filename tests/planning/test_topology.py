"""Patches and strides: what nnU-Net's rules say, by hand for small sizes, and what must hold for any size."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from unpaired.planning.topology import SMALLEST, fitted, multiples, patch_within, pooling


def test_cubes_are_halved_alike_until_they_are_small() -> None:
    assert pooling((64, 64, 64), (1, 1, 1), 6) == ((2, 2, 2),) * 4
    assert pooling((64, 64, 64), (1, 1, 1), 3) == ((2, 2, 2),) * 2
    assert pooling((7, 7), (1, 1), 6) == ()


def test_long_voxels_wait() -> None:
    # 8 mm slices of 1.5 mm pixels: two poolings in plane bring pixels to 6 mm, then all axes go together.
    assert pooling((16, 160, 160), (8, 1.5, 1.5), 6) == ((1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2))


def test_voxels_twice_as_long_wait_and_shorter_ones_do_not() -> None:
    assert pooling((64, 64, 64), (2, 1, 1), 4) == ((1, 2, 2), (2, 2, 2), (2, 2, 2))
    assert pooling((64, 64, 64), (1.99, 1, 1), 4) == ((2, 2, 2),) * 3


def test_a_small_axis_stops_alone() -> None:
    assert pooling((8, 64, 64), (1, 1, 1), 6) == ((2, 2, 2), (1, 2, 2), (1, 2, 2), (1, 2, 2))


def test_a_patch_becomes_the_next_multiple_of_what_it_is_halved_by() -> None:
    assert fitted((30, 33), (1, 1), 3) == ((32, 36), ((2, 2), (2, 2)))
    assert fitted((32, 9), (1, 1), 3) == ((32, 10), ((2, 2), (2, 1)))


def test_the_axis_that_covers_most_gives_way() -> None:
    patch, _ = patch_within((200, 100, 100), (1, 1, 1), 64**3, 5)
    assert patch[0] == max(patch)
    assert math.prod(patch) <= 64**3
    assert patch_within((64, 256, 256), (1, 1, 1), 32 * 128 * 128, 5)[0] == (32, 128, 128)  # a half of each


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(8, 400), min_size=2, max_size=3),
    st.lists(st.floats(0.3, 10), min_size=3, max_size=3),
    st.integers(2, 7),
    st.integers(4_096, 2_000_000),
)
def test_any_patch_can_be_halved_and_stays_within_its_voxels(
    size: list[int], spacing: list[float], stages: int, voxels: int
) -> None:
    patch, strides = patch_within(size, spacing[: len(size)], voxels, stages)
    steps = multiples(strides, len(size))
    assert all(length % step == 0 for length, step in zip(patch, steps, strict=True))
    assert all(length // step >= SMALLEST or step == 1 for length, step in zip(patch, steps, strict=True))
    assert len(strides) < stages
    assert math.prod(patch) <= voxels
    assert all(length < wanted + step for length, wanted, step in zip(patch, size, steps, strict=True))
