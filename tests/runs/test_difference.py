"""The first difference between two documents, in words."""

from typing import Any

import pytest

from unpaired.runs.difference import first_difference


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
