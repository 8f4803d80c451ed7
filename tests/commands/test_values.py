"""An argument that is missing or can't have the value that it has: one line with what was expected and what came."""

import pytest

from unpaired import cli
from unpaired.commands.taken import taken_by
from unpaired.commands.values import refuse_empty
from unpaired.errors import InputError


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("train", "train takes RECIPE DATA RUN, got nothing, so RECIPE, DATA and RUN are missing"),
        ("train phantom/csa d", "train takes RECIPE DATA RUN, got 'phantom/csa' 'd', so RUN is missing"),
        ("demo --seed", "demo expects a whole number after --seed, got nothing"),
        ("split d o --folds", "split expects a whole number after --folds, got nothing"),
        ("split d o --folds --test 0.1", "split expects a whole number after --folds, got nothing"),
        ("split d o --folds 2.5", "split expects a whole number after --folds, got '2.5'"),
        ("split d o --test 0,2", "split expects a number after --test, got '0,2'"),
        ("split d o --test=", "split expects a number after --test, got ''"),
        ("train r d o --cache", "train expects PATH after --cache, got nothing"),
        ("train r d o --set --folds 3", "train expects FIELD=VALUE after --set, got nothing"),
        ("predict r d o --also a --also", "predict expects RUN after --also, got nothing"),
        ("features r --pair bottom", "features expects LAYER LAYER after --pair, got 'bottom'"),
        ("few-shot d o mr two", "few-shot expects a whole number as COUNT, got 'two'"),
        ("phantom d --size huge", "phantom expects tiny, demo or realistic after --size, got 'huge'"),
        ("features r --choose-on test", "features expects validation or train after --choose-on, got 'test'"),
        (
            "study one_change d r --seeds 0 x",
            "study expects a whole number after --seeds, got 'x'; --seeds takes all words up to the next option",
        ),
        (
            "predict r d o --objects seg x",
            "predict expects seg, rtstruct, sc or pdf after --objects, got 'x'; --objects takes all words up to the "
            "next option",
        ),
        (
            "pack --out m.unpaired --trust a b",
            "pack takes RUN ..., got nothing, so RUN is missing; --trust takes all words up to the next option",
        ),
        ("join --out x.json", "join takes DATA ..., got nothing, so DATA is missing"),
        ("join a b", "join needs --out PATH"),
        ("labeled-fraction d o", "labeled-fraction needs --fraction FRACTION"),
        ("dicom list", "dicom list takes TREE ..., got nothing, so TREE is missing"),
        ("dicom send a", "dicom send takes ARCHIVE FILE ..., got 'a', so FILE is missing"),
        ("inspect --page -- d", "inspect expects PATH after --page, got nothing"),
    ],
)
def test_what_is_missing_or_does_not_fit_is_one_line(typed: str, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(typed.split()) == 2
    name = " ".join(typed.split()[: 2 if typed.startswith("dicom") else 1])
    assert capsys.readouterr() == ("", f"unpaired: {line}; see unpaired {name} --help\n")


def test_the_nearest_choice_is_guessed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evaluate", "p", "r", "--policy", "diag"]) == 2
    assert capsys.readouterr().err == (
        "unpaired: evaluate expects diagonal or excluded after --policy, got 'diag'; did you mean diagonal? see "
        "unpaired evaluate --help\n"
    )


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ([], "expected a command, got none; known: demo, phantom, import, "),
        (["--json"], "expected a command, got '--json'; known: demo, phantom, import, "),
        (["dicom"], "expected a command, got none; known: list, fetch, send, watch (see unpaired dicom --help)\n"),
    ],
)
def test_no_command_is_one_line(typed: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(typed) == 2
    assert capsys.readouterr().err.startswith(f"unpaired: {line}")


def test_an_empty_list_is_refused_only_where_it_says_nothing() -> None:
    taken = taken_by(cli.COMMANDS["predict"])
    refuse_empty("unpaired predict", taken, ["r", "d", "o", "--objects", "--json"])
    with pytest.raises(InputError, match="predict expects MODULE after --trust, got nothing; see unpaired predict"):
        refuse_empty("unpaired predict", taken, ["r", "d", "o", "--trust", "--json"])


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_each_kind_of_option_of_each_command_says_that_its_value_is_missing(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = taken_by(cli.COMMANDS[name])
    kinds = {(argument.fewest, argument.most): option for option, argument in taken.options.items() if argument.fewest}
    for option in kinds.values():
        assert cli.main([*name.split(), option]) == 2
        assert f" after {option}, got nothing; see unpaired {name} --help\n" in capsys.readouterr().err
