"""How much memory could be had now: what the machine has left, within the limit of a container or of a batch job."""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath

GROUPS = Path("/sys/fs/cgroup")
"""Where Linux shows its control groups: a container sees its own, a batch job one that /proc/self/cgroup names."""


def free_memory(groups: Path = GROUPS, own: Path = Path("/proc/self/cgroup")) -> int | None:
    """Bytes that could be had now; None where the system doesn't say. Files that are cached count as free."""
    candidates: list[int] = []
    for read in (_available, *_left_in_groups(groups, own)):
        try:
            candidates.append(read())
        except (OSError, ValueError, AttributeError, StopIteration):
            continue
    return min(candidates) if candidates else None


def _available() -> int:
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        line = next(line for line in meminfo.read_text().splitlines() if line.startswith("MemAvailable:"))
        return int(line.split()[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _left_in_groups(groups: Path, own: Path) -> Iterator[Callable[[], int]]:
    """What asks each control group that this process is in, of version 2 and 1, up to the outermost that is shown."""
    lines = own.read_text().splitlines() if own.is_file() else []
    places = {controllers: place for _, controllers, place in (line.split(":", 2) for line in lines)}
    for root, place, limit, key in (
        (groups, places.get("", "/"), "memory.max", "anon "),
        (groups / "memory", places.get("memory", "/"), "memory.limit_in_bytes", "total_rss "),
    ):
        inner = PurePosixPath(place.lstrip("/"))
        for folder in (root / inner, *(root / outer for outer in inner.parents)):
            yield partial(_left_in_group, folder, limit, key)


def _left_in_group(folder: Path, limit: str, key: str) -> int:
    most = int((folder / limit).read_text())  # "max" without a limit: a ValueError
    line = next(line for line in (folder / "memory.stat").read_text().splitlines() if line.startswith(key))
    return max(most - int(line.split()[1]), 0)
