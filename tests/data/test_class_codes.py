"""Codes of classes in a manifest: read, checked, written again, joined."""

from pathlib import Path

import pytest

from unpaired.data.class_codes import ClassCode, Code
from unpaired.data.dataset import Dataset
from unpaired.data.join import join_datasets
from unpaired.data.manifest_json import dataset_from_json, dataset_to_json
from unpaired.errors import InputError


def manifest(**fields: object) -> dict[str, object]:
    case = {"id": "a", "patient": "a", "modality": "ct", "image": "a.nii.gz"}
    return {"classes": ["background", "widget", "organ 7"], "modalities": {"ct": {}}, "cases": [case], **fields}


CODES = {
    "widget": {
        "type": {"value": "W-1", "meaning": "Widget", "scheme": "99MINE"},
        "modifier": {"value": "7771000", "meaning": "Left"},
        "color": [1, 2, 3],
    },
    "organ 7": "liver",
}


def read(codes: object) -> Dataset:
    return dataset_from_json(manifest(codes=codes), Path("/data/dataset.json"))


def test_codes_are_read_and_written_again() -> None:
    dataset = read(CODES)
    assert dataset.codes == {
        "widget": ClassCode(Code("W-1", "Widget", "99MINE"), modifier=Code("7771000", "Left"), color=(1, 2, 3)),
        "organ 7": "liver",
    }
    again = dataset_from_json(dataset_to_json(dataset, Path("/data")), Path("/data/dataset.json"))
    assert again == dataset


def test_a_manifest_without_codes_is_written_without() -> None:
    assert "codes" not in dataset_to_json(dataset_from_json(manifest(), Path("/data/dataset.json")), Path("/data"))


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ({"other": "liver"}, "codes names 'other', which is not a class"),
        ({"widget": {"type": {"value": "1"}}}, "widget.type: .*meaning"),
        ({"widget": {"type": {"value": "1" * 17, "meaning": "x"}}}, "widget.type: value: expected text of 1 to 16"),
        ({"widget": {"type": {"value": "1\\2", "meaning": "x"}}}, "widget.type: .*no backslash"),
        ({"widget": {"type": {"value": "1", "meaning": "x"}, "color": [1, 2, 300]}}, "widget: color: expected red"),
        ({"widget": {"type": {"value": "1", "meaning": "x"}, "colour": [1, 2, 3]}}, "colour"),
        ({"widget": 3}, "widget"),
    ],
)
def test_wrong_codes_are_refused_with_their_place(codes: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(codes)


def test_joined_datasets_keep_their_codes_the_first_ones_first() -> None:
    first, second = read({"widget": "liver"}), read({"widget": "spleen", "organ 7": "pancreas"})
    other = dataset_to_json(second, Path("/data"))
    other["cases"][0]["id"] = "b"
    joined = join_datasets([first, dataset_from_json(other, Path("/data/dataset.json"))], "both")
    assert joined.codes == {"widget": "liver", "organ 7": "pancreas"}
