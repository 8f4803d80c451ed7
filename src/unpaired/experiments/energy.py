"""The energy that a call of a study took, where the machine tells: Linux's counters of the processor (RAPL), NVML's of
GPUs. It is that of all the machine did meanwhile, as those counters know no processes. A machine that doesn't tell, or
not to this user, is no error: then nothing is said.
"""

import ctypes
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event, Thread
from time import monotonic

from unpaired.documents import read
from unpaired.files import write_json

POWERCAP = Path("/sys/class/powercap")
ENERGY = "energy.json"
EVERY_SECONDS = 20.0
"""How often counters are read: a processor's begins again after some minutes at full power."""
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
    """What was measured so far: joules by counter, over so many seconds of a study's calls."""

    joules: dict[str, float]
    seconds: float

    def note(self) -> str:
        """For the page."""
        parts = ", ".join(f"{name} {joules / JOULES_PER_KWH:.3g}" for name, joules in self.joules.items())
        whole = sum(self.joules.values()) / JOULES_PER_KWH
        hours = self.seconds / 3600
        return f"Energy: {whole:.3g} kWh in {hours:.2g} hours ({parts}), all that the machine did meanwhile."


def counters(powercap: Path = POWERCAP) -> dict[str, Counter]:
    """{"package-0": ..., "gpu 0": ...} of all that tell; empty where none does."""
    return _of_processors(powercap) | _of_gpus()


def read_energy(folder: Path) -> Energy | None:
    """What was measured of the study in a folder; None where nothing was."""
    file = folder / ENERGY
    return read(file, Energy, "delete it: energy is added up anew", schema=SCHEMA) if file.is_file() else None


@contextmanager
def energy_noted(folder: Path, powercap: Path = POWERCAP) -> Generator[None]:
    """Add what the block takes to the energy that is noted in `folder`."""
    before, began = counters(powercap), monotonic()
    joules, ended = dict.fromkeys(before, 0.0), Event()
    last = dict(before)

    def add() -> None:
        now = counters(powercap)
        for name in joules.keys() & now.keys():
            joules[name] += now[name].since(last[name])
            last[name] = now[name]

    def watch() -> None:
        while not ended.wait(EVERY_SECONDS):
            add()

    thread = Thread(target=watch, daemon=True)
    if before:
        thread.start()
    try:
        yield
    finally:
        if before:
            ended.set()
            thread.join()
            add()
            _note(folder, joules, monotonic() - began)


def _note(folder: Path, joules: dict[str, float], seconds: float) -> None:
    known = read_energy(folder) or Energy({}, 0.0)
    names = dict.fromkeys((*known.joules, *joules))
    whole = {name: round(known.joules.get(name, 0.0) + joules.get(name, 0.0), 1) for name in names}
    write_json(folder / ENERGY, {"schema": SCHEMA, **asdict(Energy(whole, round(known.seconds + seconds, 1)))})


def _of_processors(powercap: Path) -> dict[str, Counter]:
    """RAPL's packages: the zones "intel-rapl:N" (AMD's too), without their parts."""
    packages: dict[str, Counter] = {}
    for zone in sorted(powercap.glob("intel-rapl:*")):
        if zone.name.count(":") > 1:
            continue
        try:
            name = (zone / "name").read_text(encoding="ascii").strip()
            turns_at = int((zone / "max_energy_range_uj").read_text(encoding="ascii")) / 1e6
            packages[name] = Counter(int((zone / "energy_uj").read_text(encoding="ascii")) / 1e6, turns_at)
        except (OSError, ValueError):  # as a rule for the administrator alone
            continue
    return packages


def _of_gpus() -> dict[str, Counter]:
    """NVML's total energy of each GPU, by NVIDIA's own library where it is installed."""
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return {}
    if nvml.nvmlInit_v2():
        return {}
    count, counted = ctypes.c_uint(), dict[str, Counter]()
    try:
        nvml.nvmlDeviceGetCount_v2(ctypes.byref(count))
        for number in range(count.value):
            device, millijoules = ctypes.c_void_p(), ctypes.c_ulonglong()
            if nvml.nvmlDeviceGetHandleByIndex_v2(number, ctypes.byref(device)):
                continue
            if not nvml.nvmlDeviceGetTotalEnergyConsumption(device, ctypes.byref(millijoules)):
                counted[f"gpu {number}"] = Counter(millijoules.value / 1e3)
    finally:
        nvml.nvmlShutdown()
    return counted
