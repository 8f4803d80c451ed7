"""The command that makes a whole table: study."""

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
    list_failures,
    print_columns,
    print_table,
    stopwatch,
)

StudyName = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="STUDY")]
Names = Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME")]
Numbers = Annotated[tuple[int, ...], tyro.conf.arg(metavar="INT")]
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
    minutes: OptionalNumber = None,
    changes: Changes = (),
    estimate: bool = False,
    hours: OptionalNumber = None,
    run: bool = True,
    jobs: int = 1,
    threads: OptionalCount = None,
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
        data: The manifest.
        out: Folder for the runs, the tables and the page study.html.
        size: Rows for two processor cores, or as the paper has them, for GPUs.
        rows: Only these rows, by name.
        splits: Only these of the study's splits, such as fold0 fold1.
        seeds: Seeds of the runs, in place of the study's.
        split: Split files (`unpaired split`), in place of the study's splits.
        minutes: As many steps as fit so many minutes, for every run, by the measured speed of its own steps.
        changes: Change fields of all rows' recipes, such as steps=500.
        estimate: Time a few steps of every row, say how long all takes, and run nothing.
        hours: Begin no run after so many; of an estimate: say what fits.
        run: Train what is missing; --no-run compares what there is.
        jobs: Runs at a time, each in a process of its own; several GPUs are dealt out.
        threads: Of each process (default: the cores divided by the jobs).
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
    return list_failures(made.failures)
