"""No modality that takes part is dropped from training without being told."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from unpaired.data.dataset import CaseEntry, Dataset, with_splits, without_labels
from unpaired.data.images import read_label_map, write_image
from unpaired.data.prepare import prepare
from unpaired.errors import InputError
from unpaired.recipes.phantom import csa
from unpaired.training.modalities import left_out, modalities_to_train, not_taught, not_validated


@pytest.fixture(scope="module")
def phantom(whole_phantom: Dataset) -> Dataset:
    """In every scan of the whole one are all classes."""
    return whole_phantom


def test_a_modality_without_a_labeled_training_case_is_refused_unless_others_are_named(phantom: Dataset) -> None:
    assert set(modalities_to_train(csa(), phantom)) == set(phantom.modalities)
    ct = {case.id for case in phantom.of("ct", "train")}
    for without in (without_labels(phantom, ct), with_splits(phantom, dict.fromkeys(ct, "test"))):
        with pytest.raises(
            InputError, match=r"no labeled training case of modality 'ct': .*--set 'modalities="
        ) as caught:
            modalities_to_train(csa(), without)
        assert "\n" not in str(caught.value)
        named = replace(csa(), modalities=("bssfp", "lge"))
        assert modalities_to_train(named, without) == ("bssfp", "lge")
        assert modalities_to_train(csa(), without, begun=True) == ("bssfp", "lge")
        assert "not trained: ct" in str(left_out(without, ("bssfp", "lge")))
    assert left_out(phantom, tuple(phantom.modalities)) is None


def test_a_modality_that_takes_no_part_is_named_but_not_refused(phantom: Dataset) -> None:
    cases = tuple(replace(case, split=None) if case.modality == "ct" else case for case in phantom.cases)
    assert modalities_to_train(csa(), replace(phantom, cases=cases)) == ("bssfp", "lge")


def test_what_labels_do_not_teach_is_said(phantom: Dataset, tmp_path: Path) -> None:
    """By the voxels that there are, whatever the manifest promises."""
    cases = tuple(
        replace(case, label=write_without(case, phantom, "RV", tmp_path)) if case.modality == "ct" else case
        for case in phantom.cases
    )
    without = replace(phantom, cases=cases)
    trained = tuple(phantom.modalities)
    labeled = {case.id for case in without.cases if case.split != "test"}
    prepared = prepare(without, csa().preprocessing, tmp_path / "cache", only=labeled)
    assert list(not_taught(without, trained, prepared)) == ["no labeled training case of ct shows RV"]
    assert list(not_taught(without, ("ct",), prepared)) == [
        "no labeled training case shows RV, in no modality: the network can't learn it"
    ]
    sides = {case.id: "train" for case in phantom.of("lge", "validation")}
    assert "no labeled validation case of lge: the best weights are chosen without" in list(
        not_taught(with_splits(without, sides), trained, prepared)
    )


def test_that_the_last_weights_predict_is_said_where_nothing_is_validated(phantom: Dataset) -> None:
    trained = tuple(phantom.modalities)
    assert not_validated(phantom, trained) is None
    without = with_splits(phantom, {case.id: "train" for case in phantom.of(split="validation")})
    assert "no labeled validation case: no weights are chosen" in str(not_validated(without, trained))
    only_lge = without_labels(phantom, {case.id for case in phantom.cases if case.modality != "lge"})
    assert not_validated(only_lge, ("ct", "bssfp")) is not None
    assert not_validated(only_lge, trained) is None


def write_without(case: CaseEntry, dataset: Dataset, name: str, folder: Path) -> Path:
    """The case's label map without the voxels of a class."""
    assert case.label is not None
    label = read_label_map(case.label)
    values = [value for value, names in dataset.label_map_of(case).items() if name in names]
    place = folder / f"{case.id}.nii.gz"
    write_image(place, np.where(np.isin(label.array, values), 0, label.array), label.affine)
    return place
