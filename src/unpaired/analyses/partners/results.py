"""One prediction scored: Dice and volumes of each class, and how far it is the prediction without a partner."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from unpaired.data.dataset import CaseEntry, Dataset, encode_values
from unpaired.data.images import Image, read_label_map, require_same_grid
from unpaired.data.label_values import not_annotated, translate
from unpaired.errors import InputError
from unpaired.scores.overlap import count_overlap, dice
from unpaired.statistics import patient_values

MEAN = "mean"
"""In place of a class's name: the mean over classes."""


@dataclass(frozen=True)
class Reference:
    """A case's label map as indices of `sets`, the class numbers not to be scored, and a voxel's volume in ml."""

    labels: np.ndarray
    sets: tuple[tuple[int, ...], ...]
    unknown: frozenset[int]
    voxel_ml: float


@dataclass(frozen=True)
class ClassResult:
    """One class of one prediction. `dice` is None where prediction and reference are both empty.

    `agreement` is the Dice of this prediction and the partner-free one: 1 where the partner changed nothing, None where
    both are empty.
    """

    class_name: str
    dice: float | None
    prediction_ml: float
    reference_ml: float
    agreement: float | None


@dataclass(frozen=True, kw_only=True)
class ResultBesidePartners(ClassResult):
    """A class of a case beside `partners` {modality: case id}; `alignments` {modality: how each was brought there}."""

    case: str
    patient: str
    modality: str
    partners: Mapping[str, str]
    alignments: Mapping[str, str]


def read_reference(dataset: Dataset, case: CaseEntry, image: Image) -> Reference:
    """The reference of a labeled case, for scoring alone. Raises InputError for a file that is unreadable, holds
    unknown values or lies on another grid than the image."""
    if case.label is None:
        raise InputError(f"case {case.id} has no label map to score against; name a split with labeled cases")
    label = read_label_map(case.label)
    require_same_grid(image, label, case.label)
    sets = dataset.label_sets()
    numbers = {members: index for index, members in enumerate(sets)}
    table = {value: numbers[members] for value, members in encode_values(dataset, case).items()}
    labels = translate(label.array, table, case.label)
    return Reference(labels, sets, not_annotated(dataset, case), float(np.prod(label.spacing_mm)) / 1000)


def class_results(
    prediction: np.ndarray, alone: np.ndarray, reference: Reference, classes: Sequence[str]
) -> Iterator[ClassResult]:
    """The result of each annotated foreground class; `classes[0]` is background. Label maps of one shape, in class
    numbers; `alone` is the partner-free prediction."""
    counts = count_overlap(prediction, reference.labels, reference.sets)
    same = count_overlap(prediction, alone, [(number,) for number in range(len(classes))])
    for number, name in enumerate(classes):
        if number == 0 or number in reference.unknown:
            continue
        both, predicted, true = (int(of[number]) for of in (counts.both, counts.predicted, counts.reference))
        agreement = dice(int(same.both[number]), int(same.predicted[number]), int(same.reference[number]))
        ml = reference.voxel_ml
        yield ClassResult(name, dice(both, predicted, true), predicted * ml, true * ml, agreement)


def patient_dice(rows: Iterable[ResultBesidePartners], class_name: str = MEAN) -> dict[str, float]:
    """{patient: Dice} of a class or, with `MEAN`, of all classes together, where there is any; see `patient_values`.

    Rows are of one form.
    """
    return patient_values(
        (row.patient, row.case, row.dice)
        for row in rows
        if row.dice is not None and class_name in (MEAN, row.class_name)
    )


def ignores_partners(results: Iterable[ClassResult]) -> bool:
    """Whether no partner changed a voxel of any prediction."""
    return all(result.agreement in (None, 1.0) for result in results)
