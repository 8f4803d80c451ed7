"""The first difference between two documents, in words; all of two stored configs, whichever versions wrote them."""

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from unpaired.configs import to_json
from unpaired.networks.fcn import FCNConfig
from unpaired.recipes.phantom import msbn
from unpaired.runs.difference import ABSENT, differences, first_difference


@pytest.mark.parametrize(
    ("stored", "wanted", "expected"),
    [
        ({"a": 1}, {"a": 1}, None),
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, "recipe.b is 2 there and 3 here"),
        ({"a": 1}, {"a": 1, "b": 3}, "recipe.b is None there and 3 here"),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}}, "recipe.a.b is [1, 2] there and [1, 3] here"),
        ({"alpha": 1, "type": "x"}, {"alpha": 2, "type": "y"}, "recipe.type is 'x' there and 'y' here"),
        ([1], {"a": 1}, "recipe is [1] there and {'a': 1} here"),
    ],
)
def test_the_first_difference_is_named(stored: Any, wanted: Any, expected: str | None) -> None:
    assert first_difference(stored, wanted, "recipe") == expected


@pytest.fixture(scope="module")
def stored() -> dict[str, Any]:
    return to_json(replace(msbn(), network=FCNConfig(width=4)))


def without(config: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name not in names}


def test_what_an_earlier_version_left_out_is_what_it_did(stored: dict[str, Any]) -> None:
    older = without(stored, "memory_format", "trained", "randomization")
    older["postprocessing"] = older["postprocessing"] | {"type": "unpaired.inference.postprocess:Postprocessing"}
    older["network"] = without(older["network"], "dropout")
    assert stored["network"]["dropout"] == FCNConfig().dropout
    assert list(differences(older, stored)) == []
    assert list(differences(stored, older)) == []


def test_another_value_than_the_default_of_an_older_run_is_a_difference(stored: dict[str, Any]) -> None:
    last = to_json(replace(msbn(), memory_format="channels_last", network=FCNConfig(width=8, dropout=0.5)))
    first = without(stored, "memory_format") | {"network": without(to_json(FCNConfig(width=4)), "dropout")}
    assert list(differences(first, last)) == [
        ("network.width", 8),
        ("network.dropout", 0.5),
        ("memory_format", "channels_last"),
    ]
    assert list(differences(last, first)) == [
        ("network.width", 4),
        ("network.dropout", FCNConfig().dropout),
        ("memory_format", "contiguous"),
    ]


def test_classes_that_are_not_the_packages_have_no_known_defaults() -> None:
    theirs = {"type": "their_code:Config", "width": 8}
    deeper = {"type": "their_code:Config", "width": 8.0, "depth": {"type": "x:Y", "a": [1, 2]}}
    assert list(differences(theirs, deeper)) == [("depth.type", "x:Y"), ("depth.a", [1, 2])]
    assert list(differences(deeper, theirs)) == [("depth.type", ABSENT), ("depth.a", ABSENT)]
    assert list(differences(theirs, {"type": "their_code:Other", "depth": 2})) == [
        ("type", "their_code:Other"),
        ("depth", 2),
        ("width", ABSENT),
    ]
    assert list(differences({"network": None}, {"network": theirs})) == [
        ("network.type", "their_code:Config"),
        ("network.width", 8),
    ]


def test_recipes_that_differ_in_what_both_say_are_told_apart_without_torch(stored: dict[str, Any]) -> None:
    other = without(stored, "memory_format", "steps") | {"steps": stored["steps"] + 1}
    code = (
        "import json, sys; from unpaired.runs.difference import differences; "
        "first, other = json.loads(sys.argv[1]); print(next(differences(first, other))[0], 'torch' in sys.modules)"
    )
    texts = [json.dumps([stored, other])]
    done = subprocess.run([sys.executable, "-c", code, *texts], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["steps", "False"]
