"""The Slurm script of a study: what its tasks run, and what is refused."""

import shlex
import subprocess
import sys
from inspect import signature
from pathlib import Path
from typing import Any

import pytest

import unpaired
from unpaired.cli import COMMANDS, main
from unpaired.errors import InputError
from unpaired.experiments.cluster import study_script


def test_its_tasks_run_the_study_with_their_shard(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a task would run is taken by the command line, which then asks for what was asked for."""
    monkeypatch.chdir(tmp_path)
    asked: dict[str, Any] = {"size": "full", "rows": ("MSBN", "CSA"), "seeds": (0, 1), "minutes": (5.0, 10.0)}
    asked |= {"hours": 2.5, "jobs": 2, "threads": 1, "device": "cuda", "workers": 1, "viewer_mb": 0.0}
    script = study_script("csa_table1", manifest, "out", shards=30, changes={"batch_size": 4}, gpus=1, **asked)
    text = script.read_text()
    assert "#SBATCH --array=1-30\n" in text
    assert "#SBATCH --gpus-per-task=1\n" in text
    words = shlex.split(text.splitlines()[-1].replace("$SLURM_ARRAY_TASK_ID", "7"))
    seen: dict[str, Any] = {}

    def study(*values: object, **named: object) -> None:
        seen.update(named, positional=values)
        raise InputError("no more is wanted")

    monkeypatch.setattr(unpaired, "study", study)
    assert main(words[words.index("study") :]) == 2
    assert seen["positional"] == ("csa_table1", manifest, tmp_path / "out")
    assert (seen["shard"], seen["changes"]) == ("7/30", ("batch_size=4",))
    assert {name: seen[name] for name in asked} == asked


def test_a_script_takes_every_option_of_study_that_a_task_may_have() -> None:
    of_each_call = {"estimate", "run", "on", "shard"}
    of_slurm = {"script", "shards", "cpus", "memory", "time", "gpus", "partition", "at_once"}
    of_study = set(signature(COMMANDS["study"]).parameters) - of_each_call
    assert set(signature(COMMANDS["study-script"]).parameters) - of_slurm == of_study


def test_outside_of_slurm_it_makes_the_tables_of_what_was_asked_for(manifest: Path, tmp_path: Path) -> None:
    """Whatever was asked for is asked for again: without `--minutes` other runs would be looked for."""
    script = study_script("csa_table1", manifest, tmp_path / "out", tmp_path / "x.sbatch", rows=["MSBN"], minutes=5)
    called = tmp_path / "called"
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "$@" >> {shlex.quote(str(called))}\n')
    python.chmod(0o755)
    script.write_text(script.read_text().replace(shlex.quote(sys.executable), shlex.quote(str(python))))
    for environment in ({}, {"SLURM_ARRAY_TASK_ID": "3"}):
        subprocess.run(["bash", str(script)], check=True, env=environment)
    tables, part = (line.split(str(tmp_path / "out"))[1] for line in called.read_text().splitlines())
    assert tables == " --size small --rows MSBN --minutes 5 --workers 0 --no-run"
    assert part == " --size small --rows MSBN --minutes 5 --workers 0 --shard 3/20"


def test_a_study_of_ones_own_is_found_from_any_folder(manifest: Path, tmp_path: Path) -> None:
    file = tmp_path / "my study file.py"
    file.write_text(
        "from unpaired.experiments.study import Row, Study\nfrom unpaired.recipes.phantom import csa, msbn\n"
        "def mine() -> Study:\n    return Study('mine', (Row('MSBN', msbn()), Row('CSA', csa())))\n"
    )
    script = study_script(f"{file}:mine", manifest, tmp_path / "out", tmp_path / "x.sbatch")
    assert shlex.quote(f"{file}:mine") in script.read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": ["MSBM"]}, "has no row 'MSBM'; did you mean MSBN"),
        ({"splits": ["fold7"]}, "has no split 'fold7'; did you mean"),
        ({"seeds": (0, 0)}, "seeds that differ"),
        ({"seeds": (0, -1)}, "seed: expected a whole number of 0 or more, got -1"),
        ({"minutes": (5.0, 0.0)}, "minutes must be above 0"),
        ({"split": ["nowhere.json"]}, "nowhere.json"),
        ({"hours": 0.0}, "hours must be above 0, got 0"),
        ({"jobs": 0}, "jobs must be 1 or more, got 0"),
        ({"shards": 0}, "expected at least 1 shard, got 0"),
        ({"time": "soon"}, "time 'soon': expected something like"),
        ({"data": "nowhere.json"}, "expected a manifest, found nothing at nowhere.json"),
    ],
)
def test_what_can_not_run_is_refused(options: dict[str, Any], message: str, manifest: Path, tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"data": manifest} | options
    with pytest.raises(InputError, match=message):
        study_script("csa_table1", out=tmp_path / "out", script=tmp_path / "x.sbatch", **arguments)
    assert not (tmp_path / "x.sbatch").exists()
