"""How good a network is by what can be seen in training: Dice of labeled cases, and of scans without labels how much
its answer depends on their contrast.

For that a scan is segmented as it is and with random intensities (`data.randomization`), and the two label maps are
compared. High Dice doesn't say that they are right, but a network that goes by anatomy has it, and one that a modality
is strange to has not.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from unpaired.data.dataset import CaseEntry, Dataset, encode_values
from unpaired.data.images import read_image, read_label_map, require_same_grid
from unpaired.data.label_map import encode_label_map
from unpaired.data.randomization import NO_RANDOMIZATION, random_convolutions
from unpaired.data.restore import prepared_label_map
from unpaired.inference.predictor import Predictor
from unpaired.inference.prepared import segment_prepared
from unpaired.scores.overlap import count_overlap, dice

UNCHANGED = 0.9
"""A view whose values correlate more than that with the scan's shows it much as it is."""
TRIED = 16
"""Random networks of which views are taken."""
COMPARED = 100_000
"""About how many values of a scan are correlated."""


def validation_dice(predictor: Predictor, dataset: Dataset, cases: Sequence[CaseEntry]) -> float:
    """The mean over labeled cases and foreground classes of Dice, on the scans' own grids, from 0 to 1.

    Raises InputError for a scan or label map that can't be read, and where these don't lie on one grid.
    """
    sets = dataset.label_sets()
    place = {members: index for index, members in enumerate(sets)}
    values: list[float] = []
    for case in cases:
        assert case.label is not None  # they are labeled
        encoding = {value: place[members] for value, members in encode_values(dataset, case).items()}
        image, label = read_image(case.image), read_label_map(case.label)
        require_same_grid(image, label, case.label)
        reference = encode_label_map(np.asarray(label.array), encoding, case.label)
        values += _dice_of_classes(predictor.segment(image, case.modality), reference, sets)
    return float(np.mean(values)) if values else 0.0


def contrast_stability(predictor: Predictor, cases: Sequence[CaseEntry], views: int = 2) -> float:
    """The mean over cases, random views and foreground classes of the Dice between the label map of a scan and that of
    the view, from 0 to 1; a class that neither has counts nothing. The same views for every network, of random ones
    that leave a scan's contrast much as it is none.

    Raises InputError for a scan that can't be read or is of a modality that the run doesn't know.
    """
    single = [(number,) for number in range(len(predictor.run.dataset.classes))]
    values: list[float] = []
    for case in cases:
        volume, _ = predictor.prepared(read_image(case.image), case.modality)
        plain = _label_map(predictor, volume, case.modality)
        for view in _views(volume, views):
            values += _dice_of_classes(plain, _label_map(predictor, view, case.modality), single)
    return float(np.mean(values)) if values else 0.0


def _label_map(predictor: Predictor, volume: np.ndarray, modality: str) -> np.ndarray:
    known = predictor.norms.modality(modality)
    boxes = segment_prepared(predictor.segmenter, predictor.recipe, volume, known, predictor.device)
    return prepared_label_map(boxes, volume.shape)


def _views(volume: np.ndarray, count: int) -> Iterator[np.ndarray]:
    """So many views of a prepared volume: of the first random networks that change it, or of the last ones if few do.

    A network whose answer hardly changes because its scan didn't would be called stable.
    """
    made = 0
    for number in range(TRIED):
        if made == count:
            return
        view = _in_random_contrast(volume, number)
        if TRIED - number <= count - made or _is_changed(volume, view):
            made += 1
            yield view


def _is_changed(volume: np.ndarray, view: np.ndarray) -> bool:
    """Whether a view's values don't go with the scan's; of a scan of one value they do."""
    some = slice(None, None, max(volume.size // COMPARED, 1))
    before, after = (np.ravel(values)[some].astype(np.float64) for values in (volume, view))
    before, after = before - before.mean(), after - after.mean()
    scale = np.sqrt((before @ before) * (after @ after))
    return bool(before @ after < UNCHANGED * scale)


def _in_random_contrast(volume: np.ndarray, number: int) -> np.ndarray:
    """A prepared volume (depth, height, width) through one random network, slice by slice."""
    slices = torch.from_numpy(np.array(volume, np.float32)).unsqueeze(1)
    return random_convolutions(slices, [number] * len(slices), NO_RANDOMIZATION)[:, 0].numpy()


def _dice_of_classes(labels: np.ndarray, others: np.ndarray, label_sets: Sequence[Sequence[int]]) -> list[float]:
    """The Dice of each foreground class that one of the two has."""
    overlap = count_overlap(labels, others, label_sets)
    counts = zip(overlap.both[1:], overlap.predicted[1:], overlap.reference[1:], strict=True)
    values = [dice(int(both), int(predicted), int(reference)) for both, predicted, reference in counts]
    return [value for value in values if value is not None]
