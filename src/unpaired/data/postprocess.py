"""What is done to a label map after the network: for chosen classes, only the largest connected part is kept.

It removes islands far from the organ, which cost little Dice and much Hausdorff distance. It is wrong for a class that
has several parts (both kidneys as one class, lesions) and can hurt where the network breaks an organ in two, so it is
off unless a recipe or a person asks for it: compare on validation cases first, never on test cases.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from unpaired.configs import Config, Name
from unpaired.errors import InputError, nearest


@dataclass(frozen=True)
class Postprocessing(Config):
    """What a recipe does to the network's label maps; without fields set, nothing."""

    largest_component: tuple[Name, ...] | Literal["all"] = ()
    """Foreground classes of which only the largest connected part is kept, or "all" of them."""

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


def parse_largest_component(text: str) -> Postprocessing:
    """What `--largest-component` says: "all", "none", or class names with commas between them ("LV,myo")."""
    if text in ("all", "none"):
        return Postprocessing("all" if text == "all" else ())
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise InputError(f'--largest-component expects "all", "none" or class names such as LV,myo; got {text!r}')
    return Postprocessing(names)


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


def postprocess(label_map: np.ndarray, postprocessing: Postprocessing, classes: Sequence[str]) -> np.ndarray:
    """Apply what a recipe asks for to class numbers. InputError if it names a class that is not in `classes`."""
    return keep_largest_component(label_map, postprocessing.class_numbers(classes))
