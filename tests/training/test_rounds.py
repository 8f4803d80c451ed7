"""Which rounds of a self-training are kept, by hand-made scores."""

import pytest

from unpaired.training.rounds import Round, SelfTraining, judged


def scored(dice: dict[str, float], stability: dict[str, float] | None = None, run: str = "round0") -> Round:
    return Round(run, True, dice, stability or {}, {}, {})


FIRST = scored({"ct": 0.90, "lge": 0.50})


@pytest.mark.parametrize(
    ("dice", "kept", "worse"),
    [
        ({"ct": 0.90, "lge": 0.60}, True, ()),
        ({"ct": 0.895, "lge": 0.60}, True, ()),  # within the tolerance
        ({"ct": 0.89, "lge": 0.60}, True, ()),  # just within it, though 0.90 - 0.01 is not 0.89 in floats
        ({"ct": 0.85, "lge": 0.90}, False, ("ct",)),  # what one gains doesn't pay for what the other loses
        ({"ct": 0.90, "lge": 0.50}, False, ()),  # no better
        ({"ct": 0.895, "lge": 0.50}, False, ()),
        ({"ct": 0.80, "lge": 0.40}, False, ("ct", "lge")),
    ],
)
def test_a_round_is_kept_if_the_mean_rises_and_no_modality_falls(
    dice: dict[str, float], kept: bool, worse: tuple[str, ...]
) -> None:
    done = judged(scored(dice), FIRST, FIRST, 0.01)
    assert (done.kept, done.worse) == (kept, worse)
    assert done.before == {"ct": 0.90, "lge": 0.50}
    assert done.tolerance == 0.01


def test_losses_within_the_tolerance_do_not_add_up_over_rounds() -> None:
    second = judged(scored({"ct": 0.893, "lge": 0.60}), FIRST, FIRST, 0.01)
    third = judged(scored({"ct": 0.886, "lge": 0.70}), FIRST, second, 0.01)
    assert (second.kept, third.kept, third.worse) == (True, False, ("ct",))


def test_what_a_kept_round_gained_is_not_given_away_either() -> None:
    second = judged(scored({"ct": 0.90, "lge": 0.70}), FIRST, FIRST, 0.01)
    third = judged(scored({"ct": 0.99, "lge": 0.65}), FIRST, second, 0.01)
    assert (third.kept, third.worse, third.before) == (False, ("lge",), {"ct": 0.90, "lge": 0.70})


def test_a_round_above_the_first_and_below_the_best_is_not_kept() -> None:
    second = judged(scored({"ct": 0.90, "lge": 0.70}), FIRST, FIRST, 0.01)
    third = judged(scored({"ct": 0.90, "lge": 0.695}), FIRST, second, 0.01)
    assert (third.kept, third.worse) == (False, ())  # nothing fell by more than the tolerance


def test_stability_is_in_the_mean_and_pays_for_no_dice() -> None:
    first = scored({"ct": 0.90}, {"lge": 0.50})
    assert judged(scored({"ct": 0.90}, {"lge": 0.60}), first, first, 0.01).kept
    assert not judged(scored({"ct": 0.91}, {"lge": 0.40}), first, first, 0.01).kept
    steady = judged(scored({"ct": 0.85}, {"lge": 0.99}), first, first, 0.01)
    assert (steady.kept, steady.worse) == (False, ("ct",))


def test_a_modality_that_the_first_round_did_not_know_counts_nothing() -> None:
    second = judged(scored({"ct": 0.91, "t2": 0.10}, run="round1"), scored({"ct": 0.90}), scored({"ct": 0.90}), 0.01)
    assert (second.kept, second.before) == (True, {"ct": 0.90})
    table = SelfTraining((scored({"ct": 0.90}), second)).table()
    assert table.head[:4] == ["round", "Dice ct", "Dice t2", "mean"]
    assert [row[1:3] for row in table.rows] == [["90.0", "–"], ["91.0", "10.0"]]


def test_it_is_said_why_a_round_is_not_kept_and_what_it_is_good_for() -> None:
    second = judged(scored({"ct": 0.80, "lge": 0.90}, run="runs/round1"), FIRST, FIRST, 0.01)
    trained = SelfTraining((FIRST, second))
    assert trained.kept is FIRST
    assert trained.table().notes[2:] == [
        "round1 is not kept: Dice of ct fell from 90.0 to 80.0, more than the 1 allowed; round0 stays the best.",
        "round1 is better for lge (50.0 to 90.0): it may segment that, and round0 the rest.",
    ]
    third = judged(scored({"ct": 0.895, "lge": 0.505}, run="runs/round1"), FIRST, FIRST, 0.01)  # a change of nothing
    assert SelfTraining((FIRST, third)).table().notes[2:] == [
        "round1 is not kept: its mean is no higher; round0 stays the best."
    ]
    assert len(SelfTraining((FIRST,)).table().notes) == 2
