"""Slices of a scan in gray with what was segmented drawn on them in color, for viewers that show pictures alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from unpaired.data.class_codes import ClassCode
from unpaired.dicom.codes import code_of
from unpaired.dicom.index import Series
from unpaired.dicom.segmentation import Algorithm
from unpaired.errors import InputError

FILL = 0.35
"""How much of a color covers the gray inside of an outline."""
SHORTEST_SIDE = 512
"""Smaller slices are enlarged, by a whole factor, until their longer side has about as many pixels."""
CT_WINDOW_HU = (-160.0, 240.0)
"""Black and white of CT: the window for soft tissue, level 40 and width 400."""
PERCENTILES = (0.5, 99.5)
"""Black and white of all others."""


@dataclass(frozen=True)
class Segmented:
    """A series, its values and its label map of class numbers, both (column, row, slice), and what made the latter.

    `classes` has background first; `codes` are a manifest's own coded terms, which say colors, too.
    """

    series: Series
    volume: np.ndarray
    label_map: np.ndarray
    classes: tuple[str, ...]
    algorithm: Algorithm
    codes: Mapping[str, ClassCode | str] = field(default_factory=dict[str, ClassCode | str])

    def __post_init__(self) -> None:
        if self.volume.shape != self.label_map.shape:
            raise InputError(
                f"expected a label map of the volume's shape {self.volume.shape}, got {self.label_map.shape}"
            )
        if self.label_map.max(initial=0) >= len(self.classes) or self.label_map.min(initial=0) < 0:
            raise InputError(f"expected class numbers from 0 to {len(self.classes) - 1} in a label map")

    def color(self, number: int) -> tuple[int, int, int]:
        """Red, green and blue of a class, as its DICOM SEG recommends them."""
        return code_of(self.classes[number], self.codes).color or (255, 0, 0)

    def shown(self) -> list[int]:
        """The slices from the first to the last that shows a class; the middle one where none does."""
        levels = np.flatnonzero(self.label_map.any(axis=(0, 1)))
        count = self.label_map.shape[2]
        return list(range(levels[0], levels[-1] + 1)) if levels.size else [count // 2]


def overlays(segmented: Segmented, levels: list[int]) -> Iterator[np.ndarray]:
    """A picture (row, column, red-green-blue) of each of these slices: classes filled faintly, with a full outline."""
    low, high = gray_window(segmented)
    table = np.zeros((len(segmented.classes), 3))
    for number in range(1, len(segmented.classes)):
        table[number] = segmented.color(number)
    factor = enlargement(segmented)
    for level in levels:
        gray = np.clip((segmented.volume[..., level].T.astype(np.float64) - low) / (high - low), 0, 1) * 255
        labels = segmented.label_map[..., level].T
        gray = gray.repeat(factor, axis=0).repeat(factor, axis=1)
        labels = labels.repeat(factor, axis=0).repeat(factor, axis=1)
        picture = np.repeat(gray[..., np.newaxis], 3, axis=2)
        share = np.where(_outline(labels), 1.0, FILL)[labels > 0, np.newaxis]
        picture[labels > 0] = (1 - share) * picture[labels > 0] + share * table[labels[labels > 0]]
        yield np.rint(picture).astype(np.uint8)


def gray_window(segmented: Segmented) -> tuple[float, float]:
    """The values that are drawn black and white."""
    if segmented.series.modality == "CT":
        return CT_WINDOW_HU
    low, high = (float(value) for value in np.percentile(segmented.volume, PERCENTILES))
    return low, high if high > low else low + 1.0


def enlargement(segmented: Segmented) -> int:
    """The whole factor by which slices are enlarged."""
    return max(1, round(SHORTEST_SIDE / max(segmented.volume.shape[:2])))


def _outline(labels: np.ndarray) -> np.ndarray:
    """Pixels of a class beside one of another."""
    padded = np.pad(labels, 1, mode="edge")
    sides = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    return (labels > 0) & np.any([side != labels for side in sides], axis=0)
