"""What a run was made with: package versions, hardware, git state, command."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

PACKAGES = ("torch", "numpy", "scipy", "nibabel", "lightning-fabric", "batchgeneratorsv2", "safetensors")


def describe_versions(gpu: str | None) -> dict[str, Any]:
    """Versions, hardware, git state and command of this process, as JSON values. `gpu` is its name, if one is there."""
    return {
        "unpaired": version("unpaired"),
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "gpu": gpu,
        "git": git_state(),
        "command": sys.argv,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def git_state() -> dict[str, Any] | None:
    """Commit and whether files differ from it, of the repository the command was started in; None outside one."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "changed": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None
