"""A labeled case as a run's network sees it, and the same as figures take it."""

from dataclasses import replace

import numpy as np

from unpaired.data.case import Case
from unpaired.data.dataset import CaseEntry, Dataset, encode_values
from unpaired.data.images import read_image, read_label_map, require_same_grid
from unpaired.data.label_map import encode_label_map
from unpaired.data.preprocess import Preprocessing, apply, apply_to_label
from unpaired.errors import InputError
from unpaired.figures.case_view import CaseView, edge_letters
from unpaired.runs.run import Run


def read_case(run: Run, dataset: Dataset, entry: CaseEntry) -> Case:
    """A labeled case of a dataset prepared as the run wants it, its values normalized as the run's own dataset says.

    Raises InputError as `read_labeled_case`.
    """
    return read_labeled_case(replace(dataset, modalities=run.dataset.modalities), entry, run.recipe.preprocessing)


def read_labeled_case(dataset: Dataset, entry: CaseEntry, preprocessing: Preprocessing) -> Case:
    """A labeled case on the network's grid; `label_map` holds indices into `dataset.label_sets()`.

    Raises InputError for an unlabeled case, and for files that can't be read or don't fit each other.
    """
    if entry.label is None:
        raise InputError(
            f"case {entry.id} has no label map; feature maps are compared with the classes of labeled cases"
        )
    image, label = read_image(entry.image), read_label_map(entry.label)
    require_same_grid(image, label, entry.label)
    numbers = {members: index for index, members in enumerate(dataset.label_sets())}
    encoding = {value: numbers[members] for value, members in encode_values(dataset, entry).items()}
    encoded = encode_label_map(label.array, encoding, entry.label)
    volume, geometry = apply(image, preprocessing, dataset.modalities[entry.modality], label)
    labels = apply_to_label(encoded, geometry, outside=encoding.get(0, 0))
    return Case(entry.id, entry.patient, entry.modality, volume, labels, geometry)


def view_of(case: Case, classes: tuple[str, ...]) -> CaseView:
    """The prepared case as figures take it; voxels of several possible classes are -1."""
    reference = np.where(case.label_map < len(classes), case.label_map.astype(np.int16), -1)
    edges = edge_letters(case.geometry)
    return CaseView(case.id, case.modality, classes, case.volume, reference, None, case.geometry.spacing_mm, edges)
