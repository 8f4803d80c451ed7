"""The energy that the calls of a study took, where the machine tells: Linux's counters of the processor (RAPL), NVML's
of the GPUs that the study computes on. It is that of all these did meanwhile, as such counters know no processes. A
machine that doesn't tell, or not to this user, is no error: then nothing is said.

Each call has a file of its own in OUT/energy, written anew every while: one that is killed has told what it took, and
those of several machines on one folder don't write over each other.
"""

import ctypes
import os
import platform
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event, Thread
from time import monotonic, time_ns

from unpaired.choices import counted
from unpaired.documents import read
from unpaired.errors import UnwritableError
from unpaired.failures import attempt
from unpaired.files import write_json

POWERCAP = Path("/sys/class/powercap")
ENERGY = "energy"
"""The folder of the calls' files; early versions had one file for all, energy.json."""
EVERY_SECONDS = 20.0
"""How often counters are read: a processor's begins again after some minutes at full power."""
LIBRARY = "libnvidia-ml.so.1"
SCHEMA = 1
JOULES_PER_KWH = 3.6e6


@dataclass(frozen=True)
class Counter:
    """A counter's joules now, and where it begins again (None: nowhere)."""

    joules: float
    turns_at: float | None = None

    def since(self, before: "Counter") -> float:
        """The joules since an earlier reading, which lies less than a turn back."""
        turned = self.turns_at if self.joules < before.joules and self.turns_at is not None else 0.0
        return max(self.joules - before.joules + turned, 0.0)


@dataclass(frozen=True)
class Energy:
    """What was measured so far: joules by counter, over so many seconds of a study's calls, but for damaged files."""

    joules: dict[str, float]
    seconds: float
    damaged: int = 0
    """Files of calls that can't be read."""

    def note(self) -> str:
        """For the page."""
        parts = ", ".join(f"{name} {joules / JOULES_PER_KWH:.3g}" for name, joules in self.joules.items())
        whole = sum(self.joules.values()) / JOULES_PER_KWH
        hours = self.seconds / 3600
        without = f" Without {counted(self.damaged, 'call')} whose file in {ENERGY}/ is damaged."
        end = without if self.damaged else ""
        if not self.joules:
            return f"Energy: nothing can be read.{end}"
        return f"Energy: {whole:.3g} kWh in {hours:.2g} hours ({parts}), with all else that these did meanwhile.{end}"


def counters(gpus: Sequence[str] = (), powercap: Path = POWERCAP) -> dict[str, Counter]:
    """{"package-0": ..., "gpu 0": ...} of all that tell, empty where none does; `gpus` as in CUDA_VISIBLE_DEVICES."""
    return _of_processors(powercap) | (_of_gpus(gpus) if gpus else {})


def read_energy(folder: Path) -> Energy | None:
    """What was measured of the study in a folder, over all its calls; None where nothing was.

    A call's file that is damaged, as after a power cut, is told in its note: no table waits for it.
    """
    early = folder / f"{ENERGY}.json"
    files = [*([early] if early.is_file() else []), *sorted((folder / ENERGY).glob("*.json"))]
    read_calls = [attempt(partial(_energy_of_a_call, file)) for file in files]
    calls = [call for call, _ in read_calls if call is not None]
    names = dict.fromkeys(name for call in calls for name in call.joules)
    joules = {name: sum(call.joules.get(name, 0.0) for call in calls) for name in names}
    return Energy(joules, sum(call.seconds for call in calls), len(files) - len(calls)) if files else None


def _energy_of_a_call(file: Path) -> Energy:
    return read(file, Energy, "delete it: energy is added up without it", schema=SCHEMA)


@contextmanager
def energy_noted(folder: Path, gpus: Sequence[str] = (), powercap: Path = POWERCAP) -> Generator[None]:
    """Note in `folder` what the block takes, while it runs too."""
    last, began = counters(gpus, powercap), monotonic()
    joules, ended = dict.fromkeys(last, 0.0), Event()
    file = folder / ENERGY / f"{platform.node()}-{os.getpid()}-{time_ns()}.json"

    def note() -> None:
        now = counters(gpus, powercap)
        for name in joules.keys() & now.keys():
            joules[name] += now[name].since(last[name])
            last[name] = now[name]
        rounded = {name: round(taken, 1) for name, taken in joules.items()}
        if any(rounded.values()):
            with suppress(UnwritableError):  # what couldn't be written now is, with more, the next time
                write_json(file, {"schema": SCHEMA, "joules": rounded, "seconds": round(monotonic() - began, 1)})

    def watch() -> None:
        while not ended.wait(EVERY_SECONDS):
            attempt(note)

    thread = Thread(target=watch, daemon=True)
    if last:
        thread.start()
    try:
        yield
    finally:
        if last:
            ended.set()
            thread.join()
            note()


def _of_processors(powercap: Path) -> dict[str, Counter]:
    """RAPL's packages (AMD's too): without the zones of their parts, and without that of the whole board ("psys"),
    which holds them."""
    packages: dict[str, Counter] = {}
    for zone in sorted(powercap.glob("intel-rapl:*")):
        try:
            name = (zone / "name").read_text(encoding="ascii").strip()
            if zone.name.count(":") > 1 or not name.startswith("package"):
                continue
            turns_at = int((zone / "max_energy_range_uj").read_text(encoding="ascii")) / 1e6
            packages[name] = Counter(int((zone / "energy_uj").read_text(encoding="ascii")) / 1e6, turns_at)
        except (OSError, ValueError):  # as a rule for the administrator alone
            continue
    return packages


def _of_gpus(gpus: Sequence[str]) -> dict[str, Counter]:
    """NVML's total energy of these GPUs, by NVIDIA's own library where it is installed and knows it (from Volta on)."""
    try:
        nvml = ctypes.CDLL(LIBRARY)
        if nvml.nvmlInit_v2():
            return {}
    except (OSError, AttributeError):
        return {}
    try:
        counted = {f"gpu {name}": _joules(nvml, name) for name in gpus}
        return {name: Counter(joules) for name, joules in counted.items() if joules is not None}
    except AttributeError:  # a driver older than these functions
        return {}
    finally:
        nvml.nvmlShutdown()


def _joules(nvml: ctypes.CDLL, gpu: str) -> float | None:
    """What a GPU has taken since its driver was loaded; None where it doesn't tell, as parts of one (MIG) don't."""
    device, millijoules = ctypes.c_void_p(), ctypes.c_ulonglong()
    if gpu.isdecimal():
        missing = nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(int(gpu)), ctypes.byref(device))
    else:
        missing = nvml.nvmlDeviceGetHandleByUUID(ctypes.c_char_p(gpu.encode()), ctypes.byref(device))
    if missing or nvml.nvmlDeviceGetTotalEnergyConsumption(device, ctypes.byref(millijoules)):
        return None
    return millijoules.value / 1e3
