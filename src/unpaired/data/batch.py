"""Batch: what one modality gives to one training step."""

from dataclasses import dataclass

from unpaired.shapes import Images, LabelMap, LabelSets


@dataclass(frozen=True)
class Batch:
    """Images and label maps of ONE modality for one step.

    `label_map` holds rows of `label_sets`: label `i` means "one of the classes that are true in `label_sets[i]`".
    The first C rows are the C classes themselves, so a fully annotated dataset has `label_sets == eye(C)` and
    `label_map` holds plain class numbers; further rows are merged or unknown structures (`data-model`: "a value may
    stand for a set of classes").
    """

    images: Images
    label_map: LabelMap
    label_sets: LabelSets
    unlabeled: Images | None = None
