"""What a run notes of its data: it goes on with the same files wherever they lie, and tells a CT from an MR."""

import shutil
from pathlib import Path

import pytest
from tiny_runs import IN_PROCESS, tiny

from unpaired import cli
from unpaired.data.dataset import Dataset
from unpaired.data.images import read_image
from unpaired.data.manifest import read_dataset
from unpaired.errors import InputError
from unpaired.inference.jobs import plan
from unpaired.inference.predict_files import predict_files
from unpaired.inference.predictor import Predictor
from unpaired.runs.fingerprint import read_fingerprint
from unpaired.runs.run import Run
from unpaired.training.loop import train

RECIPE = tiny(steps=2, validate_every=2, save_every=2)


def trained(folder: Path, dataset: Dataset) -> Run:
    return train(RECIPE, dataset, folder / "run", hardware=IN_PROCESS, cache=folder / "cache", show=False)


def test_a_run_notes_the_scans_that_it_reads(straight: Run, phantom: Dataset) -> None:
    noted = read_fingerprint(straight)
    assert set(noted) == {case.id for case in phantom.cases if case.split in ("train", "validation")}
    assert all(noted[case.id].modality == case.modality for case in phantom.cases if case.id in noted)


def test_data_that_moved_is_gone_on_with_and_a_replaced_scan_is_not(manifest: Path, tmp_path: Path) -> None:
    shutil.copytree(manifest.parent, tmp_path / "before")
    run = trained(tmp_path, read_dataset(tmp_path / "before"))
    (tmp_path / "before").rename(tmp_path / "after")
    with pytest.raises(InputError, match="expected a file, found none at"):
        trained(tmp_path, run.dataset)
    moved = read_dataset(tmp_path / "after")
    places = [case.image.resolve() for case in trained(tmp_path, moved).dataset.cases]
    assert places == [case.image for case in moved.cases]  # the run's manifest says where they are now
    first, second = moved.of(split="train")[:2]
    shutil.copy(second.image, first.image)
    with pytest.raises(InputError, match=f"the image of {first.id} has changed since it began"):
        trained(tmp_path, moved)


def test_a_scan_of_another_modality_is_a_failed_case_and_stops_no_other(
    straight: Run, phantom: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    for modality in ("ct", "lge"):
        case = phantom.of(modality, "test")[0]
        shutil.copy(case.image, scans / f"{modality}.nii.gz")
    for said, other in (("ct", "lge"), ("lge", "ct"), ("bssfp", "ct")):
        outcome = predict_files(Predictor(straight, device="cpu"), plan(scans, tmp_path / said, said))
        assert [name for name, _ in outcome.failures] == [other]
        message = outcome.failures[0][1]
        assert message.startswith(f"the scan was given as {said}, but")
        assert "(the run knows ct, bssfp, lge)" in message
        assert "--modality-anyway" in message
        assert "\n" not in message
    options = ["--modality", "lge", "--modality-anyway", "--device", "cpu", "--no-worker"]
    assert cli.main(["predict", str(straight.folder), str(scans), str(tmp_path / "lge"), *options]) == 0
    assert "ct: note: segmented as lge although" in capsys.readouterr().out


def test_an_array_in_python_is_held_against_its_modality_too(straight: Run, phantom: Dataset) -> None:
    image = read_image(phantom.of("ct")[0].image)
    with pytest.raises(InputError, match="given as bssfp, but"):
        Predictor(straight, device="cpu").segment(image, "bssfp")
    assert Predictor(straight, device="cpu", modality_anyway=True).segment(image, "bssfp").shape == image.array.shape


def test_a_run_without_a_fingerprint_still_tells_a_ct(straight: Run, phantom: Dataset, tmp_path: Path) -> None:
    older = Run.open(shutil.copytree(straight.folder, tmp_path / "run"))
    older.fingerprint_file.unlink()
    predictor = Predictor(older, device="cpu")
    ct, lge = (read_image(phantom.of(modality)[0].image) for modality in ("ct", "lge"))
    with pytest.raises(InputError, match="no MR has any"):
        predictor.segment(ct, "lge")
    with pytest.raises(InputError, match="that a CT has"):
        predictor.segment(lge, "ct")


def test_a_case_of_an_unknown_modality_stops_no_other(straight: Run, manifest: Path, tmp_path: Path) -> None:
    text = manifest.read_text(encoding="utf-8").replace('"lge"', '"t1"')
    strange = manifest.parent / "renamed.json"
    strange.write_text(text, encoding="utf-8")
    jobs = plan(read_dataset(strange), tmp_path, split="test")
    strange.unlink()
    outcome = predict_files(Predictor(straight, device="cpu"), jobs)
    assert len(outcome.written) == 2
    assert [why.partition(" ")[2] for _, why in outcome.failures] == [
        f"{straight.folder} has no modality 't1'; known: ct, bssfp, lge. If the scan is of one of these under another "
        "name, say that; any other kind of scan needs a run trained with it, or can be tried with the norms of the one "
        "that it looks most like, such as --norms-of ct (batch norms can take each scan's own statistics besides: "
        "--norms adaptive)"
    ]
