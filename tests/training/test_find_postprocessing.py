"""Which post-processing is kept: against nnU-Net's procedure in plain loops; predict applies what was found."""

import json
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.tiny_runs import tiny
from unpaired import find_postprocessing, pack, predict
from unpaired.cli import main
from unpaired.data.dataset import Dataset
from unpaired.data.image import Image
from unpaired.data.images import read_image
from unpaired.data.postprocess import Postprocessing, keep_largest_foreground, postprocess, shifted
from unpaired.data.prediction_record import read_record
from unpaired.errors import InputError
from unpaired.inference.ensemble import Ensemble
from unpaired.inference.jobs import Event, Remark
from unpaired.inference.predictor import Predictor
from unpaired.inference.segmentation import likeliest
from unpaired.recipe import build_method
from unpaired.runs.postprocessing import FoundPostprocessing, postprocessing_of, read_found, write_found
from unpaired.runs.run import Run
from unpaired.training.postprocessing import LOG_ODDS, WIDTHS_MM, TriedCase, decide, decide_number, try_case

ODDS = (0.0, *LOG_ODDS)
CLASSES = ("background", "a", "b", "c")
SETS = ((0,), (1,), (2,), (3,))
Pair = tuple[str, np.ndarray, np.ndarray]
"""Modality, prediction, reference."""


# ---- nnU-Net's procedure, in plain loops over label maps


def largest_part(mask: np.ndarray) -> np.ndarray:
    """The largest part that touches itself at faces, edges or corners; the first in C order of equals."""
    left = {tuple(map(int, place)) for place in np.argwhere(mask)}
    best: list[tuple[int, ...]] = []
    for start in sorted(left):
        if start not in left:
            continue
        part, edge = [], [start]
        left.remove(start)
        while edge:
            here = edge.pop()
            part.append(here)
            for step in product((-1, 0, 1), repeat=mask.ndim):
                there = tuple(a + b for a, b in zip(here, step, strict=True))
                if there in left:
                    left.remove(there)
                    edge.append(there)
        best = part if len(part) > len(best) else best
    kept = np.zeros(mask.shape, bool)
    for place in best:
        kept[place] = True
    return kept


def without_islands(labels: np.ndarray, numbers: tuple[int, ...]) -> np.ndarray:
    mask = np.isin(labels, numbers)
    result = labels.copy()
    result[mask & ~largest_part(mask)] = 0
    return result


def loop_dice(pairs: list[Pair], modality: str, number: int) -> float:
    """Mean over cases; NaN where no case shows the class."""
    scores = []
    for of, predicted, truth in pairs:
        sizes = int((predicted == number).sum()) + int((truth == number).sum())
        if of == modality and sizes:
            scores.append(2 * int(((predicted == number) & (truth == number)).sum()) / sizes)
    return sum(scores) / len(scores) if scores else float("nan")


def by_loops(pairs: list[Pair]) -> tuple[bool, tuple[str, ...]]:
    modalities = list(dict.fromkeys(of for of, _, _ in pairs))

    def table(of: list[Pair]) -> list[list[float]]:
        return [[loop_dice(of, modality, number) for number in (1, 2, 3)] for modality in modalities]

    def mean(rows: list[list[float]]) -> float:
        return float(np.mean([np.nanmean(row) for row in rows]))

    now = pairs
    tried = [(of, without_islands(predicted, (1, 2, 3)), truth) for of, predicted, truth in now]
    before, after = table(now), table(tried)
    foreground = mean(after) > mean(before) and not (np.array(after) < np.array(before)).any()
    now = tried if foreground else now
    kept = []
    for number in (1, 2, 3):
        tried = [(of, without_islands(predicted, (number,)), truth) for of, predicted, truth in now]
        old, new = np.array(table(now))[:, number - 1], np.array(table(tried))[:, number - 1]
        if np.nanmean(new) > np.nanmean(old) and not (new < old).any():
            kept.append(CLASSES[number])
            now = tried
    return foreground, tuple(kept)


def blobs(rng: np.random.Generator, islands: int) -> tuple[np.ndarray, np.ndarray]:
    """A reference of three organs that touch each other, and a prediction of it with wrong islands."""
    truth = np.zeros((2, 12, 18), np.uint8)
    for number in (1, 2, 3):
        truth[:, 3:7, 1 + 4 * number : 5 + 4 * number] = number
    if rng.random() < 0.3:
        truth[:, 9:11, 1:4] = rng.integers(1, 4)  # a second part that belongs there
    predicted = np.where(rng.random(truth.shape) < 0.02, 0, truth).astype(np.uint8)
    for _ in range(islands):
        row, column, number = rng.integers(0, 10), rng.integers(0, 16), rng.integers(1, 4)
        predicted[1, row : row + 2, column : column + 2] = number
    return predicted, truth


def test_what_is_kept_equals_nnunets_procedure_in_loops() -> None:
    rng = np.random.default_rng(0)
    seen = set()
    for trial in range(20):
        pairs = [("ct" if case % 2 else "mr", *blobs(rng, int(rng.integers(0, 3)))) for case in range(2 + trial % 3)]
        tried = [try_case(predicted, truth, of, CLASSES, SETS) for of, predicted, truth in pairs]
        chosen, _ = decide(tried, CLASSES[1:])
        expected = by_loops(pairs)
        assert (chosen.largest_foreground, chosen.largest_component) == expected
        seen.add(expected)
    assert len(seen) > 4, "the same every time: nothing was compared"


def test_the_largest_foreground_equals_a_flood_fill() -> None:
    rng = np.random.default_rng(1)
    for _ in range(10):
        labels = rng.choice(4, size=(6, 7, 5), p=[0.8, 0.1, 0.05, 0.05]).astype(np.uint8)
        before = labels.copy()
        np.testing.assert_array_equal(keep_largest_foreground(labels), without_islands(labels, (1, 2, 3)))
        np.testing.assert_array_equal(labels, before)
    empty = np.zeros((3, 3), np.uint8)
    assert keep_largest_foreground(empty) is empty
    both = Postprocessing(("b",), largest_foreground=True)
    assert both.groups(CLASSES) == ((1, 2, 3), (2,))
    expected = without_islands(without_islands(labels, (1, 2, 3)), (2,))
    np.testing.assert_array_equal(postprocess(labels, both, CLASSES), expected)


def test_a_class_that_falls_in_one_modality_is_left_alone() -> None:
    """An island that is wrong in CT and a second part that is right in MR: more is won than lost, and yet."""
    truth = np.zeros((1, 9, 20), np.uint8)
    truth[0, 1:8, 1:9] = 1
    wrong, second = truth.copy(), truth.copy()
    wrong[0, 0:7, 12:18] = 1
    second[0, 3, 15] = 1
    cases = [("ct", wrong, truth), ("mr", second, second)]
    for several, expected in ((cases[:1], (True, ())), (cases, (False, ()))):
        tried = [try_case(predicted, of, modality, CLASSES, SETS) for modality, predicted, of in several]
        chosen, trials = decide(tried, CLASSES[1:])
        assert (chosen.largest_foreground, chosen.largest_component) == expected
        assert trials[0].after is not None
        assert trials[0].before is not None
        assert trials[0].after > trials[0].before


@pytest.mark.parametrize(("gain", "kept"), [(0.00009, False), (0.00011, True)])
def test_a_part_is_kept_alone_for_a_gain_that_the_table_shows(gain: float, kept: bool) -> None:
    low, high = {"a": 0.8, "b": 0.8}, {"a": 0.8 + gain, "b": 0.8 + gain}
    assert decide([TriedCase("ct", low, high, low, high)], ("a", "b"))[0].largest_foreground is kept
    assert decide([TriedCase("ct", low, low, high, high)], ("a", "b"))[0].largest_component == (
        ("a", "b") if kept else ()
    )


@pytest.mark.parametrize(
    ("ct", "mr", "expected"),
    [
        ((0.7, 0.8, 0.9, 0.85), (0.7, 0.7, 0.7, 0.9), 4.0),  # the highest mean
        ((0.7, 0.8, 0.9, 0.9), (0.7, 0.8, 0.8, 0.6), 3.0),  # a higher mean, but MR falls
        ((0.7, 0.8, 0.9, 0.9), (0.7, 0.7, 0.696, 0.694), 3.0),  # MR falls by less than half a point
        ((0.7, 0.8, 0.8, 0.8), (0.7, 0.8, 0.8, 0.8), 2.0),  # of equals the narrowest
        ((0.7, 0.7, 0.7, 0.7), (0.7, 0.7, 0.7, 0.7), 0.0),  # nothing is won
        ((0.7, 0.70009, 0.7, 0.7), (0.7, 0.7, 0.7, 0.7), 0.0),  # less than the table shows
        ((0.7, 0.8, 0.80009, 0.8), (0.7, 0.8, 0.8, 0.8), 2.0),  # of what the table shows as equals the narrowest
        ((0.7, 0.9, 0.9, 0.9), (0.7, 0.6, 0.6, 0.6), 0.0),  # CT wins, MR falls
    ],
)
def test_the_smoothing_that_helps_most_and_harms_nothing(
    ct: tuple[float, ...], mr: tuple[float, ...], expected: float
) -> None:
    cases = [
        {width: TriedCase(name, {"a": dice}, {}, {}, {}) for width, dice in zip((0.0, *WIDTHS_MM), values, strict=True)}
        for name, values in (("ct", ct), ("mr", mr))
    ]
    width, trials = decide_number(cases, ("a",), "{:g} mm")
    assert width == expected
    assert [trial.what for trial in trials if trial.kept] == ([f"{expected:g} mm"] if expected else [])
    assert trials[0].before == pytest.approx(0.7)
    assert [trial.after for trial in trials] == pytest.approx(np.mean([ct, mr], 0)[1:])


# ---- runs


@pytest.fixture
def runs(phantom: Dataset, tmp_path: Path) -> list[Run]:
    """Two folds of untrained networks, which see islands everywhere."""
    result = []
    for number in range(2):
        recipe = tiny(seed=number)
        run = Run.create(tmp_path / "runs" / f"fold{number}", recipe, phantom)
        run.save_weights(build_method(recipe, run.modalities, len(phantom.classes)).network, "best")
        result.append(run)
    return result


def found_for(runs: list[Run], *names: str, foreground: bool = False) -> FoundPostprocessing:
    hashes = tuple(Predictor(run, device="cpu").weights_hash for run in runs)
    return FoundPostprocessing(foreground, names, hashes, 3, ())


def test_it_is_found_on_validation_cases_alone(runs: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    folder = runs[0].folder.parent
    found = find_postprocessing(folder, device="cpu", say=seen.append)
    validation = {case.id for case in runs[0].dataset.of(split="validation")}
    assert {line.split(": ")[1] for line in seen if not line.startswith("wrote")} == validation
    assert found.validation_cases == 2 * len(validation)
    assert read_found(folder) == found
    own = read_found(runs[0].folder)
    assert own is not None
    assert own.validation_cases == len(validation)
    assert own.weights == found.weights[:1]
    tried = [
        *(f"background, +{odds:g} log odds" for odds in LOG_ODDS),
        *(f"smoothing by {width:g} mm" for width in WIDTHS_MM),
        "largest part of all foreground",
        *(f"largest part of {name}" for name in runs[0].dataset.classes[1:]),
    ]
    assert [trial.what for trial in found.trials] == tried
    assert "none of a test case" in found.table().markdown()
    assert "costs no class of a modality more than half a point" in found.table().markdown()


@pytest.mark.parametrize("turned_degrees", [(), (15.0,)])
def test_what_is_tried_is_what_predict_would_do(
    phantom: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turned_degrees: tuple[float, ...]
) -> None:
    """Log odds are added to each turned form before these are averaged: after it other voxels are background."""
    recipe = tiny(turned_degrees=turned_degrees)
    run = Run.create(tmp_path / "run", recipe, phantom)
    run.save_weights(build_method(recipe, run.modalities, len(phantom.classes)).network, "best")
    tried: list[np.ndarray] = []

    def kept(labels: np.ndarray, *others: Any) -> TriedCase:
        tried.append(labels)
        return try_case(labels, *others)

    monkeypatch.setattr("unpaired.training.postprocessing.try_case", kept)
    find_postprocessing(run, device="cpu")
    case = run.dataset.of(split="validation")[0]
    image = read_image(case.image)
    asked = [Postprocessing(smoothing_mm=mm, background_log_odds=odds) for odds, mm in product(ODDS, (0.0, *WIDTHS_MM))]
    for labels, postprocessing in zip(tried[: len(asked)], asked, strict=True):
        expected = Predictor(run, device="cpu", postprocessing=postprocessing).segment(image, case.modality)
        np.testing.assert_array_equal(labels, expected)
    if turned_degrees:
        [part] = Ensemble([Predictor(run, device="cpu", postprocessing=Postprocessing())]).parts(image, case.modality)
        late = likeliest([replace(part, probabilities=shifted(part.probabilities, ODDS[-1]))])
        assert (late != tried[2 * (1 + len(WIDTHS_MM))]).any(), "both orders agree here: the loop above says nothing"


def test_predict_applies_what_was_found_and_says_so(
    runs: list[Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, name = runs[0], runs[0].dataset.classes[1]
    scan = Image(np.random.default_rng(0).normal(size=(32, 32, 3)).astype(np.float32), np.eye(4))
    raw = Predictor(run, device="cpu").segment(scan, "ct")
    write_found(replace(found_for([run], name, foreground=True), smoothing_mm=2.0, background_log_odds=0.2), run.folder)
    said: list[str] = []
    asked = Postprocessing((name,), largest_foreground=True)
    before = Postprocessing(smoothing_mm=2.0, background_log_odds=0.2)
    smooth = Predictor(run, device="cpu", postprocessing=before).segment(scan, "ct")
    expected = postprocess(smooth, asked, run.dataset.classes)
    assert (smooth != raw).any(), "nothing to smooth: the comparison below would say nothing"
    assert (expected != smooth).any(), "nothing to remove: the comparison below would say nothing"
    np.testing.assert_array_equal(Predictor(run, device="cpu", report=said.append).segment(scan, "ct"), expected)
    assert "adds 0.2 to the log odds of background and smooths probabilities by 2 mm and keeps the largest" in said[0]
    assert "all foreground, " + name in said[0]
    image = str(run.dataset.cases[0].image)
    arguments = ["predict", str(run.folder), image, str(tmp_path / "out.nii.gz"), "--modality", "ct", "--no-worker"]
    assert main([*arguments, "--device", "cpu"]) == 0
    assert "post-processing found on 3 validation cases" in capsys.readouterr().err
    record = read_record(tmp_path / "out.nii.gz")
    assert record is not None
    assert (record.settings["largest_component"], record.settings["largest_foreground"]) == ([name], True)
    assert record.settings["smoothing_mm"] == 2
    assert record.settings["background_log_odds"] == 0.2
    for other in (("--largest-component", "none"), ("--smoothing-mm", "3"), ("--background-log-odds", "0.2")):
        assert main([*arguments, "--device", "cpu", *other]) == 1
        assert "made in another way" in capsys.readouterr().err


def test_folds_together_take_what_was_found_for_them(runs: list[Run], tmp_path: Path) -> None:
    folder, (first, second) = runs[0].folder.parent, runs[0].dataset.classes[1:3]
    write_found(found_for(runs[:1], first), runs[0].folder)
    write_found(found_for(runs, second), folder)
    image = runs[0].dataset.cases[0].image
    kept, notes = {}, {}
    for name, run, also in (("folds", folder, ()), ("fold", runs[0].folder, ()), ("also", runs[0], runs[1:])):
        out = tmp_path / f"{name}.nii.gz"
        events: list[Event] = []
        predict(run, image, out, modality="ct", also=also, device="cpu", worker=False, tell=events.append)
        notes[name] = [event.text for event in events if isinstance(event, Remark) and "post-processing" in event.text]
        record = read_record(out)
        assert record is not None
        kept[name] = record.settings["largest_component"]
    assert kept == {"folds": [second], "fold": [first], "also": []}
    assert all("post-processing found on" in note for name in ("folds", "fold") for note in notes[name])
    (left_out,) = notes["also"]
    assert f"fold0's recipe: what was found for {runs[0].folder} and {folder} says nothing of these runs" in left_out


def test_what_was_found_for_other_weights_is_left_out_and_said(runs: list[Run]) -> None:
    run = runs[0]
    write_found(found_for([runs[1]], run.dataset.classes[1]), run.folder)
    chosen, said = postprocessing_of(run, "best")
    assert chosen == run.recipe.postprocessing
    assert "was found for other weights and is left out" in said


def test_what_was_found_for_a_model_file_is_named_by_the_file(runs: list[Run], tmp_path: Path) -> None:
    write_found(found_for(runs[:1]), runs[0].folder)
    write_found(found_for(runs), runs[0].folder.parent)
    for source, name in ((runs[0].folder, "run.unpaired"), (runs[0].folder.parent, "folds.unpaired")):
        pack(source, tmp_path / name)
        opened = Run.open_all(tmp_path / name)
        _, said = postprocessing_of(opened, "best")
        assert f"({tmp_path / name}/postprocessing.json)" in said, "where it was unpacked is nobody's business"


def test_a_damaged_finding_and_folds_of_other_classes_are_one_line(runs: list[Run]) -> None:
    file = write_found(found_for(runs[:1]), runs[0].folder)
    document = json.loads(file.read_text())
    for damage, said in (
        ({"background_log_odds": 1000}, "background_log_odds: expected a number between -10 and 10, got 1000; find it"),
        ({"smoothing_mm": -1}, "smoothing_mm: expected a number of 0 or more, got -1; find it anew"),
        ({"largest_component": ["heart"]}, "names 'heart', which is no foreground class"),
    ):
        file.write_text(json.dumps(document | damage))
        with pytest.raises(InputError, match=rf"fold0.postprocessing\.json: .*{said}"):
            postprocessing_of(runs[0], "best")
    other = json.loads(runs[1].dataset_file.read_text())
    other["classes"] = [other["classes"][0], *reversed(other["classes"][1:])]
    runs[1].dataset_file.write_text(json.dumps(other))
    with pytest.raises(InputError, match=r"fold1 has the classes .*; keep the folds of one dataset in a folder"):
        find_postprocessing(runs[0].folder.parent, device="cpu")


@pytest.mark.parametrize("count", [1, 2])
def test_a_model_file_takes_it_along(
    runs: list[Run], count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNPAIRED_CACHE", str(tmp_path / "cache"))
    name = runs[0].dataset.classes[1]
    place = runs[0].folder if count == 1 else runs[0].folder.parent
    write_found(found_for(runs[:count], name), place)
    pack(place, tmp_path / "m.unpaired")
    out = tmp_path / "out.nii.gz"
    predict(tmp_path / "m.unpaired", runs[0].dataset.cases[0].image, out, modality="ct", device="cpu", worker=False)
    record = read_record(out)
    assert record is not None
    assert record.settings["largest_component"] == [name]
    with pytest.raises(InputError, match="a model file has no validation cases"):
        find_postprocessing(tmp_path / "m.unpaired")


def test_a_run_that_nobody_validated_gets_one_line(phantom: Dataset, tmp_path: Path) -> None:
    cases = tuple(replace(case, split="train") for case in phantom.cases)
    run = Run.create(tmp_path / "run", tiny(), replace(phantom, cases=cases))
    run.save_weights(build_method(tiny(), run.modalities, len(phantom.classes)).network, "best")
    with pytest.raises(InputError, match="no labeled case validated it"):
        find_postprocessing(run, device="cpu")
