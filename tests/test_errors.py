"""Hints for names that are not known."""

import pytest

from unpaired.errors import SHOWN, InputError, nearest, printable, require_name, told_apart


def test_a_near_name_is_asked_for() -> None:
    assert nearest("dise", ["dice", "hd95"]) == "did you mean dice?"


def test_few_names_are_all_known_and_many_are_counted() -> None:
    assert nearest("zzz", ["dice", "hd95"]) == "known: dice, hd95"
    assert nearest("MR", ["ct", "mr"]) == "did you mean mr?"
    many = [f"case_{number:03}" for number in range(SHOWN + 5)]
    hint = nearest("zzz", many)
    assert hint.endswith(f"{many[SHOWN - 1]} and 5 more")
    assert many[SHOWN] not in hint


@pytest.mark.parametrize(
    ("first", "second"), [("M\u00fcller", "Mu\u0308ller"), ("p\u200b1", "p1"), ("a\u00a0b", "a b")]
)
def test_names_that_look_the_same_are_told_apart_by_their_characters(first: str, second: str) -> None:
    assert nearest(first, ["x", second]) == f"did you mean {second!a}, which looks the same and is not {first!a}?"
    assert told_apart(first, second) == (ascii(first), ascii(second))
    assert told_apart("M\u00fcller", "Meier") == ("'M\u00fcller'", "'Meier'")


@pytest.mark.parametrize("name", [" ", "\u200b", "\u3164\ufe0f"])
def test_a_name_that_nobody_sees_is_blank(name: str) -> None:
    with pytest.raises(InputError, match="is blank; give it a name"):
        require_name(name, "here")


def test_a_message_moves_no_cursor_and_breaks_no_line() -> None:
    assert printable("a\x1b[2J\nb\0\udcff é 心") == r"a\x1b[2J\nb\x00\udcff é 心"
