"""Does a step of every row of every study run at full size here: in how many seconds, in how much memory?

    python studies/full_size.py full_size.json --device cuda                    all of them, on a GPU
    python studies/full_size.py full_size.json --seconds 600 --gigabytes 20     one step each on a processor
    python studies/full_size.py full_size.json --studies csa_table1 ssc_tables267
    python studies/full_size.py full_size.json --store "one thread of ..."      the table of docs/results/full-size.md

On a processor whole batches take minutes and more memory than there is, so each recipe is tried with one image of each
modality in a step and with two (--images), and both numbers are carried on along a line to its batch. --images 0 takes
whole batches, as a GPU does. All is float32 there, as many processors emulate bfloat16.

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
from collections.abc import Iterator, Sequence
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
    images: tuple[int, ...] = ()
    """Of each modality in the steps that were taken, where the numbers are carried on from smaller batches."""


@dataclass(frozen=True)
class Record:
    """What FILE holds."""

    tried: list[Tried]
    machine: str
    date: str
    torch: str


def recipes(names: list[str], device: str) -> Iterator[tuple[Tried, Recipe]]:
    """The full-size recipes of studies, each cost once, with the rows that it is of; in float32 on a processor."""
    less = {"precision": "32-true", "memory_format": "contiguous"} if device == "cpu" else {}
    known: dict[str, tuple[Tried, Recipe]] = {}
    for name in names:
        modalities, classes = DATA.get(name, HEART_MR)
        for row in find_study(name, "full").rows:
            if isinstance(row.recipe, Recipe):
                recipe = replace(row.recipe, init_from=None, begin_as=None, trained="all", **less)
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


def batches_of(recipe: Recipe, images: Sequence[int]) -> list[Recipe]:
    """The recipe with so many images of a modality in a step, unlabeled ones in proportion; itself if it has fewer."""
    smaller = [count for count in images if 0 < count <= recipe.batch_size]
    if len(smaller) < 2:
        return [recipe]
    unlabeled = recipe.unlabeled_batch_size / recipe.batch_size
    return [
        replace(recipe, batch_size=count, unlabeled_batch_size=max(round(count * unlabeled), int(unlabeled > 0)))
        for count in smaller
    ]


def carried_on(sizes: Sequence[int], values: Sequence[float], size: int) -> float:
    """The value at `size` on the line through the first and the last of the values; in proportion to a single one."""
    if len(sizes) == 1:
        return values[0] * size / sizes[0]
    slope = (values[-1] - values[0]) / (sizes[-1] - sizes[0])
    return values[-1] + max(slope, 0.0) * (size - sizes[-1])


def take_step(
    recipe: Recipe, modalities: tuple[str, ...], classes: int, device: str, gigabytes: float, answers: Any
) -> None:
    """Time a step in this process, which may take so much memory."""
    from unpaired.training import probe

    if device == "cpu":
        probe.STEPS = 0  # the first one counts: a step may take minutes
        resource.setrlimit(resource.RLIMIT_AS, (int(gigabytes * 1e9),) * 2)
    try:
        cost = probe.time_step(recipe, modalities, classes, device, "processor" if device == "cpu" else "wall")
        answers.put(asdict(cost))
    except (InputError, RuntimeError, MemoryError) as error:
        answers.put({"reason": _said(error), "refused": isinstance(error, InputError)})


def _said(error: Exception) -> str:
    """What went wrong, short: torch's processor allocator has no error of its own."""
    if "can't allocate memory" in str(error):
        return "more memory than it may have"
    return (str(error) or type(error).__name__).splitlines()[0][:120]


def tried(item: Tried, recipe: Recipe, given: argparse.Namespace, images: Sequence[int]) -> Tried:
    """The item with what a step of so many images took, or of twice as many if a method refuses these; or why none."""
    modalities, classes = DATA.get(item.study, HEART_MR)
    sizes, answers = list[int](), list[dict[str, Any]]()
    for step in batches_of(recipe, images):
        answer = _answer(step, recipe.modalities or modalities, classes, given)
        if answer.get("refused") and not answers and step != recipe:
            return tried(item, recipe, given, [2 * count for count in images])
        if "reason" in answer and not answers:
            said = f"{answer['reason']} with {step.batch_size} of {recipe.batch_size} images of a modality"
            return replace(item, reason=answer["reason"] if step == recipe else said)
        if "reason" in answer:
            break
        sizes.append(step.batch_size)
        answers.append(answer)
    size, last = recipe.batch_size, answers[-1]
    if sizes == [size]:
        return replace(item, seconds=last["seconds"], gigabytes=last["gigabytes"])
    seconds, kept = (carried_on(sizes, [answer[key] for answer in answers], size) for key in ("seconds", "kept_gb"))
    gigabytes = max(last["state_gb"] + kept, last["gigabytes"])  # of small batches the peak is not what is kept
    return replace(item, seconds=seconds, gigabytes=gigabytes, images=tuple(sizes))


def _answer(recipe: Recipe, modalities: Sequence[str], classes: int, given: argparse.Namespace) -> dict[str, Any]:
    """The seconds and gigabytes of a step in a process of its own, or the "reason" why there are none."""
    context = multiprocessing.get_context("spawn")
    answers = context.SimpleQueue()
    question = (recipe, tuple(modalities), classes, given.device, given.gigabytes, answers)
    process = context.Process(target=take_step, args=question, daemon=True)
    process.start()
    end = time.monotonic() + given.seconds
    while answers.empty() and process.is_alive() and time.monotonic() < end:
        time.sleep(0.1)
    reason = f"no step within {given.seconds:g} s" if process.is_alive() else "its process was killed"
    answer = {"reason": reason} if answers.empty() else answers.get()
    process.kill()
    process.join()
    return answer


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
            each.reason or (f"from {' and '.join(map(str, each.images))} a modality" if each.images else ""),
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
    parser.add_argument(
        "--images", type=int, nargs="+", help="of a modality in steps that are carried on (1 2, on a GPU whole batches)"
    )
    parser.add_argument("--store", metavar="MACHINE", help="write the page's numbers from FILE, made on this machine")
    given = parser.parse_args()
    given.images = given.images if given.images is not None else [1, 2] if given.device == "cpu" else [0]
    record = read(given.file, Record, "delete it: all is tried anew") if given.file.is_file() else None
    if given.store:
        if record is None:
            raise SystemExit(f"expected numbers in {given.file}, found no file")
        store(record, given.store, f"python studies/full_size.py {given.file.name} --device {given.device}")
        return
    import torch

    done = list(record.tried) if record is not None else []
    for item, recipe in recipes(given.studies, given.device):
        if not any(is_of(each, item) for each in done):
            done.append(tried(item, recipe, given, given.images))
            now = Record(done, platform.platform(), time.strftime("%Y-%m-%d"), torch.__version__)
            write_json(given.file, asdict(now))
            print(item.study, ", ".join(item.rows), done[-1].seconds, done[-1].gigabytes, done[-1].reason, flush=True)


if __name__ == "__main__":
    main()
