"""With --json whatever is wrong is one JSON object on standard output, and one line on standard error as always."""

import json
from pathlib import Path

import pytest

from unpaired import cli
from unpaired.commands.errors import wants_json
from unpaired.errors import Stopped


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict[str, object]]:
    """Exit code and the only JSON value; the only line of standard error says the same."""
    code = cli.main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert set(document) == {"error", "failures"}
    assert document["error"]["exit_code"] == code
    assert err.rstrip("\n").split("\n") == [f"unpaired: {document['error']['message']}"]
    return code, document


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("evaluate", "a", "b", "--polisy", "x"), ["--polisy"]),
        (("evaluate", "a", "b", "--policy", "x"), ["--policy", "'x'", "diagonal or excluded"]),
        (("evaluate", "a", "b", "--workers", "many"), ["--workers", "many"]),
        (("evaluate", "a"), ["REFERENCE"]),
        (("verify",), ["DATA"]),
        (("compare", "a", "b", "--out"), ["--out"]),
        (("frobnicate",), ["frobnicate", "verify"]),
        ((), ["--json"]),
    ],
)
def test_wrong_arguments(arguments: tuple[str, ...], words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, document = run(capsys, *arguments, "--json")
    assert code == 2
    assert document["failures"] == []
    message = str(document["error"])
    for word in words:
        assert word in message
    assert not set("│╭╰─|") & set(message)


def test_a_long_path_stays_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    path = tmp_path / ("long" * 60)
    for arguments in (("verify", "a", path), ("few-shot", path, "b", "c")):
        assert cli.main([*map(str, arguments)]) == 2
        assert str(path) in capsys.readouterr().err
    assert str(path) in str(run(capsys, "verify", "a", path, "--json")[1]["error"])


@pytest.mark.parametrize("arguments", [("verify", "nowhere"), ("compare", "a", "b"), ("evaluate", "a", "b")])
def test_wrong_input_of_every_command_that_knows_json(
    arguments: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(capsys, *arguments, "--json")[0] == 2


@pytest.mark.parametrize(("error", "code"), [(PermissionError(13, "denied", "x.nii"), 2), (Stopped("saved"), 130)])
def test_what_the_system_and_people_do(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def verify(data: str, /, *, json: bool = False) -> int:
        raise error

    monkeypatch.setitem(cli.COMMANDS, "verify", verify)
    assert run(capsys, "verify", "data", "--json")[0] == code


def test_help_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["verify", "--json", "--help"])
    assert stop.value.code == 0
    assert "usage: unpaired verify" in capsys.readouterr().out


def test_without_json_there_is_the_line_alone(capsys: pytest.CaptureFixture[str]) -> None:
    for more in ((), ("--json", "--no-json")):
        assert cli.main(["verify", *more]) == 2
        assert capsys.readouterr() == (
            "",
            "unpaired: verify takes DATA, got nothing, so DATA is missing; see unpaired verify --help\n",
        )


def test_what_a_command_prints_is_not_held_back(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    def verify(data: str, /, *, json: bool = False) -> int:
        print("half way", file=sys.stderr)
        assert capsys.readouterr().err == "half way\n"
        return 7

    monkeypatch.setitem(cli.COMMANDS, "verify", verify)
    assert cli.main(["verify", "data", "--json"]) == 7


def test_who_asks_for_json() -> None:
    assert wants_json(["verify", "--json"])
    assert not wants_json(["verify", "--json", "--no-json"])
    assert not wants_json(["verify", "a.json"])


@pytest.mark.parametrize("option", [["--set", "steps=3"], ["--set=steps=3"]])
def test_an_option_given_twice_is_refused_before_half_of_it_is_forgotten(
    option: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "train",
        "phantom/csa",
        str(tmp_path / "data"),
        str(tmp_path / "run"),
        "--set",
        "batch_size=1",
        *option,
    ]
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert error == (
        "unpaired: --set was given 2 times; give it once, with all its values after it, such as "
        "--set steps=100 batch_size=4\n"
    )
