"""How the compared runs were trained: their losses and validation scores in one picture each, a line per run."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from unpaired.comparison.comparison import Comparison
from unpaired.comparison.contenders import Contender, folder_of
from unpaired.errors import InputError
from unpaired.figures.curves import Curve, Points, curves_of, draw_curve
from unpaired.report.pictures import Picture, themed
from unpaired.runs.facts import RunFacts, read_run_facts
from unpaired.runs.folder import LOG, RECIPE, VALIDATION

RUN_FILES = (RECIPE, LOG, VALIDATION)
LOSS, VALIDATION_DICE = "loss", "validation Dice"


@dataclass(frozen=True)
class MethodsTraining:
    """The pictures (loss, then validation Dice per modality), and why a method is in none or not in all of them."""

    curves: list[Picture]
    without: list[tuple[str, str]]


def methods_training(comparison: Comparison) -> MethodsTraining:
    """Read the logs of all runs among the methods. What is no run, or has no log, is named with the reason."""
    panels: dict[str, dict[str, Points]] = {}
    without: list[tuple[str, str]] = []
    groups: dict[str, str] = {}
    for method in comparison.contenders:
        for label, place in _runs(method):
            groups[label] = method.name
            facts = _facts(place)
            if isinstance(facts, str):
                without.append((label, facts))
                continue
            lines = dict(_lines(facts))
            for title, points in lines.items():
                panels.setdefault(title, {})[label] = points
            if len(lines) < 2 or LOSS not in lines:
                without.append((label, "; ".join(_missing(facts)) or "no numbers in log.csv or validation.csv"))
    curves = [
        Curve(title, lines, smooth=title == LOSS, groups=groups)
        for title, lines in sorted(panels.items(), key=lambda item: item[0] != LOSS)
    ]
    return MethodsTraining([_picture(curve, comparison.names) for curve in curves], without)


def _runs(method: Contender) -> Iterator[tuple[str, Path | None]]:
    """(what a line is called, the folder) for each run (seed, fold); None for scores that came from no folder."""
    places = method.places or (None,) * len(method.seeds)
    for number, place in enumerate(places, start=1):
        label = method.name if len(places) == 1 else f"{method.name}, run {number}"
        yield label, None if place is None else folder_of(place)


def _facts(folder: Path | None) -> RunFacts | str:
    """What a run says of itself, or why there is nothing."""
    if folder is None:
        return "its scores come from no folder"
    if not any((folder / name).is_file() for name in RUN_FILES):
        return "predictions or scores alone, no run folder: nothing says how they were made"
    try:
        return read_run_facts(folder)
    except InputError as error:
        return str(error)


def _missing(facts: RunFacts) -> Iterator[str]:
    """What is wrong with the two files that hold the curves."""
    for note in facts.notes:
        if note.startswith((LOG, VALIDATION)):
            yield note


def _lines(facts: RunFacts) -> Iterator[tuple[str, Points]]:
    """(panel, points): the loss, and for each modality the mean validation Dice."""
    for curve in curves_of(facts.log, facts.validation):
        if curve.title == LOSS:
            yield LOSS, curve.lines[""]
        elif curve.title == VALIDATION_DICE:
            for modality, points in curve.lines.items():
                yield f"{VALIDATION_DICE}, {modality}", points


def _picture(curve: Curve, names: list[str]) -> Picture:
    return themed(curve.title, lambda theme: draw_curve(curve, names, theme), curve.alt)
