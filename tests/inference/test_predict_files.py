"""Folders of predictions: what is written beside label maps, what counts as done, and how agreement is listed."""

import csv
import json
import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from processes import temporary_of_a_dead_process
from small_network import SMALL
from unpaired import cli
from unpaired.data.content import content_hash
from unpaired.data.dataset import Dataset, Modality
from unpaired.data.images import image_files, name_below, read_image, write_image
from unpaired.data.postprocess import Postprocessing
from unpaired.data.prediction_record import Source, Written, read_record, record_path, write_record
from unpaired.errors import InputError
from unpaired.inference.ensemble import Ensemble
from unpaired.inference.jobs import Job, plan
from unpaired.inference.known_cases import seen_in_training, with_sides_of
from unpaired.inference.predict_files import predict_files
from unpaired.inference.predictor import Predictor
from unpaired.inference.record import probabilities_path
from unpaired.inference.remarks import value_remarks
from unpaired.recipe import build_method
from unpaired.recipes.phantom import msbn
from unpaired.runs.run import Run
from unpaired.scores.evaluate import evaluate_folders
from unpaired.scores.reading import Reading
from unpaired.scores.trust.uncertainty import measure_uncertainty, read_uncertainty
from warm_python import warm_workers

RECIPE = replace(
    msbn(),
    network=SMALL,
    patch_size=(48, 48),
    window_overlap=0.0,
)


@pytest.fixture(scope="module")
def runs(phantom: Dataset, tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    found = []
    for seed in range(3):
        recipe = replace(RECIPE, seed=seed)
        run = Run.create(tmp_path_factory.mktemp("runs") / f"run{seed}", recipe, phantom)
        run.save_weights(build_method(recipe, run.modalities, len(phantom.classes)).network, "best")
        found.append(run)
    return found


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scans")
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        write_image(folder / f"{name}.nii.gz", rng.normal(size=(16, 14, 1)), np.diag([1.5, 1.5, 8, 1]))
    return folder


def ensemble(runs: list[Run], **options: bool) -> Ensemble:
    return Ensemble([Predictor(run, device="cpu", **options) for run in runs])


def test_a_record_says_how_a_label_map_was_made(runs: list[Run], scans: Path, tmp_path: Path) -> None:
    predictor = Predictor(runs[0], device="cpu", postprocessing=Postprocessing(("LV",)))
    outcome = predict_files(predictor, plan(scans, tmp_path, "ct"))
    assert outcome.written == ["a", "b"]
    assert {file.name for file in tmp_path.iterdir()} == {
        "a.nii.gz", "b.nii.gz", "a.prediction.json", "b.prediction.json"
    }  # fmt: skip
    record = read_record(tmp_path / "a.nii.gz")
    assert record is not None
    assert (record.case, record.modality, record.uncertainty) == ("a", "ct", None)
    assert record.image == Source(str(scans / "a.nii.gz"), content_hash(scans / "a.nii.gz"))
    content = (tmp_path / "a.nii.gz").read_bytes()
    assert record.label_map == Written(len(content), sha256(content).hexdigest())
    assert record.settings["largest_component"] == ["LV"]
    assert record.settings["mirrored"] == [[]]
    assert record.runs == [
        {"folder": str(runs[0].folder), "weights": "best", "backend": "torch", "precision": "float32"}
    ]
    assert list(record.values) == list(runs[0].dataset.classes)
    assert list(record.values.values()) == runs[0].dataset.source_values("ct")


def test_a_tree_of_folders_keeps_its_form(runs: list[Run], scans: Path, tmp_path: Path) -> None:
    predictor = Predictor(runs[0], device="cpu")
    tree = tmp_path / "study"
    for place in ("left/day 1", "right"):
        shutil.copytree(scans, tree / place)
    out = tree / "out"  # in the tree itself: what is written there is never taken for a scan
    names = ["left/day 1/a", "left/day 1/b", "right/a", "right/b"]
    assert predict_files(predictor, plan(tree, out, "ct"), probabilities=True).written == names
    assert sorted(name_below(file, out) for file in image_files(out) if "probabilities" not in file.parts) == names
    assert read_record(out / "right" / "a.nii.gz").case == "right/a"
    assert predict_files(predictor, plan(tree, out, "ct"), probabilities=True).skipped == names
    (out / "right").rename(tree / "earlier")
    assert [job.name for job in plan(tree, out, "ct")] == names
    with pytest.raises(InputError, match="earlier predictions don't count"):
        plan(tree / "earlier", tmp_path / "elsewhere", "ct")
    scored = evaluate_folders(out, out, {1: "LV"}, reading=Reading(only=("LV",), others="ignore"))
    assert not scored.failures
    assert {score.case for score in scored.scores} == set(names[:2])


def test_probabilities_lie_on_the_scans_grid_and_agree_with_the_label_map(
    runs: list[Run], scans: Path, tmp_path: Path
) -> None:
    predictor = Predictor(runs[0], device="cpu")
    predict_files(predictor, plan(scans, tmp_path, "ct"), probabilities=True)
    image = nib.load(tmp_path / "probabilities" / "a.nii.gz")
    scan = read_image(scans / "a.nii.gz")
    assert image.shape == (*scan.array.shape, len(runs[0].dataset.classes))
    np.testing.assert_allclose(image.affine, scan.affine)
    said = image.get_fdata()
    np.testing.assert_allclose(said.sum(axis=-1), 1, atol=2.5 / 255)
    chosen = np.take_along_axis(said, predictor.segment(scan, "ct")[..., None].astype(int), axis=-1)[..., 0]
    assert (chosen >= said.max(axis=-1) - 1.01 / 255).all()


def test_what_is_done_is_not_done_again(runs: list[Run], scans: Path, tmp_path: Path) -> None:
    pair, jobs = ensemble(runs[:2]), plan(scans, tmp_path, "ct")
    predict_files(pair, jobs)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*.*")}
    (tmp_path / "b.nii.gz").unlink()  # as if stopped between the record and the label map
    outcome = predict_files(pair, jobs)
    assert (outcome.written, outcome.skipped) == (["b"], ["a"])
    assert {file: file.read_bytes() for file in tmp_path.rglob("*.*")} == before
    outcome = predict_files(pair, jobs, probabilities=True)
    assert outcome.written == ["a", "b"], "probabilities were asked for and not there"
    assert predict_files(pair, jobs, probabilities=True).skipped == ["a", "b"]
    probabilities_path(jobs[0].output).unlink()
    assert predict_files(pair, jobs, probabilities=True).written == ["a"]


def test_a_label_map_that_its_record_does_not_tell_of_is_not_done(runs: list[Run], scans: Path, tmp_path: Path) -> None:
    """Cut short, or another case's; it may be a person's correction too, so it is never overwritten unasked."""
    predictor, jobs = Predictor(runs[0], device="cpu"), plan(scans, tmp_path, "ct")
    predict_files(predictor, jobs)
    files = {job.name: job.output.read_bytes() for job in jobs}
    assert len(files["a"]) > 20
    jobs[0].output.write_bytes(files["a"][:20])
    jobs[1].output.write_bytes(bytes([*files["b"][:-1], files["b"][-1] ^ 1]))
    outcome = predict_files(predictor, jobs, probabilities=True)
    assert (outcome.written, outcome.skipped) == ([], [])
    (_, of_a), (_, of_b) = outcome.failures
    assert "a.nii.gz was corrected, cut short or replaced since it was predicted (it has 20 bytes, its record " in of_a
    assert "(it holds other bytes than its record says); --overwrite redoes it" in of_b
    assert len(jobs[0].output.read_bytes()) == 20
    assert predict_files(predictor, jobs, overwrite=True).written == ["a", "b"]
    assert {job.name: job.output.read_bytes() for job in jobs} == files

    record = read_record(jobs[0].output)
    assert record is not None
    write_record(replace(record, label_map=None), jobs[0].output)
    jobs[0].output.write_bytes(files["b"])
    assert predict_files(predictor, jobs).skipped == ["a", "b"], "a version that noted no file: nobody can tell"


def test_nothing_of_an_older_prediction_stands_beside_a_newer_one(runs: list[Run], scans: Path, tmp_path: Path) -> None:
    """Probabilities and agreement of two runs would be judged as those of the one that replaced them."""
    jobs = plan(scans, tmp_path, "ct")
    pair = Ensemble([Predictor(run, device="cpu") for run in runs[:2]])
    assert predict_files(pair, jobs, probabilities=True).agreement == [tmp_path / "uncertainty.csv"]
    alone = Predictor(runs[2], device="cpu")
    assert predict_files(alone, jobs[:1], overwrite=True).agreement == [], "told by what averaged, not by old tables"
    assert [probabilities_path(job.output).is_file() for job in jobs] == [False, True]
    assert [case.case for case in read_uncertainty(tmp_path)] == ["b"], "the other one is still of two runs"
    predict_files(alone, jobs[1:], overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        "a.nii.gz",
        "a.prediction.json",
        "b.nii.gz",
        "b.prediction.json",
    ]


def test_a_label_map_made_in_another_way_is_not_taken_for_done(runs: list[Run], scans: Path, tmp_path: Path) -> None:
    jobs = plan(scans, tmp_path, "ct")
    predict_files(Predictor(runs[0], device="cpu"), jobs)
    before = (tmp_path / "a.nii.gz").read_bytes()
    others = {
        "weights": Predictor(runs[1], device="cpu"),
        "mirrored": Predictor(runs[0], device="cpu", mirror_anyway=True),
        "largest_component": Predictor(runs[0], device="cpu", postprocessing=Postprocessing("all")),
    }
    for name, other in others.items():
        outcome = predict_files(other, jobs)
        assert [case for case, _ in outcome.failures] == ["a", "b"]
        assert f"was made in another way ({name}" in outcome.failures[0][1]
    assert "(modality ct there, lge here)" in predict_files(Predictor(runs[0], device="cpu"), plan(
        scans, tmp_path, "lge"
    )).failures[0][1]  # fmt: skip
    assert (tmp_path / "a.nii.gz").read_bytes() == before
    assert predict_files(others["mirrored"], jobs, overwrite=True).written == ["a", "b"]
    assert predict_files(others["mirrored"], jobs).skipped == ["a", "b"]


def test_another_scan_of_the_same_name_is_not_taken_for_done(runs: list[Run], scans: Path, tmp_path: Path) -> None:
    predictor, out = Predictor(runs[0], device="cpu"), tmp_path / "out"
    predict_files(predictor, plan(scans, out, "ct"))
    before = (out / "a.nii.gz").read_bytes()
    other = tmp_path / "site_b"
    other.mkdir()
    (other / "a.nii.gz").write_bytes((scans / "b.nii.gz").read_bytes())
    (other / "b.nii.gz").write_bytes((scans / "b.nii.gz").read_bytes())
    outcome = predict_files(predictor, plan(other, out, "ct"))
    assert outcome.skipped == ["b"], "a copy is the same scan"
    ((name, message),) = outcome.failures
    assert name == "a"
    assert f"was made of another image ({scans / 'a.nii.gz'} as it was then), not of {other / 'a.nii.gz'}" in message
    assert "--overwrite redoes it, or name another folder" in message
    assert (out / "a.nii.gz").read_bytes() == before
    assert predict_files(predictor, plan(other, out, "ct"), overwrite=True).written == ["a", "b"]
    assert predict_files(predictor, plan(other, out, "ct")).skipped == ["a", "b"]


def test_what_was_prepared_or_numbered_in_another_way_is_not_taken_for_done(
    runs: list[Run], phantom: Dataset, scans: Path, tmp_path: Path
) -> None:
    jobs = plan(scans / "a.nii.gz", tmp_path / "out", "ct")
    predict_files(Predictor(runs[0], device="cpu"), jobs)
    for number, (part, dataset) in enumerate(
        {
            "preparation": replace(phantom, modalities=dict(phantom.modalities) | {"ct": Modality(clip=(-5, 5))}),
            "label values": replace(
                phantom, label_maps={name: {0: ("background",), 9: ("LV",)} for name in phantom.label_maps}
            ),
        }.items()
    ):
        run = Run.create(tmp_path / f"run{number}", RECIPE, dataset)
        run.weights("best").write_bytes(runs[0].weights("best").read_bytes())
        (failure,) = predict_files(Predictor(run, device="cpu"), jobs).failures
        assert f"was made in another way ({part} " in failure[1]


def stored_preparation(label_map: Path, value: object) -> None:
    """The record of a label map with this in the place of its preparation."""
    record = read_record(label_map)
    assert record is not None
    write_record(replace(record, settings={**record.settings, "preparation": [value]}), label_map)


def test_what_another_version_predicted_is_done(runs: list[Run], phantom: Dataset, scans: Path, tmp_path: Path) -> None:
    """Of a version without these fields, or of one that kept a hash of those that it had."""
    jobs = plan(scans / "a.nii.gz", tmp_path, "ct")
    predictor = Predictor(runs[0], device="cpu")
    predict_files(predictor, jobs)
    written = read_record(jobs[0].output)
    assert written is not None
    (now,) = written.settings["preparation"]

    older = {**now, **{part: defaults_left_out(now[part]) for part in ("preprocessing", "modality")}}
    stored_preparation(jobs[0].output, older)
    done = predict_files(predictor, jobs)
    assert (done.skipped, done.failures) == (["a"], [])
    stored_preparation(jobs[0].output, {**older, "preprocessing": {**older["preprocessing"], "plane": "coronal"}})
    (failure,) = predict_files(predictor, jobs).failures
    assert "in another way (preparation preprocessing.plane is 'coronal' there and " in failure[1]
    stored_preparation(jobs[0].output, {**older, "of_a_later_version": 1})
    (failure,) = predict_files(predictor, jobs).failures
    assert "unknown field 'of_a_later_version'" in failure[1]

    stored_preparation(jobs[0].output, hashed(now))
    assert predict_files(predictor, jobs).skipped == ["a"]
    early = Run.create(tmp_path / "early", replace(RECIPE, seed=0), phantom)
    shutil.copy(runs[0].weights("best"), early.weights("best"))
    recipe = json.loads(early.recipe_file.read_text())
    del recipe["preprocessing"]["windows"]
    early.recipe_file.write_text(json.dumps(recipe))
    fields = {name: value for name, value in recipe["preprocessing"].items() if name != "type"}
    stored_preparation(jobs[0].output, hashed({**now, "preprocessing": fields}))
    assert predict_files(Predictor(early, device="cpu"), jobs).skipped == ["a"]
    assert predict_files(predictor, jobs).failures


def defaults_left_out(document: dict[str, Any]) -> dict[str, Any]:
    """As a version has it that lacks what is None or empty."""
    return {name: value for name, value in document.items() if value not in (None, [])}


def hashed(document: dict[str, Any]) -> str:
    """As early versions kept a preparation."""
    return sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:16]


def test_a_record_that_does_not_say_of_which_image_is_no_proof(runs: list[Run], scans: Path, tmp_path: Path) -> None:
    jobs = plan(scans / "a.nii.gz", tmp_path, "ct")
    predict_files(Predictor(runs[0], device="cpu"), jobs)
    record = read_record(jobs[0].output)
    assert record is not None
    write_record(replace(record, image=None), jobs[0].output)
    (failure,) = predict_files(Predictor(runs[0], device="cpu"), jobs).failures
    assert "was made by a version that did not note of which image" in failure[1]


def test_sides_are_the_runs_for_its_own_scans_alone(runs: list[Run], phantom: Dataset, tmp_path: Path) -> None:
    unsplit = replace(phantom, cases=tuple(replace(case, split=None) for case in phantom.cases))
    assert with_sides_of(runs[0], unsplit) == phantom
    moved, other = phantom.cases[0], phantom.cases[1]
    for case, content in ((moved, moved.image.read_bytes()), (other, moved.image.read_bytes())):
        (tmp_path / case.image.name).write_bytes(content)
    cases = [replace(case, image=tmp_path / case.image.name, split=None) for case in (moved, other)]
    sides = [case.split for case in with_sides_of(runs[0], replace(phantom, cases=tuple(cases))).cases]
    assert sides == [moved.split, None], "another scan under the same id is another case"
    someone_else = replace(moved, patient="another", split="validation")
    assert with_sides_of(runs[0], replace(phantom, cases=(someone_else,))).cases == (someone_else,)


def test_label_values_that_differ_from_the_manifests_are_said(
    runs: list[Run], phantom: Dataset, tmp_path: Path
) -> None:
    group = ensemble(runs[:1])
    jobs = plan(phantom, tmp_path, "ct", "test")
    assert list(value_remarks(group, jobs, phantom)) == []
    swapped = {name: {0: ("background",), 7: ("LV",)} for name in phantom.label_maps}
    (remark,) = value_remarks(group, jobs, replace(phantom, label_maps=swapped))
    assert remark.startswith("ct: predictions carry the run's label values (0 background, 500 LV")
    assert "which differ for LV" in remark
    reader = {0: ("background",), 205: ("LV",)}
    cases = tuple(
        replace(case, label_map="reader") if case.id == phantom.of("ct", "train")[0].id else case
        for case in phantom.cases
    )
    two = replace(phantom, cases=cases, label_maps=dict(phantom.label_maps) | {"reader": reader})
    run = Run.create(tmp_path / "two", RECIPE, two)
    run.weights("best").write_bytes(runs[0].weights("best").read_bytes())
    (remark,) = value_remarks(ensemble([run]), jobs, phantom)
    assert "label maps of ct disagree: 205 is " in remark
    assert "predictions carry class numbers: 0 background, 1 " in remark


def test_label_maps_without_a_record_are_neither_done_nor_overwritten(
    runs: list[Run], scans: Path, tmp_path: Path
) -> None:
    jobs = plan(scans, tmp_path, "ct")[:1]
    predict_files(Predictor(runs[0], device="cpu"), jobs)
    record_path(jobs[0].output).unlink()
    before = jobs[0].output.read_bytes()
    outcome = predict_files(Predictor(runs[0], device="cpu"), jobs)
    assert jobs[0].output.read_bytes() == before
    assert "without a record of how it was made; --overwrite" in outcome.failures[0][1]
    record_path(jobs[0].output).write_text("{}")
    assert "expected schema 1, found none" in predict_files(Predictor(runs[0], device="cpu"), jobs).failures[0][1]


def test_a_scan_without_an_answer_is_a_failed_case_and_stops_no_other(
    runs: list[Run], scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor(runs[0], device="cpu")
    answer = predictor.method.predict
    calls = iter(range(99))

    def first_fails(images: torch.Tensor, modality: str) -> torch.Tensor:
        logits = answer(images, modality)
        return logits * float("nan") if next(calls) == 0 else logits

    monkeypatch.setattr(predictor.method, "predict", first_fails)
    outcome = predict_files(predictor, plan(scans, tmp_path, "ct"))
    assert [name for name, _ in outcome.failures] == ["a"]
    assert "logits are NaN or infinite" in outcome.failures[0][1]
    assert outcome.written == ["b"]
    assert not (tmp_path / "a.nii.gz").exists()


def test_agreement_is_listed_with_the_lowest_on_top(runs: list[Run], scans: Path, tmp_path: Path) -> None:
    group = ensemble(runs)
    predict_files(group, plan(scans / "a.nii.gz", tmp_path, "ct"))
    predict_files(group, plan(scans, tmp_path, "ct"))  # the case of the first call stays in the list
    cases = read_uncertainty(tmp_path)
    assert {case.case for case in cases} == {"a", "b"}
    assert cases[0].agreement is not None
    assert cases[1].agreement is not None
    assert cases[0].agreement <= cases[1].agreement
    scan = read_image(scans / "a.nii.gz")
    members = [Predictor(run, device="cpu").segment(scan, "ct") for run in runs]
    classes = runs[0].dataset.classes
    expected = measure_uncertainty(group.segment(scan, "ct"), members, 1.5 * 1.5 * 8 / 1000, classes, "a", "ct")
    assert next(case for case in cases if case.case == "a") == expected
    with (tmp_path / "uncertainty.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["case"] for row in rows] == [case.case for case in cases for _ in classes[1:]]
    assert {row["members"] for row in rows} == {"3"}
    record = json.loads((tmp_path / "a.prediction.json").read_text(encoding="utf-8"))
    assert record["uncertainty"]["agreement"] == pytest.approx(expected.agreement)


def test_training_cases_are_found_by_their_image(runs: list[Run], phantom: Dataset, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(phantom.cases[0].image.parent)
    train = phantom.of(split="train")[0]
    jobs = [
        *plan(phantom, tmp_path, split="test"),
        Job("x", tmp_path / "link" / train.image.name, "ct", tmp_path / "x"),
    ]
    assert seen_in_training(ensemble(runs[:1]), jobs) == [(runs[0].folder, ["x"])]
    assert seen_in_training(ensemble(runs[:1]), jobs[:-1]) == []


@pytest.mark.parametrize(("unlabeled", "seen"), [(0, False), (1, True)])
def test_unlabeled_scans_were_seen_by_runs_that_take_them(
    phantom: Dataset, tmp_path: Path, unlabeled: int, seen: bool
) -> None:
    scan = phantom.of(split="train")[0]
    cases = tuple(replace(case, label=None) if case.id == scan.id else case for case in phantom.cases)
    recipe = replace(RECIPE, unlabeled_batch_size=unlabeled)
    run = Run.create(tmp_path / "run", recipe, replace(phantom, cases=cases))
    run.save_weights(build_method(recipe, run.modalities, len(phantom.classes)).network, "best")
    jobs = [Job("x", scan.image, "ct", tmp_path / "x")]
    assert seen_in_training(Ensemble([Predictor(run, device="cpu")]), jobs) == ([(run.folder, ["x"])] if seen else [])


def test_the_command_takes_several_runs_and_warns(
    runs: list[Run],
    phantom: Dataset,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    warm_workers(monkeypatch)
    also = ["--also", str(runs[1].folder), "--also", str(runs[2].folder)]
    out, scan = str(tmp_path / "out"), str(phantom.of("ct", "train")[0].image)
    watched = ["predict", str(runs[0].folder), scan, out, "--modality", "ct", "--device", "cpu"]
    asked = [*watched, "--no-worker"]  # one call has a process of its own, which takes a second
    assert cli.main([*asked, *also, "--mirror"]) == 2
    assert "was trained without mirroring" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert cli.main([*watched, *also, "--mirror", "--mirror-anyway", "--probabilities"]) == 0
    said = capsys.readouterr()
    assert said.err.count("was trained on") == 3
    assert "agreement and scores flatter" in said.err
    assert f"look at first: {tmp_path / 'out' / 'uncertainty.csv'}" in said.out
    assert read_uncertainty(tmp_path / "out")[0].classes[0].members == 12
    assert cli.main([*asked, *also, "--mirror-anyway", "--probabilities"]) == 0
    assert "0 written, 1 skipped" in capsys.readouterr().out
    assert cli.main([*asked, "--also", str(tmp_path / "nowhere")]) == 2
    assert "expected a run folder" in capsys.readouterr().err
    assert cli.main([*asked, "--largest-component", "spleen"]) == 2
    assert "names 'spleen', which is no foreground class" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "not enough memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 80 GB"), "not enough memory"),
        (OSError(5, "Input/output error"), "Input/output error"),
    ],
)
def test_a_scan_that_fails_in_any_way_stops_no_other(
    runs: list[Run], scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    ensembles = ensemble(runs[:1])
    segment = ensembles.segment_case
    calls = []

    def failing_once(*arguments: Any, **named: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 1:
            raise error
        return segment(*arguments, **named)

    monkeypatch.setattr(Ensemble, "segment_case", lambda self, *arguments, **named: failing_once(*arguments, **named))
    outcome = predict_files(ensembles, plan(scans, tmp_path, "ct"))
    assert outcome.written == ["b"]
    ((case, message),) = outcome.failures
    assert case == "a"
    assert words in message
    assert sorted(file.name for file in tmp_path.iterdir()) == ["b.nii.gz", "b.prediction.json"]


def test_what_a_killed_process_left_half_written_is_cleared(runs: list[Run], scans: Path, tmp_path: Path) -> None:
    left = tmp_path / temporary_of_a_dead_process(tmp_path / "a.nii.gz")
    left.write_bytes(b"half")
    predict_files(ensemble(runs[:1]), plan(scans, tmp_path, "ct"))
    assert not left.exists()


def test_a_table_is_a_manifest_for_the_command_too(
    runs: list[Run], phantom: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (case,) = phantom.of("ct", "test")
    table = tmp_path / "cases.csv"
    table.write_text(f"id,patient,modality,image\n{case.id},{case.patient},ct,{case.image}\n", encoding="utf-8")
    (tmp_path / "cases.json").write_text(json.dumps({"classes": list(phantom.classes)}), encoding="utf-8")
    out = tmp_path / "out"
    asked = ["predict", str(runs[0].folder), str(table), str(out), "--split", "test", "--device", "cpu", "--no-worker"]
    assert cli.main(asked) == 0, "the run says that the case is one of its test cases"
    assert (out / f"{case.id}.nii.gz").is_file()
    assert cli.main([*asked[:2], str(tmp_path / "gone.csv"), *asked[3:]]) == 2
    assert "expected a dataset manifest" in capsys.readouterr().err
