"""What `unpaired COMMAND --help` reads like, in a terminal of any width."""

import re
from inspect import signature
from itertools import pairwise
from typing import Annotated

import pytest
import tyro

from unpaired import cli
from unpaired.commands.help import with_readable_help


def help_of(command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    with pytest.raises(SystemExit) as stopped:
        cli.main([*command.split(), "--help"])
    assert stopped.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_a_default_is_said_once_and_never_as_nothing(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = help_of(command, capsys, monkeypatch, 200)
    assert "(default: )" not in text
    assert "(default: None)" not in text
    assert "(default: '')" not in text
    assert not re.search(r"\(default:[^()]*\)\.? \(default:", text)


@pytest.mark.parametrize("command", ["predict", "compare", "evaluate"])
@pytest.mark.parametrize("width", [80, 120])
def test_an_options_text_is_one_paragraph_within_the_width(
    command: str, width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = help_of(command, capsys, monkeypatch, width)
    lines = [line.replace("│", " ").rstrip() for line in text.splitlines()]
    boxes = lines[next(number for number, line in enumerate(lines) if "arguments" in line) :]
    assert max(map(len, boxes)) <= width
    continued = 0
    for line, following in pairwise(boxes):
        indent = len(following) - len(following.lstrip())
        if indent > 12 and len(line) - len(line.lstrip()) == indent:
            continued += 1
            word = following.split()[0]  # had it fit, the line before would hold it
            assert len(line) + 1 + len(word) > width - 3, (line, following)
    assert continued > 3


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_what_may_be_left_out_stands_in_brackets(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = re.sub(r" \[-.*?\]", "", help_of(command, capsys, monkeypatch, 200).partition("\n")[0])
    optional = [
        parameter.default != parameter.empty
        for parameter in signature(cli.COMMANDS[command]).parameters.values()
        if parameter.kind == parameter.POSITIONAL_ONLY
    ]
    assert usage.count("[") - usage.count("[OPTIONS]") == sum(optional), usage


def test_what_a_command_takes_stays_what_it_is() -> None:
    def command(
        run: tyro.conf.Positional[str],
        /,
        *,
        also: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = (),
        steps: int = 3,
        out: str | None = None,
    ) -> int:
        """Do it.

        Args:
            run: A run.
            also: Others.
            steps: How many
                (as a number).
            out: A place.
        """
        return 0

    parsed = with_readable_help(lambda *values, **named: (values, named), command)
    assert tyro.cli(parsed, args=["r", "--also", "a", "--also", "b", "--out", "x"]) == (
        ("r",),
        {"also": ("a", "b"), "steps": 3, "out": "x"},
    )
    assert "How many (as a number)." in (parsed.__doc__ or "")


def test_the_list_of_commands_has_a_paragraph_for_each(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    lines = capsys.readouterr().out.splitlines()
    listed = [match[1] for line in lines if (match := re.match(r"\W+[•*-] ([a-z-]+( [a-z]+)?) {2,}", line))]
    assert listed == list(cli.COMMANDS), "\n".join(lines[:12])
    assert len(lines) < 3 * len(cli.COMMANDS)


def test_an_option_that_takes_a_number_or_nothing_asks_for_a_number(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for command in cli.COMMANDS:
        assert "{None}" not in help_of(command, capsys, monkeypatch, 100), command
