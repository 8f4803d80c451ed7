"""Damaged documents: whatever JSON value stands wherever, a reader gives a usable value or refuses it in one line."""

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unpaired.comparison.run_groups import read_trained_run
from unpaired.consent.settings import all_remembered
from unpaired.data.dataset import Dataset
from unpaired.data.manifest import read_dataset, write_dataset
from unpaired.data.prediction_record import Record, Source, read_record, write_record
from unpaired.data.prepared import whole_record
from unpaired.data.split import Split, read_split, write_split
from unpaired.errors import InputError
from unpaired.recipe import Recipe, dumps, read_recipe
from unpaired.recipes import find_recipe
from unpaired.runs.facts import read_run_facts
from unpaired.scores.scores import Evaluation, Failure, Score, ScoredFiles
from unpaired.scores.tables import evaluation_to_json, read_evaluation, write_evaluation
from unpaired.scores.trust.calibration import Bin, ClassCalibration
from unpaired.scores.trust.calibration_files import Calibration, calibration_table, read_calibration, write_calibration
from unpaired.scores.trust.uncertainty import (
    CaseUncertainty,
    ClassUncertainty,
    least_agreed_first,
    read_uncertainty,
    write_uncertainty,
)
from unpaired.scores.trust.uncertainty_check import (
    CheckRow,
    Point,
    UncertaintyCheck,
    read_check,
    sentences,
    write_check,
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["", "ct", "all", "best", "\ud800", "\0", "a/b", "1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places(document: Any) -> Iterator[tuple[Any, Any]]:
    """(list or object, index or name) of every value inside a JSON value."""
    if not isinstance(document, dict | list):
        return
    for place, value in list(document.items() if isinstance(document, dict) else enumerate(document)):
        yield document, place
        yield from places(value)


@st.composite
def damaged(draw: st.DrawFn, text: str) -> str:
    """A document with a value replaced, left out or added."""
    document = json.loads(text)
    inside = deepcopy(document)
    where = draw(st.sampled_from(range(len(list(places(inside))) + 1)))
    if where == 0:
        return json.dumps(draw(JSON))
    holder, place = list(places(inside))[where - 1]
    how = draw(st.sampled_from(["replace", "leave out", "add"]))
    if how == "replace":
        holder[place] = draw(JSON)
    elif how == "leave out":
        del holder[place]
    elif isinstance(holder, dict):
        holder[draw(st.text(max_size=5) | st.just(f"{place}s"))] = draw(JSON)
    else:
        holder.append(draw(JSON))
    return json.dumps(inside)


def scores(folder: Path) -> Path:
    row = Score("a", "p", "ct", "LV", "scored", 0.5, 3.0, nsd={"nsd@1": 0.5}, presets={"csa:dice": 0.5})
    files = (ScoredFiles("a", "a.nii", "0", None, None),)
    return write_evaluation(Evaluation([row], [Failure("b", "no")], tolerances_mm=(1.0,), files=files), folder) / (
        "scores.json"
    )


def calibration(folder: Path) -> Path:
    row = ClassCalibration("ct", "LV", 1, 9, 0.1, 0.1, 0.2, (Bin(0.0, 0.5, 9, 0.2, None),))
    return write_calibration(Calibration((row,), {"a": {"LV": 0.1}}, (Failure("b", "no"),)), folder)


def uncertainty(folder: Path) -> Path:
    rows = (ClassUncertainty("a", "ct", "LV", 2, 1.0, 0.9, 1.1, 0.8),)
    write_uncertainty([CaseUncertainty("a", "ct", rows)], folder)
    return folder / "uncertainty.json"


def check(folder: Path) -> Path:
    row = CheckRow("ct", "mean", 3, 2, 0.5, None, None, None)
    return write_check(UncertaintyCheck((row,), (Point("a", "p", "ct", 0.5, 0.5),)), folder)


def record(folder: Path) -> Path:
    made = Record("a", "ct", {"weights": ["0"]}, [{"folder": "r"}], {"background": 0, "LV": 5}, Source("a.nii", "0"))
    write_record(made, folder / "a.nii.gz")
    return folder / "a.prediction.json"


def split(folder: Path) -> Path:
    (folder / "split.json").unlink(missing_ok=True)  # a damaged one is nothing that may be replaced
    return write_split(Split(("a",), (), ("b",), ("a",)), folder / "split.json")


def recipe(folder: Path) -> Path:
    (folder / "recipe.json").write_text(dumps(find_recipe("phantom/csa")), encoding="utf-8")
    return folder / "recipe.json"


def prepared(folder: Path) -> Path:
    geometry = {"shape": [2, 2, 2], "affine": [[1.0] * 4] * 4, "axes": [0, 1, 2], "flips": [False] * 3}
    geometry |= {"crop": [[0, 2]] * 3, "grid": [2, 2, 2]}
    document = {"geometry": geometry, "bytes": {}, "file_label_voxels": {"1": 3}, "cut_label_voxels": {"1": 1}}
    (folder / "case.json").write_text(json.dumps(document), encoding="utf-8")
    return folder / "case.json"


def trust(folder: Path) -> Path:
    document = {"modules": {"mine": {"file": str(folder / "mine.py"), "sha256": "0"}}}
    (folder / "trust.json").write_text(json.dumps(document), encoding="utf-8")
    return folder / "trust.json"


def use_record(file: Path) -> None:
    if (found := read_record(file.with_name("a.nii.gz"))) is not None:
        write_record(found, file.with_name("b.nii.gz"))


def use_recipe(file: Path) -> None:
    assert isinstance(read_recipe(file), Recipe)
    dumps(read_recipe(file))


READERS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], object]]] = {
    "scores": (scores, lambda file: evaluation_to_json(read_evaluation(file.parent))),
    "calibration": (calibration, lambda file: calibration_table(read_calibration(file.parent))),
    "uncertainty": (uncertainty, lambda file: least_agreed_first(read_uncertainty(file.parent))),
    "check": (check, lambda file: sentences(read_check(file.parent))),
    "record": (record, use_record),
    "split": (split, lambda file: write_split(read_split(file), file.with_name("again.json"))),
    "recipe": (recipe, use_recipe),
    "run group": (recipe, lambda file: read_trained_run(file.parent)),
    "run facts": (split, lambda file: read_run_facts(file.parent).split),
    "prepared case": (prepared, lambda file: whole_record(file.parent)),
    "trusted modules": (trust, lambda file: all_remembered()),
}


def refused(use: Callable[[], object]) -> str:
    """What a reader says against a document; nothing if it reads it."""
    try:
        use()
    except InputError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("reader", READERS)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_a_damaged_document_is_read_or_refused_in_one_line(
    reader: str, data: st.DataObject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNPAIRED_SETTINGS", str(tmp_path))
    write, use = READERS[reader]
    file = write(tmp_path)
    use(file)
    file.write_text(data.draw(damaged(file.read_text(encoding="utf-8"))), encoding="utf-8")
    assert "\n" not in refused(lambda: use(file))


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_a_damaged_manifest_is_read_or_refused_in_one_line(
    phantom: Dataset, data: st.DataObject, tmp_path: Path
) -> None:
    maps = {**phantom.label_maps, "own": {0: ("background",), 5: tuple(phantom.classes[1:3])}}
    small = Dataset("d", phantom.classes, phantom.modalities, phantom.cases[:2], maps)
    (tmp_path / "dataset.json").unlink(missing_ok=True)
    file = write_dataset(small, tmp_path / "dataset.json")
    file.write_text(data.draw(damaged(file.read_text(encoding="utf-8"))), encoding="utf-8")

    def read_and_write() -> None:
        dataset = read_dataset(file)
        dataset.label_sets()
        write_dataset(dataset, tmp_path / "again.json")
        assert read_dataset(tmp_path / "again.json").classes == dataset.classes

    assert "\n" not in refused(read_and_write)
