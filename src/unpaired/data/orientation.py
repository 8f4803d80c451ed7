"""Which way a scan is turned: from a file's axes to (depth, height, width), from the affine alone."""

from typing import Literal

import numpy as np

from unpaired.errors import InputError

Plane = Literal["native", "axial", "coronal", "sagittal"]
DOWN = np.array([0.0, -1.0, -2.0])
"""Where rows run, in RAS: to inferior, else to posterior."""
RIGHTWARD = np.array([-2.0, -1.0, 0.0])
"""Where columns run, in RAS: to the patient's left, else to posterior (the way radiologists hang a picture)."""


def orientation(
    affine: np.ndarray, shape: tuple[int, ...], plane: Plane = "native"
) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """Which file axis becomes depth, height and width, and which of them run backwards; from the affine alone.

    Depth is chosen by `plane`. Of the two others, height is the one closer to "down" (to inferior, else posterior) and
    width runs to the patient's left, else posterior: axial slices show anterior on top, coronal and sagittal ones the
    head, and oblique ones (short-axis heart) the nearest to that, whatever the file's axis codes are. Depth then runs
    so that no patient is ever mirrored: toward superior in axial, posterior in coronal, right in sagittal slices.
    """
    matrix = np.asarray(affine, dtype=np.float64)[:3, :3]
    sizes = np.linalg.norm(matrix, axis=0)
    if not np.isfinite(matrix).all() or (sizes == 0).any() or abs(np.linalg.det(matrix / sizes)) < 1e-3:
        raise InputError(f"expected an invertible affine, got {matrix.tolist()}; repair the file's header")
    directions = (matrix / sizes).T
    depth = _depth_axis(matrix, shape, plane)
    first, second = (axis for axis in range(3) if axis != depth)
    # How clearly each choice of rows and columns agrees with the page; a tie keeps the later file axis as height.
    upright = abs(directions[second] @ DOWN) + abs(directions[first] @ RIGHTWARD)
    lying = abs(directions[first] @ DOWN) + abs(directions[second] @ RIGHTWARD)
    height, width = (second, first) if upright >= lying - 1e-6 else (first, second)
    flip_height = bool(directions[height] @ DOWN < 0)
    flip_width = bool(directions[width] @ RIGHTWARD < 0)
    down = -directions[height] if flip_height else directions[height]
    right = -directions[width] if flip_width else directions[width]
    flip_depth = bool(directions[depth] @ np.cross(right, down) < 0)
    return (depth, height, width), (flip_depth, flip_height, flip_width)


def _depth_axis(matrix: np.ndarray, shape: tuple[int, ...], plane: Plane) -> int:
    if plane == "native":
        single = [axis for axis in range(3) if shape[axis] == 1]
        if len(single) == 1:
            return single[0]
        sizes = np.linalg.norm(matrix, axis=0)
        return max(axis for axis in range(3) if sizes[axis] >= sizes.max() * (1 - 1e-3))
    import nibabel as nib

    world = {"sagittal": 0, "coronal": 1, "axial": 2}[plane]
    affine = np.eye(4)
    affine[:3, :3] = matrix
    return int(np.flatnonzero(nib.orientations.io_orientation(affine)[:, 0] == world)[0])


def oriented(array: np.ndarray, axes: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> np.ndarray:
    """A view of a file's array as (depth, height, width)."""
    return array.transpose(axes)[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
