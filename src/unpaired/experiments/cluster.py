"""A script for Slurm that makes a table: an array of tasks, each of which runs its part of the study's cells."""

from collections.abc import Sequence
from pathlib import Path

from unpaired.choices import several
from unpaired.errors import InputError
from unpaired.experiments.find import find_study
from unpaired.experiments.study import Size
from unpaired.inference.cluster import Resources, absolute, write_array
from unpaired.overrides import Changes, assignments


def study_script(
    plan: str,
    data: str | Path,
    out: str | Path,
    script: str | Path = "study.sbatch",
    *,
    shards: int = 20,
    size: Size = "small",
    rows: Sequence[str] = (),
    splits: Sequence[str] = (),
    seeds: Sequence[int] = (),
    split: str | Path | Sequence[str | Path] = (),
    minutes: float | Sequence[float] | None = (),
    changes: Changes = (),
    cache: str | Path | None = None,
    workers: int = 0,
    trust: Sequence[str | Path] = (),
    cpus: int = 4,
    memory: str = "16G",
    time: str = "24:00:00",
    gpus: int = 0,
    partition: str | None = None,
    at_once: int | None = None,
) -> Path:
    """Write a Slurm script that runs a study's cells, by an array of `shards` tasks; returns its path.

    From `size` to `trust` the arguments are those of `unpaired.study`, the others what each task gets; `at_once` is how
    many may run together. Submitted again it goes on. The tables are made by a last call of `study` with `run=False`.
    Raises InputError for an unknown study or row, if there is no manifest, if there are no shards, for what Slurm would
    not understand, and where another file of the script's name is there.
    """
    study = find_study(plan, size)
    for name in several(rows):
        study.row(name)
    if not Path(data).exists():
        raise InputError(f"expected a manifest, found nothing at {data}; check the path")
    resources = Resources(cpus, memory, time, gpus, partition, at_once, "unpaired-study")
    files = [absolute(file) for file in several(split)]
    trusted = [absolute(word) if str(word).endswith(".py") else str(word) for word in several(trust)]
    options = {
        "--size": [size],
        "--rows": several(rows),
        "--splits": several(splits),
        "--seeds": [str(seed) for seed in seeds],
        "--split": files,
        "--minutes": [str(each) for each in ([minutes] if isinstance(minutes, float | int) else minutes or ())],
        "--set": assignments(changes),
        "--cache": [] if cache is None else [absolute(cache)],
        "--workers": [str(workers)],
        "--trust": trusted,
    }
    words = [word for option, values in options.items() if values for word in (option, *values)]
    return write_array(
        script, ["study", _absolute_plan(plan), absolute(data), absolute(out), *words], resources, shards
    )


def _absolute_plan(plan: str) -> str:
    path, colon, function = plan.partition(".py:")
    return f"{absolute(f'{path}.py')}:{function}" if colon else plan
