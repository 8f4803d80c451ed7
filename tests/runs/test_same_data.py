"""A run goes on with what it began with: a corrected manifest is told, a moved file isn't mistaken for another."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from unpaired.data.dataset import Dataset, Modality
from unpaired.errors import InputError
from unpaired.runs.same_data import require_same_data

HERE = Path("run")


def changed(dataset: Dataset, position: int, **fields: Any) -> Dataset:
    cases = list(dataset.cases)
    cases[position] = replace(cases[position], **fields)
    return replace(dataset, cases=tuple(cases))


def swapped(dataset: Dataset) -> Dataset:
    """LV and RV change their values in every label map."""
    other = {"LV": "RV", "RV": "LV"}
    maps = {
        name: {value: tuple(other.get(each, each) for each in names) for value, names in table.items()}
        for name, table in dataset.label_maps.items()
    }
    return replace(dataset, label_maps=maps)


def test_a_corrected_manifest_is_told(phantom: Dataset) -> None:
    first = phantom.cases[0]
    window = dict(phantom.modalities) | {first.modality: Modality(clip=(-1000.0, 1000.0))}
    classes = (*phantom.classes[:-1], "aorta")
    for given, words in (
        (swapped(phantom), "values"),
        (replace(phantom, modalities=window), f"modalities.{first.modality}.clip"),
        (replace(phantom, classes=classes, label_maps={k: {0: ("background",)} for k in phantom.label_maps}), "aorta"),
        (changed(phantom, 0, patient="another"), f"cases.{first.id}.patient"),
        (changed(phantom, 0, annotated=("LV",)), f"cases.{first.id}.annotated"),
        (changed(phantom, 0, image=phantom.cases[1].image), f"the image of {first.id} is"),
        (changed(phantom, 0, label=phantom.cases[1].label), f"the label of {first.id} is"),
    ):
        with pytest.raises(InputError, match="is a run of other data") as caught:
            require_same_data(HERE, phantom, given)
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)


def test_what_does_not_touch_training_is_nobodys_business(phantom: Dataset, tmp_path: Path) -> None:
    first = phantom.cases[0]
    copy = tmp_path / "elsewhere.nii.gz"
    shutil.copy(first.image, copy)
    renamed = replace(
        phantom,
        name="other",
        about="other words",
        label_maps={f"{name}2": table for name, table in phantom.label_maps.items()},
        cases=tuple(replace(case, label_map=f"{case.label_map}2") for case in phantom.cases),
    )
    more = replace(phantom, cases=(*phantom.cases, replace(first, id="new", patient="new", split=None)))
    for given in (phantom, renamed, more, changed(phantom, 0, image=copy)):
        require_same_data(HERE, phantom, given)
