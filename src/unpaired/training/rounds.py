"""The rounds of a self-training: what each is judged by, which are kept, and why another isn't.

A round is judged beside round 0, which learned from the labels alone (or is a teacher), and beside the best one so far:

    kept = mean(round) > mean(best)   and   d_m >= max(d_m(round 0), d_m(best)) - tolerance   for every m with d_m

d_m is the Dice of a modality's labeled validation cases. The mean also counts, of a modality without any, how stable
its label maps are (`training.stability`): a hint, which excuses no loss of Dice beyond the tolerance.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from unpaired.runs.run import Run
from unpaired.tables import DASH, Table

ROUNDING = 1e-9
"""Dice that sums of floats may be off by."""


@dataclass(frozen=True)
class Round:
    """A round: its run, whether it was kept, {modality: 0..1} of what it is judged by, and what it learned from:
    {modality: share} of voxels with a pseudo-label of one class, and of either of two."""

    run: str
    kept: bool
    dice: dict[str, float]
    """{modality: mean Dice of labeled validation cases}."""
    stability: dict[str, float]
    """{modality: stability of unlabeled scans}, of modalities without labeled validation cases."""
    sure: dict[str, float]
    either: dict[str, float]
    before: dict[str, float] = field(default_factory=dict)
    """{modality: the higher value of round 0 and the best round so far}, of the modalities that all of them know."""
    worse: tuple[str, ...] = ()
    """Modalities whose Dice fell by more than the tolerance."""
    tolerance: float = 0.0
    """Dice (0..1) that a modality may lose."""

    @property
    def values(self) -> dict[str, float]:
        """{modality: Dice or stability}."""
        return {**self.dice, **self.stability}

    @property
    def score(self) -> float:
        """The mean over modalities."""
        return _mean(self.values)

    @property
    def name(self) -> str:
        """The name of its run folder."""
        return Path(self.run).name

    def document(self) -> dict[str, Any]:
        """The round as JSON values, its score besides."""
        return asdict(self) | {"score": self.score}


def judged(of: Round, first: Round, best: Round, tolerance: float) -> Round:
    """A round with what it is compared with, and whether it is kept.

    A modality that `first` or `best` doesn't know counts nothing. `tolerance` is Dice, 0..1.
    """
    shared = [name for name in of.values if name in first.values and name in best.values]
    before = {name: max(first.values[name], best.values[name]) for name in shared}
    worse = tuple(name for name in shared if name in of.dice and of.dice[name] < before[name] - tolerance - ROUNDING)
    better = _mean(of.values, shared) > _mean(best.values, shared)
    return replace(of, kept=better and not worse, before=before, worse=worse, tolerance=tolerance)


def _mean(values: Mapping[str, float], names: list[str] | None = None) -> float:
    return float(np.mean([values[name] for name in (values if names is None else names)]))


@dataclass(frozen=True)
class SelfTraining:
    """The rounds in turn; the last one that was kept is the answer."""

    rounds: tuple[Round, ...]

    @property
    def run(self) -> Run:
        """The run of the last round that was kept."""
        return Run(self.kept.run)

    @property
    def kept(self) -> Round:
        """The last round that was kept."""
        return next(done for done in reversed(self.rounds) if done.kept)

    def table(self) -> Table:
        """A row for each round: what it is judged by, in percent, and what it learned from."""
        dice = list(dict.fromkeys(name for done in self.rounds for name in done.dice))
        stability = list(dict.fromkeys(name for done in self.rounds for name in done.stability))
        head = ["round", *(f"Dice {name}" for name in dice), *(f"stability {name}" for name in stability), "mean"]
        rows = [
            [
                done.name,
                *(
                    _percent(of.get(name))
                    for of, names in ((done.dice, dice), (done.stability, stability))
                    for name in names
                ),
                _percent(done.score),
                ", ".join(f"{name} {100 * share:.1f} %" for name, share in done.sure.items()) or DASH,
                "yes" if done.kept else "no",
            ]
            for done in self.rounds
        ]
        notes = [
            "Dice: labeled validation cases. Stability: how alike label maps of unlabeled scans stay when contrast "
            "changes at random; a hint, no measurement.",
            "Labeled: voxels with a pseudo-label of one class.",
            *self._reasons(),
        ]
        return Table([*head, "labeled", "kept"], rows, "l" + "r" * len(head[1:]) + "ll", notes=notes)

    def _reasons(self) -> list[str]:
        """Why the last round isn't kept, and what it may be of use for."""
        last, kept = self.rounds[-1], self.kept
        if last.kept:
            return []
        fell = [f"Dice of {name} fell from {_change(last, name)}" for name in last.worse]
        allowed = f", more than the {100 * last.tolerance:g} allowed" if fell else ""
        why = f"{' and '.join(fell)}{allowed}" if fell else "its mean is no higher"
        reasons = [f"{last.name} is not kept: {why}; {kept.name} stays the best."]
        gained = [
            name for name in last.dice if name in last.before and last.dice[name] > last.before[name] + last.tolerance
        ]
        if gained:
            changes = ", ".join(f"{name} ({_change(last, name)})" for name in gained)
            reasons.append(f"{last.name} is better for {changes}: it may segment that, and {kept.name} the rest.")
        return reasons


def _change(of: Round, name: str) -> str:
    return f"{_percent(of.before[name])} to {_percent(of.dice[name])}"


def _percent(value: float | None) -> str:
    return DASH if value is None else f"{100 * value:.1f}"
