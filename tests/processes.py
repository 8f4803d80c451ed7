"""Processes that have ended: for tests about what the dead leave behind, and so that tests leave none behind."""

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from warm_python import Fork


def temporary_of_a_dead_process(path: Path) -> str:
    """The name under which a process, which has ended by now, would have written `path`."""
    code = "import sys; from pathlib import Path; from unpaired.files import temporary_beside as name; "
    code += "print(name(Path(sys.argv[1])).name)"
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@contextmanager
def ended(*processes: "subprocess.Popen[Any] | Fork") -> Generator[None]:
    """Processes that have ended after the block, whatever happens in it."""
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
