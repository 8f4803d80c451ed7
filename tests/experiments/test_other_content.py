"""What a study says of a run that lies in a row's place and is of another content."""

from collections.abc import Callable
from typing import Any

import pytest

from unpaired.experiments.content import Content

Edit = Callable[[dict[str, Any]], Any]


def document() -> dict[str, Any]:
    """As a record has it."""
    case = {"patient": "p", "modality": "ct", "values": {"1": "LV"}}
    return {
        "recipe": {"steps": 3, "method": {"weight": 0.5}},
        "data": {"classes": ["background", "LV"], "modalities": {}, "cases": {"a": case, "b": case}},
        "sides": {"a": ["train", "image", "label"], "b": ["test", "image", None]},
        "norms_of": None,
        "begins_with": "0123",
    }


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda old: old["recipe"]["method"].update(weight=1.0), "recipe.method.weight is 1.0 there and 0.5 here"),
        (lambda old: old["sides"].update(a=["test", "image", "label"]), "case a is on side test there and train here"),
        (lambda old: old["sides"].update(a=["train", "other", "label"]), "the image of a is another there"),
        (lambda old: old["sides"].update(b=["test", "image", "label"]), "the label map of b is another there"),
        (lambda old: old["sides"].pop("b"), "case b is missing there"),
        (lambda old: old["sides"].update(c=["train", "image", None]), "case c takes part there"),
        (lambda old: old["data"].update(classes=["background"]), "data.classes is ['background'] there and "),
        (lambda old: old["data"]["cases"]["a"].update(patient="q"), "data.cases.a.patient is 'q' there and 'p' here"),
        (lambda old: old.update(norms_of="mr"), "norms_of is 'mr' there and None here"),
        (lambda old: old.update(begins_with="4567"), "the run that it begins with is another there"),
        (lambda old: old.update(sides={"a": 3}), "as this version can't read it"),
    ],
)
def test_the_first_thing_that_is_otherwise_is_named(edit: Edit, said: str) -> None:
    old = document()
    edit(old)
    assert said in Content(document(), "k").difference(old)
