"""What a caller from Python names: a lone text is one name and never its letters; a word that is none is one line."""

from pathlib import Path
from typing import Any, Literal

import pytest

from unpaired.choices import counted, nearest_divisor, nearest_multiple, require_choice, require_seed, several, some_of
from unpaired.errors import InputError
from unpaired.overrides import assignments
from unpaired.recipe import override
from unpaired.recipes.phantom import msbn


@pytest.mark.parametrize(
    ("given", "listed"),
    [
        ("runs/a", ["runs/a"]),
        (Path("runs/a"), [Path("runs/a")]),
        (5.0, [5.0]),
        (("a", "b"), ["a", "b"]),
        ((name for name in "ab"), ["a", "b"]),
        ((), []),
    ],
)
def test_one_is_a_list_of_itself(given: Any, listed: list[Any]) -> None:
    assert several(given) == listed


def test_what_a_message_names_says_how_many_it_leaves_out() -> None:
    assert some_of(["a", "b", "c"]) == "a, b, c"
    assert some_of(["a", "b", "c", "d"]) == "a, b, c and 1 more"
    assert some_of(range(7), 5) == "0, 1, 2, 3, 4 and 2 more"
    assert some_of([]) == ""


def test_a_number_has_its_word() -> None:
    assert counted(1, "case") == "1 case"
    assert counted(0, "case") == "0 cases"
    assert counted(2, "study", "studies") == "2 studies"


def test_a_word_that_is_none_of_a_few_is_one_line() -> None:
    kind = Literal["onnx", "torch", "openvino"]
    require_choice("torch", kind, "format")
    with pytest.raises(InputError, match=r"^format: expected 'onnx', 'torch' or 'openvino', got 'onx'$"):
        require_choice("onx", kind, "format")
    with pytest.raises(InputError, match=r"^dimensions: expected '2' or '3', got 2$"):
        require_choice(2, Literal["2", "3"], "dimensions")


@pytest.mark.parametrize("seed", [-1, 1.5, None, "1"])
def test_what_is_no_seed_is_one_line(seed: Any) -> None:
    require_seed(0)
    require_seed(2**70)
    with pytest.raises(InputError, match=rf"^seed: expected a whole number of 0 or more, got {seed!r}$"):
        require_seed(seed)


def test_changes_may_be_one_text_several_or_a_mapping() -> None:
    assert assignments("steps=5") == assignments(["steps=5"]) == assignments({"steps": 5}) == ["steps=5"]
    changed = override(msbn(), ["steps=5", "network.width=8", "patch_size=[32,32]", "optimization.optimizer=adam"])
    mapping = {"steps": 5, "network.width": 8, "patch_size": (32, 32), "optimization.optimizer": "adam"}
    assert override(msbn(), mapping) == changed
    with pytest.raises(InputError, match=r"--set stepz: Recipe has no field 'stepz'; did you mean steps"):
        override(msbn(), {"stepz": 5})
    with pytest.raises(InputError, match=r"not JSON serializable; replace whole parts .* dataclasses\.replace"):
        override(msbn(), {"network": msbn().network})


@pytest.mark.parametrize(
    ("value", "of", "multiple", "divisor"), [(7, 8, 8, 8), (33, 8, 32, 8), (1, 6, 6, 1), (4, 6, 6, 3)]
)
def test_the_nearest_number_that_fits(value: int, of: int, multiple: int, divisor: int) -> None:
    assert nearest_multiple(value, of) == multiple
    assert nearest_divisor(value, of) == divisor
