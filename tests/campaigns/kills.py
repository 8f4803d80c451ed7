"""kill -9 of every command at random moments; the same command again has to end as if nothing had been.

    PYTHONPATH=tests python -m campaigns.kills --seed 0 --count 300

`count` kills go round the commands, quick ones more often. A kill takes the command's process alone (the memory killer,
an impatient person), all of its processes (a power cut) or, of `predict`, the process with the networks alone. Every
third time the second try is killed too. In the end everything must be bit for bit what undisturbed work makes (weights,
states, label maps, probabilities, scores, pages; times aside), nothing more may lie there, and no process may have
lived on. What is there under its own name right after the kill must be whole.
"""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from campaigns.commands import Command, difference, leftovers, run, snapshot, start, warm_up
from campaigns.tally import Tally, run_alone
from campaigns.workspace import Stage, copy, in_turn, stages

WHOLE = (".nii.gz", ".npy", ".npz", "scores.json", "scores.csv", ".html", "weights_best.safetensors")
"""What appears under its name only when it is whole, and is the same at every time (weights: but for a training's)."""


def campaign(seed: int, count: int, folder: Path, tally: Tally) -> None:
    """Kill `count` times, in every command in turn."""
    warm_up()
    place = folder / "study"
    every = stages(folder, place)
    order = in_turn(every)
    for number in range(count):
        stage = order[number % len(order)]
        rng = np.random.default_rng((seed, number))
        copy(stage.before, place)
        problem = kill_and_repeat(stage, place, folder / "said", rng)
        if problem in ("ended before", None):
            tally.add(stage.step.name, "killed, nothing lost" if problem is None else "ended before the kill")
        else:
            tally.fault(stage.step.name, f"{problem}, seed {seed}, number {number}")


def kill_and_repeat(stage: Stage, place: Path, said: Path, rng: np.random.Generator) -> str | None:
    """What went wrong; "ended before" if the command was faster than the kill, None if nothing was lost."""
    who = str(rng.choice(["process", "everything"] + (["networks"] if stage.step.name == "predict" else [])))
    kills = 2 if rng.random() < 1 / 3 else 1
    killed = False
    for _ in range(kills):
        command = start(stage.step.arguments, place, said)
        time.sleep(float(rng.uniform(0, stage.seconds)))
        if who == "networks":
            problem = _kill_the_networks(command)
        else:
            command.kill(everything=who == "everything")
            problem = None
        ended = command.wait()
        killed = killed or ended.code == -signal.SIGKILL or (who == "networks" and problem is None)
        if problem not in (None, "ended before"):
            return problem
        if ended.code not in (0, -signal.SIGKILL):
            return f"exit code {ended.code}: {ended.last_line}"
        if command.outlived():
            return f"a process lived on after the kill of {who}"
        torn = [] if stage.step.name == "train" else half_written(stage, place)
        if torn:
            return f"half written after the kill of {who}: {torn[:3]}"
    ended = run(stage.step.arguments, place, said)
    if ended.code:
        return f"after the kill of {who} the same command ends with {ended.code}: {ended.last_line}"
    wrong = difference(stage.after, snapshot(place))
    if wrong is not None:
        return f"after the kill of {who}: {wrong}"
    left = leftovers(place)
    if left:
        return f"after the kill of {who} is left over: {left[:3]}"
    return None if killed else "ended before"


def half_written(stage: Stage, place: Path) -> list[str]:
    """Files that are there under their names and hold something else than before and than in the end."""
    before = snapshot(stage.before)
    now = {name: value for name, value in snapshot(place).items() if not Path(name).name.startswith(".tmp")}
    now = {name: value for name, value in now.items() if "/.tmp" not in f"/{name}"}
    return [
        name
        for name, value in now.items()
        if name.endswith(WHOLE) and value not in (before.get(name), stage.after.get(name))
    ]


def _kill_the_networks(command: Command) -> str | None:
    """As the kernel's memory killer does; the command itself has to go on and end well."""
    children = Path(f"/proc/{command.process}/task/{command.process}/children")
    until = time.monotonic() + 20
    while command.poll() is None and time.monotonic() < until:
        numbers = children.read_text().split() if children.exists() else []
        if numbers:
            try:
                os.kill(int(numbers[0]), signal.SIGKILL)
            except ProcessLookupError:
                continue
            return None
        time.sleep(0.005)
    return "ended before"


if __name__ == "__main__":
    sys.exit(run_alone(campaign, 300, __doc__))
