"""Few-shot curves: a score against the number of training patients of one modality, every draw of them a run.

Runs of one recipe belong to a curve if they were trained on much fewer patients of one modality and on as many of all
others (`unpaired few-shot` makes such splits); the run on all patients is where the curve ends.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from unpaired.comparison.comparison import Comparison
from unpaired.comparison.records import Key
from unpaired.comparison.run_groups import ALIKE, TrainedRun, read_trained_run


@dataclass(frozen=True)
class Draw:
    """One run on `patients` training patients: its score in the curve's modality, the mean over patients."""

    patients: int
    value: float
    place: Path


@dataclass(frozen=True)
class FewShotCurve:
    """A score of a method in one modality (`measured`), by how many patients of `scarce` it was trained on."""

    method: str
    scarce: str
    measured: str
    score: str
    draws: tuple[Draw, ...]

    @property
    def means(self) -> dict[int, float]:
        """{training patients: the mean over the draws}, from few to all."""
        counts = sorted({draw.patients for draw in self.draws})
        return {count: fmean(draw.value for draw in self.draws if draw.patients == count) for count in counts}


def few_shot_curves(comparison: Comparison) -> list[FewShotCurve]:
    """The curves that a comparison's runs draw, in its first score, over all classes together.

    A curve is called as the method with the most training patients. Empty if no recipe was trained on several numbers
    of patients of one modality, or if the compared paths are no run folders, which alone say so.
    """
    recipes: list[list[tuple[str, int, TrainedRun]]] = []
    for method in comparison.contenders:
        for number, place in enumerate(method.places):
            run = read_trained_run(place)
            if run is None or not run.training:
                continue
            own = next((runs for runs in recipes if run.same_recipe(runs[0][2])), None)
            if own is None:
                recipes.append(own := [])
            own.append((method.name, number, run))
    return [curve for runs in recipes for curve in _curves(comparison, runs)]


def _curves(comparison: Comparison, runs: Sequence[tuple[str, int, TrainedRun]]) -> Iterator[FewShotCurve]:
    modalities = list(dict.fromkeys(name for _, _, run in runs for name in run.training))
    whole = {name: max(run.training.get(name, 0) for _, _, run in runs) for name in modalities}
    for scarce in modalities:
        used = [entry for entry in runs if not _few(entry[2].training, whole) - {scarce}]
        if len({run.training.get(scarce, 0) for _, _, run in used if _few(run.training, whole)}) == 0:
            continue
        name = max(used, key=lambda entry: entry[2].training.get(scarce, 0))[0]
        for column in comparison.main_columns:
            draws: list[Draw] = []
            for method, number, run in used:
                values = comparison.by_seed[Key(comparison.scores[0], column, method)][number].values()
                if values:
                    draws.append(Draw(run.training.get(scarce, 0), fmean(values), run.place))
            if len({draw.patients for draw in draws}) > 1:
                ordered = tuple(sorted(draws, key=lambda draw: (draw.patients, draw.place)))
                yield FewShotCurve(name, scarce, column.modality, comparison.scores[0], ordered)


def _few(training: Mapping[str, int], whole: Mapping[str, int]) -> set[str]:
    """The modalities that a run had much fewer training patients of than the others."""
    return {name for name, count in whole.items() if count >= ALIKE * training.get(name, 0)}
