"""Where a crop lies and how large it is, in voxels counted by hand; what a recipe says of values before a manifest."""

from typing import Any

import numpy as np
import pytest

from unpaired.data.dataset import Dataset, Modality, Normalization
from unpaired.data.images import Image
from unpaired.data.preprocess import Preprocessing, apply, body_box, kept_part, with_windows

RAW = Modality("none")


def row(voxels: int, mm: float, label: bool = False) -> Image:
    """A scan of one row, from front to back, of so many voxels; as a label map, its two at the front."""
    values = np.arange(voxels, dtype=np.float32)[::-1]
    array = (values < 2).astype(np.uint8) if label else values
    return Image(array.reshape(1, voxels, 1), np.diag([1.0, mm, 1.0, 1.0]))


@pytest.mark.parametrize(
    ("voxels", "mm", "fields", "crop", "count"),
    [
        (5, 1.0, {"size": (None, 2, None)}, (1, 3), 2),  # of 3 voxels that go, one before and two behind
        (4, 1.0, {"size": (None, 7, None)}, (-2, 5), 7),  # of 3 that come, two before and one behind
        (9, 3.0, {"roi_size_mm": (None, 8, None)}, (3, 6), 3),  # 2.7 voxels are three
        (9, 3.0, {"roi_size_mm": (None, 7, None)}, (3, 5), 2),
        (9, 3.0, {"size": (None, 4, None), "spacing_mm": (None, 2, None)}, (3, 6), 4),
        (10, 2.0, {"roi": "none", "spacing_mm": (None, 3, None)}, (0, 10), 7),
        (10, 2.0, {"roi": "none", "spacing_mm": (None, 3.2, None)}, (0, 10), 6),
    ],
)
def test_a_crop_lies_in_the_middle_and_is_rounded(
    voxels: int, mm: float, fields: dict[str, Any], crop: tuple[int, int], count: int
) -> None:
    image = row(voxels, mm)
    _, geometry = apply(image, Preprocessing(**{"plane": "axial", "roi": "center", **fields}), RAW)
    assert (geometry.crop[1], geometry.grid[1]) == (crop, count)
    inside = range(max(crop[0], 0), min(crop[1], voxels))
    assert kept_part(image.array, geometry).ravel().tolist() == list(inside)


@pytest.mark.parametrize(("margin", "stop"), [(0, 2), (2, 3), (4.1, 5), (100, 9)])
def test_a_margin_is_in_mm_and_ends_with_the_scan(margin: float, stop: int) -> None:
    preprocessing = Preprocessing(plane="axial", roi="label", roi_margin_mm=margin)
    _, geometry = apply(row(9, 2.0), preprocessing, RAW, row(9, 2.0, label=True))
    assert geometry.crop[1] == (0, stop)


def body(air: float, tissue: float) -> np.ndarray:
    """Four slices of 5 mm, 60 rows of 1 mm and 40 columns of 2 mm, with a body in rows 10..33 and columns 12..27."""
    view = np.full((4, 60, 40), air, np.float32)
    view[:, 10:34, 12:28] = tissue
    return view


MM = np.array([5.0, 1.0, 2.0])
BODY = ((0, 4), (4, 36), (10, 30))
"""Rows 2, 6, .. and columns 1, 3, .. are looked at; the first and last that are bright, and one more on each side."""


def test_the_body_is_brighter_than_the_mattress_it_lies_on() -> None:
    assert body_box(body(5, 300), MM) == BODY
    scan = body(-1000, 40)
    scan[:, 34:50, 4:36] = -500
    assert body_box(scan, MM) == BODY


def test_a_voxel_of_metal_hides_no_body() -> None:
    scan = body(5, 300)
    scan[1, 14, 19] = 60_000
    assert body_box(scan, MM) == BODY


@pytest.mark.parametrize("of_modality", ["none", "zscore"])
def test_a_recipes_normalization_comes_before_the_modalitys(of_modality: Normalization) -> None:
    modality = Modality(of_modality)
    volume, _ = apply(row(5, 1.0), Preprocessing(plane="axial", normalization="minmax"), modality)
    assert volume.ravel().tolist() == [0, 0.25, 0.5, 0.75, 1]


def test_windows_come_before_the_clipping_of_the_manifest() -> None:
    ct, mr = Modality(clip_percentiles=(1.0, 99.0)), Modality(clip=(0.0, 5.0))
    dataset = Dataset("d", ("background", "liver"), {"ct": ct, "mr": mr}, ())
    windows = with_windows(dataset, Preprocessing(windows=(("ct", -100.0, 200.0), ("pet", 0.0, 1.0)))).modalities
    assert windows == {"ct": Modality(clip=(-100.0, 200.0)), "mr": mr}
