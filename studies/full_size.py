"""Does a step of every row of every study run at full size here: in how many seconds, in how much memory?

    python studies/full_size.py full_size.json --device cuda                    all of them, on a GPU
    python studies/full_size.py full_size.json --seconds 600 --gigabytes 20     one step each on a processor
    python studies/full_size.py full_size.json --studies csa_table1 ssc_tables267
    python studies/full_size.py full_size.json --store "one thread of ..."      the table of docs/results/full-size.md

Recipes that cost the same (they differ in the number of steps, seed and the like) are tried once, each in a process of
its own on random images of the sizes that it trains on: forward, backward, optimizer. On a processor there is one step,
on a GPU the fastest of three after one counts. What takes longer than --seconds or more than --gigabytes is ended, and
listed as that. FILE is written after each; what is in it is not tried again. "Steps" times "s / step" is how long a run
takes.
"""

import argparse
import json
import multiprocessing
import platform
import resource
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from results_pages import PAGES, SCHEMA, About, Numbers, PlainTable
from unpaired import __version__
from unpaired.configs import to_json
from unpaired.documents import read
from unpaired.errors import InputError
from unpaired.experiments.find import all_studies, find_study
from unpaired.experiments.speeds import Step
from unpaired.files import write_json
from unpaired.recipe import Recipe
from unpaired.tables import DASH

HEART_MR, HEART, ABDOMEN = (("bssfp", "lge"), 4), (("ct", "mr"), 5), (("ct", "t2"), 5)
DATA = {
    **dict.fromkeys(("csa_tables23", "csa_ablations_mmwhs", "ssc_tables15", "ssc_table4", "ummkd_heart"), HEART),
    **dict.fromkeys(("ssc_tables267", "ummkd_abdomen", "label_sets"), ABDOMEN),
    "cmc_abdomen": (("ct", "mr"), 16),
}
"""{study: (modalities, classes with background)}; the others are on MS-CMRSeg."""
PAGE = "full-size"
ANY = "that of FILE"
"""The device of a step: a file is of one."""


@dataclass(frozen=True)
class Tried:
    """A recipe that was tried: whose rows it is, how large it is, what a step took, or why there is no number."""

    key: str
    study: str
    rows: tuple[str, ...]
    patch: tuple[int, ...]
    batch: int
    steps: int
    step: Step | None = None
    """Of which recipe; files of early versions have the key alone."""
    seconds: float | None = None
    gigabytes: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Record:
    """What FILE holds."""

    tried: list[Tried]
    machine: str
    date: str
    torch: str


def recipes(names: list[str]) -> Iterator[tuple[Tried, Recipe]]:
    """The full-size recipes of studies, each cost once, with the rows that it is of."""
    known: dict[str, tuple[Tried, Recipe]] = {}
    for name in names:
        modalities, classes = DATA.get(name, HEART_MR)
        for row in find_study(name, "full").rows:
            if isinstance(row.recipe, Recipe):
                recipe = replace(row.recipe, init_from=None, begin_as=None, trained="all")
                trained = recipe.modalities or modalities
                step = Step(to_json(recipe), tuple(trained), classes, ANY)
                key = sha256(json.dumps([step.fields, trained, classes], sort_keys=True).encode()).hexdigest()[:16]
                batch = recipe.batch_size + recipe.unlabeled_batch_size
                first = Tried(key, name, (), recipe.patch_size, batch * len(trained), recipe.steps, step)
                item = known.setdefault(key, (first, recipe))[0]
                known[key] = replace(item, rows=tuple(dict.fromkeys((*item.rows, row.name)))), recipe
    yield from known.values()


def is_of(tried: Tried, item: Tried) -> bool:
    """Whether a recipe that was tried is this one, whichever version of the package wrote it down."""
    known = tried.step is not None and item.step is not None and item.step.equals(tried.step, ())
    return tried.key == item.key or known


def take_step(
    recipe: Recipe, modalities: tuple[str, ...], classes: int, device: str, gigabytes: float, answers: Any
) -> None:
    """Time a step in this process, which may take so much memory."""
    from unpaired.training import probe

    if device == "cpu":
        probe.STEPS = 0  # the first one counts: a step may take minutes
        resource.setrlimit(resource.RLIMIT_AS, (int(gigabytes * 1e9),) * 2)
    try:
        cost = probe.time_step(recipe, modalities, classes, device)
        answers.put({"seconds": cost.seconds, "gigabytes": cost.gigabytes})
    except (InputError, RuntimeError, MemoryError) as error:
        answers.put({"reason": str(error).splitlines()[0][:120]})


def tried(item: Tried, recipe: Recipe, given: argparse.Namespace) -> Tried:
    """The item with what a step took."""
    modalities, classes = DATA.get(item.study, HEART_MR)
    context = multiprocessing.get_context("spawn")
    answers = context.SimpleQueue()
    question = (recipe, recipe.modalities or modalities, classes, given.device, given.gigabytes, answers)
    process = context.Process(target=take_step, args=question)
    process.start()
    end = time.monotonic() + given.seconds
    while answers.empty() and process.is_alive() and time.monotonic() < end:
        time.sleep(0.1)
    answer = {"reason": f"no step within {given.seconds:g} s" if process.is_alive() else "its process was killed"}
    answer = answer if answers.empty() else answers.get()
    process.kill()
    process.join()
    return replace(item, **answer)


def table(record: Record, device: str) -> PlainTable:
    """The table of the page."""
    rows = [
        (
            each.study,
            ", ".join(each.rows),
            " x ".join(map(str, each.patch)),
            str(each.batch),
            f"{each.steps:,}",
            DASH if each.seconds is None else f"{each.seconds:.3g}",
            DASH if each.gigabytes is None else f"{each.gigabytes:.1f}",
            each.reason,
        )
        for each in record.tried
    ]
    head = ("study", "rows", "patch", "images a step", "steps", "s / step", "GB", "remarks")
    return PlainTable(f"a step of each recipe on {device}.", head, tuple(rows), "llrrrrrl")


def store(record: Record, machine: str, command: str) -> None:
    """Write the numbers of docs/results/full-size.md."""
    about = About(__version__, record.date, f"{machine}, torch {record.torch}", (command,), "studies/full_size.py")
    numbers = Numbers({}, {"steps": table(record, machine)}, about)
    write_json(PAGES / f"{PAGE}.json", {"schema": SCHEMA, **asdict(numbers)})


def main() -> None:
    """Try what wasn't tried yet, or store the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--studies", nargs="+", default=sorted(all_studies()))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=600.0, help="for each recipe")
    parser.add_argument("--gigabytes", type=float, default=20.0, help="of address space, on a processor")
    parser.add_argument("--store", metavar="MACHINE", help="write the page's numbers from FILE, made on this machine")
    given = parser.parse_args()
    record = read(given.file, Record, "delete it: all is tried anew") if given.file.is_file() else None
    if given.store:
        if record is None:
            raise SystemExit(f"expected numbers in {given.file}, found no file")
        store(record, given.store, f"python studies/full_size.py {given.file.name} --device {given.device}")
        return
    import torch

    done = list(record.tried) if record is not None else []
    for item, recipe in recipes(given.studies):
        if not any(is_of(each, item) for each in done):
            done.append(tried(item, recipe, given))
            now = Record(done, platform.platform(), time.strftime("%Y-%m-%d"), torch.__version__)
            write_json(given.file, asdict(now))
            print(item.study, ", ".join(item.rows), done[-1].seconds, done[-1].gigabytes, done[-1].reason, flush=True)


if __name__ == "__main__":
    main()
