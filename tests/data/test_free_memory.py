"""Free memory within control groups, on folders like those of Linux."""

from pathlib import Path

import pytest

from unpaired.data.free_memory import free_memory


def group(folder: Path, names: tuple[str, str], limit: object, held: int) -> None:
    """A control group's files: its limit, and how much it holds beside files that are cached."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / "memory.stat").write_text(f"cache 5\n{names[1]} {held}\nfile 999\n")


VERSION_2, VERSION_1 = ("memory.max", "anon"), ("memory.limit_in_bytes", "total_rss")


@pytest.mark.parametrize(
    ("place", "names", "line"),
    [("", VERSION_2, "0::/slurm/job_7"), ("memory", VERSION_1, "4:memory:/slurm/job_7")],
)
def test_the_tightest_group_around_a_job_counts(tmp_path: Path, place: str, names: tuple[str, str], line: str) -> None:
    groups, own = tmp_path / "cgroup", tmp_path / "own"
    own.write_text(f"9:name=systemd:/\n{line}\n")
    machine = free_memory(groups, own)
    assert machine is None or machine > 10_000
    group(groups / place, names, 9000, 1000)  # a container's own
    assert free_memory(groups, own) == 8000
    group(groups / place / "slurm", names, "max", 0)
    assert free_memory(groups, own) == 8000
    group(groups / place / "slurm/job_7", names, 4000, 1500)
    assert free_memory(groups, own) == 2500
    group(groups / place / "slurm", names, 2000, 1900)
    assert free_memory(groups, own) == 100
    group(groups / place / "slurm", names, 2000, 2100)
    assert free_memory(groups, own) == 0


def test_a_system_without_groups_has_what_the_machine_has(tmp_path: Path) -> None:
    machine = free_memory(tmp_path / "none", tmp_path / "none")
    assert machine is None or machine > 10_000
