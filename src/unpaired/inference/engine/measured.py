"""Which plan is fastest on this machine: measured on windows, and kept in the user's cache folder."""

import platform
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

import torch

from unpaired.documents import read
from unpaired.errors import InputError, UnwritableError
from unpaired.files import user_cache, write_json
from unpaired.inference.engine.plans import WindowPlan
from unpaired.inference.pages import keep_pages
from unpaired.networks.network import Network

SCHEMA = 1
RUNS = 2
"""How often each plan is timed, after a run that isn't; the fastest counts, as other work only slows it."""
WORTH = 0.95
"""A plan takes another's place if it needs less than this share of its time: less may be chance."""
HOPELESS = 1.5
"""A plan whose first run takes so many times as long as the best one's is not timed further."""
BUDGET_SECONDS = 30.0
"""When measuring has taken so long, plans that are left are not tried."""


@dataclass(frozen=True)
class Measured:
    """The plan that was fastest, and how many times as fast as the plain one it was."""

    plan: WindowPlan
    speedup: float


def fastest(
    run: Callable[[WindowPlan], object],
    plain: WindowPlan,
    others: Sequence[WindowPlan],
    clock: Callable[[], float] | None = None,
) -> Measured:
    """The fastest of some plans, by running each on the same windows. A `run` that returns None says no to its plan."""
    clock = clock or (time.thread_time if torch.get_num_threads() == 1 else time.perf_counter)
    began = clock()

    def seconds(plan: WindowPlan, limit: float) -> float | None:
        times: list[float] = []
        for _ in range(RUNS + 1):
            start = clock()
            if run(plan) is None:
                return None
            times.append(clock() - start)
            if times[-1] > limit:
                return None
        return min(times[1:])

    base = seconds(plain, float("inf"))
    assert base is not None  # the plain plan never says no
    best, shortest = plain, base
    for plan in others:
        if clock() - began > BUDGET_SECONDS:
            break
        taken = seconds(plan, HOPELESS * shortest)
        if taken is not None and taken < WORTH * shortest:
            best, shortest = plan, taken
    return Measured(best, base / shortest)


def place(network: Network, window: Sequence[int], plain: WindowPlan, precision: str) -> Path:
    """Where the answer is kept for this processor, torch, threads, network (its shapes), window (channels, *size)."""
    what = [
        processor(),
        torch.__version__,
        torch.get_num_threads(),
        keep_pages(),
        type(network).__qualname__,
        [(name, tuple(tensor.shape)) for name, tensor in network.state_dict().items()],
        tuple(window),
        asdict(plain),
        precision,
    ]
    return user_cache("engine") / f"{sha256(repr(what).encode()).hexdigest()[:32]}.json"


def kept(path: Path) -> Measured | None:
    """What was measured before. None where nothing was, and for a file that is damaged: it will be written anew."""
    with suppress(InputError, OSError):
        return read(path, Measured, "delete it", schema=SCHEMA)
    return None


def keep(path: Path, measured: Measured) -> None:
    """Store a choice for the next time; where the folder can't be written, the next time measures again."""
    with suppress(UnwritableError):
        write_json(path, {"schema": SCHEMA, **asdict(measured)})


def processor() -> str:
    """The processor's name, as far as the system tells, and what torch may use of it."""
    name = platform.processor() or platform.machine()
    with suppress(OSError):  # Linux alone has it
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        known = ("model name", "cpu family", "model\t", "stepping", "CPU implementer", "CPU part")
        name = "; ".join(dict.fromkeys(line for line in lines if line.startswith(known)))
    return f"{name}; {torch.backends.cpu.get_cpu_capability()}"
