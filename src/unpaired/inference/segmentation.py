"""One segmented case, and how the probabilities that several runs gave it are averaged, class by class."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from unpaired.data.case import Geometry
from unpaired.data.restore import restore_probabilities, restore_probability


@dataclass(frozen=True)
class Part:
    """What runs with one prepared grid say together: `probabilities` (class, depth, height, width) summing to `share`.

    `share` is the part's weight in the average; the shares of all parts add up to 1.
    """

    probabilities: np.ndarray
    geometry: Geometry
    share: float


@dataclass(frozen=True)
class Segmentation:
    """One segmented case, on the image's own grid and axes, in class numbers.

    `label_map` is the answer. `members` are the label maps of the single predictions it was averaged from; empty if
    there was only one. `parts` are empty if nobody asked for probabilities and there was only one prediction.
    """

    label_map: np.ndarray
    members: tuple[np.ndarray, ...]
    parts: tuple[Part, ...]

    def probabilities(self) -> Iterator[np.ndarray]:
        """The probability of each class in turn (x, y, z), float32; outside of what was looked at it is background."""
        return averaged(self.parts)


def gathered(predictions: Iterable[tuple[np.ndarray, Geometry, float]]) -> tuple[Part, ...]:
    """Predictions (class probabilities, geometry, share) averaged by their shares: a part per distinct prepared grid.

    One prediction is held at a time, beside a sum for each grid.
    """
    sums: dict[Geometry, np.ndarray] = {}
    shares: dict[Geometry, float] = {}
    for probabilities, geometry, share in predictions:
        weighted = probabilities if share == 1 else probabilities * np.float32(share)
        if geometry in sums:  # resampling is linear, so what shares a grid can be averaged before it
            sums[geometry] += weighted
        else:
            sums[geometry] = weighted
        shares[geometry] = shares.get(geometry, 0.0) + share
    return tuple(Part(sums[geometry], geometry, shares[geometry]) for geometry in sums)


def averaged(parts: Sequence[Part]) -> Iterator[np.ndarray]:
    """The averaged probability of each class in turn on the file's own grid; one class is held at a time."""
    for number in range(len(parts[0].probabilities)):
        total = None
        for part in parts:
            outside = part.share if number == 0 else 0.0
            here = restore_probability(part.probabilities[number], part.geometry, outside)
            total = here if total is None else np.add(total, here, out=total)
        assert total is not None  # there is a part
        yield total


def likeliest(parts: Sequence[Part]) -> np.ndarray:
    """The class number with the highest averaged probability (the lower one of a tie), uint8."""
    if len(parts) == 1:
        return restore_probabilities(parts[0].probabilities, parts[0].geometry)
    classes = averaged(parts)
    best = next(classes)
    winner = np.zeros(best.shape, np.uint8)
    for number, score in enumerate(classes, start=1):
        winner[score > best] = number
        np.maximum(best, score, out=best)
    return winner
