"""Which file axis becomes depth, height and width: affines whose answer is known."""

import numpy as np
import pytest
from nibabel.orientations import aff2axcodes

from unpaired.data.orientation import orientation
from unpaired.errors import InputError


def test_short_axis_hearts_hang_alike_on_both_sides_of_the_axis_code() -> None:
    """Two short-axis planes a few degrees apart have codes LSP and PSR, as in MS-CMRSeg; both hang the same way."""
    seen = []
    for first in ([-0.72, -0.68, 0.13], [-0.63, -0.74, -0.21]):
        second = np.array([-0.33, 0.3, 0.9])
        second -= np.dot(second, first) / np.dot(first, first) * np.array(first)
        columns = [np.array(first) / np.linalg.norm(first), second / np.linalg.norm(second)]
        columns.append(-np.cross(*columns))
        affine = np.eye(4)
        affine[:3, :3] = np.array(columns).T * (0.75, 0.75, 8)
        seen.append(("".join(aff2axcodes(affine)), orientation(affine, (192, 192, 10))))
    assert {codes for codes, _ in seen} == {"LSP", "PSR"}
    assert seen[0][1] == seen[1][1] == ((2, 1, 0), (False, True, False))


def test_native_depth() -> None:
    assert orientation(np.diag([1, 4, 1, 1]), (9, 9, 9))[0][0] == 1
    assert orientation(np.diag([1, 1, 1, 1]), (9, 9, 9))[0][0] == 2  # a tie: the last file axis
    assert orientation(np.diag([1.5, 1, 1.5, 1]), (9, 1, 9))[0][0] == 1  # a single slice, however thin
    assert orientation(np.diag([1, 1, 0.9995, 1]), (9, 9, 9))[0][0] == 2  # equal but for rounding: the last


@pytest.mark.parametrize("off", [-1e-8, 0.0, 1e-8])
def test_where_rows_and_columns_fit_alike_the_later_axis_is_height(off: float) -> None:
    """Axial slices turned so that either choice agrees with the page by 3 / sqrt(5): rounding decides nothing."""
    affine = np.array([[-2.0 + off, -1.0, 0, 0], [1.0, -2.0 - off, 0, 0], [0, 0, 5, 0], [0, 0, 0, 1]])
    assert orientation(affine, (9, 9, 9))[0] == (2, 1, 0)


@pytest.mark.parametrize("bad", [np.zeros((4, 4)), np.full((4, 4), np.nan), np.ones((4, 4))])
def test_an_affine_without_inverse_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(InputError, match="invertible affine"):
        orientation(bad, (4, 4, 4))
