"""What predictions are scored against: the labels that a manifest lists, or a folder of label maps."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from unpaired.data.dataset import CaseEntry, Dataset, encode_values
from unpaired.data.images import read_label_map
from unpaired.data.label_values import not_annotated, prediction_values, translate
from unpaired.scores.case_scores import CaseInfo, evaluate_case
from unpaired.scores.pairs import one_file, require_one_grid
from unpaired.scores.reading import BACKGROUND, IGNORE, Reading, foreground_classes, predicted_numbers
from unpaired.scores.scores import Score
from unpaired.scores.scoring import Scoring

Files = Mapping[str, Sequence[Path]]
"""{name without suffix: the files called so}."""


@dataclass(frozen=True)
class DatasetReferences:
    """The labels of a dataset's cases, each read by its own case's label map, and the predictions' files."""

    dataset: Dataset
    folder: Path
    files: Files
    scoring: Scoring
    reading: Reading
    wanted: tuple[str, ...]

    def score(self, case: CaseEntry, pool: Executor | None) -> list[Score]:
        """The scores of a labeled case. Raises InputError for files that are missing, unreadable or don't fit."""
        assert case.label is not None  # whoever asks for scores asks for labeled cases
        dataset = self.dataset
        path = one_file(self.files, case.id, self.folder, "prediction", "run `unpaired predict` for this case")
        reference, prediction = read_label_map(case.label), read_label_map(path)
        require_one_grid(prediction, reference, path, case.label)
        sets = dataset.label_sets()
        numbers = {members: index for index, members in enumerate(sets)}
        encoded = {value: numbers[members] for value, members in encode_values(dataset, case).items()}
        truth = translate(reference.array, encoded, case.label)
        unseen = not_annotated(dataset, case)
        looked_for = [name for name in self.wanted if dataset.classes.index(name) not in unseen]
        values = prediction_values(dataset, case)
        predicted = predicted_numbers(prediction, path, dataset.classes, looked_for, values, self.reading)
        info = CaseInfo(case.id, case.patient, case.modality, unseen | unwanted(dataset.classes, self.wanted))
        scores = evaluate_case(predicted, truth, reference.spacing_mm, dataset.classes, info, sets, self.scoring, pool)
        return [score for score in scores if score.class_name in self.wanted]


@dataclass(frozen=True)
class FolderReferences:
    """Two folders of label maps with equal file names, and {value: class name} of both."""

    predictions: Path
    references: Path
    predicted: Files
    referenced: Files
    classes: Mapping[int, str]
    modality: str
    scoring: Scoring
    reading: Reading

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The classes, background first."""
        return BACKGROUND, *foreground_classes(self.classes).values()

    @cached_property
    def wanted(self) -> tuple[str, ...]:
        """The foreground classes to score."""
        return self.reading.wanted(self.names[1:])

    def score(self, name: str, pool: Executor | None) -> list[Score]:
        """The scores of the pair called `name`. Raises InputError for files that are missing or don't fit."""
        advice = "each case needs a prediction and a reference"
        path = one_file(self.predicted, name, self.predictions, "prediction", advice)
        reference_path = one_file(self.referenced, name, self.references, "reference", advice)
        prediction, reference = read_label_map(path), read_label_map(reference_path)
        require_one_grid(prediction, reference, path, reference_path)
        table = dict.fromkeys([0, *self.classes], 0)
        table |= {value: number for number, value in enumerate(foreground_classes(self.classes), start=1)}
        predicted = predicted_numbers(prediction, path, self.names, self.wanted, table, self.reading)
        ignored = len(self.names)  # the set of all classes: a voxel that may be any of them is in no mask
        sets = (*((number,) for number in range(ignored)), tuple(range(ignored)))
        table |= {value: ignored for value, called in self.classes.items() if called.lower() == IGNORE}
        other = {"refuse": None, "background": 0, "ignore": ignored}[self.reading.others]
        truth = translate(reference.array, table, reference_path, other)
        info = CaseInfo(name, name, self.modality, unwanted(self.names, self.wanted))
        scores = evaluate_case(predicted, truth, reference.spacing_mm, self.names, info, sets, self.scoring, pool)
        return [score for score in scores if score.class_name in self.wanted]


def unwanted(classes: Sequence[str], wanted: Iterable[str]) -> frozenset[int]:
    """The numbers of the foreground classes that are not `wanted`: nobody needs distances of them."""
    kept = {classes[0], *wanted}
    return frozenset(number for number, name in enumerate(classes) if name not in kept)
