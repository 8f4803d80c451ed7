"""What a run was made with: package versions, hardware, git state, command."""

import functools
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

FILTERS = r"^filter\..*\.(clean|smudge|process)$"
"""Settings of git that name programs which it runs to compare files."""
NO_PROGRAMS = ("-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}")
PACKAGES = ("torch", "numpy", "scipy", "nibabel", "lightning-fabric", "batchgeneratorsv2", "safetensors")


def describe_versions(gpu: str | None) -> dict[str, Any]:
    """Versions, hardware, git state and command of this process, as JSON values. `gpu` is its name, if one is there."""
    return {
        "unpaired": _installed("unpaired"),
        "python": platform.python_version(),
        **{name: _installed(name) for name in PACKAGES},
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "gpu": gpu,
        "git": git_state(),
        "command": sys.argv,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


@functools.cache
def _installed(package: str) -> str:
    """A version that stays while the process does: looking for it goes through all packages' files."""
    return version(package)


def git_state() -> dict[str, Any] | None:
    """Commit and whether files differ from it, of the repository the command was started in; None outside one.

    The repository may be a received folder whose own settings name programs for git to run. Monitors and hooks are
    switched off; where there are filters, whether files differ is not looked at (None).
    """

    def git(*arguments: str, codes: tuple[int, ...] = (0,)) -> str:
        command = ["git", "--no-optional-locks", *NO_PROGRAMS, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
        if done.returncode not in codes:
            raise subprocess.SubprocessError(done.stderr)
        return done.stdout.strip()

    try:
        commit = git("rev-parse", "HEAD")
        settings = git("config", "--show-scope", "--includes", "--name-only", "--get-regexp", FILTERS, codes=(0, 1))
        if any(line.startswith(("local", "worktree")) for line in settings.splitlines()):
            return {"commit": commit, "changed": None}
        return {"commit": commit, "changed": bool(git("status", "--porcelain", "--ignore-submodules=dirty"))}
    except (OSError, subprocess.SubprocessError):
        return None
