"""Slices to a grid: in which order they lie, the affine, and why they are no volume.

The place of every pixel comes from Image Position and Image Orientation (DICOM PS3.3 C.7.6.2), never from file names,
instance numbers or slice thickness.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unpaired.data.image import ImageError
from unpaired.dicom.index import Frame

GAP_SHARE = 0.05
"""How far a distance between neighboring slices may be from the others', as a share: more is irregular."""
SAME_PLACE_MM = 1e-2
"""Slices nearer than that lie at one place."""
SHIFT_PIXELS = 0.5
"""How far the last slice may lie beside the first along the normal: more is a tilted gantry, a sheared grid."""
STRAY_PIXELS = 0.25
"""How far a slice of a tilted stack may lie from the straight line through all of them."""


@dataclass(frozen=True)
class Stack:
    """Frames in their order along the normal, on a right-angled grid.

    `affine` is voxel (column, row, slice) -> LPS mm, (4, 4). `size` are its columns and rows: the frames' own, and more
    where the gantry was tilted. `shifts` (slices, 2) is the column and row of the grid at which each frame's first
    pixel lies, zero where nothing is tilted. `tilt_degrees` says how far the stack leans from the normal.
    """

    frames: tuple[Frame, ...]
    affine: np.ndarray
    size: tuple[int, int]
    shifts: np.ndarray
    tilt_degrees: float = 0.0


def stacked(frames: Sequence[Frame]) -> Stack:
    """The grid of frames that lie in one direction with one size and spacing.

    Raises ImageError, in one line, for fewer than two, for slices that are missing, doubled or at irregular distances,
    and for frames without a place.
    """
    require_places(frames)
    if len(frames) < 2:
        raise ImageError("a single slice, no volume", "affine")
    normal = normal_of(frames[0])
    ordered = tuple(sorted(frames, key=lambda frame: float(np.array(frame.position) @ normal)))
    places = np.array([frame.position for frame in ordered])
    _require_even(ordered, places @ normal)
    row, column = np.array(ordered[0].row), np.array(ordered[0].column)
    columns_mm, rows_mm = ordered[0].spacing_mm or (1.0, 1.0)
    whole = places[-1] - places[0]
    step = normal * float(whole @ normal) / (len(ordered) - 1)
    beside = (places - places[0]) @ np.array([row / columns_mm, column / rows_mm]).T
    shifts, size, origin, tilt = np.zeros((len(ordered), 2)), ordered[0].size, places[0], 0.0
    if np.linalg.norm(beside[-1] * (columns_mm, rows_mm)) > SHIFT_PIXELS * min(columns_mm, rows_mm):
        _require_straight(ordered, beside)
        low, high = np.floor(beside.min(axis=0) + 1e-6), np.ceil(beside.max(axis=0) - 1e-6)
        shifts = np.round(beside - low, 4)  # positions have few decimals: a whole pixel is one
        size = (size[0] + int(high[0] - low[0]), size[1] + int(high[1] - low[1]))
        origin = places[0] + low[0] * columns_mm * row + low[1] * rows_mm * column
        tilt = float(np.degrees(np.arctan2(np.linalg.norm(whole - (whole @ normal) * normal), whole @ normal)))
    affine = np.eye(4)
    affine[:3] = np.column_stack([row * columns_mm, column * rows_mm, step, origin])
    return Stack(ordered, affine, size, shifts, tilt)


def normal_of(frame: Frame) -> np.ndarray:
    """Unit vector on a slice, toward the next one in a right-handed grid."""
    across = np.cross(np.array(frame.row), np.array(frame.column))
    return across / np.linalg.norm(across)


def require_places(frames: Sequence[Frame]) -> None:
    """Raise ImageError unless each frame has pixels and says where it lies, in right-angled unit directions."""
    for frame in frames:
        if 0 in frame.size:
            raise ImageError(f"no pixels ({frame.size[0]} columns, {frame.size[1]} rows)", "affine")
        if frame.position is None or frame.row is None or frame.column is None:
            raise ImageError("slices without a place in the patient (Image Position, Image Orientation)", "affine")
        if frame.spacing_mm is None:
            raise ImageError("pixels without a size (Pixel Spacing)", "affine")
        row, column = np.array(frame.row), np.array(frame.column)
        lengths = np.linalg.norm(row), np.linalg.norm(column)
        if not np.allclose(lengths, 1, atol=0.01) or abs(row @ column) > 0.01:
            raise ImageError(f"{frame.file.name}: Image Orientation makes no right angle", "affine")


def doubled(frames: Sequence[Frame]) -> int:
    """How many frames lie where another one does already."""
    places = {tuple(np.round(np.array(frame.position) / SAME_PLACE_MM).astype(np.int64)) for frame in frames}
    return len(frames) - len(places)


def _require_even(ordered: Sequence[Frame], levels: np.ndarray) -> None:
    gaps = np.diff(levels)
    apart = gaps[gaps > SAME_PLACE_MM]
    usual = float(np.median(apart)) if len(apart) else 0.0
    for number, gap in enumerate(gaps):
        pair = f"{_named(ordered[number])} and {_named(ordered[number + 1])}"
        if gap <= max(SAME_PLACE_MM, usual / 100):
            raise ImageError(
                f"{pair} lie at one place ({int((gaps <= SAME_PLACE_MM).sum())} such pairs), and nothing sets them "
                "apart: doubled slices; export the series once",
                "affine",
            )
        if abs(gap - usual) > GAP_SHARE * usual:
            missing = round(gap / usual) - 1
            even = missing >= 1 and abs(gap / usual - missing - 1) <= 2 * GAP_SHARE
            what = f"{missing} missing slice{'s' * (missing > 1)}" if even else "irregular spacing"
            raise ImageError(
                f"{what}: {gap:.2f} mm between {pair}, {usual:.2f} mm elsewhere; export all of it", "affine"
            )


def _require_straight(ordered: Sequence[Frame], beside: np.ndarray) -> None:
    line = np.linspace(0, 1, len(ordered))[:, None] * beside[-1]
    stray = np.abs(beside - line).max(axis=1)
    if stray.max() > STRAY_PIXELS:
        worst = ordered[int(stray.argmax())]
        raise ImageError(
            f"{_named(worst)} lies {stray.max():.1f} pixels beside the line through the others: no gantry's tilt, "
            "no grid; export it again",
            "affine",
        )


def _named(frame: Frame) -> str:
    """A frame for a message: the file's name, and the frame of a multi-frame file."""
    return f"frame {frame.number + 1}" if frame.number else frame.file.name
