"""What a command takes by its signature, and which typed words stand for what."""

from pathlib import Path
from typing import Literal

import pytest

from unpaired import cli
from unpaired.commands.arguments import AlsoRuns, Changes, Data, OptionalCount
from unpaired.commands.taken import Argument, given_to, taken_by


def command(
    data: Data,
    count: int = 3,
    /,
    *,
    out: Path,
    folds: OptionalCount = None,
    changes: Changes = (),
    also: AlsoRuns = (),
    pair: tuple[str, str] | None = None,
    shifts: tuple[float, ...] = (0, 5),
    side: Literal["test", "train"] = "test",
    json: bool = False,
) -> int:
    """Of every kind one."""
    raise NotImplementedError


def test_a_signature_says_what_a_command_takes() -> None:
    taken = taken_by(command)
    assert taken.names == {"DATA": Argument("DATA", Path, 1, 1, True), "COUNT": Argument("COUNT", int, 1, 1, False)}
    assert taken.options == {
        "--out": Argument("PATH", Path, 1, 1, True),
        "--folds": Argument("INT", int, 1, 1, False),
        "--set": Argument("FIELD=VALUE", str, 1, None, False),
        "--also": Argument("RUN", Path, 1, 1, False),
        "--pair": Argument("PAIR", str, 2, 2, False),
        "--shifts": Argument("SHIFTS", float, 0, None, False),
        "--side": Argument("SIDE", Literal["test", "train"], 1, 1, False),
    }
    assert taken.flags == ("--json", "--no-json")


@pytest.mark.parametrize(
    ("typed", "plain", "options", "unknown"),
    [
        ("d 2 --json --folds 3", ("d", "2"), (("--folds", ("3",)),), ()),
        ("--folds 3 d --folds=4", ("d",), (("--folds", ("3",)), ("--folds", ("4",))), ()),
        ("--set a b=c --json d", ("d",), (("--set", ("a", "b=c")),), ()),
        ("--set=a=b c --pair x y d", ("d",), (("--set", ("a=b", "c")), ("--pair", ("x", "y"))), ()),
        ("d --shifts -1 -.5 -inf --out", ("d",), (("--shifts", ("-1", "-.5", "-inf")), ("--out", ())), ()),
        ("d --frob x -y=2 --folds", ("d", "x"), (("--folds", ()),), ("--frob", "-y")),
        ("--folds -- --json d", ("--json", "d"), (("--folds", ()),), ()),
    ],
)
def test_words_stand_for_what_the_parser_takes_them_for(
    typed: str, plain: tuple[str, ...], options: tuple[tuple[str, tuple[str, ...]], ...], unknown: tuple[str, ...]
) -> None:
    given = given_to(taken_by(command), typed.split())
    assert (given.plain, given.options, given.unknown) == (plain, options, unknown)


def test_what_each_command_takes_is_what_its_help_lists(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    for name, command in cli.COMMANDS.items():
        with pytest.raises(SystemExit):
            cli.main([*name.split(), "--help"])
        said = capsys.readouterr().out
        taken = taken_by(command)
        listed = {word.rstrip(",") for word in said.split()}
        # the layouts stand in the place of LAYOUT
        assert {*taken.options, *taken.flags, *taken.names} - {"LAYOUT"} <= listed, name
