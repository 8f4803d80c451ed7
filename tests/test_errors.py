"""Hints for names that are not known."""

from unpaired.errors import SHOWN, nearest, printable


def test_a_near_name_is_asked_for() -> None:
    assert nearest("dise", ["dice", "hd95"]) == "did you mean dice?"


def test_few_names_are_all_known_and_many_are_counted() -> None:
    assert nearest("zzz", ["dice", "hd95"]) == "known: dice, hd95"
    many = [f"case_{number:03}" for number in range(SHOWN + 5)]
    hint = nearest("zzz", many)
    assert hint.endswith(f"{many[SHOWN - 1]} and 5 more")
    assert many[SHOWN] not in hint


def test_a_message_moves_no_cursor_and_breaks_no_line() -> None:
    assert printable("a\x1b[2J\nb\0\udcff é 心") == r"a\x1b[2J\nb\x00\udcff é 心"
