"""One case's failure is one line, whatever went wrong, and what would stop every case is raised."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from unpaired.consent.modules import load_file
from unpaired.errors import InputError, UnwritableError
from unpaired.failures import attempt


def raising(error: BaseException) -> None:
    raise error


TOO_LARGE = [
    lambda: torch.empty(2**55),
    lambda: torch.empty(1, 3, 10**9, 10**9),
    lambda: np.zeros((10**9, 10**9, 10**3)),
    lambda: np.zeros(2**70),
]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (InputError("scan.nii: expected 3 axes, got 2"), "scan.nii: expected 3 axes, got 2"),
        (MemoryError(), "not enough memory (no details); close other programs"),
        (torch.OutOfMemoryError("CUDA out of memory.\nTried"), "not enough memory (CUDA out of memory. Tried)"),
        (FileNotFoundError(2, "No such file or directory", "a.nii"), "a.nii: No such file or directory; check"),
        (OSError("disk\nfell off"), "disk fell off; check"),
        (OSError(), "the system refused it"),
    ],
)
def test_what_can_be_foreseen_has_words_of_its_own(error: Exception, expected: str) -> None:
    result, failure = attempt(lambda: raising(error))
    assert result is None
    assert failure is not None
    assert failure.startswith(expected)
    assert "\n" not in failure


@pytest.mark.parametrize("make", TOO_LARGE)
def test_arrays_that_no_processor_has_memory_for(make: Callable[[], object]) -> None:
    """As settings of a stranger's run ask for: patches of 10^9 x 10^9."""
    assert (attempt(make)[1] or "").startswith("not enough memory (")


@pytest.mark.parametrize("error", [ZeroDivisionError("a\nbug"), RuntimeError("shapes differ"), RecursionError()])
def test_a_fault_names_the_file_with_its_traceback(error: Exception) -> None:
    failure = attempt(lambda: raising(error))[1] or ""
    assert failure.startswith(f"unexpected {type(error).__name__}: ")
    file = Path(failure.split(" in ")[-1])
    assert "raise error" in file.read_text(encoding="utf-8")
    file.unlink()


def test_a_mistake_in_a_persons_own_file_is_told_as_that_files(tmp_path: Path) -> None:
    """Also where a library raises what that file called; what this package raises that it called is the package's."""
    file = tmp_path / "own_part.py"
    file.write_text(
        "import json\nfrom unpaired.choices import nearest_divisor\n"
        "def wrong():\n    return {}['nix']\n"
        "def wrong_text():\n    return json.loads('{')\n"
        "def wrong_call():\n    return nearest_divisor('a', 2)\n"
    )
    module = load_file(file)
    assert attempt(module.wrong)[1] == f"{file}, line 4: KeyError: 'nix'; correct it there"
    assert (attempt(module.wrong_text)[1] or "").startswith(f"{file}, line 6: JSONDecodeError: ")
    failure = attempt(module.wrong_call)[1] or ""
    assert "this is a fault of unpaired" in failure
    Path(failure.split(" in ")[-1]).unlink()


def test_a_fault_where_no_traceback_can_be_saved_names_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a full disk, which may be why something failed in a way that nobody foresaw."""

    def full(**_: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "mkstemp", full)
    failure = attempt(lambda: raising(RuntimeError("half a file")))[1] or ""
    assert failure.startswith(
        "unexpected RuntimeError: half a file; this is a fault of unpaired, please report it with "
    )
    assert failure.endswith("(no traceback could be saved: No space left on device)")
    assert f"{__file__}:" in failure


@pytest.mark.parametrize("error", [UnwritableError("disk full"), KeyboardInterrupt(), SystemExit(3)])
def test_what_the_next_case_would_meet_too_is_raised(error: BaseException) -> None:
    with pytest.raises(type(error)):
        attempt(lambda: raising(error))


def test_work_that_succeeds_has_no_failure() -> None:
    assert attempt(lambda: 3) == (3, None)
