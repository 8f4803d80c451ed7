"""Calibration of saved probabilities against a dataset's references: from files, to calibration.json, and a table."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from unpaired.choices import counted
from unpaired.data.dataset import CaseEntry, Dataset, encode_values
from unpaired.data.images import read_label_map
from unpaired.data.label_values import translate
from unpaired.data.prediction_record import read_record
from unpaired.data.probability_maps import read_probabilities
from unpaired.data.simulated import of_patients
from unpaired.documents import read
from unpaired.errors import InputError
from unpaired.failures import attempt
from unpaired.files import write_json
from unpaired.runs.folder import PROBABILITIES, probabilities_of
from unpaired.scores.files import CALIBRATION
from unpaired.scores.pairs import require_one_grid
from unpaired.scores.scores import Failure
from unpaired.scores.trust.calibration import (
    BINS,
    MARGIN_MM,
    CaseCalibration,
    ClassCalibration,
    count_bins,
    foreground_box,
    is_foreground,
    summarize,
)
from unpaired.tables import Table

SCHEMA = 1


@dataclass(frozen=True)
class Calibration:
    """The calibration of every class (background first) in every modality, each case's ECE, and the failures."""

    classes: tuple[ClassCalibration, ...]
    case_ece: Mapping[str, Mapping[str, float | None]] = field(hash=False)
    """{case: {class: its ECE}}."""
    failures: tuple[Failure, ...] = ()
    margin_mm: float = MARGIN_MM

    @property
    def modalities(self) -> list[str]:
        """The modalities of the cases that were judged, in order of first appearance."""
        return list(dict.fromkeys(row.modality for row in self.classes))

    def rows(self, modality: str, background: bool = False) -> list[ClassCalibration]:
        """The classes of a modality that have numbers."""
        rows = [row for row in self.classes if row.modality == modality]
        return [row for row in (rows if background else rows[1:]) if row.ece is not None]

    def brier(self, modality: str) -> float | None:
        """The Brier score over all classes, background too, in [0, 2]: the sum of the classes' own."""
        values = [row.brier for row in self.rows(modality, background=True) if row.brier is not None]
        return sum(values) if values else None

    @property
    def definitions(self) -> str:
        """What the numbers mean, in a sentence or two."""
        return (
            f"Each class against the rest, in the box around reference and prediction plus {self.margin_mm:g} mm (far "
            f"background would flatter). ECE: mean distance of probability and frequency over {BINS} bins of equal "
            "width, voxels of all cases together; ECE per case: the mean over cases. Brier: mean squared difference."
        )


def calibrate_dataset(
    dataset: Dataset, predictions: Path, split: str | None = "test", margin_mm: float = MARGIN_MM, workers: int = 0
) -> Calibration:
    """Judge the files `<case id>.nii.gz` in the folder `probabilities` of `predictions` against a split's references.

    Probability maps lie on the reference's own grid, one class after the other as in the dataset. A missing,
    unreadable or unfitting file is a `Failure` of its case. Raises InputError if there is nothing to judge.
    """
    folder = predictions / PROBABILITIES
    if not folder.is_dir():
        raise InputError(f"expected class probabilities, found no {folder}; run `unpaired predict --probabilities`")
    entries = of_patients(dataset, split=split, labeled=True)
    if not entries:
        where = "" if split is None else f" in split {split!r}"
        raise InputError(f"dataset {dataset.name}: no labeled case{where}, so there is nothing to judge")

    def calibrated(case: CaseEntry) -> CaseCalibration | Failure:
        result, failure = attempt(partial(_calibrate, dataset, case, predictions, margin_mm))
        return result if result is not None else Failure(case.id, failure or "no calibration")

    with ThreadPoolExecutor(workers or None) as pool:
        results = list(pool.map(calibrated, entries))
    cases = [result for result in results if isinstance(result, CaseCalibration)]
    return Calibration(
        tuple(summarize(cases, dataset.classes)),
        {case.case: {name: case.counts.ece(number) for number, name in enumerate(dataset.classes)} for case in cases},
        tuple(result for result in results if isinstance(result, Failure)),
        margin_mm,
    )


def _calibrate(dataset: Dataset, case: CaseEntry, predictions: Path, margin_mm: float) -> CaseCalibration:
    assert case.label is not None  # `labeled=True` in the caller
    path = probabilities_of(predictions, case.id)
    probabilities = read_probabilities(path)
    _require_classes(dataset, case, predictions, probabilities.classes, path)
    reference = read_label_map(case.label)
    require_one_grid(probabilities.grid, reference, path, case.label)
    sets = dataset.label_sets()
    numbers = {members: index for index, members in enumerate(sets)}
    encoded = encode_values(dataset, case)
    truth = translate(reference.array, {value: numbers[members] for value, members in encoded.items()}, case.label)
    foreground = is_foreground(truth, sets) | (probabilities.label_map() != 0)
    box = foreground_box(foreground, reference.spacing_mm, margin_mm) or (slice(0, 0),) * 3
    return CaseCalibration(case.id, case.modality, count_bins(probabilities.within(box), truth[box], sets))


def _require_classes(dataset: Dataset, case: CaseEntry, predictions: Path, count: int, path: Path) -> None:
    """InputError unless the probabilities are of the dataset's classes: by the prediction's record, else by number."""
    record = read_record(predictions / path.name)
    if record is not None and tuple(record.values) != tuple(dataset.classes):
        raise InputError(
            f"{path}: its classes are {', '.join(record.values)}, the dataset's {', '.join(dataset.classes)}; "
            "judge it against the dataset that it was trained on"
        )
    if count != len(dataset.classes):
        raise InputError(
            f"{path}: expected {len(dataset.classes)} classes ({', '.join(dataset.classes)}), got {count}; "
            "the last axis is the class, background first"
        )


def write_calibration(calibration: Calibration, folder: Path) -> Path:
    """Write calibration.json into `folder`; returns the file."""
    document = {
        "schema": SCHEMA,
        "definitions": calibration.definitions,
        "margin_mm": calibration.margin_mm,
        "brier": {modality: calibration.brier(modality) for modality in calibration.modalities},
        "classes": [asdict(row) for row in calibration.classes],
        "case_ece": calibration.case_ece,
        "failures": [asdict(failure) for failure in calibration.failures],
    }
    write_json(folder / CALIBRATION, document)
    return folder / CALIBRATION


def read_calibration(folder: Path) -> Calibration:
    """Read back what `write_calibration` wrote. Raises InputError if it isn't there or isn't whole."""
    path = folder / CALIBRATION
    if not path.is_file():
        raise InputError(f"found no {path}; predict with --probabilities, then run `unpaired evaluate`")
    return read(path, Calibration, "run `unpaired evaluate` again", schema=SCHEMA)


def calibration_table(calibration: Calibration) -> Table:
    """ECE and Brier score of each foreground class and modality."""
    rows: list[list[str]] = []
    for modality in calibration.modalities:
        for row in calibration.rows(modality):
            numbers = [f"{value:.4f}" for value in (row.ece, row.ece_of_cases, row.brier) if value is not None]
            rows.append([modality, row.class_name, *numbers, str(row.cases)])
    notes = [calibration.definitions]
    if calibration.failures:
        notes.append(f"{counted(len(calibration.failures), 'case')} could not be judged.")
    return Table(["modality", "class", "ECE", "ECE per case", "Brier", "cases"], rows, "llr", "Calibration", notes)
