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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives pages back")
@pytest.mark.parametrize(("variable", "expected"), [(None, "True True"), ("0", "False False")])
def test_freed_blocks_are_used_again_without_page_faults(
    monkeypatch: pytest.MonkeyPatch, variable: str | None, expected: str
) -> None:
    if variable is not None:
        monkeypatch.setenv("UNPAIRED_KEEP_PAGES", variable)
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected
