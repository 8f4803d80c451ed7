"""Calibration of files: against counts from the arrays, resistant to broken cases, written and read back."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from unpaired.data.dataset import Dataset
from unpaired.data.images import read_label_map
from unpaired.data.prediction_record import Record, write_record
from unpaired.data.probability_maps import read_probabilities, write_probabilities
from unpaired.errors import InputError
from unpaired.scores.trust.calibration import count_bins
from unpaired.scores.trust.calibration_files import (
    calibrate_dataset,
    calibration_table,
    read_calibration,
    write_calibration,
)


def save(dataset: Dataset, folder: Path, cases: int | None = None) -> None:
    """Probabilities of the test cases: the truth, blurred by noise."""
    rng = np.random.default_rng(0)
    for case in dataset.of(split="test")[:cases]:
        assert case.label is not None
        label = read_label_map(case.label)
        values = dataset.label_map_of(case)
        number = {value: dataset.classes.index(names[0]) for value, names in values.items()}
        truth = np.vectorize(number.__getitem__)(label.array)
        there = truth == np.arange(len(dataset.classes))[:, None, None, None]
        scores = np.exp(rng.normal(size=there.shape) + 12 * there)
        said = (scores / scores.sum(axis=0)).astype(np.float32)
        write_probabilities(
            folder / "probabilities" / f"{case.id}.nii.gz", said, truth.shape, label.affine, dataset.classes
        )


def test_files_give_what_their_arrays_give(phantom: Dataset, tmp_path: Path) -> None:
    """A margin larger than the scan: the box is the whole scan, so counts are those of the whole arrays."""
    save(phantom, tmp_path)
    found = calibrate_dataset(phantom, tmp_path, "test", margin_mm=1e6)
    assert found.modalities == list(phantom.modalities)
    assert found.failures == ()
    for case in phantom.of(split="test"):
        assert case.label is not None
        said = read_probabilities(tmp_path / "probabilities" / f"{case.id}.nii.gz")
        array = read_label_map(case.label).array
        truth = np.zeros(array.shape, int)
        for value, names in phantom.label_map_of(case).items():
            truth[array == value] = phantom.classes.index(names[0])
        counts = count_bins(said.within((slice(None),) * 3), truth, [(n,) for n in range(len(phantom.classes))])
        rows = [row for row in found.classes if row.modality == case.modality]
        for number, row in enumerate(rows):
            assert row.ece == pytest.approx(counts.ece(number))
            assert row.brier == pytest.approx(counts.brier(number))
        total = found.brier(case.modality)
        assert total == pytest.approx(sum(counts.brier(number) or 0 for number in range(len(phantom.classes))))
        assert found.case_ece[case.id] == {name: counts.ece(n) for n, name in enumerate(phantom.classes)}


def test_a_narrow_box_is_the_default(phantom: Dataset, tmp_path: Path) -> None:
    save(phantom, tmp_path)
    near, whole = (calibrate_dataset(phantom, tmp_path, "test", margin_mm=margin) for margin in (0.0, 1e6))
    assert near.classes[0].voxels < whole.classes[0].voxels
    assert calibrate_dataset(phantom, tmp_path).margin_mm == 10
    assert "plus 10 mm" in calibrate_dataset(phantom, tmp_path).definitions


def test_bad_cases_are_failures_of_their_own(phantom: Dataset, tmp_path: Path) -> None:
    save(phantom, tmp_path)
    first, second, third = (case.id for case in phantom.of(split="test"))
    folder = tmp_path / "probabilities"
    (folder / f"{first}.nii.gz").unlink()
    write_probabilities(folder / f"{second}.nii.gz", np.full((2, 3, 3, 3), 0.5), (3, 3, 3), np.eye(4), ("a", "b"))
    write_record(Record(third, "lge", {}, [], {"background": 0, "liver": 1}), tmp_path / f"{third}.nii.gz")
    found = calibrate_dataset(phantom, tmp_path)
    messages = {failure.case: failure.message for failure in found.failures}
    assert "found no file" in messages[first]
    assert f"expected {len(phantom.classes)} classes" in messages[second]
    assert "its classes are background, liver, the dataset's" in messages[third]
    assert found.classes == ()
    with pytest.raises(InputError, match="run `unpaired predict --probabilities`"):
        calibrate_dataset(phantom, tmp_path / "nowhere")
    with pytest.raises(InputError, match="no labeled case in split 'validation'"):
        calibrate_dataset(replace(phantom, cases=tuple(phantom.of(split="test"))), tmp_path, "validation")


def test_another_grid_is_refused(phantom: Dataset, tmp_path: Path) -> None:
    save(phantom, tmp_path, cases=1)
    case = phantom.of(split="test")[0]
    path = tmp_path / "probabilities" / f"{case.id}.nii.gz"
    said = read_probabilities(path)
    moved = said.affine.copy()
    moved[0, 3] += 40
    shape = said.stored.shape[:-1]
    write_probabilities(path, said.within((slice(None),) * 3), shape, moved, phantom.classes)
    assert "corner" in calibrate_dataset(phantom, tmp_path).failures[0].message


def test_it_is_written_read_back_and_shown(phantom: Dataset, tmp_path: Path) -> None:
    save(phantom, tmp_path, cases=2)
    found = calibrate_dataset(phantom, tmp_path)
    assert len(found.failures) == 1
    write_calibration(found, tmp_path / "evaluation")
    assert read_calibration(tmp_path / "evaluation") == found
    shown = io.StringIO()
    Console(width=120, file=shown).print(calibration_table(found))
    text = shown.getvalue()
    assert "1 case could not be judged" in text
    for row in found.rows("ct"):
        assert f"{row.ece:.4f}" in text
    path = tmp_path / "evaluation" / "calibration.json"
    for broken, message in (("[]", "schema 1"), ('{"schema": 1}', "lacks 'classes'; run `unpaired evaluate` again")):
        path.write_text(broken)
        with pytest.raises(InputError, match=message):
            read_calibration(tmp_path / "evaluation")
    with pytest.raises(InputError, match="predict with --probabilities"):
        read_calibration(tmp_path)
