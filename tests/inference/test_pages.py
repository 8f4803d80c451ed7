"""Memory kept by the process: asked of glibc where there is one, and left alone where the user says so."""

import platform
import subprocess
import sys

import pytest

CODE = """
import ctypes, resource
from unpaired.inference.pages import keep_pages
kept = keep_pages()
def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
malloc, free = ctypes.CDLL(None).malloc, ctypes.CDLL(None).free
malloc.restype, free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
def use():
    block = malloc(48 * 2**20)
    ctypes.memset(block, 1, 48 * 2**20)
    free(block)
use()
before = faults()
for _ in range(4):
    use()
print(kept, (faults() - before) < 1000)
"""

GIVEN_BACK = """
import ctypes
from pathlib import Path
from unpaired.inference.pages import give_back_pages, keep_pages
keep_pages()
def held(): return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20
malloc, free = ctypes.CDLL(None).malloc, ctypes.CDLL(None).free
malloc.restype, free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
before = held()
block = malloc(200 * 2**20)
ctypes.memset(block, 1, 200 * 2**20)
free(block)
kept = held() - before
give_back_pages()
print(kept > 150, held() - before < 50)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives pages back")
@pytest.mark.parametrize(("variable", "expected"), [(None, "True True"), ("0", "False False")])
def test_freed_blocks_are_used_again_without_page_faults(
    monkeypatch: pytest.MonkeyPatch, variable: str | None, expected: str
) -> None:
    if variable is not None:
        monkeypatch.setenv("UNPAIRED_KEEP_PAGES", variable)
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives pages back")
def test_kept_pages_are_given_back_where_somebody_asks() -> None:
    """What a plan measures after a large step would else be what the large one left."""
    done = subprocess.run([sys.executable, "-c", GIVEN_BACK], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True True"
