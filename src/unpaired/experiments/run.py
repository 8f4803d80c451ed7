"""`study` as a person calls it: run what is missing of a table, side by side, and compare what there is."""

import os
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from unpaired.choices import require_choice, several
from unpaired.consent.modules import Trust, load_trusted
from unpaired.data.dataset import Dataset
from unpaired.data.file_names import require_distinct
from unpaired.data.manifest import as_dataset
from unpaired.data.split import Split, as_split
from unpaired.errors import InputError, nearest
from unpaired.experiments.budget import as_changed
from unpaired.experiments.budgets import is_one_of_several, made_by_budget
from unpaired.experiments.cells import require_own_names
from unpaired.experiments.find import find_study, is_shipped
from unpaired.experiments.on_ray import places_on_ray
from unpaired.experiments.processes import GPUS, Places
from unpaired.experiments.results import StudyResults, claim
from unpaired.experiments.speeds import SPEEDS, Speeds, timed_on
from unpaired.experiments.splits import TheseSplits
from unpaired.experiments.study import Size, Study
from unpaired.experiments.table_run import TableRun
from unpaired.experiments.timing import Stopwatch, untimed
from unpaired.inference.devices import choose_device
from unpaired.inference.request import Place
from unpaired.inference.shards import Shard
from unpaired.overrides import Changes
from unpaired.report.viewer import VIEWER_MB, require_budget
from unpaired.runs.folder import PREPARED


def study(
    plan: Study | str,
    data: Dataset | str | Path,
    out: str | Path,
    *,
    size: Size = "small",
    rows: Sequence[str] = (),
    splits: Sequence[str] = (),
    seeds: Sequence[int] = (),
    split: Split | str | Path | Sequence[Split | str | Path] = (),
    minutes: float | Sequence[float] | None = (),
    changes: Changes = (),
    estimate: bool = False,
    hours: float | None = None,
    run: bool = True,
    jobs: int | None = None,
    threads: int | None = None,
    on: Place = "here",
    shard: Shard | str | None = None,
    cache: str | Path | None = None,
    device: str = "auto",
    workers: int = 0,
    viewer_mb: float = VIEWER_MB,
    trust: Trust = (),
    worker: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> StudyResults:
    """Make a table: train every row on every split with every seed, segment, score, compare; on one page in `out`.

    plan: a study, the name of one that comes with unpaired (`list_studies`; it goes without the paper's numbers where
    they are of other modalities or classes), or file.py:function of your own, in one of its sizes.  data: a dataset or
    its manifest.  rows, splits, seeds: only these of the study's (seeds: in place of its own).  split: splits or their
    files, in place of the study's.  minutes: the budget of each run, in place of the study's; a row gets as many steps
    as fit, by the measured speed of its own; several budgets make a table each and a curve of all, and runs that are
    there of one of them are taken up.  changes: fields of every row's recipe.

    What is there is not done again, by content: a cell whose recipe, sides, labels or scans changed is another one,
    with a folder beside the old one's. Rows that prepare alike share `cache` (default: `prepared` in `out`). A cell
    that fails is told, is tried again by the next call, and stops no other. Rows are compared on the repetitions that
    all of them have finished.

    estimate: time a few steps of every row and say how long all takes, and what fits into `hours`; nothing is run.
    hours: no cell is begun after so many.  run: False compares what there is.  jobs: cells at a time (default: 1), each
    in a process of its own with so many `threads` (default: the cores divided by the jobs); several GPUs are dealt out.
    on: "ray" has them done by a cluster (`experiments.on_ray`), as many at a time as it has room for.  shard:
    "3/20" does the third of twenty parts of equal work, for other machines with the same folder; tables are made by a
    last call without it.  workers: processes of each cell that cut batches.  viewer_mb: scans on the page.  trust:
    modules of your own that `changes` may name.  worker: False does all in this process, one cell after the other.

    Raises InputError for what fits no cell: a study, a row, a split, a folder of another study. Ctrl-C saves and stops
    what is at work; the same call goes on.
    """
    named = plan if isinstance(plan, Study) else find_study(plan, size)
    chosen = [chosen_study(named, rows, seeds, split, each) for each in budgets_of(minutes) or [None]]
    require_possible(hours, jobs, threads)
    part = _part(shard, run or estimate)
    require_budget(viewer_mb)
    load_trusted(trust)
    studies = [as_changed(each, changes, budgets_of(minutes)) for each in chosen]
    dataset, folder = as_dataset(data), Path(out)
    if is_shipped(plan):
        studies = [each.without_papers_of_other_data(dataset) for each in studies]
        for remark in studies[0].remarks:
            say(remark)
    studies[0].require_fitting(dataset)
    drawn = only_splits(studies[0].drawn(dataset), splits)
    require_own_names(studies[0], drawn)
    prepared = Path(cache or folder / PREPARED)
    with _placed(on, jobs, threads, device, worker) as (places, kind):
        claim(folder, studies[0])
        device_type = choose_device(kind).type if places.are_here else kind
        if run or estimate:
            speeds = Speeds(folder / SPEEDS, device_type, Stopwatch(kind, device_type, places, worker, folder, say))
        else:  # perhaps on another machine than the one that has timed and trained
            speeds = Speeds(folder / SPEEDS, timed_on(folder / SPEEDS) or device_type, untimed)
        options = changes, places, part, kind, workers, hours, viewer_mb, worker, say
        table = TableRun(folder, dataset, drawn, prepared, speeds, *options)

        def made(each: Study, where: Path) -> StudyResults:
            return table.estimated(each, where) if estimate else table.made(each, where, run)

        if len(studies) == 1 and not is_one_of_several(studies[0], folder):
            return made(studies[0], folder)
        return made_by_budget(studies, folder, made, say, write=part is None and not estimate)


def require_possible(hours: float | None, jobs: int | None, threads: int | None) -> None:
    """Raise InputError for hours in which nothing can begin, and for jobs and threads below 1."""
    if hours is not None and not hours > 0:
        raise InputError(f"hours must be above 0, got {hours:g}")
    for name, value in (("jobs", jobs), ("threads", threads)):
        if value is not None and value < 1:
            raise InputError(f"{name} must be 1 or more, got {value}")


def _part(shard: Shard | str | None, works: bool) -> Shard | None:
    """The shard as a value. Raises InputError for one of nothing."""
    part = Shard.parse(shard) if isinstance(shard, str) else shard
    if part is not None and not works:
        raise InputError(f"shard {part.number}/{part.count} runs its part, and makes no tables; leave it or no-run out")
    return part


@contextmanager
def _placed(
    on: Place, jobs: int | None, threads: int | None, device: str, worker: bool
) -> Generator[tuple[Places, str]]:
    """Where processes compute, and the device by the name that it has in each of them."""
    require_choice(on, Place, "on")
    if on == "here":
        places = places_of(1 if jobs is None else jobs, threads, device, worker)
        yield places, "cuda" if worker and places.gpus else device  # each sees the GPU that it was dealt, as its first
        return
    if not worker:
        raise InputError("Ray's tasks are processes of their own; leave worker=False out")
    with places_on_ray(jobs, threads, device) as placed:
        yield placed


def budgets_of(minutes: float | Sequence[float] | None) -> list[float | None]:
    """The budgets that a person named, each once; None where it is said that there is none."""
    return [minutes] if minutes is None or isinstance(minutes, float | int) else list(dict.fromkeys(minutes))


def chosen_study(
    study: Study,
    rows: Sequence[str],
    seeds: Sequence[int],
    split: Split | str | Path | Sequence[Split | str | Path],
    minutes: float | None,
) -> Study:
    """The study as a person changed it. First stages of rows that are kept are kept too.

    Raises InputError for rows that it lacks, a split that can't be read, seeds and minutes that can't be.
    """
    if names := several(rows):
        kept = {study.row(name).name for name in names}
        for row in reversed(study.rows):  # whose first stages stand above them, and may begin with another row's
            if row.name in kept and row.begins_with is not None:
                kept.add(row.begins_with)
        baseline = study.baseline if study.baseline in kept else None
        study = replace(
            study,
            rows=tuple(row for row in study.rows if row.name in kept),
            baseline=baseline,
            apart=tuple(name for name in study.apart if name in kept),
            misaligned=tuple(name for name in study.misaligned if name in kept),
        )
    given = [split] if isinstance(split, Split | str | Path) else list(split)
    if given:
        named = [
            (each.stem if isinstance(each, Path) else f"split{number}", each)
            for number, each in enumerate(Path(each) if isinstance(each, str) else each for each in given)
        ]
        require_distinct((name for name, _ in named), "split", "give each file a name of its own")
        study = replace(study, splits=TheseSplits(tuple((name, as_split(each)) for name, each in named)))
    changes = {"seeds": tuple(seeds)} if seeds else {}
    return replace(study, **changes, **({} if minutes is None else {"minutes": minutes}))


def only_splits(splits: Mapping[str, Split], names: Sequence[str]) -> dict[str, Split]:
    """The splits that a person named, of nothing named all. Raises InputError for one that there isn't."""
    for name in several(names):
        if name not in splits:
            raise InputError(f"the study has no split {name!r}; {nearest(name, list(splits))}")
    return {name: split for name, split in splits.items() if not names or name in several(names)}


def places_of(jobs: int, threads: int | None, device: str, worker: bool) -> Places:
    """Where processes compute: with GPUs on all that this process may use, or on the one of "cuda:1".

    Raises InputError for numbers below 1, for a device that can't be used, and for jobs without processes.
    """
    require_possible(None, jobs, threads)
    if jobs > 1 and not worker:
        raise InputError(f"{jobs} jobs at a time need processes of their own; leave worker=False out")
    chosen = choose_device(device)
    gpus = _gpus() if chosen.type == "cuda" else ()
    return Places(jobs, threads, gpus if chosen.index is None else gpus[chosen.index : chosen.index + 1])


def _gpus() -> tuple[str, ...]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    named = [name.strip() for name in os.environ.get(GPUS, "").split(",") if name.strip()]
    return tuple(named) or tuple(map(str, range(torch.cuda.device_count())))
