"""The commands that make whole tables: studies, study, study-script."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro

import unpaired
from unpaired.commands.arguments import (
    Changes,
    Data,
    Device,
    OptionalCount,
    OptionalNumber,
    OptionalPath,
    OptionalText,
    Out,
    Trusted,
    failed,
    print_columns,
    print_table,
    stopwatch,
)

StudyName = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="STUDY")]
Script = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="[SCRIPT]")]
Names = Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME")]
Numbers = Annotated[tuple[int, ...], tyro.conf.arg(metavar="INT")]
Minutes = Annotated[tuple[float, ...], tyro.conf.arg(metavar="FLOAT")]
Files = Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILE")]


def studies() -> int:
    """List the studies that come with unpaired: tables of papers, and what few labels are worth."""
    print_columns(unpaired.list_studies())
    return 0


def study(
    plan: StudyName,
    data: Data,
    out: Out,
    /,
    *,
    size: Literal["small", "full"] = "small",
    rows: Names = (),
    splits: Names = (),
    seeds: Numbers = (),
    split: Files = (),
    minutes: Minutes = (),
    changes: Changes = (),
    estimate: bool = False,
    hours: OptionalNumber = None,
    run: bool = True,
    jobs: OptionalCount = None,
    threads: OptionalCount = None,
    on: Literal["here", "ray"] = "here",
    shard: OptionalText = None,
    cache: OptionalPath = None,
    device: Device = "auto",
    workers: int = 0,
    viewer_mb: float = 20.0,
    trust: Trusted = (),
) -> int:
    """Make a paper's table: train all rows on all splits, segment, score, compare, beside the printed numbers.

    Runs what is missing, and goes on where it was stopped or killed. A row that was edited is run anew, in a folder
    beside the old one; a row that fails is listed and stops no other.

    Args:
        plan: Its name (`unpaired studies`), or file.py:function for one of your own (which needs no --trust).
        data: The manifest (dataset.json or a table), or the folder that holds dataset.json.
        out: Folder for the runs, the tables and the page study.html.
        size: Rows for two processor cores, or as the paper has them, for GPUs.
        rows: Only these rows, by name.
        splits: Only these of the study's splits, such as fold0 fold1.
        seeds: Seeds of the runs, in place of the study's.
        split: Split files (`unpaired split`), in place of the study's splits.
        minutes: As many steps as fit so many minutes, for every run, by the measured speed of its own steps. Several
            budgets: a table each, and a curve of all.
        changes: Change fields of all rows' recipes, such as steps=500.
        estimate: Time a few steps of every row, say how long all takes, and run nothing.
        hours: Begin no run after so many; of an estimate: say what fits.
        run: Train what is missing; --no-run compares what there is.
        jobs: Runs at a time, each in a process of its own (default: 1; on Ray as many as there is room for); several
            GPUs are dealt out.
        threads: Of each process (default: the cores divided by the jobs).
        on: On this machine, or as tasks of Ray (RAY_ADDRESS names a cluster).
        shard: Only part NUMBER/COUNT of equal work, such as 3/20; a last call without it makes the tables.
        cache: Folder for prepared volumes (default: `prepared` in OUT).
        workers: Processes of each run that cut and augment batches.
        viewer_mb: How many megabytes of scans the page's viewer may hold; 0 leaves the viewer out.
    """
    with stopwatch() as say:
        made = unpaired.study(
            plan,
            data,
            out,
            size=size,
            rows=rows,
            splits=splits,
            seeds=seeds,
            split=split,
            minutes=minutes,
            changes=changes,
            estimate=estimate,
            hours=hours,
            run=run,
            jobs=jobs,
            threads=threads,
            on=on,
            shard=shard,
            cache=cache,
            device=device,
            workers=workers,
            viewer_mb=viewer_mb,
            trust=trust,
            say=say,
        )
        print_table(*made.tables())
    print(made.told())
    if made.failures:
        print(f"{failed(made.failures)} (why is said above)", file=sys.stderr)
    return 1 if made.failures else 0


def study_script(
    plan: StudyName,
    data: Data,
    out: Out,
    script: Script = Path("study.sbatch"),
    /,
    *,
    shards: int = 20,
    size: Literal["small", "full"] = "small",
    rows: Names = (),
    splits: Names = (),
    seeds: Numbers = (),
    split: Files = (),
    minutes: Minutes = (),
    changes: Changes = (),
    hours: OptionalNumber = None,
    jobs: OptionalCount = None,
    threads: OptionalCount = None,
    cache: OptionalPath = None,
    device: Device = "auto",
    workers: int = 0,
    viewer_mb: float = 20.0,
    trust: Trusted = (),
    cpus: int = 4,
    memory: str = "16G",
    time: str = "24:00:00",
    gpus: int = 0,
    partition: OptionalText = None,
    at_once: OptionalCount = None,
) -> int:
    """Write a Slurm script that makes a paper's table: an array of tasks, each of which runs a part of the rows.

    Submit it with `sbatch`; submitted again it goes on. When all have ended, `bash study.sbatch` makes the tables.

    Args:
        plan: As of `unpaired study`, which each task runs; so are data, out and the options up to trust.
        data: The manifest (dataset.json or a table), or the folder that holds dataset.json.
        out: Folder for the runs; all tasks write there.
        script: The file to write.
        shards: How many tasks; each gets about as much work as the others.
        size: Rows for two processor cores, or as the paper has them, for GPUs.
        rows: Only these rows, by name.
        splits: Only these of the study's splits.
        seeds: Seeds of the runs, in place of the study's.
        split: Split files, in place of the study's splits.
        minutes: As many steps as fit so many minutes, for every run; several budgets make a curve.
        changes: Change fields of all rows' recipes, such as steps=500.
        hours: Begin no run of a task after so many.
        jobs: Runs of a task at a time, each in a process of its own; several GPUs are dealt out.
        threads: Of each process.
        cache: Folder for prepared volumes (default: `prepared` in OUT).
        workers: Processes of each run that cut and augment batches.
        viewer_mb: How many megabytes of scans the page's viewer may hold; 0 leaves the viewer out.
        trust: Modules or .py files of your own that --set names.
        cpus: Cores of each task.
        memory: Memory of each task, as Slurm writes it.
        time: Time limit of each task, as hours:minutes:seconds.
        gpus: GPUs of each task.
        partition: Slurm's partition; without it the cluster's own choice.
        at_once: How many tasks may run together.
    """
    written = unpaired.study_script(
        plan,
        data,
        out,
        script,
        shards=shards,
        size=size,
        rows=rows,
        splits=splits,
        seeds=seeds,
        split=split,
        minutes=minutes,
        changes=changes,
        hours=hours,
        jobs=jobs,
        threads=threads,
        cache=cache,
        device=device,
        workers=workers,
        viewer_mb=viewer_mb,
        trust=trust,
        cpus=cpus,
        memory=memory,
        time=time,
        gpus=gpus,
        partition=partition,
        at_once=at_once,
    )
    print(f"submit it: sbatch {written}; when all tasks have ended, the tables: bash {written}")
    return 0
