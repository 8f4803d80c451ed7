"""What commands print to standard output."""

import io
import json
import sys
from pathlib import Path

import pytest

import unpaired
from unpaired.cli import main
from unpaired.commands.arguments import failed, print_json
from unpaired.experiments.results import StudyResults

DOCUMENT = {"class": "Vorhöfe", "file": "scan\udce9.nii", "dice": [0.5, None]}
"""The file's name holds a byte that is no UTF-8, as Python reads names from a Linux folder."""


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp1252"])
def test_json_is_printed_whatever_standard_output_can_encode(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(said, encoding=encoding, write_through=True))
    print_json(DOCUMENT)
    assert json.loads(said.getvalue().decode(encoding)) == DOCUMENT


def test_letters_stand_as_they_are_where_they_can(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"class": "Vorhöfe"})
    assert capsys.readouterr().out == '{\n "class": "Vorhöfe"\n}\n'


def test_failures_that_were_told_are_counted_and_named() -> None:
    assert failed([]) == "0 failed"
    assert failed([("a", "why"), ("b\x1b", "why")]) == "2 failed: a; b\\x1b"
    assert failed([(f"{number}", "") for number in range(99)]).endswith("; 14; 15; and 83 more")


def test_a_study_ends_by_naming_what_failed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Why was said when it failed."""
    made = StudyResults(Path("out"), (), (), None, [("own, MSBN, seed 0", "no patients"), ("own, CSA, seed 0", "none")])
    monkeypatch.setattr(unpaired, "study", lambda *values, **named: made)
    assert main(["study", "csa_table1", "data", "out"]) == 1
    assert capsys.readouterr().err == "2 failed: own, MSBN, seed 0; own, CSA, seed 0 (why is said above)\n"
