"""Documents and settings by their types: what fits is converted, what doesn't is one line that names the place."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta

from unpaired.documents import SHOWN, UnfitError, decode, fitted, read, shown, words
from unpaired.errors import InputError


@dataclass(frozen=True)
class Scan:
    file: str
    spacing: tuple[float, float] = (1.0, 1.0)
    tags: Mapping[str, int] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Study:
    name: Literal["heart", "abdomen"]
    scans: tuple[Scan, ...]
    by_patient: dict[str, Scan] = field(default_factory=dict)
    share: "Annotated[float, Meta(gt=0, le=1)] | None" = None

    def __post_init__(self) -> None:
        if self.name == "heart" and len(self.scans) > 2:
            raise InputError("a heart has two scans at most")


def study(**changes: Any) -> dict[str, Any]:
    return {"name": "heart", "scans": [{"file": "a"}, {"file": "b", "spacing": [2, 2.5]}]} | changes


def test_what_fits_becomes_what_the_types_say() -> None:
    made = fitted(study(share=1, by_patient={"p": {"file": "c"}}), Study)
    assert made == Study("heart", (Scan("a"), Scan("b", (2.0, 2.5))), {"p": Scan("c")}, 1.0)
    assert isinstance(made.share, float)
    assert isinstance(made.scans[1].spacing, tuple)
    assert fitted({"1": [1, 2]}, dict[int, tuple[int, ...]]) == {1: (1, 2)}
    assert fitted(1, float | int | None) == 1
    assert type(fitted(1, float | int | None)) is int


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "expected a JSON object, got []"),
        (None, "expected a JSON object, got None"),
        (study(name="haert"), "name: expected 'abdomen' or 'heart', got 'haert'; did you mean heart?"),
        (study(name=3), "name: expected 'abdomen' or 'heart', got 3"),
        (study(scans={}), "scans: expected [a JSON object, ...], got {}"),
        (study(scans=[{"file": "a"}, {}]), "scans[1]: lacks 'file'"),
        (study(scans=[{"file": 3}]), "scans[0].file: expected text, got 3"),
        (study(scans=[{"file": "a", "spacin": [1, 1]}]), "scans[0]: unknown field 'spacin'; did you mean spacing?"),
        (study(scan=[]), "unknown field 'scan'; did you mean scans?"),
        (study(scans=[{"file": "a", "spacing": [1]}]), "scans[0].spacing: expected [a number, a number], got [1]"),
        (study(scans=[{"file": "a", "spacing": [1, "2"]}]), "scans[0].spacing[1]: expected a number, got '2'"),
        (study(scans=[{"file": "a", "tags": {"x": True}}]), "scans[0].tags.x: expected a whole number, got True"),
        (study(by_patient={"p 1": {"file": None}}), "by_patient['p 1'].file: expected text, got None"),
        (study(by_patient={"p\n1": []}), r"by_patient['p\n1']: expected a JSON object, got []"),
        (study(share=0), "share: expected a number above 0 and up to 1 or null, got 0"),
        (study(share="1"), "share: expected a number above 0 and up to 1 or null, got '1'"),
        (study(scans=[{"file": "a"}] * 3), "a heart has two scans at most"),
        ({"scans": []}, "lacks 'name'"),
    ],
)
def test_what_does_not_fit_is_one_line_that_names_the_place(document: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        decode(document, Study, "study.json", "write it again")
    assert str(caught.value) == f"study.json: {message}; write it again"


def test_other_fields_are_passed_over_where_a_reader_wants_a_part(tmp_path: Path) -> None:
    document = study(scans=[{"file": "a", "modality": "ct"}], about="more")
    assert fitted(document, Study, others=True).scans == (Scan("a"),)
    with pytest.raises(UnfitError, match=r"unknown field 'about'|scans\[0\]"):
        fitted(document, Study)
    (tmp_path / "x.json").write_text(json.dumps({"schema": 2, "about": "more", **study()}), encoding="utf-8")
    assert read(tmp_path / "x.json", Study, "write it again", schema=2).name == "heart"


@pytest.mark.parametrize(
    ("schema", "found"), [({}, "none"), ({"schema": 1}, "schema 1"), ({"schema": "2"}, "schema '2'")], ids=str
)
def test_a_file_of_another_schema_is_refused(schema: dict[str, Any], found: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(schema | study()), encoding="utf-8")
    with pytest.raises(InputError, match=f"x.json: expected schema 2, found {found} .*; write it again"):
        read(path, Study, "write it again", schema=2)
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(InputError, match="expected schema 2, found none"):
        read(path, Study, "write it again", schema=2)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (int, "a whole number"),
        (Annotated[int, Meta(ge=1)], "a whole number of 1 or more"),
        (Annotated[float, Meta(ge=0, lt=1)], "a number of 0 or more and below 1"),
        (Annotated[float, Meta(ge=0, le=1)], "a number between 0 and 1"),
        (Annotated[float, Meta(gt=0)] | None, "a number above 0 or null"),
        (float | int | None, "a number or null"),
        (bool, "true or false"),
        (Annotated[str, Meta(min_length=1)], "text that isn't empty"),
        (Literal["b"] | tuple[str, ...], "'b' or [text, ...]"),
        (Literal["a", "b", "c"], "'a', 'b' or 'c'"),
        (Annotated[tuple[int, ...], Meta(min_length=1)], "[a whole number, ...], at least 1 of them"),
        (Annotated[tuple[int, ...], Meta(min_length=2, max_length=3)], "[a whole number, ...], 2 to 3 of them"),
        (Annotated[tuple[int, ...], Meta(max_length=3)], "[a whole number, ...], 0 to 3 of them"),
        (Annotated[list[int], Meta(min_length=3, max_length=3)], "[a whole number, ...], 3 of them"),
        (tuple[int, str], "[a whole number, text]"),
        (dict[str, Any], "a JSON object"),
        (Mapping[str, list[bool]], "a JSON object {name: [true or false, ...]}"),
        (Any, "any value"),
        (Path, "Path"),
    ],
)
def test_types_in_words(kind: Any, said: str) -> None:
    assert words(kind) == said


def test_a_long_value_is_cut_and_stays_on_one_line() -> None:
    assert shown("a\nb") == r"'a\nb'"
    assert shown(range(3)) == "range(0, 3)"
    assert len(shown(list(range(1000)))) == SHOWN + 3
