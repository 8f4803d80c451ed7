"""An archive in shards: each case once, equal work, the same for everybody, whoever is first."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from hypothesis import given
from hypothesis import strategies as st

from export.runs import fresh_run
from processes import ended
from unpaired.cli import main
from unpaired.data.dataset import Dataset
from unpaired.data.images import write_image
from unpaired.data.prediction_record import read_record
from unpaired.errors import InputError
from unpaired.inference import shards
from unpaired.inference.jobs import Job
from unpaired.inference.predict import predict
from unpaired.inference.shards import Shard, image_size, jobs_of_shard
from unpaired.runs.run import Run
from warm_python import python


@pytest.fixture(scope="module")
def phantom(thin_phantom: Dataset) -> Dataset:
    return thin_phantom


@pytest.fixture(scope="module")
def run(phantom: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return fresh_run(tmp_path_factory.mktemp("runs") / "run", phantom)


def job(number: int) -> Job:
    return Job(f"case{number}", Path(f"{number}.nii.gz"), "ct", Path("out") / f"case{number}.nii.gz")


@given(sizes=st.lists(st.integers(0, 1000), min_size=1, max_size=30), count=st.integers(1, 8))
def test_every_case_is_in_one_shard_and_work_is_equal(sizes: list[int], count: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "image_size", lambda path: sizes[int(path.name.partition(".")[0])])
        jobs = [job(number) for number in range(len(sizes))]
        parts = [jobs_of_shard(jobs, Shard(number, count)) for number in range(1, count + 1)]
        assert sorted(name for part in parts for name in names(part)) == sorted(names(jobs))
        assert all(names(part) == [name for name in names(jobs) if name in names(part)] for part in parts)
        loads = [sum(sizes[int(name[4:])] for name in names(part)) for part in parts]
        assert max(loads) - min(loads) <= max(sizes)
        backwards = [jobs_of_shard(jobs[::-1], Shard(number, count)) for number in range(1, count + 1)]
        assert [set(names(part)) for part in backwards] == [set(names(part)) for part in parts]


def names(jobs: list[Job]) -> list[str]:
    return [job.name for job in jobs]


def test_sizes_come_from_headers(tmp_path: Path) -> None:
    """Of compressed files too, without their voxels: those of the second file were cut off."""
    image = np.zeros((20, 30, 40), np.int16)
    for name in ("a.nii", "a.nii.gz"):
        write_image(tmp_path / name, image, np.eye(4))
    for name in ("a.mha", "a.nrrd"):
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(image), str(tmp_path / name))
    assert [image_size(tmp_path / f"a.{end}") for end in ("nii", "nii.gz", "mha", "nrrd")] == [image.size] * 4
    whole = gzip.decompress((tmp_path / "a.nii.gz").read_bytes())
    (tmp_path / "cut.nii").write_bytes(whole[:400])
    (tmp_path / "none.nii.gz").write_bytes(b"no image")
    (tmp_path / "none.mha").write_bytes(b"no image either")
    assert [image_size(tmp_path / name) for name in ("cut.nii", "none.nii.gz", "none.mha", "gone.nii")] == [
        image.size, 8, 15, 0,
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["0/3", "4/3", "1/0", "1", "a/b", "1/2/3", "-1/2", "1/20000000"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="such as"):
        Shard.parse(text)
    assert Shard.parse(" 3/20 ") == Shard(3, 20)


def test_shards_fill_one_folder_and_go_on(run: Run, phantom: Dataset, tmp_path: Path) -> None:
    cases = sorted(case.id for case in phantom.of("ct"))
    written = []
    for number in (1, 2, 3):
        outcome = predict(run, phantom, tmp_path, modality="ct", shard=f"{number}/3", worker=False)
        assert (outcome.failures, outcome.skipped) == ([], [])
        written += outcome.written
    assert sorted(written) == cases
    (tmp_path / f"{cases[0]}.nii.gz").unlink()
    again = [
        predict(run, phantom, tmp_path, modality="ct", shard=Shard(number, 3), worker=False) for number in (1, 2, 3)
    ]
    assert [case for outcome in again for case in outcome.written] == [cases[0]]
    empty = predict(run, phantom, tmp_path, modality="ct", shard="9/9", worker=False)
    assert (empty.written, empty.skipped, empty.failures) == ([], [], [])


def test_two_processes_with_the_same_shard(run: Run, phantom: Dataset, tmp_path: Path) -> None:
    manifest = phantom.cases[0].image.parent.parent / "dataset.json"
    command = ["-m", "unpaired.cli", "predict", str(run.folder), str(manifest), str(tmp_path)]
    command += ["--modality", "ct", "--shard", "1/2", "--no-worker"]
    both = [python(*command) for _ in range(2)]
    with ended(*both):
        said = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    expected = predict(run, phantom, tmp_path, modality="ct", shard="1/2", worker=False)
    assert (expected.written, expected.failures) == ([], [])
    assert len(expected.skipped) == 2
    assert all(read_record(tmp_path / f"{case}.nii.gz") for case in expected.skipped)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_the_command_takes_a_shard(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(run.folder), str(tmp_path), str(tmp_path), "--shard", "5/4", "--modality", "ct"]) == 2
    assert "shard 5/4: expected a number from 1 to the number of shards" in capsys.readouterr().err
