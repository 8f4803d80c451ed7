"""What one scan tells of itself, by hand: stored in any order of axes, partly labeled, oblique."""

import math
from pathlib import Path

import numpy as np
import pytest

from unpaired.data.dataset import CaseEntry
from unpaired.data.images import write_image
from unpaired.planning.case_facts import CaseJob, look_at

CLASSES = ("background", "organ", "other")
ENCODING = {0: (0,), 1: (1,), 2: (1, 2), 3: (0, 2)}
SHAPE = (4, 60, 40)
HEAD_RIGHT_FRONT = np.array([[0.0, 2, 0, 0], [0, 0, 1, 0], [5, 0, 0, 0], [0, 0, 0, 1]])
"""A file's axes, to head, right and front: 4 slices of 5 mm, 60 columns of 2 mm, 40 rows of 1 mm."""


def scan() -> np.ndarray:
    """Air, and 20 x 12 pixels of a body in each slice."""
    values = np.zeros(SHAPE, np.int16)
    values[:, 20:40, 14:26] = 100
    return values


def job(folder: Path, affine: np.ndarray = HEAD_RIGHT_FRONT, label: np.ndarray | None = None) -> CaseJob:
    write_image(folder / "a.nii.gz", scan(), affine)
    if label is not None:
        write_image(folder / "l.nii.gz", label, affine)
    file = None if label is None else folder / "l.nii.gz"
    return CaseJob(CaseEntry("a", "p", "mr", folder / "a.nii.gz", file), CLASSES, ENCODING)


def test_sizes_follow_depth_height_and_width_and_values_are_of_the_body(tmp_path: Path) -> None:
    """Looked at each 4 mm, the body is in rows 14, 18, 22 and columns 21 to 39: with a step around it rows 8 to 27 and
    columns 18 to 41, of which 240 of 480 pixels are bright."""
    facts, _ = look_at(job(tmp_path))
    assert (facts.shape, facts.spacing_mm, facts.axes) == ((4, 40, 60), (5, 1, 2), "SRA")
    assert (facts.plane, facts.labeled, facts.volumes_ml) == ("axial", False, {})
    assert facts.body_mm == (4 * 5, 20 * 1, 24 * 2)
    assert facts.body_share == pytest.approx(20 * 24 / (40 * 60))
    assert facts.percentiles == (0, 0, 0, 50, 100, 100, 100)
    assert (facts.mean, facts.std) == (50, 50)


def test_what_may_be_several_organs_is_of_none_and_what_may_be_background_is_that(tmp_path: Path) -> None:
    label = np.zeros(SHAPE, np.uint8)
    label[1, 0:30, 0] = 1  # air: 30 voxels of 10 cubic millimetres
    label[1, 20:40, 14] = 2  # body: 20 voxels of either organ
    label[1, 20:40, 20:25] = 3
    facts, _ = look_at(job(tmp_path, label=label))
    assert facts.volumes_ml == {"organ": pytest.approx(0.3)}
    assert facts.mean == pytest.approx(100 * 20 / 50)
    empty, _ = look_at(job(tmp_path, label=np.zeros(SHAPE, np.uint8)))
    assert (empty.labeled, empty.volumes_ml, empty.mean) == (True, {}, 50), "the body's, without organs"


def test_the_picture_is_of_the_slice_with_most_of_the_organs(tmp_path: Path) -> None:
    label = np.zeros(SHAPE, np.uint8)
    label[1, 20:40, 20] = 1
    label[3, 20:40, 14:26] = 2
    _, picture = look_at(job(tmp_path, label=label))
    assert picture.gray.shape == (37, 112)  # 40 x 120 mm
    assert set(picture.gray.ravel().tolist()) == {0, 255}
    assert (picture.gray[picture.outline] == 255).all()
    rows, columns = np.nonzero(picture.outline)
    assert rows.max() - rows.min() == pytest.approx(12 * 37 / 40, abs=1.5)
    assert columns.max() - columns.min() == pytest.approx(20 * 112 / 60, abs=1.5)


@pytest.mark.parametrize(("degrees", "plane"), [(0, "axial"), (20, "axial"), (30, "oblique"), (75, "coronal")])
def test_slices_are_called_after_the_plane_that_they_are_near(tmp_path: Path, degrees: int, plane: str) -> None:
    """Turned about the axis from left to right: from axial slices to coronal ones."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = np.array([[1, 0, 0, 0], [0, cos, -sin, 0], [0, sin, cos, 0], [0, 0, 0, 1]])
    assert look_at(job(tmp_path, turn @ HEAD_RIGHT_FRONT))[0].plane == plane
