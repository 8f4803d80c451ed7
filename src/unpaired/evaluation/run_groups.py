"""Runs of one recipe are one method: they differ in the seed or the split alone, and say so in their own files."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unpaired.errors import InputError
from unpaired.evaluation.contenders import folder_of, parse_contender
from unpaired.files import read_json

OF_A_RUN = ("seed", "init_from")
"""The recipe's fields in which the runs of one method may differ."""
NAMED = 3
"""So many differing fields stand in a method's name."""
Row = Callable[[Mapping[str, Any]], str | None]
"""What a paper calls a recipe; None: nothing."""


@dataclass(frozen=True)
class RunGroup:
    """A method's name and where its runs are."""

    name: str
    places: tuple[Path, ...]


@dataclass(frozen=True)
class _Run:
    """A place without a name of the user's, its recipe and what may differ from those that repeat it."""

    place: Path
    recipe: Mapping[str, Any]
    split: Any

    @property
    def key(self) -> str:
        """Equal for the runs of one method."""
        return json.dumps({name: value for name, value in self.recipe.items() if name not in OF_A_RUN}, sort_keys=True)


def group_runs(texts: Sequence[str], row: Row | None = None) -> list[RunGroup]:
    """The methods behind arguments as `parse_contender` takes them, in order of first appearance.

    "NAME=PATH,PATH" stays what it is. Of the paths without a name, runs whose recipes differ in the seed alone become
    one method; a path without a recipe is a method of its own. A method is called what `row` makes of its recipe, else
    as its first folder; where two recipes get one name, the later ones say in which fields they differ. Raises
    InputError for two runs of one recipe, seed and split, which are no repetition, and for a damaged `recipe.json`.
    """
    groups: dict[str, RunGroup] = {}
    found: dict[str, list[_Run]] = {}
    for text in texts:
        name, places = parse_contender(text)
        named = "=" in text and not Path(text).exists()
        run = _read(places[0]) if len(places) == 1 and not named else None
        if run is None:
            groups[text] = RunGroup(name, places)
            continue
        for other in found.get(run.key, ()):
            if (other.recipe.get("seed"), other.split) == (run.recipe.get("seed"), run.split):
                raise InputError(
                    f"{other.place} and {run.place} are one recipe with one seed and split, which is no repetition; "
                    "leave one out, or give them a name: NAME=PATH,PATH"
                )
        found.setdefault(run.key, []).append(run)
        if row is not None:
            name = row(run.recipe) or name
        groups.setdefault(run.key, RunGroup(name, ()))
    firsts: dict[str, _Run] = {}
    for key, runs in found.items():
        name = groups[key].name
        if name in firsts:
            name = f"{name} ({_differing(firsts[name].recipe, runs[0].recipe)})"
        firsts.setdefault(name, runs[0])
        groups[key] = RunGroup(name, tuple(run.place for run in runs))
    return list(groups.values())


def _read(place: Path) -> _Run | None:
    folder = folder_of(place)
    if not (folder / "recipe.json").is_file():
        return None
    advice = "restore the file, or name the method yourself: NAME=PATH"
    recipe = read_json(folder / "recipe.json", advice)
    if not isinstance(recipe, dict):
        raise InputError(f"{folder / 'recipe.json'} holds no recipe; {advice}")
    split = folder / "split.json"
    return _Run(place, recipe, read_json(split, advice) if split.is_file() else None)


def _differing(first: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """ "method.consistency=literal, steps=100": the fields of `other` that are not as in `first`."""
    ours, theirs = _flat(first), _flat(other)
    names = [name for name in theirs if theirs[name] != ours.get(name) and name not in OF_A_RUN]
    parts = [f"{name.removesuffix('.type')}={str(theirs[name]).rpartition(':')[2]}" for name in names]
    parts += [f"no {name}" for name in ours if name not in theirs]
    return ", ".join(parts[:NAMED]) + (f" and {len(parts) - NAMED} more" if len(parts) > NAMED else "")


def _flat(config: Any, where: str = "") -> dict[str, Any]:
    if not isinstance(config, Mapping):
        return {where: config}
    found: dict[str, Any] = {}
    for name, value in config.items():
        found |= _flat(value, f"{where}.{name}".lstrip("."))
    return found
