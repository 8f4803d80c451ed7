"""What is done after the network: background gets its odds back, probabilities are smoothed, largest parts are kept.

Networks that are trained on samples around organs, by a loss with Dice in it, draw organs too large, most where they
are unsure (docs/results/planned.md). A number that is added to the log odds of background takes that back: the logit
adjustment of Menon et al., "Long-tail learning via logit adjustment", ICLR 2021, for one class.

Smoothing lets a voxel's neighbors vote, those of the slices above and below too, which a 2D network never saw together:
ragged edges and slices that disagree with both neighbors go. It is a Gaussian of one width in millimeters along every
axis, so slices 10 mm apart hardly touch each other, and it rounds off what is thinner than it is wide.

The largest part alone removes islands far from the organ, which cost little Dice and much Hausdorff distance. It is
wrong for a class that has several parts (both kidneys as one class, lesions) and can hurt where the network breaks an
organ in two.

All are off unless a recipe or a person asks for them, or `unpaired find-postprocessing` found on validation cases that
they help.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from unpaired.configs import Config, LogOdds, Name, Smoothing
from unpaired.errors import InputError, nearest

GAUSSIAN_ENDS = 3.0
"""How many standard deviations a Gaussian reaches."""


@dataclass(frozen=True)
class Postprocessing(Config):
    """What a recipe does to the network's answers; without fields set, nothing."""

    largest_component: tuple[Name, ...] | Literal["all"] = ()
    """Foreground classes of which only the largest connected part is kept, or "all" of them."""
    largest_foreground: bool = False
    """Before that, of all foreground classes together only the largest connected part is kept (nnU-Net's first)."""
    smoothing_mm: Smoothing = 0.0
    """Before the likeliest class is taken: the standard deviation of the Gaussian that smooths each class's
    probabilities, along all axes."""
    background_log_odds: LogOdds = 0.0
    """First of all: what is added to the log odds of background, such as 0.5 where organs come out too large."""

    def class_numbers(self, classes: Sequence[str]) -> tuple[int, ...]:
        """The numbers of the chosen classes; `classes[0]` is background. InputError for a name that is none of them."""
        if self.largest_component == "all":
            return tuple(range(1, len(classes)))
        foreground = list(classes[1:])
        for name in self.largest_component:
            if name not in foreground:
                raise InputError(
                    f"postprocessing.largest_component names {name!r}, which is no foreground class; "
                    f"{nearest(name, foreground)}"
                )
        return tuple(number for number, name in enumerate(classes) if number and name in self.largest_component)

    def groups(self, classes: Sequence[str]) -> tuple[tuple[int, ...], ...]:
        """The class numbers that are taken together, of which the largest connected part is kept, in their order."""
        everything = (tuple(range(1, len(classes))),) if self.largest_foreground else ()
        return (*everything, *((number,) for number in self.class_numbers(classes)))


def parse_largest_component(text: str) -> Postprocessing:
    """What `--largest-component` says: "all", "none", or class names with commas between them ("LV,myo")."""
    if text in ("all", "none"):
        return Postprocessing("all" if text == "all" else ())
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise InputError(f'--largest-component expects "all", "none" or class names such as LV,myo; got {text!r}')
    return Postprocessing(names)


def asked_postprocessing(
    largest_component: Postprocessing | str | None, smoothing_mm: float | None, background_log_odds: float | None
) -> Postprocessing | None:
    """What a person asks for in place of what was found, or of the recipe's; None where nothing is asked for.

    `largest_component` may be what `parse_largest_component` takes. Raises InputError for numbers that can't be.
    """
    given = largest_component
    asked = parse_largest_component(given) if isinstance(given, str) else given
    named = {"smoothing_mm": smoothing_mm, "background_log_odds": background_log_odds}
    changes = {name: value for name, value in named.items() if value is not None}
    return replace(asked or Postprocessing(), **changes) if changes else asked


def shifted(probabilities: np.ndarray, background_log_odds: float) -> np.ndarray:
    """Class probabilities (class, depth, height, width) with so much added to the log odds of background (class 0).

    They sum to 1 as before, and all other classes keep their odds against each other. With 0 the input itself comes
    back.
    """
    if background_log_odds == 0:
        return probabilities
    result = probabilities.copy()
    result[0] *= np.float32(np.exp(background_log_odds))
    result /= result.sum(0)
    return result


def smoothed(probabilities: np.ndarray, spacing_mm: Sequence[float], smoothing_mm: float) -> np.ndarray:
    """Class probabilities (class, depth, height, width), each class smoothed by a Gaussian of that deviation, float32.

    `spacing_mm` is that of (depth, height, width). The Gaussian ends at `GAUSSIAN_ENDS` deviations, and the outermost
    voxels go on beyond the volume, so sums over classes stay what they are. With 0 the input itself comes back.
    """
    if smoothing_mm == 0:
        return probabilities
    from scipy import ndimage

    kernels = [_gaussian(smoothing_mm / size, n) for size, n in zip(spacing_mm, probabilities.shape[1:], strict=True)]
    result = np.empty(probabilities.shape, np.float32)
    for values, target in zip(probabilities, result, strict=True):
        for axis, kernel in enumerate(kernels):
            ndimage.correlate1d(target if axis else values, kernel, axis, output=target, mode="nearest")
    return result


def _gaussian(deviation: float, length: int) -> np.ndarray:
    """A Gaussian's weights, of that many voxels, for an axis of `length`: what reaches farther than the axis is long
    meets its outermost voxels alone, so the outermost weights hold it, however small voxels are."""
    reach = int(GAUSSIAN_ENDS * deviation + 0.5)
    if not reach:
        return np.ones(1)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    weights /= weights.sum()
    beyond = max(reach - max(length - 1, 0), 0)
    inside = weights[beyond : len(weights) - beyond].copy()
    inside[0] += weights[:beyond].sum()
    inside[-1] += weights[:beyond].sum()
    return inside


def keep_largest_component(label_map: np.ndarray, numbers: Sequence[int]) -> np.ndarray:
    """The label map with, of each class in `numbers`, only its largest connected part; the rest becomes 0.

    Any number of axes. Voxels that touch at a face, an edge or a corner are connected, so that thick slices that
    shifted against each other don't fall apart (nnU-Net's choice too). Of equally large parts the first in C order
    stays. A class without voxels stays without. The input is not changed; it is returned itself if nothing is to go.
    """
    from scipy import ndimage

    result = label_map
    wanted = [number for number in numbers if number > 0]
    if not wanted or not label_map.size:
        return label_map
    boxes = ndimage.find_objects(label_map, max(wanted))
    touching = np.ones((3,) * label_map.ndim, bool)
    for number in wanted:
        box = boxes[number - 1]
        if box is None:
            continue
        mask = label_map[box] == number
        parts, count = ndimage.label(mask, touching)  # type: ignore[misc]
        if count > 1:
            largest = 1 + np.bincount(parts.ravel())[1:].argmax()
            result = label_map.copy() if result is label_map else result
            result[box][mask & (parts != largest)] = 0
    return result


def keep_largest_foreground(label_map: np.ndarray) -> np.ndarray:
    """The label map with only the largest connected part of all classes but 0 together; the rest becomes 0.

    As `keep_largest_component`: connected at corners too, the first of equals stays, the input is never changed.
    """
    foreground = label_map > 0
    islands = foreground & (keep_largest_component(foreground.astype(np.uint8), (1,)) == 0)
    return np.where(islands, label_map.dtype.type(0), label_map) if islands.any() else label_map


def postprocess(label_map: np.ndarray, postprocessing: Postprocessing, classes: Sequence[str]) -> np.ndarray:
    """Apply what a recipe asks for to class numbers, which is all but what is done to probabilities.

    Raises InputError if it names a class that is not in `classes`.
    """
    numbers = postprocessing.class_numbers(classes)
    whole = keep_largest_foreground(label_map) if postprocessing.largest_foreground else label_map
    return keep_largest_component(whole, numbers)
