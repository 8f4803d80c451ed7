"""Augmentation: image and labels move together, nothing new appears, nothing happens when all is off."""

import math
from dataclasses import replace
from itertools import combinations

import pytest
import torch

from unpaired.data.augment import NO_AUGMENTATION, Augmentation, Axis, augment
from unpaired.data.sides import MirrorSwap, label_swap
from unpaired.errors import InputError
from unpaired.recipes.phantom import csa

GEOMETRY_ONLY = Augmentation(spatial=1, noise=0, blur=0, brightness=0, contrast=0, gamma=0, low_resolution=0)


def ball(shape: tuple[int, ...]) -> torch.Tensor:
    """A blob off the center: 1 inside, 0 outside."""
    axes = torch.meshgrid(*[torch.arange(n) - n * 0.55 for n in shape], indexing="ij")
    return (sum((a / (n * 0.22)) ** 2 for a, n in zip(axes, shape, strict=True)) < 1).long()


@pytest.mark.parametrize("patch", [(40, 48), (12, 32, 32)])
def test_off_is_a_plain_central_cut(patch: tuple[int, ...]) -> None:
    whole = tuple(n + 6 for n in patch)
    image, labels = torch.rand(2, *whole), torch.randint(0, 4, whole)
    out, moved = augment(image, labels, patch, NO_AUGMENTATION, seed=1)
    middle = tuple(slice(3, 3 + n) for n in patch)
    assert torch.equal(out, image[:, *middle])
    assert torch.equal(moved, labels[middle])


@pytest.mark.parametrize("augmentation", [GEOMETRY_ONLY, Augmentation(spatial=1, in_plane_only=True, noise=0, gamma=0)])
@pytest.mark.parametrize("patch", [(40, 48), (12, 32, 32)])
def test_image_and_labels_move_together(patch: tuple[int, ...], augmentation: Augmentation) -> None:
    labels = ball(patch)
    seen = set()
    for seed in range(6):
        out, moved = augment(labels[None].float(), labels, patch, augmentation, seed)
        agree = ((out[0] > 0.5) == (moved > 0)).float().mean()
        assert agree > 0.98
        assert set(moved.unique().tolist()) <= {0, 1}
        assert 0.4 < moved.sum() / labels.sum() < 2.2
        seen.add(int(moved.sum()))
    assert len(seen) > 1


def test_in_plane_only_keeps_every_slice_in_its_place() -> None:
    labels = torch.zeros(8, 32, 32, dtype=torch.long)
    labels[3] = 1
    _, moved = augment(torch.rand(1, 8, 32, 32), labels, (8, 32, 32), Augmentation(spatial=1, in_plane_only=True), 3)
    assert moved.flatten(1).any(1).tolist() == [False, False, False, True, False, False, False, False]


def test_the_seed_decides_and_intensity_leaves_labels_alone() -> None:
    image, labels = torch.randn(1, 32, 32), torch.randint(0, 4, (32, 32))
    loud = Augmentation(spatial=0, noise=1, blur=1, brightness=1, contrast=1, gamma=1, low_resolution=1)
    first, moved = augment(image, labels, (32, 32), loud, 7)
    assert torch.equal(first, augment(image, labels, (32, 32), loud, 7)[0])
    assert not torch.equal(first, augment(image, labels, (32, 32), loud, 8)[0])
    assert torch.equal(moved, labels)
    assert not torch.allclose(first, image)
    assert torch.isfinite(first).all()


@pytest.mark.parametrize(("patch", "names"), [((6, 8), ("width",)), ((4, 6, 8), ("depth", "width")), ((4, 6), ())])
def test_mirroring_flips_image_and_labels_along_the_named_axes(patch: tuple[int, ...], names: tuple[str, ...]) -> None:
    """Every result is one of the flips of the input, each comes up, and labels follow their image."""
    labels = torch.arange(math.prod(patch)).reshape(patch)
    axes = [("depth", "height", "width")[-len(patch) :].index(name) for name in names]
    expected = [labels.flip(some) for count in range(len(axes) + 1) for some in combinations(axes, count)]
    seen = set()
    for seed in range(24):
        out, moved = augment(labels[None].float(), labels, patch, replace(NO_AUGMENTATION, mirror=names), seed)
        assert torch.equal(out[0].long(), moved)
        seen.add(next(place for place, flip in enumerate(expected) if torch.equal(moved, flip)))
    assert len(seen) == 2 ** len(names)


@pytest.mark.parametrize(("patch", "names"), [((6, 8), ("height", "width")), ((4, 6, 8), ("depth", "height", "width"))])
def test_labels_change_sides_with_the_image(patch: tuple[int, ...], names: tuple[Axis, ...]) -> None:
    """Voxel by voxel: a sample is one of the flips; mirrored along the width, every label is the partner's."""
    sets, swap = label_swap(
        ((0,), (1,), (2,), (3,), (1, 2), (0, 2), (0, 1, 2, 3)), MirrorSwap(("width",), (0, 2, 1, 3))
    )
    assert swap is not None
    labels = torch.randint(0, 7, patch, generator=torch.Generator().manual_seed(0))
    places = torch.arange(math.prod(patch)).reshape(patch).float()
    axes = [("depth", "height", "width")[-len(patch) :].index(name) for name in names]
    seen = set()
    for seed in range(40):
        augmentation = replace(NO_AUGMENTATION, mirror=names)
        out, moved = augment(places[None], labels, patch, augmentation, seed, swap)
        assert torch.equal(out, augment(places[None], labels, patch, augmentation, seed)[0]), "the image is as ever"
        flips = [some for count in range(len(axes) + 1) for some in combinations(axes, count)]
        flip = next(some for some in flips if torch.equal(out[0], places.flip(some)))
        changed = axes[-1] in flip  # the width is the last axis
        for before, after in zip(labels.flip(flip).flatten().tolist(), moved.flatten().tolist(), strict=True):
            members = sets[before]
            mirrored = tuple(sorted({0: 0, 1: 2, 2: 1, 3: 3}[number] for number in members)) if changed else members
            assert sets[after] == mirrored
        seen.add(flip)
    assert len(seen) == 2 ** len(names)


def test_swaps_that_could_not_happen_are_refused() -> None:
    for plane, mirror, words in (
        ("native", ("width",), "plane is native"),
        ("axial", (), "mirrored along width, which augmentation.mirror doesn't name"),
        ("sagittal", ("width", "height"), "mirrored along depth"),
    ):
        recipe = replace(csa(), augmentation=Augmentation(mirror=mirror))
        recipe = replace(recipe, preprocessing=replace(recipe.preprocessing, plane=plane))
        with pytest.raises(InputError, match=words):
            replace(recipe, augmentation=Augmentation(mirror=mirror, mirror_swaps=(("LV", "RV"),)))


def test_axes_to_mirror_are_checked() -> None:
    with pytest.raises(InputError, match="expected each axis once"):
        Augmentation(mirror=("width", "width"))
    with pytest.raises(InputError, match="slices have no depth to mirror"):
        replace(csa(), augmentation=Augmentation(mirror=("depth",)))


def test_the_margin_covers_what_turning_and_zooming_need() -> None:
    assert NO_AUGMENTATION.margin == 1
    image = torch.ones(1, *(2 * [round(64 * GEOMETRY_ONLY.margin) + 1]))
    for seed in range(20):
        out, _ = augment(image, image[0].long(), (64, 64), GEOMETRY_ONLY, seed)
        assert (out > 0.99).all()


@pytest.mark.parametrize(
    ("patch", "in_plane_only"), [((24, 96), False), ((96, 24), False), ((3, 24, 96), True), ((32, 48), False)]
)
def test_long_slices_that_turn_far_stay_within_what_is_cut(patch: tuple[int, ...], in_plane_only: bool) -> None:
    """By up to 60 degrees: cut as a square, a tenth and more of such a patch lay outside."""
    augmentation = replace(GEOMETRY_ONLY, rotation_degrees=60.0, in_plane_only=in_plane_only)
    margins = augmentation.margins(patch)
    image = torch.ones(1, *(math.ceil(n * margin) for n, margin in zip(patch, margins, strict=True)))
    for seed in range(40):
        out, _ = augment(image, image[0].long(), patch, augmentation, seed)
        assert (out > 0.99).all()


@pytest.mark.parametrize("patch", [(6, 24, 24), (24, 24, 6), (8, 16, 24)])
def test_long_volumes_that_turn_far_about_all_axes_stay_within_what_is_cut(patch: tuple[int, ...]) -> None:
    """By up to 60 degrees: cut as a cube, more than a third of 6 x 24 x 24 voxels lay outside."""
    augmentation = replace(GEOMETRY_ONLY, rotation_degrees=60.0)
    margins = augmentation.margins(patch)
    image = torch.ones(1, *(math.ceil(n * margin) for n, margin in zip(patch, margins, strict=True)))
    turned = [augment(image, image[0].long(), patch, augmentation, seed)[0] for seed in range(40)]
    empty = [(out < 0.99).float().mean().item() for out in turned]
    assert max(empty) < 0.12
    assert sum(empty) / len(empty) < 0.02


@pytest.mark.parametrize("shear", [0.0, 0.1])
@pytest.mark.parametrize("degrees", [0.0, 7.3, 15.0, 30.0, 45.0, 60.0, 180.0])
def test_squares_and_what_turns_little_are_cut_as_ever(degrees: float, shear: float) -> None:
    """Bit by bit what published runs were trained on."""
    augmentation = Augmentation(rotation_degrees=degrees, shear=shear)
    angle = math.radians(min(degrees, 45.0))
    ever = (math.cos(angle) + math.sin(angle)) * 1.2 * (1 + shear)
    assert augmentation.margin == ever
    assert augmentation.margins((80, 80)) == (ever, ever)
    assert augmentation.margins((80, 80, 80)) == (ever, ever, ever)
    assert (augmentation.margins((16, 64, 256)) == (ever, ever, ever)) == (degrees <= 15)
    assert replace(augmentation, in_plane_only=True).margins((5, 64, 64)) == (1.0, ever, ever)
    assert (augmentation.margins((64, 256)) == (ever, ever)) == (degrees <= 15)
    assert replace(augmentation, spatial=0).margins((64, 256)) == (1.0, 1.0)


@pytest.mark.parametrize("size", [(64, 64), (16, 40, 40)])
def test_elastic_deformation_moves_tissue_by_voxels_and_folds_nothing(size: tuple[int, ...]) -> None:
    """An image of coordinates shows where each voxel came from; its label map, of one coordinate, moves alike."""
    axes = [torch.arange(n, dtype=torch.float32) for n in size]
    image = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    labels = image[0].long()
    inner = tuple(slice(n // 5, n - n // 5) for n in size)
    largest, strains = [], []
    for seed in range(12):
        given = replace(NO_AUGMENTATION, elastic=1.0, elastic_strain=0.8)
        moved, moved_labels = augment(image, labels, size, given, seed)
        largest.append((moved - image)[(slice(None), *inner)].abs().max().item())
        slopes = [moved[axis].diff(dim=axis)[inner] for axis in range(len(size))]
        strains.append(max((slope - 1).abs().max().item() for slope in slopes))
        assert min(slope.min().item() for slope in slopes) > 0
        assert (moved_labels[inner] - moved[0][inner]).abs().max() <= 1
    assert max(largest) > 1
    assert max(strains) > 0.25
