"""Two of everything in one folder at once: one is told that the folder is in use, or both end right; nothing is mixed.

    PYTHONPATH=tests python -m campaigns.together --seed 0 --count 10

`count` times for every quick command (slow ones less often) the same command is started twice, the second at a random
moment of the first; and two trainings of different recipes share one folder of prepared volumes.
"""

import sys
import time
from pathlib import Path

import numpy as np

from campaigns.commands import Ended, difference, leftovers, run, snapshot, start, warm_up
from campaigns.tally import Tally, run_alone
from campaigns.workspace import OTHER, STEPS, Stage, copy, others, stages

AT_ONCE = 0.4
"""The second begins within this share of the time that the first took undisturbed."""
APART = "one after the other"
ENDS = ("both right", "one was told: in use", APART)


def campaign(seed: int, count: int, folder: Path, tally: Tally) -> None:
    """`count` pairs of every command."""
    warm_up()
    place = folder / "study"
    every = stages(folder, place)
    for number in range(count):
        for index, stage in enumerate(every):
            if number * stage.step.turns // 5 == (number + 1) * stage.step.turns // 5:
                continue
            rng = np.random.default_rng((seed, number, index))
            copy(stage.before, place)
            _note(tally, f"two of {stage.step.name}", two_at_once(stage, place, folder / "said", rng), seed, number)
    trained = next(stage for stage in every if stage.step.name == "train")
    copy(trained.before, place)
    both = _both_trained(place, folder / "said")
    for number in range(count):
        copy(trained.before, place)
        rng = np.random.default_rng((seed, number, 99))
        arguments = [STEPS["train"].arguments, others()[0]]
        ended, met = _pair(arguments, place, folder / "said", rng.uniform(0, AT_ONCE * trained.seconds))
        problem = next((each.problem((0,)) for each in ended if each.problem((0,))), None)
        wrong = problem or difference(both, snapshot(place))
        _note(tally, "two runs, one cache", wrong or ("both right" if met else APART), seed, number)


def _note(tally: Tally, what: str, ended: str, seed: int, number: int) -> None:
    if ended in ENDS:
        tally.add(what, ended)
    else:
        tally.fault(what, f"{ended}, seed {seed}, number {number}")


def _both_trained(place: Path, said: Path) -> dict[str, str]:
    for arguments in (STEPS["train"].arguments, others()[0]):
        ended = run(arguments, place, said)
        assert ended.code == 0, ended.error
    assert (place / OTHER).is_dir()
    return snapshot(place)


def two_at_once(stage: Stage, place: Path, said: Path, rng: np.random.Generator) -> str:
    """How it ended, in words."""
    ended, met = _pair([stage.step.arguments] * 2, place, said, rng.uniform(0, AT_ONCE * stage.seconds))
    for each in ended:
        problem = each.problem((0, 2))
        if problem is not None:
            return problem
        if each.code == 2 and "in use" not in each.error:
            return f"exit code 2, and not because the folder is in use: {each.last_line}"
    codes = sorted(each.code for each in ended)
    if codes == [2, 2]:
        return "both were told that the folder is in use"
    wrong = difference(stage.after, snapshot(place))
    if wrong is not None:
        return f"exit codes {codes}, then {wrong}"
    if left := leftovers(place):
        return f"left over: {left[:3]}"
    again = run(stage.step.arguments, place, said)
    wrong = again.problem((0,)) or difference(stage.after, snapshot(place))
    if wrong is not None:
        return f"the same command once more: {wrong}"
    return "one was told: in use" if codes != [0, 0] else "both right" if met else APART


def _pair(arguments: list[tuple[str, ...]], place: Path, said: Path, apart: float) -> tuple[list[Ended], bool]:
    """How two commands ended, and whether the first still worked when the second began."""
    first = start(arguments[0], place, said / "0")
    time.sleep(apart)
    met = first.poll() is None
    second = start(arguments[1], place, said / "1")
    return [first.wait(), second.wait()], met


if __name__ == "__main__":
    sys.exit(run_alone(campaign, 10, __doc__))
