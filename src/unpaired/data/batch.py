"""Batch: what one modality gives to one training step."""

from typing import NamedTuple

from unpaired.shapes import Images, LabelMap, LabelSets, Numbers


class Batch(NamedTuple):
    """Images and label maps of ONE modality for one step.

    `label_map` holds rows of `label_sets`: label `i` means "one of the classes that are true in `label_sets[i]`".
    The first C rows are the C classes themselves, so a fully annotated dataset has `label_sets == eye(C)` and
    `label_map` holds plain class numbers; further rows are merged or unknown structures (`data-model`: "a value may
    stand for a set of classes"). A named tuple, so that pinning, moving to a device and DDP take it as it is.
    """

    images: Images
    label_map: LabelMap
    label_sets: LabelSets
    unlabeled: Images | None = None
    random_numbers: Numbers | None = None
    """What the images' intensities are randomized by on the training device (`data.randomization`), -1 for those that
    stay as they are; None once that is done."""
