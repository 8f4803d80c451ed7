"""A network's own answers as labels of scans that have none: partial where it is not sure.

Of each voxel the two likeliest classes are looked at, p_1 >= p_2:

    p_1 >= tau             the class
    p_1 + p_2 >= tau       either: a label that stands for both
    else                   unknown: a label that stands for all classes

So what is uncertain between two neighbors still says what it is not (`Batch.label_sets`), and what is unclear says
nothing.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations, islice
from pathlib import Path

import numpy as np

from unpaired.data.content import content_hash
from unpaired.data.dataset import CaseEntry, Dataset
from unpaired.data.images import LARGEST_VALUE, read_image, read_label_map, write_image
from unpaired.documents import read
from unpaired.errors import InputError
from unpaired.files import write_json
from unpaired.inference.ensemble import Ensemble

PSEUDO = "pseudo"
"""What label maps of pseudo-labels are called in a manifest, with the modality behind it."""
WRITTEN = "written.json"
"""The file beside pseudo-labels that has the SHA-256 of each as it was written, by its case."""
AGAIN = "delete this folder and its scans are labeled anew"
MOST_CLASSES = 21
"""Up to which pairs of classes get labels: 21 classes, 210 pairs and the unknown fit in a byte."""


@dataclass(frozen=True)
class PseudoLabeled:
    """A dataset with pseudo-labels, and how much they say: for each modality the shares of voxels that have one class
    and that have either of two; the others are unknown."""

    dataset: Dataset
    sure: dict[str, float]
    either: dict[str, float]


def write_pseudo_labels(
    ensemble: Ensemble,
    dataset: Dataset,
    cases: Sequence[CaseEntry],
    folder: Path,
    confidence: float = 0.9,
    say: Callable[[str], None] = lambda line: None,
) -> PseudoLabeled:
    """Label maps of cases by what an ensemble says, as `folder`/<case id>.nii.gz, and the dataset with them as labels.

    A file that is there stays as it is. Their values are those of the modality's own label files where it has some.
    Raises InputError for a scan that can't be read, a modality that the runs don't know, and a label map that is
    another one than was written there.
    """
    noted = read(folder / WRITTEN, dict[str, str], AGAIN) if (folder / WRITTEN).is_file() else {}
    tables = {name: value_table(dataset, name) for name in sorted({case.modality for case in cases})}
    shares: dict[str, list[tuple[float, float]]] = {name: [] for name in tables}
    labels: dict[str, Path] = {}
    for case in cases:
        file = labels[case.id] = folder / f"{case.id}.nii.gz"
        values = np.array(list(tables[case.modality]), np.int32)
        if not file.is_file():
            image = read_image(case.image)
            probabilities = ensemble.segment_case(image, case.modality, keep_members=False).probabilities()
            write_image(file, values[partial_labels(probabilities, len(dataset.classes), confidence)], image.affine)
            noted[case.id] = content_hash(file)
            write_json(folder / WRITTEN, noted)
            say(f"labeled {case.id}")
        elif noted.get(case.id, "") not in ("", content_hash(file)):  # early versions noted none
            raise InputError(f"{file} is not what was written there ({WRITTEN}); delete it and it is labeled anew")
        shares[case.modality].append(_shares(np.asarray(read_label_map(file).array), values, len(dataset.classes)))
    named = {f"{PSEUDO}_{name}": table for name, table in tables.items()}
    return PseudoLabeled(
        replace(dataset, cases=_with_labels(dataset, labels), label_maps={**dataset.label_maps, **named}),
        {name: float(np.mean([sure for sure, _ in of])) for name, of in shares.items()},
        {name: float(np.mean([either for _, either in of])) for name, of in shares.items()},
    )


def _with_labels(dataset: Dataset, labels: Mapping[str, Path]) -> tuple[CaseEntry, ...]:
    return tuple(
        replace(case, label=labels[case.id], label_map=f"{PSEUDO}_{case.modality}", annotated=None)
        if case.id in labels
        else case
        for case in dataset.cases
    )


def is_pseudo_labeled(case: CaseEntry) -> bool:
    """Whether a case's label map is what `write_pseudo_labels` made of it, and nobody's own."""
    return case.label is not None and case.label_map == f"{PSEUDO}_{case.modality}"


def value_table(dataset: Dataset, modality: str) -> dict[int, tuple[str, ...]]:
    """{file value: classes that it stands for} of a modality's pseudo-labels, in the order of `partial_labels`: each
    class by the modality's own value, then each pair of classes (of at most `MOST_CLASSES`), then all of them, by the
    next values, or, where a label map holds no larger ones, the smallest that are free."""
    names, own = dataset.classes, dataset.source_values(modality)
    sets = [(name,) for name in names] + [*_pairs(names), names]
    free = (value for value in chain(range(max(own) + 1, LARGEST_VALUE + 1), range(max(own))) if value not in own)
    values = [*own, *islice(free, len(sets) - len(names))]
    return dict(zip(values, sets, strict=True))


def _pairs(names: Sequence[str]) -> list[tuple[str, ...]]:
    """The pairs of classes that have labels; of two classes the pair is all there is, the unknown."""
    return list(combinations(names, 2)) if 2 < len(names) <= MOST_CLASSES else []


def partial_labels(probabilities: Iterable[np.ndarray], classes: int, confidence: float) -> np.ndarray:
    """For each voxel the place in `value_table` of what is sure of it, from each class's probability in turn (uint8).

    Of equal probabilities the lower class number wins. Two classes at a time are held.
    """
    first = second = np.zeros(())
    winner = runner_up = np.zeros((), np.int64)
    for number, p in enumerate(probabilities):
        if number == 0:
            first, second = p.astype(np.float32), np.full(p.shape, -1, np.float32)
            winner, runner_up = np.zeros(p.shape, np.uint8), np.zeros(p.shape, np.uint8)
            continue
        beaten, between = p > first, (p <= first) & (p > second)
        second, runner_up = np.where(beaten, first, second), np.where(beaten, winner, runner_up)
        first, winner = np.where(beaten, p, first), np.where(beaten, np.uint8(number), winner)
        second, runner_up = np.where(between, p, second), np.where(between, np.uint8(number), runner_up)
    low, high = np.minimum(winner, runner_up), np.maximum(winner, runner_up)
    pairs = _pairs([str(number) for number in range(classes)])
    unknown = classes + len(pairs)
    of_pair = np.full((classes, classes), unknown, np.uint8)
    for place, (low_class, high_class) in enumerate(combinations(range(classes), 2) if pairs else ()):
        of_pair[low_class, high_class] = classes + place
    either = np.where(first + second >= confidence, of_pair[low, high], np.uint8(unknown))
    return np.where(first >= confidence, winner, either).astype(np.uint8)


def _shares(label_map: np.ndarray, values: np.ndarray, classes: int) -> tuple[float, float]:
    """The shares of voxels that have one class, and either of two."""
    return (
        float(np.isin(label_map, values[:classes]).mean()),
        float(np.isin(label_map, values[classes:-1]).mean()),
    )
