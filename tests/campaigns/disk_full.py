"""Every command on a disk that fills up at another place each time; once there is space, the same command again.

    PYTHONPATH=tests python -m campaigns.disk_full --seed 0 --count 20

`count` are the places for every quick command, fewer for slow ones: the disk has room for a share of what the command
writes at its peak. It is a small tmpfs, so that the kernel itself says ENOSPC to every write; mounting one takes root,
or a kernel that lets people have namespaces of their own (`unshare`). Right is one line and exit code 2, what was there
before untouched, and with space again the very end of undisturbed work.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from campaigns.commands import difference, leftovers, run, snapshot, start, warm_up
from campaigns.tally import Tally, run_alone
from campaigns.workspace import Stage, copy, stages

PAGE = 4096
PLENTY = 512 * 2**20
INSIDE = "CAMPAIGN_HAS_ITS_OWN_MOUNTS"


def campaign(seed: int, count: int, folder: Path, tally: Tally) -> None:
    """`count` places in every command; the seed moves them."""
    warm_up()
    disk = folder / "disk"
    with small_disk(disk):
        place = disk / "study"
        for stage in stages(folder, place):
            copy(stage.before, place)
            room = used(disk)
            most = peak(stage, place, disk, folder / "said") - room
            places = max(count * stage.step.turns // 5, 2)
            for number in range(places):
                share = (number + (seed * 0.37 + 0.5) % 1) / places
                problem = fill_and_repeat(stage, place, disk, room + int(share * most), folder / "said")
                if problem in (None, "fitted"):
                    tally.add(stage.step.name, "refused in one line, nothing lost" if problem is None else "fitted")
                else:
                    tally.fault(stage.step.name, f"{problem}, at {share:.3f} of {most} bytes, seed {seed}")


@contextmanager
def small_disk(disk: Path) -> Iterator[None]:
    """A tmpfs mounted at `disk`. Raises OSError where nobody may mount one."""
    disk.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={PLENTY}", "tmpfs", str(disk)], capture_output=True, text=True
    )
    if done.returncode:
        raise OSError(f"can't mount a small disk: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def resize(disk: Path, size: int) -> None:
    """Give the disk another size, in whole pages."""
    pages = max(-(-size // PAGE), 1)
    subprocess.run(["mount", "-o", f"remount,size={pages * PAGE}", str(disk)], check=True)


def used(disk: Path) -> int:
    """Bytes in use on the disk."""
    status = os.statvfs(disk)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


def peak(stage: Stage, place: Path, disk: Path, said: Path) -> int:
    """The most bytes in use while the command runs undisturbed."""
    command = start(stage.step.arguments, place, said)
    most = used(disk)
    while command.poll() is None:
        most = max(most, used(disk))
        time.sleep(0.001)
    ended = command.wait()
    assert ended.code == 0, ended.error
    return max(most, used(disk))


def fill_and_repeat(stage: Stage, place: Path, disk: Path, size: int, said: Path) -> str | None:
    """What went wrong; "fitted" if there was space enough, None if the command said so and nothing was lost."""
    resize(disk, PLENTY)
    copy(stage.before, place)
    before = snapshot(place)
    resize(disk, max(size, used(disk)))
    ended = run(stage.step.arguments, place, said)
    resize(disk, PLENTY)
    problem = ended.problem((0, 2))
    if problem is not None:
        return problem
    if ended.code == 2:
        line = ended.error.strip().splitlines()[-1] if ended.error.strip() else ""
        if not line.startswith("unpaired: ") or not ("can't" in line or "space" in line):
            return f"doesn't say that the disk is full: {line!r}"
        now = snapshot(place)
        lost = [name for name, value in before.items() if now.get(name) not in (value, stage.after.get(name))]
        if lost:
            return f"of what was there is lost or half written: {lost[:3]}"
        if left := leftovers(place):
            return f"left over by a process that could clean up: {left[:3]}"
    again = run(stage.step.arguments, place, said)
    if again.code:
        return f"with space the same command ends with {again.code}: {again.last_line}"
    wrong = difference(stage.after, snapshot(place))
    if wrong is not None:
        return f"with space: {wrong}"
    return None if ended.code else "fitted"


def in_a_namespace() -> None:
    """Where a person isn't root: start again as one in a namespace of its own, in which mounting is allowed."""
    if os.geteuid() and INSIDE not in os.environ:
        command = ["unshare", "--user", "--map-root-user", "--mount", sys.executable, "-m", "campaigns.disk_full"]
        os.execvpe("unshare", [*command, *sys.argv[1:]], {**os.environ, INSIDE: "1"})


if __name__ == "__main__":
    in_a_namespace()
    sys.exit(run_alone(campaign, 20, __doc__))
