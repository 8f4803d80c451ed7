"""A script for Slurm that makes a table: an array of tasks, each of which runs its part of the study's cells."""

from collections.abc import Sequence
from pathlib import Path

from unpaired.choices import several
from unpaired.consent.modules import Trust, absolute_modules, load_trusted
from unpaired.data.manifest import as_dataset
from unpaired.errors import InputError
from unpaired.experiments.budget import as_changed
from unpaired.experiments.find import find_study
from unpaired.experiments.run import budgets_of, chosen_study, only_splits, require_possible
from unpaired.experiments.study import Size
from unpaired.overrides import Changes, assignments
from unpaired.report.viewer import VIEWER_MB
from unpaired.runs.model_file import absolute
from unpaired.slurm import Resources, write_array


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
    hours: float | None = None,
    jobs: int | None = None,
    threads: int | None = None,
    cache: str | Path | None = None,
    device: str = "auto",
    workers: int = 0,
    viewer_mb: float = VIEWER_MB,
    trust: Trust = (),
    cpus: int = 4,
    memory: str = "16G",
    time: str = "24:00:00",
    gpus: int = 0,
    partition: str | None = None,
    at_once: int | None = None,
) -> Path:
    """Write a Slurm script that runs a study's cells, by an array of `shards` tasks; returns its path.

    From `size` to `trust` the arguments are those of `unpaired.study`, the others what each task gets; `at_once` is how
    many may run together. Submitted again it goes on. Outside of Slurm (`bash study.sbatch`) it makes the tables.

    Raises InputError for what `study` would refuse, if there are no shards, for what Slurm would not understand, and
    where another file of the script's name is there.
    """
    if not Path(data).exists():
        raise InputError(f"expected a manifest, found nothing at {data}; check the path")
    require_possible(hours, jobs, threads)
    load_trusted(trust)
    for budget in budgets_of(minutes) or [None]:
        study = chosen_study(find_study(plan, size), rows, seeds, split, budget)
        only_splits(study.drawn(as_dataset(data)), splits)
        as_changed(study, changes, [budget])
    resources = Resources(cpus, memory, time, gpus, partition, at_once, "unpaired-study")
    files = [absolute(file) for file in several(split)]
    options = {
        "--size": [size],
        "--rows": several(rows),
        "--splits": several(splits),
        "--seeds": [str(seed) for seed in seeds],
        "--split": files,
        "--minutes": [str(budget) for budget in budgets_of(minutes) if budget is not None],
        "--set": assignments(changes),
        "--hours": [] if hours is None else [f"{hours:.12g}"],
        "--jobs": [] if jobs is None else [str(jobs)],
        "--threads": [] if threads is None else [str(threads)],
        "--cache": [] if cache is None else [absolute(cache)],
        "--device": [] if device == "auto" else [device],
        "--workers": [str(workers)],
        "--viewer-mb": [] if viewer_mb == VIEWER_MB else [f"{viewer_mb:.12g}"],
        "--trust": absolute_modules(trust),
    }
    words = [word for option, values in options.items() if values for word in (option, *values)]
    words = ["study", _absolute_plan(plan), absolute(data), absolute(out), *words]
    return write_array(script, words, resources, shards, outside=["--no-run"])


def _absolute_plan(plan: str) -> str:
    path, colon, function = plan.partition(".py:")
    return f"{absolute(f'{path}.py')}:{function}" if colon else plan
