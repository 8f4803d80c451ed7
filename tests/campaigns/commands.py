"""Commands in processes of their own, that may be killed, kept short of memory and time; and what their folders hold.

A command starts in a fork of the campaign's process, which has imported everything and computed nothing: so it begins
with its work, where a kill meets it, and not with seconds of imports. Systems without fork have no campaign.
"""

import hashlib
import json
import os
import re
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch and numpy: a process with threads can't be forked safely
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from unpaired import cli

TRACEBACK = "Traceback (most recent call last)"
FAULT = "this is a fault of unpaired"
SECONDS = 300.0
"""A command of the tiny study takes seconds, on a busy machine a minute; one that takes longer hangs."""
MEMORY_BYTES = 6 * 2**30
"""Address space of a command on a tiny input; torch's libraries take most of it."""
WIND_DOWN_SECONDS = 30.0
"""How long the processes of a killed command may live on."""


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code (minus the signal that ended it), and what it said.

    `seconds` are those of the processor, its processes' that have ended included: others may want the machine, too.
    """

    code: int
    output: str
    error: str
    seconds: float

    def problem(self, codes: Sequence[int] = (0, 1, 2)) -> str | None:
        """What no command may do: another exit code, a signal, a traceback, a fault; None if it did none of these."""
        if self.code not in codes:
            return f"exit code {self.code}: {self.last_line}"
        for mark in (TRACEBACK, FAULT):
            if mark in self.error or mark in self.output:
                return f"{mark}: {self.last_line}"
        return None

    @property
    def last_line(self) -> str:
        """The last line of standard error, else of standard output."""
        return (self.error.strip() or self.output.strip() or "said nothing").splitlines()[-1]


@dataclass
class Command:
    """A running command. Every process that it starts is in its group."""

    process: int
    folder: Path
    began: float = field(default_factory=time.monotonic)
    _code: int | None = None
    _seconds: float = 0.0

    def poll(self) -> int | None:
        """The exit code, minus the signal that ended it; None while it runs."""
        if self._code is None:
            process, status, used = os.wait4(self.process, os.WNOHANG)
            if process:
                self._code, self._seconds = os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime
        return self._code

    def wait(self, seconds: float = SECONDS) -> Ended:
        """How it ended; a command that takes longer is killed, which shows as exit code -9."""
        while self.poll() is None and time.monotonic() - self.began < seconds:
            time.sleep(0.005)
        if self.poll() is None:
            self.kill(everything=True)
            while self.poll() is None:
                time.sleep(0.005)
        texts = ((self.folder / name).read_text("utf-8", "replace") for name in ("stdout", "stderr"))
        return Ended(self._code or 0, *texts, self._seconds)

    def kill(self, everything: bool) -> None:
        """kill -9 the command, or, as a power cut would, all of its processes too."""
        try:
            os.killpg(self.process, signal.SIGKILL) if everything else os.kill(self.process, signal.SIGKILL)
        except ProcessLookupError:
            return

    def outlived(self) -> bool:
        """Whether processes of the ended command live on for longer than `WIND_DOWN_SECONDS`; ends them."""
        until = time.monotonic() + WIND_DOWN_SECONDS
        while time.monotonic() < until:
            try:
                os.killpg(self.process, 0)
            except ProcessLookupError:
                return False
            time.sleep(0.02)
        os.killpg(self.process, signal.SIGKILL)
        return True


def start(
    arguments: Sequence[str],
    place: Path,
    folder: Path,
    memory: int | None = None,
    call: Callable[[Sequence[str]], int] = cli.main,
) -> Command:
    """Start a command in the working folder `place`; what it says goes to files in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if process:
        return Command(process, folder)
    code = 99
    try:
        os.setsid()
        os.chdir(place)
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
            setattr(sys, name, os.fdopen(number, "w", encoding="utf-8", closefd=False))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if memory is not None:
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        sys.argv = ["unpaired", *arguments]
        code = call(arguments)
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 99
    except BaseException:  # noqa: BLE001 (a traceback on standard error is what the campaign looks for)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def run(arguments: Sequence[str], place: Path, folder: Path, memory: int | None = MEMORY_BYTES) -> Ended:
    """Run a command to its end."""
    return start(arguments, place, folder, memory).wait()


def warm_up() -> None:
    """Import what commands import when they run, so that forks needn't; compute nothing, so that no thread starts."""
    import unpaired.comparison.methods
    import unpaired.data.checks.verify
    import unpaired.inference.predict_files
    import unpaired.report.comparison_page
    import unpaired.report.page
    import unpaired.scores.evaluate
    import unpaired.training.train  # noqa: F401


TIMES = re.compile(
    r'("(?:seconds|started|command|cpu_seconds)": )(?:\[[^\]]*\]|[^,\n}]*)|\d\d\d\d-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?'
)
UNCOMPARED = ("tensorboard/", "/lock", "/hashes.json")
"""What says when and by which process something was made or read, and nothing else."""


def snapshot(folder: Path) -> dict[str, str]:
    """{path: what it holds, short} of all files of a folder; times, which no two runs share, are left out."""
    return {
        name: content(path)
        for name, path in sorted(files(folder))
        if not any(part in f"/{name}" for part in UNCOMPARED)
    }


def files(folder: Path) -> Iterator[tuple[str, Path]]:
    """(path in the folder, file) of all its files."""
    yield from ((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*") if path.is_file())


def content(path: Path) -> str:
    """A text that is equal for files that say the same."""
    raw = path.read_bytes()
    if path.suffix == ".pt":
        return _digest(json.dumps(_plain(_load(path)), sort_keys=True).encode())
    if path.name == "log.csv":
        rows = [line.split(",") for line in raw.decode().splitlines()]
        place = rows[0].index("seconds") if rows and "seconds" in rows[0] else None
        return _digest(json.dumps([[c for i, c in enumerate(row) if i != place] for row in rows]).encode())
    if path.suffix in (".json", ".html", ".md", ".tex"):
        return _digest(TIMES.sub(r"\1", raw.decode("utf-8", "replace")).encode())
    return _digest(raw)


def difference(expected: dict[str, str], got: dict[str, str]) -> str | None:
    """What sets two snapshots apart, in words; None if nothing does."""
    parts = {
        "missing": sorted(set(expected) - set(got)),
        "too much": sorted(set(got) - set(expected)),
        "differing": sorted(name for name in set(expected) & set(got) if expected[name] != got[name]),
    }
    said = "; ".join(f"{what}: {', '.join(names[:4])}" for what, names in parts.items() if names)
    return said or None


def leftovers(folder: Path) -> list[str]:
    """Temporary files and folders of the package in a folder, which nobody should find once work is done."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob(".tmp*"))


def _load(path: Path) -> Any:
    import torch

    return torch.load(path, weights_only=True)


def _plain(value: Any) -> Any:
    """Tensors by their bytes, so that equal states give equal JSON."""
    if hasattr(value, "numpy"):
        array = value.detach().cpu().contiguous()
        return [str(array.dtype), list(array.shape), _digest(array.numpy().tobytes())]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return repr(value)


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()[:16]
