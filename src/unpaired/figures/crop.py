"""What a picture shows of a case: a crop around its labels, in true proportions, and the gray values of tissue."""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from unpaired.figures.case_view import CaseView

MARGIN_MM = 18.0
AIR_HU, SOFT_HU = -500.0, -250.0


@dataclass(frozen=True)
class Crop:
    """The rows and columns shown, the gray values from black to white, and the crop's (height, width) in mm."""

    rows: slice
    cols: slice
    window: tuple[float, float]
    size_mm: tuple[float, float]

    @property
    def box(self) -> tuple[slice, slice]:
        """Rows and columns, to index a slice with."""
        return self.rows, self.cols

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """(left, right, bottom, top) in mm, as matplotlib wants them: the first row is on top."""
        return 0.0, self.size_mm[1], self.size_mm[0], 0.0

    @property
    def aspect(self) -> float:
        """Height over width."""
        return self.size_mm[0] / self.size_mm[1]


def crop_of(view: CaseView, around: CaseView | None = None) -> Crop:
    """The crop that shows all labels of a case, or those of `around`, the same case with other label maps."""
    rows, cols = organ_box(around or view)
    size_mm = ((rows.stop - rows.start) * view.spacing_mm[1], (cols.stop - cols.start) * view.spacing_mm[2])
    return Crop(rows, cols, display_window(view, rows, cols), size_mm)


def draw_gray(axes: Axes, view: CaseView, index: int, crop: Crop, interpolation: str | None = "bicubic") -> None:
    """Draw a slice's image alone, as far as the crop goes."""
    low, high = crop.window
    gray = view.volume[index, crop.rows, crop.cols]
    axes.imshow(gray, cmap="gray", vmin=low, vmax=high, extent=crop.extent, interpolation=interpolation)


def organ_box(view: CaseView) -> tuple[slice, slice]:
    """Rows and columns around all labels, with a margin; at least a third of the picture, the whole one if none."""
    occupied = np.zeros(view.volume.shape[1:], dtype=bool)
    for labels in (view.reference, view.prediction):
        if labels is not None:
            occupied |= (labels > 0).any(axis=0)
    box: list[tuple[float, float]] = []
    for axis, (size, spacing) in enumerate(zip(occupied.shape, view.spacing_mm[1:], strict=True)):
        places = np.flatnonzero(occupied.any(axis=1 - axis))
        if not places.size:
            box.append((0.0, size * spacing))
            continue
        box.append((places[0] * spacing - MARGIN_MM, (places[-1] + 1) * spacing + MARGIN_MM))
    # All cases come out in about one shape: the shorter side grows to three quarters of the longer one.
    longest = max(stop - start for start, stop in box)
    slices: list[slice] = []
    for (start, stop), size, spacing in zip(box, occupied.shape, view.spacing_mm[1:], strict=True):
        length = max(stop - start, 0.8 * longest, size * spacing / 3)
        first = round(((start + stop) - length) / 2 / spacing)
        last = round(((start + stop) + length) / 2 / spacing)
        slices.append(slice(max(first, 0), min(max(last, first + 1), size)))
    return slices[0], slices[1]


def display_window(view: CaseView, rows: slice, cols: slice) -> tuple[float, float]:
    """Gray values from black to white: percentiles 0.5 and 99.5 of what is shown.

    Where air is so far below tissue that it would take the contrast (Hounsfield units), soft tissue alone decides.
    """
    shown = view.volume[:, rows, cols]
    if view.volume.min() < AIR_HU and (shown > SOFT_HU).any():
        shown = shown[shown > SOFT_HU]
    low, high = (float(value) for value in np.percentile(shown, (0.5, 99.5)))
    return low, high if high > low else low + 1.0
