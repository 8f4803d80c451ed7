"""What commands print to standard output."""

import io
import json
import sys

import pytest

from unpaired.commands.arguments import print_json

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
