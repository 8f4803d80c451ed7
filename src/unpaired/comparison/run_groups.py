"""Runs of one recipe are one method: they differ in the seed or the split alone, and say so in their own files."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unpaired.choices import counted, some_of
from unpaired.comparison.contenders import folder_of, parse_contender
from unpaired.documents import read
from unpaired.errors import InputError
from unpaired.runs.difference import ABSENT, differences
from unpaired.runs.folder import RunFolder

OF_A_RUN = ("seed", "init_from", "paper_row")
"""The recipe's fields in which the runs of one method may differ; older runs state no row of a paper."""
NAMED = 3
"""How many differing fields a method's name spells out."""
ALIKE = 1.5
"""Runs with fewer training patients than others by this factor or more are another experiment (few-shot)."""
Row = Callable[[Mapping[str, Any], Mapping[str, int]], str | None]
"""What a paper calls a recipe that is trained on so many patients of each modality; None: nothing."""


@dataclass(frozen=True)
class RunGroup:
    """A method's name and where its runs are."""

    name: str
    places: tuple[Path, ...]


@dataclass(frozen=True)
class TrainedRun:
    """A run's place, its recipe and what may differ from those that repeat it."""

    place: Path
    recipe: Mapping[str, Any]
    split: Any
    training: Mapping[str, int]
    """{modality: patients trained on}; empty where the folder doesn't say."""

    def same_recipe(self, other: "TrainedRun") -> bool:
        """Whether both say the same recipe, whichever versions of the package wrote them; `OF_A_RUN` may differ."""
        return next(differences(self._of_the_method(), other._of_the_method()), None) is None

    def differing(self, other: "TrainedRun") -> list[tuple[str, Any]]:
        """The fields in which the other's recipe is another one, with what it has there."""
        return list(differences(self._of_the_method(), other._of_the_method()))

    def _of_the_method(self) -> dict[str, Any]:
        return {name: value for name, value in self.recipe.items() if name not in OF_A_RUN}

    def repeats(self, other: "TrainedRun") -> bool:
        """Whether both are runs of one method: one recipe, and about as many patients to train on."""
        counts = [(count, other.training.get(name, 0)) for name, count in self.training.items()]
        few = self.training.keys() != other.training.keys() or any(max(pair) >= ALIKE * min(pair) for pair in counts)
        return not few and self.same_recipe(other)


@dataclass(frozen=True)
class _Case:
    """What counts of a case in a run's dataset.json."""

    id: str
    patient: str
    modality: str
    label: str | None = None
    simulated: bool = False


@dataclass(frozen=True)
class _Dataset:
    """The part of a run's dataset.json that says how many patients it was trained on."""

    cases: tuple[_Case, ...]


def group_runs(texts: Sequence[str | RunGroup], row: Row | None = None) -> list[RunGroup]:
    """The methods behind arguments as `parse_contender` takes them, in order of first appearance.

    "NAME=PATH,PATH" stays what it is, and so does a group. Of the paths without a name, runs whose recipes differ in
    the seed alone become one method, unless they were trained on much fewer patients (see `ALIKE`); a path without a
    recipe is a method of its own. A method is called what `row` makes of its recipe, else as its first folder; where
    two recipes get one name, the later ones say in which fields they differ. Raises InputError for two runs of one
    recipe, seed and split, which are no repetition, and for a damaged `recipe.json`.
    """
    groups: list[tuple[str, list[TrainedRun] | tuple[Path, ...]]] = []
    for text in texts:
        if isinstance(text, RunGroup):
            groups.append((text.name, text.places))
            continue
        name, places = parse_contender(text)
        named = "=" in text and not Path(text).exists()
        run = read_trained_run(places[0]) if len(places) == 1 and not named else None
        if run is None:
            groups.append((name, places))
            continue
        own = next((runs for _, runs in groups if isinstance(runs, list) and run.repeats(runs[0])), None)
        if own is None:
            groups.append(((row(run.recipe, run.training) if row else None) or name, [run]))
        else:
            _require_another(run, own)
            own.append(run)
    firsts: dict[str, TrainedRun] = {}
    named_groups: list[RunGroup] = []
    for name, runs in groups:
        if not isinstance(runs, list):
            named_groups.append(RunGroup(name, runs))
            continue
        called = f"{name} ({_differing(firsts[name], runs[0])})" if name in firsts else name
        firsts.setdefault(name, runs[0])
        named_groups.append(RunGroup(called, tuple(run.place for run in runs)))
    return named_groups


def _require_another(run: TrainedRun, others: Sequence[TrainedRun]) -> None:
    for other in others:
        if (other.recipe.get("seed"), other.split) == (run.recipe.get("seed"), run.split):
            raise InputError(
                f"{other.place} and {run.place} are one recipe with one seed and split, which is no repetition; leave "
                "one out, or give them a name: NAME=PATH,PATH"
            )


def read_trained_run(place: Path) -> TrainedRun | None:
    """The run that a path given to `parse_contender` belongs to; None if it belongs to none.

    Raises InputError for a damaged file of the run.
    """
    run = RunFolder(folder_of(place))
    if not run.recipe_file.is_file():
        return None
    advice = "restore the file, or name the method yourself: NAME=PATH"
    recipe = read(run.recipe_file, dict[str, Any], advice)
    split = read(run.split_file, dict[str, list[str]], advice) if run.split_file.is_file() else None
    dataset = read(run.dataset_file, _Dataset, advice, others=True) if run.dataset_file.is_file() else None
    training = {} if split is None or dataset is None else _training(set(split.get("train", ())), dataset.cases)
    return TrainedRun(place, recipe, split, training)


def _training(trained: Collection[str], cases: Sequence[_Case]) -> dict[str, int]:
    """How many patients of each modality are labeled among the cases `trained`, without simulated ones beside them."""
    all_simulated = all(case.simulated for case in cases)
    patients: dict[str, set[str]] = {}
    for case in cases:
        if case.id in trained and case.label and (all_simulated or not case.simulated):
            patients.setdefault(case.modality, set()).add(case.patient)
    return {modality: len(names) for modality, names in sorted(patients.items())}


def _differing(first: TrainedRun, other: TrainedRun) -> str:
    """ "method.consistency=literal, steps=100": the fields of `other` that are not as in `first`."""
    fields = first.differing(other)
    parts = [
        f"{name.removesuffix('.type')}={str(value).rpartition(':')[2]}" for name, value in fields if value is not ABSENT
    ]
    parts += [f"no {name}" for name, value in fields if value is ABSENT]
    if not parts:
        parts = [f"{counted(count, f'{modality} patient')}" for modality, count in other.training.items()]
    return some_of(parts, NAMED)
