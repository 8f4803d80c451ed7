"""Processes that have ended, for tests about what the dead leave behind."""

import subprocess
import sys
from pathlib import Path


def temporary_of_a_dead_process(path: Path) -> str:
    """The name under which a process, which has ended by now, would have written `path`."""
    code = "import sys; from pathlib import Path; from unpaired.files import temporary_beside as name; "
    code += "print(name(Path(sys.argv[1])).name)"
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    return done.stdout.strip()
