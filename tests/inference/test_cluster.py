"""The Slurm script is run here by bash, as Slurm would start its tasks."""

import os
import shlex
import shutil
import subprocess
import sys
from inspect import signature
from pathlib import Path
from typing import Any

import pytest

from export.runs import fresh_run
from unpaired.cli import COMMANDS, main
from unpaired.data.dataset import Dataset
from unpaired.data.manifest import read_dataset
from unpaired.errors import InputError
from unpaired.inference.cluster import cluster_script
from unpaired.inference.jobs import Outcome, plan
from unpaired.inference.predict import predict
from unpaired.inference.request import Request
from unpaired.inference.shards import Shard, jobs_of_shard
from unpaired.runs.run import Run


@pytest.fixture(scope="module")
def phantom(thin_phantom: Dataset) -> Dataset:
    return thin_phantom


@pytest.fixture(scope="module")
def run(phantom: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """In a folder whose name the shell would read as something else."""
    return fresh_run(tmp_path_factory.mktemp("runs") / "a 'run' $HOME", phantom)


def test_a_task_segments_its_shard(run: Run, phantom: Dataset, manifest: Path, tmp_path: Path) -> None:
    """The second of two, which is the first with another number."""
    script, out = tmp_path / "predict.sbatch", tmp_path / "label maps"
    arguments = ["cluster-script", str(run.folder), str(manifest), str(out), str(script), "--shards", "2"]
    assert main([*arguments, "--modality", "ct", "--largest-component", "LV,myo"]) == 0
    shards = [names_of_shard(manifest, out, number) for number in (1, 2)]
    assert sorted([*shards[0], *shards[1]]) == sorted(case.id for case in phantom.of("ct"))
    environment = {**os.environ, "SLURM_ARRAY_TASK_ID": "2", "SLURM_CPUS_PER_TASK": "1"}
    done = subprocess.run(["bash", str(script)], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2 written, 0 skipped, 0 failed" in done.stdout
    assert sorted(file.name for file in out.glob("*.nii.gz")) == sorted(f"{name}.nii.gz" for name in shards[1])


def names_of_shard(manifest: Path, out: Path, number: int) -> list[str]:
    """The CT cases that task `number` of 2 has to segment."""
    return [job.name for job in jobs_of_shard(plan(read_dataset(manifest), out, "ct"), Shard(number, 2))]


def test_what_the_script_asks_for(run: Run, manifest: Path, tmp_path: Path) -> None:
    second = tmp_path / "second"
    shutil.copytree(run.folder, second)
    asked_for = {"cpus": 8, "memory": "12G", "time": "1-12:00:00", "gpus": 1, "partition": "gpu", "at_once": 5}
    script = cluster_script(
        run.folder,
        manifest,
        "out",
        tmp_path / "x",
        shards=30,
        modality="ct",
        also=[second],
        overlap=0.0,
        **asked_for,
    )
    lines = script.read_text().splitlines()
    assert lines[0] == "#!/bin/bash"
    asked = {line.removeprefix("#SBATCH --") for line in lines if line.startswith("#SBATCH")}
    assert asked >= {
        "array=1-30%5",
        "cpus-per-task=8",
        "mem=12G",
        "time=1-12:00:00",
        "gpus-per-task=1",
        "partition=gpu",
    }
    words = shlex.split(lines[-1])
    assert words[:5] == ["exec", sys.executable, "-m", "unpaired.cli", "predict"]
    assert words[5:8] == [str(run.folder.resolve()), str(manifest.resolve()), str(Path("out").resolve())]
    options = ["--modality", "ct", "--overlap", "0", "--also", str(second.resolve())]
    assert words[8:] == [*options, "--shard", "$SLURM_ARRAY_TASK_ID/30"]
    assert "export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-8}" in lines


def test_a_script_that_is_there_stays(run: Run, manifest: Path, tmp_path: Path) -> None:
    script = cluster_script(run.folder, manifest, "out", tmp_path / "x")
    assert cluster_script(run.folder, manifest, "out", script) == script
    script.write_text(script.read_text() + "# with a word of mine\n")
    before = script.read_bytes()
    with pytest.raises(InputError, match="x is there already, and differs"):
        cluster_script(run.folder, manifest, "out", script)
    assert script.read_bytes() == before


def test_wrong_places_and_numbers(run: Run, manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="expected a run folder"):
        cluster_script(tmp_path, manifest, tmp_path)
    with pytest.raises(InputError, match="found nothing at"):
        cluster_script(run.folder, tmp_path / "gone", tmp_path)
    with pytest.raises(InputError, match="is named twice; name each run once"):
        cluster_script(run.folder, manifest, tmp_path, also=[run.folder / ".." / run.folder.name])
    with pytest.raises(InputError, match=r"at most 4,000,000 shards, .* got 4,000,001"):
        cluster_script(run.folder, manifest, tmp_path, shards=4_000_001)
    with pytest.raises(InputError, match="at least 1 shard, got 0"):
        cluster_script(run.folder, manifest, tmp_path, shards=0)
    arguments = ["cluster-script", str(run.folder), str(manifest), str(tmp_path / "out"), str(tmp_path / "script")]
    assert main([*arguments, "--memory", "much"]) == 2
    assert "memory 'much': expected something like 16G" in capsys.readouterr().err
    assert not (tmp_path / "script").exists()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"also": ["gone"]}, "expected a run folder .* found none at gone; check the path"),
        ({"overlap": 5.0}, "overlap: expected a share from 0 to 0.8, such as 0.25, got 5"),
        ({"modality": "pet"}, "no case of 'pet'; modalities: ct, bssfp, lge"),
        ({"norms_of": "pet"}, "norms of 'pet': run .* has no such modality; known: ct, bssfp, lge"),
        ({"split": "tset"}, "split: expected 'train', 'validation' or 'test', got 'tset'"),
        ({"largest_component": "Lv"}, "'Lv', which is no foreground class; did you mean LV"),
    ],
)
def test_what_every_task_would_refuse(
    run: Run, manifest: Path, tmp_path: Path, wrong: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        cluster_script(run.folder, manifest, tmp_path / "out", tmp_path / "x", **wrong)
    assert not (tmp_path / "x").exists()


def test_a_folder_of_images_needs_what_the_run_knows(run: Run, phantom: Dataset, tmp_path: Path) -> None:
    place = phantom.cases[0].image.parent
    with pytest.raises(InputError, match="has no modality 'pet'; known: ct, bssfp, lge"):
        cluster_script(run.folder, place, tmp_path / "out", tmp_path / "x", modality="PET")
    with pytest.raises(InputError, match="split 'test' needs a manifest"):
        cluster_script(run.folder, place, tmp_path / "out", tmp_path / "x", split="test")


def test_a_script_takes_every_option_of_predict_that_a_task_may_have() -> None:
    """But `overwrite`, with which a task that starts again would do all anew."""
    of_each_call = {"overwrite", "shard", "worker", "on", "actors"}
    of_slurm = {"script", "shards", "cpus", "memory", "time", "gpus", "partition", "at_once"}
    of_predict = set(signature(COMMANDS["predict"]).parameters) - of_each_call
    assert set(signature(COMMANDS["cluster-script"]).parameters) - of_slurm == of_predict


EVERY_OPTION: dict[str, Any] = {
    "modality": "ct",
    "split": "test",
    "weights": "last",
    "device": "cpu",
    "backend": "openvino",
    "precision": "bf16",
    "engine": "plain",
    "overlap": 0.25,
    "largest_component": "LV,myo",
    "smoothing_mm": 2,
    "background_log_odds": -0.5,
    "mirror": True,
    "turned": [30, 12.5],
    "mirror_anyway": True,
    "modality_anyway": True,
    "norms_of": "lge",
    "norms": "adaptive",
    "probabilities": True,
    "series": ["1.2.3", "7"],
    "modality_from": "(ct|lge) .*",
    "objects": ["seg", "pdf"],
    "dicom_seg": "labelmap",
    "deidentify": True,
}


@pytest.mark.parametrize("nothing_of", [None, "largest_component", "objects"])
def test_a_task_asks_for_what_the_script_was_asked_for(
    run: Run, manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nothing_of: str | None
) -> None:
    """Whatever an option is called on the way: the task's request is that of `predict` with the same wishes."""
    monkeypatch.chdir(tmp_path)
    Path("b.py").touch()
    second = tmp_path / "second"
    shutil.copytree(run.folder, second)
    options = EVERY_OPTION | {"also": [second], "trust": ["monai", "b.py"]}
    if nothing_of is not None:
        options[nothing_of] = {"largest_component": "none", "objects": []}[nothing_of]
    script = cluster_script(run.folder, manifest, "out", tmp_path / "x", shards=3, **options)
    words = shlex.split(script.read_text().splitlines()[-1])[4:]
    requests: list[Request] = []

    def carried_out(request: Request, *others: object) -> Outcome:
        requests.append(request)
        return Outcome()

    monkeypatch.setattr("unpaired.inference.predict.carry_out", carried_out)
    assert main([*words[:-1], "2/3"]) == 0
    options["postprocessing"] = options.pop("largest_component")
    options["adaptive_norms"] = options.pop("norms") == "adaptive"
    options["trust"] = ["monai", str(tmp_path / "b.py")]
    predict(run.folder, manifest, tmp_path / "out", shard="2/3", **options)
    assert requests[0] == requests[1]


def test_what_is_so_anyway_is_not_written(run: Run, manifest: Path, tmp_path: Path) -> None:
    script = cluster_script(run.folder, manifest, tmp_path / "out", tmp_path / "x")
    assert shlex.split(script.read_text().splitlines()[-1])[8:] == ["--shard", "$SLURM_ARRAY_TASK_ID/20"]
