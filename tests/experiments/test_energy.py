"""The energy of a study's calls: counters that turn over, that are missing, and that add up over calls."""

from pathlib import Path

import pytest

from unpaired.experiments.energy import ENERGY, Counter, counters, energy_noted, read_energy


def package(folder: Path, microjoules: int, name: str = "package-0", zone: str = "intel-rapl:0") -> None:
    """A counter as Linux has it, which turns over at 100 J."""
    place = folder / zone
    place.mkdir(parents=True, exist_ok=True)
    (place / "name").write_text(f"{name}\n")
    (place / "energy_uj").write_text(f"{microjoules}\n")
    (place / "max_energy_range_uj").write_text("100000000\n")


def test_a_processor_is_counted_once_and_not_its_parts(tmp_path: Path) -> None:
    package(tmp_path, 5_000_000)
    package(tmp_path, 1_000_000, "core", "intel-rapl:0:0")
    (tmp_path / "intel-rapl:1").mkdir()
    assert counters(tmp_path)["package-0"] == Counter(5.0, 100.0)
    assert "core" not in counters(tmp_path)


def test_a_counter_turns_over() -> None:
    assert Counter(10.0, 100.0).since(Counter(95.0, 100.0)) == 15.0
    assert Counter(96.0, 100.0).since(Counter(95.0, 100.0)) == 1.0
    assert Counter(3.0).since(Counter(5.0)) == 0.0


def test_calls_add_up(tmp_path: Path) -> None:
    power, out = tmp_path / "power", tmp_path / "out"
    for before, after in ((0, 30_000_000), (90_000_000, 20_000_000)):
        package(power, before)
        with energy_noted(out, power):
            package(power, after)
    energy = read_energy(out)
    assert energy is not None
    assert energy.joules["package-0"] == pytest.approx(60.0)
    assert "kWh" in energy.note()
    assert "package-0 1.67e-05" in energy.note()


def test_a_machine_that_does_not_tell_is_not_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unpaired.experiments.energy.counters", lambda powercap: {})
    with energy_noted(tmp_path, tmp_path / "nothing"):
        pass
    assert not (tmp_path / ENERGY).exists()
    assert read_energy(tmp_path) is None
