"""The columns that a paper's table needs, for runs that were scored without them."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from unpaired.comparison.contenders import Contender, folder_of, predictions_of
from unpaired.data.dataset import Dataset
from unpaired.errors import InputError
from unpaired.runs.folder import RunFolder
from unpaired.scores.evaluate import evaluate_dataset
from unpaired.scores.scores import Evaluation
from unpaired.scores.scoring import Scoring


def with_presets(
    method: Contender, presets: Iterable[str], read: Callable[[Path], Dataset], workers: int = 2
) -> Contender:
    """The method with the columns of `presets` in all its evaluations.

    A run whose stored scores lack some is scored once more from its predictions, in memory, all other choices as they
    were; `read` reads the dataset of a run folder. Raises InputError for scores without a run around them, which can't
    be made anew here.
    """
    wanted = tuple(dict.fromkeys(presets))
    if all(set(wanted) <= set(run.presets) for run in method.seeds):
        return method
    places = method.places or (None,) * len(method.seeds)
    seeds = tuple(
        _scored(method.name, run, place, wanted, read, workers) for run, place in zip(method.seeds, places, strict=True)
    )
    return replace(method, seeds=seeds)


def _scored(
    method: str,
    run: Evaluation,
    place: Path | None,
    presets: tuple[str, ...],
    read: Callable[[Path], Dataset],
    workers: int,
) -> Evaluation:
    lacking = [preset for preset in presets if preset not in run.presets]
    if not lacking:
        return run
    folder = None if place is None else folder_of(place)
    if place is None or folder is None or not RunFolder(folder).dataset_file.is_file():
        raise InputError(
            f"{place or method} has scores without the columns of preset {lacking[0]}, and no manifest to score it "
            f"anew; use `unpaired evaluate PREDICTIONS REFERENCE --preset {' '.join(presets)}`"
        )
    scoring = Scoring(run.policy, run.surface, run.tolerances_mm, run.class_tolerances_mm, (*run.presets, *lacking))
    scored = {row.case for row in run.scores} | {failure.case for failure in run.failures}
    dataset = read(folder)
    # All cases stay known, so that the predictions of others are left alone.
    cases = tuple(replace(case, split="test" if case.id in scored else "train") for case in dataset.cases)
    return evaluate_dataset(replace(dataset, cases=cases), predictions_of(place), "test", scoring, workers)
