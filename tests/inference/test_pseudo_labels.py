"""Pseudo-labels: what is sure, what is either of two, what is unknown, voxel by voxel; values that fit a modality."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from unpaired.data.dataset import CaseEntry, Dataset, Modality, encode_values
from unpaired.data.images import LARGEST_VALUE, read_label_map, write_image
from unpaired.errors import InputError
from unpaired.inference.ensemble import Ensemble
from unpaired.inference.pseudo_labels import partial_labels, value_table, write_pseudo_labels
from unpaired.inference.segmentation import Segmentation

CLASSES = ("background", "LV", "myo", "RV")


def expected(p: np.ndarray, confidence: float) -> int:
    """By sorting one voxel's probabilities."""
    order = sorted(range(len(p)), key=lambda c: (-p[c], c))
    pairs = list(combinations(range(len(p)), 2)) if len(p) > 2 else []
    if p[order[0]] >= confidence:
        return order[0]
    if pairs and np.float32(p[order[0]]) + np.float32(p[order[1]]) >= confidence:
        return len(p) + pairs.index((min(order[:2]), max(order[:2])))
    return len(p) + len(pairs)


@pytest.mark.parametrize("classes", [2, 3, 4, 6])
def test_partial_labels_equal_those_of_each_voxel_sorted(classes: int) -> None:
    rng = np.random.default_rng(classes)
    p = rng.dirichlet(np.full(classes, 0.3), size=(7, 6, 5)).astype(np.float32)
    p[0, 0, 0] = 1 / classes  # equal ones
    labels = partial_labels(np.moveaxis(p, -1, 0), classes, 0.9)
    for place in np.ndindex(7, 6, 5):
        assert labels[place] == expected(p[place], 0.9)
    assert len(np.unique(labels)) > classes


@pytest.mark.parametrize(
    ("said", "confidence", "label"),
    [
        ((0.0, 1.0, 0.0), 1.0, 1),
        ((0.0, 0.9, 0.1), 0.9, 1),
        ((0.46, 0.46, 0.08), 0.9, 3),  # background or 1
        ((0.08, 0.46, 0.46), 0.9, 5),  # 1 or 2
        ((0.4, 0.4, 0.2), 0.9, 6),
    ],
)
def test_a_label_is_given_from_the_confidence_on_and_to_either_of_two_equals(
    said: tuple[float, ...], confidence: float, label: int
) -> None:
    p = np.array(said, np.float32).reshape(3, 1, 1, 1)
    assert partial_labels(p, 3, confidence).item() == label


def dataset(tmp_path: Path, label_map: str = "file") -> Dataset:
    write_image(tmp_path / "a.nii.gz", np.zeros((3, 2, 2), np.float32), np.eye(4))
    case = CaseEntry("a", "p", "lge", tmp_path / "a.nii.gz", None, split="train")
    other = replace(case, id="b", label=tmp_path / "b.nii.gz", label_map=label_map)
    values = {0: ("background",), 500: ("LV",), 200: ("myo",), 600: ("RV",)}
    return Dataset("hearts", CLASSES, {"lge": Modality()}, (case, other), {"file": values})


def test_values_are_the_modalitys_own_and_the_next_free_ones(tmp_path: Path) -> None:
    table = value_table(dataset(tmp_path), "lge")
    assert list(table.items())[:5] == [
        (0, ("background",)),
        (500, ("LV",)),
        (200, ("myo",)),
        (600, ("RV",)),
        (601, ("background", "LV")),
    ]
    assert list(table.items())[-1] == (607, CLASSES)


@pytest.mark.parametrize("largest", [LARGEST_VALUE, LARGEST_VALUE - 3])
def test_values_beyond_the_largest_of_a_label_map_are_the_smallest_free_ones(tmp_path: Path, largest: int) -> None:
    given = dataset(tmp_path)
    values = {1: ("background",), largest: ("LV",), 3: ("myo",), 0: ("RV",)}
    table = value_table(replace(given, label_maps={"file": values}), "lge")
    further = [*range(largest + 1, LARGEST_VALUE + 1), 2, 4, 5, 6, 7, 8, 9][:7]
    assert list(table) == [1, largest, 3, 0, *further]
    assert np.array(list(table), np.int32).tolist() == list(table)


class Said(Segmentation):
    """A segmentation with probabilities of the test's choice."""

    def probabilities(self) -> Iterator[np.ndarray]:
        return iter(self.label_map)


class Told(Ensemble):
    """An ensemble that says the same of every scan: `probabilities` (class, x, y, z)."""

    def __init__(self, probabilities: np.ndarray) -> None:
        self.told = probabilities

    def segment_case(self, *_: object, **__: object) -> Segmentation:
        return Said(self.told, (), ())


def test_a_case_gets_a_label_file_that_the_dataset_understands(tmp_path: Path) -> None:
    given = dataset(tmp_path)
    p = np.zeros((4, 3, 2, 2), np.float32)
    p[0] = 1
    p[:, 1] = np.array([0.05, 0.5, 0.45, 0])[:, None, None]
    p[:, 2] = 0.25
    told = write_pseudo_labels(Told(p), given, given.of(labeled=False), tmp_path / "labels")
    case = told.dataset.case("a")
    assert case.label is not None
    values = np.asarray(read_label_map(case.label).array)
    meaning = encode_values(told.dataset, case)
    assert [meaning[int(values[x, 0, 0])] for x in range(3)] == [(0,), (1, 2), (0, 1, 2, 3)]
    assert told.sure == {"lge": pytest.approx(1 / 3)}
    assert told.either == {"lge": pytest.approx(1 / 3)}
    assert told.dataset.case("b") == given.case("b")
    assert told.dataset.source_values("lge") == [0, 500, 200, 600]
    write_image(case.label, np.full((3, 2, 2), 500, np.int32), np.eye(4))
    with pytest.raises(InputError, match=r"a\.nii\.gz is not what was written there"):
        write_pseudo_labels(Told(p), given, given.of(labeled=False), tmp_path / "labels")
    (tmp_path / "labels" / "written.json").unlink()  # as early versions left them
    again = write_pseudo_labels(Told(p), given, given.of(labeled=False), tmp_path / "labels")
    assert again.sure == {"lge": 1.0}  # what is there stays
