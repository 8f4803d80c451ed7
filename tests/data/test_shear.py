"""Shear: where each voxel comes from, by arithmetic; labels go along."""

from dataclasses import replace

import pytest
import torch

from unpaired.data.augment import NO_AUGMENTATION, augment
from unpaired.data.shear import sheared


@pytest.mark.parametrize("depth", [(), (3,)])
def test_voxels_come_from_where_the_factors_say(depth: tuple[int, ...]) -> None:
    H, W = 20, 30
    axes = torch.meshgrid(torch.arange(H, dtype=torch.float32), torch.arange(W, dtype=torch.float32), indexing="ij")
    image = torch.stack(axes)
    if depth:
        image = image.unsqueeze(1).repeat(1, *depth, 1, 1)
    moved = sheared(image, 0.1, -0.2, "bilinear")
    for h in range(5, H - 5):
        for w in range(5, W - 5):
            from_middle_h, from_middle_w = h - (H - 1) / 2, w - (W - 1) / 2
            expected = (h + 0.1 * from_middle_w, w - 0.2 * from_middle_h)
            values = moved[..., h, w].reshape(2, -1)
            assert values[0].tolist() == pytest.approx([expected[0]] * values.shape[1], abs=1e-3)
            assert values[1].tolist() == pytest.approx([expected[1]] * values.shape[1], abs=1e-3)


def test_a_sample_is_sheared_with_its_labels_as_often_as_it_is_turned() -> None:
    given = replace(NO_AUGMENTATION, spatial=0.5, rotation_degrees=0.0, zoom=(1.0, 1.0), shear=0.3)
    size = (40, 40)
    image = torch.arange(40.0).repeat(40, 1)[None]  # its column
    count = 0
    for seed in range(30):
        moved, labels = augment(image, image[0].long(), size, given, seed)
        assert (moved[0] - labels).abs().max() <= 0.51
        count += not torch.allclose(moved, image, atol=1e-3)
    assert 5 < count < 25
