"""Prepared arrays: right, cached, resumable, and never stopped by one bad case."""

import json
import os
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unpaired import files
from unpaired.data import label_map as label_map_module
from unpaired.data import prepare as module
from unpaired.data.case import Case, UnlabeledCase
from unpaired.data.content import content_hash
from unpaired.data.dataset import CaseEntry, Dataset, Modality, encode_values
from unpaired.data.images import read_image, write_image
from unpaired.data.prepare import prepare
from unpaired.data.prepared_ways import Way
from unpaired.data.preprocess import Preprocessing, apply, apply_to_label
from unpaired.data.scan_values import scan_values
from unpaired.errors import InputError

SHAPE = (20, 18, 6)
AFFINE = np.diag([-1.0, 1.0, 4.0, 1.0])
RECIPE = Preprocessing(spacing_mm=(None, 1.3, 1.3))


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    cases = []
    for number in range(4):
        generator = np.random.default_rng(number)
        write_image(tmp_path / f"{number}.nii.gz", generator.normal(0, 9, SHAPE).astype(np.float32), AFFINE)
        label = np.zeros(SHAPE, np.int16)
        label[5:12, 4:10, 2:4] = 500
        label[12:15, 4:10, 2:4] = 200
        write_image(tmp_path / f"{number}_label.nii.gz", label, AFFINE)
        file = None if number == 3 else tmp_path / f"{number}_label.nii.gz"
        cases.append(CaseEntry(f"case{number}", f"p{number}", "lge", tmp_path / f"{number}.nii.gz", file, "odd"))
    maps = {"odd": {0: ("background",), 500: ("LV",), 200: ("myo",)}}
    return Dataset("d", ("background", "LV", "myo"), {"lge": Modality()}, tuple(cases), maps)


def test_arrays_are_what_preprocess_makes(dataset: Dataset, tmp_path: Path) -> None:
    prepared = prepare(dataset, RECIPE, tmp_path / "out")
    assert list(prepared.cases) == [case.id for case in dataset.cases]
    assert prepared.failures == []
    case = prepared.cases["case1"]
    volume, geometry = apply(read_image(dataset.cases[1].image), RECIPE, Modality())
    assert case.geometry == geometry
    assert case.shape == volume.shape == case.volume().shape
    assert case.volume().dtype == np.float32
    np.testing.assert_array_equal(case.volume(), volume)
    assert isinstance(case.volume(), np.memmap)
    label = read_image(dataset.cases[1].label or "").array
    classes = np.where(label == 500, 1, np.where(label == 200, 2, 0)).astype(np.uint8)
    label_map = case.label_map()
    assert label_map is not None
    np.testing.assert_array_equal(label_map, apply_to_label(classes, geometry))
    assert isinstance(case.load(), Case)
    assert isinstance(prepared.cases["case3"].load(), UnlabeledCase)
    assert prepared.cases["case3"].label_map() is None
    assert prepared.cases["case3"].foreground == {}


def test_foreground_is_a_seeded_sample_of_each_class(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_map_module, "FOREGROUND_SAMPLES", 20)
    first = prepare(dataset, RECIPE, tmp_path / "a").cases["case0"]
    again = prepare(dataset, RECIPE, tmp_path / "b").cases["case0"]
    label_map = first.label_map()
    assert label_map is not None
    assert set(first.foreground) == {1, 2}
    for value, voxels in first.foreground.items():
        assert voxels.shape == (20, 3)
        assert len(np.unique(voxels, axis=0)) == 20
        assert (label_map[tuple(voxels.T)] == value).all()
        np.testing.assert_array_equal(voxels, again.foreground[value])


def test_merged_values_and_unknown_background(dataset: Dataset, tmp_path: Path) -> None:
    maps = {"odd": {0: ("background",), 500: ("LV", "myo"), 200: ("myo",)}}
    cases = (replace(dataset.cases[0], annotated=("LV",)), dataset.cases[1])
    prepared = prepare(replace(dataset, label_maps=maps, cases=cases), Preprocessing(), tmp_path / "out")
    assert prepared.label_sets == ((0,), (1,), (2,), (0, 2), (1, 2))
    label_map = prepared.cases["case0"].label_map()
    assert label_map is not None
    assert set(np.unique(label_map)) == {2, 3, 4}
    assert set(prepared.cases["case0"].foreground) == {2, 4}  # what may be background is no foreground


def test_beyond_the_file_is_background_whatever_its_value(dataset: Dataset, tmp_path: Path) -> None:
    """Zero may be an organ: what pads a scan is what the label map says background is."""
    for case in dataset.cases[:3]:
        assert case.label is not None
        array = read_image(case.label).array
        write_image(case.label, np.where(array == 0, 7, np.where(array == 500, 0, array)).astype(np.int16), AFFINE)
    odd = replace(dataset, label_maps={"odd": {0: ("LV",), 200: ("myo",), 7: ("background",)}})
    larger = Preprocessing(roi="center", size=(10, 30, 30))
    label_map = prepare(odd, larger, tmp_path / "out").cases["case0"].label_map()
    assert label_map is not None
    assert np.bincount(label_map.ravel()).tolist() == [10 * 30 * 30 - 84 - 36, 84, 36]


def stamps(folder: Path) -> dict[str, int]:
    return {file.parent.name: file.stat().st_mtime_ns for file in folder.glob("*/volume.npy")}


def test_cache_is_used_until_something_changes(dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(dataset, RECIPE, out)
    first = stamps(out)
    assert len(first) == 4
    prepare(dataset, RECIPE, out)
    assert stamps(out) == first
    prepare(dataset, replace(RECIPE, normalization="minmax"), out)
    assert len(stamps(out)) == 8  # another preparation, beside the first
    scan = dataset.cases[0].image
    status = scan.stat()
    os.utime(scan, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))
    prepare(dataset, RECIPE, out)
    assert len(stamps(out)) == 8  # touched, not changed
    write_image(scan, read_image(scan).array + 1, AFFINE)
    os.utime(scan, ns=(status.st_atime_ns, status.st_mtime_ns))
    prepare(dataset, RECIPE, out)
    assert len(stamps(out)) == 9


@pytest.mark.parametrize("lacking", ["windows", "spacing_mm"])
def test_what_another_version_prepared_is_used_if_it_is_the_same(
    lacking: str, dataset: Dataset, tmp_path: Path
) -> None:
    """That version didn't have this field: the row's own value is the default of the one, and not of the other."""
    out = tmp_path / "out"
    prepared = prepare(dataset, RECIPE, out)
    report = json.loads(prepared.report.read_text())
    del report["preprocessing"][lacking]
    prepared.report.write_text(json.dumps(report))
    foreground = tuple(n for n, members in enumerate(dataset.label_sets()) if 0 not in members)
    for entry in dataset.cases:
        way = Way(report["preprocessing"], asdict(dataset.modalities[entry.modality]))
        source = prepared.sources[entry.id]
        key = way.key([source.image_sha256, source.label_sha256], encode_values_of(dataset, entry), foreground)
        folder = prepared.cases[entry.id].volume_file.parent
        folder.rename(folder.with_name(f"{entry.id}-{key}"))
    before = stamps(out)
    again = prepare(dataset, RECIPE, out)
    assert (stamps(out) == before) is (lacking == "windows")
    assert not again.failures


def encode_values_of(dataset: Dataset, entry: CaseEntry) -> dict[int, int]:
    """{value of the label file: label set}, as prepared label maps have it."""
    number = {members: index for index, members in enumerate(dataset.label_sets())}
    return {value: number[members] for value, members in encode_values(dataset, entry).items()}


def test_moved_files_are_found_prepared_and_another_scan_of_the_name_is_not(dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = prepare(dataset, RECIPE, out)
    before = stamps(out)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    cases = tuple(
        replace(case, image=case.image.rename(elsewhere / case.image.name)) if case.id in ("case0", "case3") else case
        for case in dataset.cases
    )
    moved = prepare(replace(dataset, cases=cases), RECIPE, out)
    assert stamps(out) == before
    assert moved.sources == first.sources
    report = json.loads(moved.report.read_text(encoding="utf-8"))
    assert report["cases"]["case0"]["image"] == str(cases[0].image)
    swapped = (replace(cases[0], image=cases[1].image), *cases[1:])
    again = prepare(replace(dataset, cases=swapped), RECIPE, out)
    np.testing.assert_array_equal(again.cases["case0"].volume(), again.cases["case1"].volume())


def test_runs_that_share_a_folder_write_one_report_whoever_is_last(dataset: Dataset, tmp_path: Path) -> None:
    """Each run names the scans from its own folder (`run/../0.nii.gz`), as `Run.dataset` does."""
    out = tmp_path / "out"
    for run in ("a", "b"):
        (tmp_path / run).mkdir()
    datasets = [
        replace(
            dataset,
            cases=tuple(replace(case, image=tmp_path / run / ".." / case.image.name) for case in dataset.cases),
        )
        for run in ("a", "b")
    ]
    first = prepare(datasets[0], RECIPE, out).report
    before = first.read_bytes()
    assert prepare(datasets[1], RECIPE, out).report == first
    assert first.read_bytes() == before
    assert prepare(datasets[0], RECIPE, out).report.read_bytes() == before
    for other in (
        prepare(dataset, RECIPE, out, only=["case0"]),
        prepare(dataset, replace(RECIPE, normalization="minmax"), out),
    ):
        assert other.report != first
    assert first.read_bytes() == before


def test_a_case_that_another_run_finished_first_is_told_as_that_run_recorded_it(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other run renames its folder into place while this one still writes."""
    whole, out = prepare(dataset, RECIPE, tmp_path / "whole"), tmp_path / "out"
    write_case = module._write_case

    def slow(job: Any, folder: Path) -> dict[str, Any]:
        record = write_case(job, folder)
        name = whole.cases[job.entry.id].volume_file.parent.name
        shutil.copytree(tmp_path / "whole" / name, out / name)
        return {**record, "seconds": 1234.5}

    monkeypatch.setattr(module, "_write_case", slow)
    report = json.loads(prepare(dataset, RECIPE, out).report.read_text("utf-8"))
    theirs = json.loads(whole.report.read_text("utf-8"))
    assert report["cases"] == theirs["cases"]


@pytest.mark.parametrize("file", ["volume.npy", "label.npy", "foreground.npz", "case.json"])
@pytest.mark.parametrize("left", [None, 100])
def test_a_prepared_case_that_lost_something_is_made_again(
    dataset: Dataset, tmp_path: Path, file: str, left: int | None
) -> None:
    first = prepare(dataset, RECIPE, tmp_path / "out", only=["case0"]).cases["case0"]
    volume = np.array(first.volume())
    damaged = first.volume_file.with_name(file)
    content = damaged.read_bytes()
    damaged.unlink() if left is None else damaged.write_bytes(content[:left])
    again = prepare(dataset, RECIPE, tmp_path / "out", only=["case0"]).cases["case0"]
    np.testing.assert_array_equal(again.volume(), volume)
    assert set(again.foreground) == {1, 2}


def test_a_file_that_changes_while_it_is_read_is_no_case(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = module._write_case

    def replaced_meanwhile(job: Any, folder: Path) -> dict[str, Any]:
        write_image(job.entry.image, np.zeros(SHAPE, np.float32), AFFINE)
        return real(job, folder)

    monkeypatch.setattr(module, "_write_case", replaced_meanwhile)
    prepared = prepare(dataset, RECIPE, tmp_path / "out", only=["case0"])
    assert "changed while it was read" in dict(prepared.failures)["case0"]
    monkeypatch.setattr(module, "_write_case", real)
    assert not prepare(dataset, RECIPE, tmp_path / "out", only=["case0"]).cases["case0"].volume().any()


def test_what_a_case_was_made_of_is_told(dataset: Dataset, tmp_path: Path) -> None:
    sources = prepare(dataset, RECIPE, tmp_path / "out").sources
    assert list(sources) == [case.id for case in dataset.cases]
    for case in dataset.cases:
        source = sources[case.id]
        assert source.image_sha256 == content_hash(case.image)
        assert source.label_sha256 == (None if case.label is None else content_hash(case.label))
        assert source.values == scan_values(read_image(case.image))


def test_a_killed_run_is_resumed(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    real = module._write_case

    class Killed(BaseException):
        pass

    def dies_at_case2(job: Any, folder: Path) -> dict[str, Any]:
        record = real(job, folder)
        if job.entry.id == "case2":
            raise Killed
        return record

    monkeypatch.setattr(module, "_write_case", dies_at_case2)
    with pytest.raises(Killed):
        prepare(dataset, RECIPE, out)
    done = stamps(out)
    assert len(done) == 2
    # what kill -9 leaves: a half-written folder under its temporary name
    left = files.temporary_beside(out / "case2-key")
    left.mkdir()
    (left / "volume.npy").write_bytes(b"half")
    monkeypatch.setattr(files, "_is_alive", lambda process: False)
    monkeypatch.setattr(module, "_write_case", real)
    prepared = prepare(dataset, RECIPE, out)
    assert len(prepared.cases) == 4
    assert {name: time for name, time in stamps(out).items() if name in done} == done
    assert not list(out.glob(".*"))


def test_bad_cases_are_listed_and_the_others_done(dataset: Dataset, tmp_path: Path) -> None:
    dataset.cases[0].image.write_bytes(b"broken")
    label = np.zeros(SHAPE, np.int16)
    label[3, 3, 3] = 421
    write_image(dataset.cases[1].label or "", label, AFFINE)
    moved = AFFINE.copy()
    moved[0, 3] = 30
    write_image(dataset.cases[2].label or "", label * 0, moved)
    prepared = prepare(dataset, RECIPE, tmp_path / "out")
    assert list(prepared.cases) == ["case3"]
    reasons = dict(prepared.failures)
    assert list(reasons) == ["case0", "case1", "case2"]
    assert "not a NIfTI" in reasons["case0"]
    assert "421" in reasons["case1"]
    assert "1_label.nii.gz" in reasons["case1"]
    assert "30.0 voxels" in reasons["case2"]
    assert not list((tmp_path / "out").glob(".*"))


def test_report_tells_what_was_done(dataset: Dataset, tmp_path: Path) -> None:
    prepared = prepare(dataset, RECIPE, tmp_path / "out")
    report = json.loads(prepared.report.read_text(encoding="utf-8"))
    case = report["cases"]["case0"]
    assert case["file_shape"] == list(SHAPE)
    assert case["shape"] == [6, 14, 15]
    assert case["file_label_voxels"] == {"0": 2160 - 84 - 36, "1": 84, "2": 36}
    assert case["seconds"] > 0
    assert report["preprocessing"]["spacing_mm"] == [None, 1.3, 1.3]


def test_a_crop_that_cuts_labels_away_is_a_warning(dataset: Dataset, tmp_path: Path) -> None:
    # the label fills x 5..14, y 4..9, z 2..3; 12 of the 20 voxels along x (4..15) keep it, 6 (7..12) don't
    whole = prepare(dataset, Preprocessing(roi="center", size=(None, None, 12)), tmp_path / "whole")
    assert whole.warnings == []
    cut = prepare(dataset, Preprocessing(roi="center", size=(None, None, 6)), tmp_path / "cut")
    assert [case for case, _ in cut.warnings] == ["case0", "case1", "case2"]  # case3 has no label
    assert "LV 0.29, myo 0.67" in cut.warnings[0][1]
    report = json.loads(cut.report.read_text(encoding="utf-8"))
    assert report["warnings"] == dict(cut.warnings)
    assert report["cases"]["case0"]["cut_label_voxels"] == {"1": 24, "2": 24}
    again = prepare(dataset, Preprocessing(roi="center", size=(None, None, 6)), tmp_path / "cut")
    assert again.warnings == cut.warnings  # also when the case comes from the cache


def test_processes_give_the_same_arrays(dataset: Dataset, tmp_path: Path) -> None:
    dataset.cases[2].image.write_bytes(b"broken")
    seen: list[int] = []
    one = prepare(dataset, RECIPE, tmp_path / "one")
    two = prepare(dataset, RECIPE, tmp_path / "two", workers=2, progress=lambda done, total, case: seen.append(done))
    assert seen == [1, 2, 3, 4]
    assert one.failures == two.failures
    assert list(one.cases) == list(two.cases)
    for case_id in one.cases:
        np.testing.assert_array_equal(one.cases[case_id].volume(), two.cases[case_id].volume())


def test_folder_that_cant_be_made(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="can't write"):
        prepare(dataset, RECIPE, tmp_path / "file" / "out")


def test_a_case_that_another_run_finished_meanwhile_stays(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That run may be reading it: it must not vanish, not even for a moment."""
    cache, original = tmp_path / "cache", module.whole_record
    numbers: dict[Path, int] = {}

    def a_moment_before(final: Path) -> Any:
        monkeypatch.setattr(module, "whole_record", original)
        prepare(dataset, RECIPE, cache, only=["case0"])
        numbers.update({file: file.stat().st_ino for file in final.iterdir()})
        return None

    monkeypatch.setattr(module, "whole_record", a_moment_before)
    assert set(prepare(dataset, RECIPE, cache, only=["case0"]).cases) == {"case0"}
    assert len(numbers) == 4
    assert {file: file.stat().st_ino for file in numbers} == numbers
    assert not list(cache.glob(".tmp*"))
