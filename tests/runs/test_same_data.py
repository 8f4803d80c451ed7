"""A run goes on with what it began with: a corrected manifest or file is told, a moved file isn't taken for another."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from unpaired.data.content import content_hash
from unpaired.data.dataset import Dataset, Modality
from unpaired.data.fingerprint import CaseFingerprint
from unpaired.data.images import read_image
from unpaired.data.manifest_json import dataset_from_json
from unpaired.data.scan_values import scan_values
from unpaired.errors import InputError
from unpaired.runs.fingerprint import data_hash, note_new_cases, read_fingerprint, require_same_files
from unpaired.runs.folder import RunFolder
from unpaired.runs.same_data import brought_up_to_date, require_same_data

HERE = Path("run")


def changed(dataset: Dataset, position: int, **fields: Any) -> Dataset:
    cases = list(dataset.cases)
    cases[position] = replace(cases[position], **fields)
    return replace(dataset, cases=tuple(cases))


def changed_all(dataset: Dataset, **fields: Any) -> Dataset:
    return replace(dataset, cases=tuple(replace(case, **fields) for case in dataset.cases))


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
        (changed(changed_all(phantom, simulated=False), 0, simulated=True), f"cases.{first.id}.simulated"),
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
    alike = [changed_all(phantom, simulated=yes) for yes in (True, False)]  # none stands beside another kind
    for given in (phantom, renamed, more, changed(phantom, 0, image=copy), *alike):
        require_same_data(HERE, phantom, given)
    coded = replace(phantom, codes={"LV": "left ventricle"})
    assert brought_up_to_date(phantom, coded) == coded


@pytest.mark.parametrize("options", [{}, {"normalization": "zscore"}, {"clip": None}])
def test_what_a_manifest_does_not_spell_out_is_the_default(options: dict[str, Any], tmp_path: Path) -> None:
    """A run's own manifest spells out more than the one that it was made of."""
    case = {"id": "a", "patient": "a", "modality": "ct", "image": "a.nii.gz", "split": "train"}
    document = {"classes": ["background", "LV"], "modalities": {"ct": options}, "cases": [case]}
    given = dataset_from_json(document, tmp_path / "dataset.json")
    require_same_data(HERE, replace(given, modalities={"ct": Modality()}), given)
    require_same_data(HERE, given, replace(given, modalities={"ct": Modality()}))


def fingerprint_of(dataset: Dataset) -> dict[str, CaseFingerprint]:
    """As training notes it: of the cases that it reads."""
    return {
        case.id: CaseFingerprint(
            case.modality,
            content_hash(case.image),
            None if case.label is None else content_hash(case.label),
            scan_values(read_image(case.image)),
        )
        for case in dataset.cases
        if case.split in ("train", "validation")
    }


def moved_to(folder: Path, dataset: Dataset) -> Dataset:
    """Copies under names of their own; the files of the given dataset are taken for gone."""
    folder.mkdir()
    cases = []
    for case in dataset.cases:
        image, label = folder / f"{case.id}.nii.gz", folder / f"{case.id}_label.nii.gz"
        shutil.copy(case.image, image)
        shutil.copy(case.label or case.image, label)
        cases.append(replace(case, image=image, label=label))
    return replace(dataset, cases=tuple(cases))


def test_data_that_moved_is_known_by_its_hash(phantom: Dataset, tmp_path: Path) -> None:
    before = moved_to(tmp_path / "before", phantom)
    known = fingerprint_of(before)
    after = moved_to(tmp_path / "after", phantom)
    shutil.rmtree(tmp_path / "before")
    with pytest.raises(InputError, match="is a run of other data"):
        require_same_data(HERE, before, after)  # nothing says what the files were
    require_same_data(HERE, before, after, known)
    assert brought_up_to_date(before, after) == after
    assert brought_up_to_date(after, before) is None
    train = next(case for case in after.cases if case.split == "train")
    shutil.copy(after.cases[-1].image, train.image)
    with pytest.raises(InputError, match=f"the image of {train.id} is"):
        require_same_data(HERE, before, after, known)


def test_files_that_changed_in_their_place_are_told(phantom: Dataset, tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    known = fingerprint_of(phantom)
    note_new_cases(run, known)
    assert read_fingerprint(run) == known
    first = next(iter(known))
    image, label = known[first].image_sha256, known[first].label_sha256
    require_same_files(run, {first: (image, label), "unknown": ("0", None)})
    for what, now in (("image", ("0" * 64, label)), ("label", (image, "0" * 64)), ("label", (image, None))):
        other = {first: now}
        with pytest.raises(InputError, match=f"the {what} of {first} has changed since it began") as caught:
            require_same_files(run, other)
        assert "\n" not in str(caught.value)
    changed = replace(known[first], image_sha256="0" * 64)
    note_new_cases(run, {first: changed})
    assert read_fingerprint(run) == known
    note_new_cases(run, {first: changed, "new": changed})
    assert read_fingerprint(run) == {**known, "new": changed}, "what a case was when training began stays"
    assert data_hash(known) == data_hash(dict(reversed(known.items())))
    assert data_hash(known) != data_hash({**known, first: changed})
    assert data_hash(known) != data_hash({**known, first: replace(known[first], label_sha256="0" * 64)})


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 1, "cases": {"a": {}}}', '{"schema": 2, "cases": {}}'])
def test_a_damaged_fingerprint_is_told(tmp_path: Path, text: str) -> None:
    run = RunFolder(tmp_path)
    assert read_fingerprint(run) == {}
    run.fingerprint_file.write_text(text)
    with pytest.raises(InputError, match=r"fingerprint\.json.*delete it"):
        read_fingerprint(run)
