"""How large organs are and where what is too much lies, on masks whose answer is known (studies/organ_sizes.py)."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

STUDIES = Path(__file__).parent.parent / "studies"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(STUDIES))
    spec = importlib.util.spec_from_file_location("organ_sizes", STUDIES / "organ_sizes.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "organ_sizes", module)  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def test_what_is_too_much_lies_beyond_the_organ_or_beside_it(script: ModuleType) -> None:
    truth = np.zeros((3, 4, 4), bool)
    truth[1, :2] = True  # 8 voxels, in the middle slice
    predicted = np.zeros_like(truth)
    predicted[1, 1:3] = True  # 4 of them, and 4 beside
    predicted[2, 0, :3] = True  # 3 in a slice beyond
    assert script.size_of(predicted, truth) == script.Size(11 / 8, beyond=3 / 8, too_much=4 / 8, missing=4 / 8)


def test_several_folds_are_a_row(script: ModuleType) -> None:
    assert script.rows_of(["a=b/c,d", "e"]) == {"a": [Path("b/c"), Path("d")], "e": [Path("e")]}
