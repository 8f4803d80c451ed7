"""The energy of a study's calls: counters that turn over, that are missing, and that add up over calls.

NVML is played by functions of its signatures, called through ctypes as the library is: what doesn't fit them fails.
"""

import ctypes
import json
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from unpaired.errors import UnwritableError
from unpaired.experiments import energy as module
from unpaired.experiments.energy import ENERGY, Counter, counters, energy_noted, read_energy

NOT_SUPPORTED, NOT_FOUND, UNINITIALIZED = 3, 6, 1


def package(folder: Path, microjoules: int, name: str = "package-0", zone: str = "intel-rapl:0") -> None:
    """A counter as Linux has it, which turns over at 100 J."""
    place = folder / zone
    place.mkdir(parents=True, exist_ok=True)
    (place / "name").write_text(f"{name}\n")
    (place / "energy_uj").write_text(f"{microjoules}\n")
    (place / "max_energy_range_uj").write_text("100000000\n")


class Symbols(ctypes.CDLL):
    """A library that has the functions which are set as its attributes; of another one it says what `CDLL` says."""

    def __init__(self) -> None:
        """Nothing is loaded."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"undefined symbol: {name}")


class Library:
    """NVML with a GPU for each of `millijoules` (None: one that can't tell), whose UUIDs are GPU-0, GPU-1, ..."""

    def __init__(self, *millijoules: int | None) -> None:
        self.millijoules = list(millijoules)
        self.open = 0

    def functions(self) -> Symbols:
        """What `ctypes.CDLL` returns: symbols, each with the types that nvml.h gives it."""
        device = ctypes.POINTER(ctypes.c_void_p)
        types = {
            "nvmlInit_v2": (self.init,),
            "nvmlShutdown": (self.shutdown,),
            "nvmlDeviceGetHandleByIndex_v2": (self.by_index, ctypes.c_uint, device),
            "nvmlDeviceGetHandleByUUID": (self.by_uuid, ctypes.c_char_p, device),
            "nvmlDeviceGetTotalEnergyConsumption": (self.energy, ctypes.c_void_p, ctypes.POINTER(ctypes.c_ulonglong)),
        }
        symbols = Symbols()
        for name, (function, *of) in types.items():
            setattr(symbols, name, ctypes.CFUNCTYPE(ctypes.c_int, *of)(function))
        return symbols

    def init(self) -> int:
        self.open += 1
        return 0

    def shutdown(self) -> int:
        self.open -= 1
        return 0

    def by_index(self, index: int, device: Any) -> int:
        if not self.open:
            return UNINITIALIZED
        if index >= len(self.millijoules):
            return NOT_FOUND
        device[0] = 0x7F00_0000_0000 + index  # a pointer of 64 bits
        return 0

    def by_uuid(self, uuid: bytes, device: Any) -> int:
        named = uuid.decode().removeprefix("GPU-")
        return self.by_index(int(named), device) if named.isdecimal() else NOT_FOUND

    def energy(self, device: int, millijoules: Any) -> int:
        taken = self.millijoules[device - 0x7F00_0000_0000]
        if taken is None:
            return NOT_SUPPORTED
        millijoules[0] = taken
        return 0


def installed(monkeypatch: pytest.MonkeyPatch, *millijoules: int | None, without: str = "") -> Library:
    """That library in NVML's place; an old driver is one `without` a function."""
    library = Library(*millijoules)
    functions = library.functions()
    if without:
        delattr(functions, without)
    monkeypatch.setattr(module.ctypes, "CDLL", lambda name: functions)
    return library


def test_a_gpu_is_counted_in_joules_since_the_call_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """700 W for an hour are 2.52e9 mJ: more than 32 bits hold from the second hour on."""
    library = installed(monkeypatch, 5_000_000_000, 70)
    with energy_noted(tmp_path, ["0"], tmp_path / "no power"):
        library.millijoules[0] = 7_520_000_000
    energy = read_energy(tmp_path)
    assert energy is not None
    assert energy.joules == {"gpu 0": 2_520_000.0}
    assert energy.note().startswith("Energy: 0.7 kWh in ")
    assert library.open == 0


def test_gpus_are_those_that_the_study_computes_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By number or UUID; one that can't tell, or isn't there, leaves the others."""
    installed(monkeypatch, 1000, 2000, None, 4000)
    assert counters(["GPU-3", "1", "2", "7", "MIG-c6d4"], tmp_path) == {
        "gpu GPU-3": Counter(4.0),
        "gpu 1": Counter(2.0),
    }
    assert counters((), tmp_path) == {}


@pytest.mark.parametrize("missing", ["nvmlInit_v2", "nvmlDeviceGetTotalEnergyConsumption"])
def test_a_driver_without_a_function_tells_nothing(
    missing: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    library = installed(monkeypatch, 1000, without=missing)
    assert counters(["0"], tmp_path) == {}
    assert library.open == 0


def test_a_machine_without_the_library_tells_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "LIBRARY", str(tmp_path / "libnvidia-ml.so.1"))
    assert counters(["0"], tmp_path) == {}


def test_a_call_that_is_killed_has_told_what_it_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is there while the block runs; those of earlier versions and of other calls are added."""
    power = tmp_path / "power"
    early = {"schema": 1, "joules": {"package-0": 5.0}, "seconds": 60.0}
    (tmp_path / f"{ENERGY}.json").write_text(json.dumps(early))
    monkeypatch.setattr(module, "EVERY_SECONDS", 0.01)
    package(power, 0)
    with energy_noted(tmp_path, (), power):
        package(power, 30_000_000)
        began = monotonic()
        while not list((tmp_path / ENERGY).glob("*.json")) and monotonic() - began < 30:
            sleep(0.01)
        energy = read_energy(tmp_path)
        assert energy is not None
        assert energy.joules == {"package-0": 35.0}
        assert energy.seconds >= 60.0


def test_a_processor_is_counted_once_and_not_its_parts(tmp_path: Path) -> None:
    package(tmp_path, 5_000_000)
    package(tmp_path, 1_000_000, "core", "intel-rapl:0:0")
    package(tmp_path, 2_000_000, "package-1", "intel-rapl:1")
    package(tmp_path, 9_000_000, "psys", "intel-rapl:2")  # the board, with both
    (tmp_path / "intel-rapl:3").mkdir()
    assert counters((), tmp_path) == {"package-0": Counter(5.0, 100.0), "package-1": Counter(2.0, 100.0)}


def test_a_counter_turns_over() -> None:
    assert Counter(10.0, 100.0).since(Counter(95.0, 100.0)) == 15.0
    assert Counter(96.0, 100.0).since(Counter(95.0, 100.0)) == 1.0
    assert Counter(3.0).since(Counter(5.0)) == 0.0


def test_calls_add_up(tmp_path: Path) -> None:
    power, out = tmp_path / "power", tmp_path / "out"
    for before, after in ((0, 30_000_000), (90_000_000, 20_000_000)):
        package(power, before)
        with energy_noted(out, (), power):
            package(power, after)
    energy = read_energy(out)
    assert energy is not None
    assert energy.joules["package-0"] == pytest.approx(60.0)
    assert "kWh" in energy.note()
    assert "package-0 1.67e-05" in energy.note()


def test_a_machine_that_does_not_tell_is_not_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unpaired.experiments.energy.counters", lambda gpus, powercap: {})
    with energy_noted(tmp_path, (), tmp_path / "nothing"):
        pass
    assert not list(tmp_path.iterdir())
    assert read_energy(tmp_path) is None


def test_a_damaged_file_of_a_call_is_told_and_left_out(tmp_path: Path) -> None:
    """As a power cut leaves one: the tables of a night's runs don't wait for somebody who deletes it."""
    (tmp_path / ENERGY).mkdir()
    (tmp_path / ENERGY / "a.json").write_text("")
    energy = read_energy(tmp_path)
    assert energy is not None
    assert energy.note() == "Energy: nothing can be read. Without 1 call whose file in energy/ is damaged."
    (tmp_path / ENERGY / "b.json").write_text('{"schema": 1, "joules": {"package-0": 5.0}, "seconds": 60.0}')
    energy = read_energy(tmp_path)
    assert energy is not None
    assert (energy.joules, energy.seconds, energy.damaged) == ({"package-0": 5.0}, 60.0, 1)
    assert energy.note().endswith("did meanwhile. Without 1 call whose file in energy/ is damaged.")


def test_a_full_disk_ends_neither_the_watch_nor_the_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    power, tries = tmp_path / "power", list[Path]()

    def full(file: Path, document: object) -> None:
        tries.append(file)
        raise UnwritableError("no space")

    monkeypatch.setattr(module, "EVERY_SECONDS", 0.01)
    monkeypatch.setattr(module, "write_json", full)
    package(power, 0)
    with energy_noted(tmp_path, (), power):
        package(power, 30_000_000)
        began = monotonic()
        while len(tries) < 3 and monotonic() - began < 30:
            sleep(0.01)
    assert len(tries) > 3, "it tried again, and once more at the end"
