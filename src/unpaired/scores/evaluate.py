"""Score prediction files against reference files: a dataset's split, or two folders of label maps.

Nothing here needs torch, so that anybody's label maps can be scored. Empty masks are a status, not only a number (see
`Score`): a missed or false positive class has Dice 0, and as distances the image diagonal in mm (policy "diagonal")
or none (policy "excluded"); it is counted either way. A prediction that can't be read is a listed failure.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from unpaired.data.dataset import SPLITS, Dataset
from unpaired.data.simulated import of_patients
from unpaired.errors import InputError, nearest
from unpaired.failures import attempt
from unpaired.scores.case_scores import DEFAULT
from unpaired.scores.freshness import (
    is_not_as_recorded,
    is_of_another_image,
    remark_on_changed,
    remark_on_other_cases,
    remark_on_other_images,
    scored_files,
)
from unpaired.scores.pairs import label_files, require_a_match, stranger
from unpaired.scores.reading import AS_NAMED, Reading
from unpaired.scores.references import DatasetReferences, FolderReferences
from unpaired.scores.scores import Evaluation, Failure, Score, ScoredFiles
from unpaired.scores.scoring import Scoring


@dataclass(frozen=True)
class Task:
    """One case: what reads and scores it (the executor, if there is one, takes a class each), and its files."""

    score: Callable[[Executor | None], list[Score]]
    prediction: Path | None
    reference: Path | None


def evaluate_dataset(
    dataset: Dataset,
    predictions: Path,
    split: str | None = "test",
    scoring: Scoring = DEFAULT,
    workers: int = 0,
    reading: Reading = AS_NAMED,
) -> Evaluation:
    """Score the folder `predictions` (files `<case id>.nii.gz`) against the labeled cases of a split (None: all),
    without those that are simulated beside cases of patients; a remark says so where these were predicted too.

    Predictions lie on the reference's own grid. What their values mean is said by the record beside each, else by
    `reading.predictions`; without both they carry the values of the case's own label map. A class that was not
    annotated in a case is not applicable there. `workers` threads (0: one per core). Raises InputError if there is
    nothing to score; a missing, unreadable or unfitting file is a `Failure` of its case, and so is a file that is named
    like no case of the dataset. Files of the dataset's other cases are left alone. A remark names the cases whose label
    map was made of another image than theirs.
    """
    if not predictions.is_dir():
        raise InputError(f"expected a folder of predictions, found none at {predictions}; run `unpaired predict` first")
    cases = of_patients(dataset, split=split, labeled=True)
    if not cases:
        where = "" if split is None else f" in split {split!r}"
        hint = "" if split in (None, *SPLITS) else f" ({nearest(split, list(SPLITS))})"
        raise InputError(f"dataset {dataset.name}: no labeled case{where}{hint}, so there is nothing to score")
    scoring.require_classes(dataset.classes[1:])
    wanted = reading.wanted(dataset.classes[1:])
    files = label_files(predictions, "predictions")
    known = [case.id for case in dataset.cases]
    require_a_match(files, [case.id for case in cases], predictions, "a case to score", _other_side(known, files))
    references = DatasetReferences(dataset, predictions, files, scoring, reading, wanted)
    strangers = [
        Failure(name, stranger(paths[0].name, known, predictions, f"case of dataset {dataset.name}"))
        for name, paths in files.items()
        if name not in known
    ]
    tasks = {case.id: Task(partial(references.score, case), _only(files, case.id), case.label) for case in cases}
    evaluation = _evaluate(tasks, predictions, scoring, reading, workers, strangers)
    others = [case.id for case in cases if (path := tasks[case.id].prediction) and is_of_another_image(case, path)]
    said = [remark_on_other_images(others), _remark_on_simulated(dataset, split, files)]
    return replace(evaluation, remarks=(*evaluation.remarks, *filter(None, said)))


def _other_side(known: Sequence[str], files: Iterable[str]) -> str:
    """What to do where no file is of a case that is scored: they may be of cases that the dataset has beside."""
    if set(known) & set(files):
        return "name the side that was predicted (--split), or the manifest that has these cases on it"
    return "name the dataset that has these cases"


def _remark_on_simulated(dataset: Dataset, split: str | None, files: Mapping[str, Sequence[Path]]) -> str:
    simulated = {case.id for case in dataset.of(split=split)} - {case.id for case in of_patients(dataset, split=split)}
    count = len(simulated & set(files))
    return f"{count} simulated cases were not scored; for these name a manifest of them alone" if count else ""


def evaluate_folders(
    predictions: Path,
    references: Path,
    classes: Mapping[int, str],
    scoring: Scoring = DEFAULT,
    workers: int = 0,
    modality: str = "all",
    reading: Reading = AS_NAMED,
) -> Evaluation:
    """Score two folders of label maps that have equal file names; `classes` names the label values ({1: "LV"}).

    Value 0 is background, and so is any that is called "background"; voxels whose reference has a value called "ignore"
    are in no mask. A value that nothing names is a failure of its case unless `reading.others` says what it is, and so
    is a file without its partner on the other side. A prediction with a record is read by that. The case and the
    patient are the file's name. Raises InputError if there is nothing to score.
    """
    predicted, referenced = label_files(predictions, "predictions"), label_files(references, "references")
    pairs = FolderReferences(predictions, references, predicted, referenced, classes, modality, scoring, reading)
    scoring.require_classes(pairs.names[1:])
    _ = pairs.wanted  # refuse a class that isn't there before any file is read
    require_a_match(predicted, list(referenced), predictions, f"one of {references}")
    tasks = {
        name: Task(partial(pairs.score, name), _only(predicted, name), _only(referenced, name))
        for name in sorted({*predicted, *referenced})
    }
    evaluation = _evaluate(tasks, predictions, scoring, reading, workers)
    said = remark_on_other_cases({name: task.prediction for name, task in tasks.items()})
    return replace(evaluation, remarks=(*evaluation.remarks, *filter(None, [said])))


def _evaluate(
    tasks: Mapping[str, Task],
    predictions: Path,
    scoring: Scoring,
    reading: Reading,
    workers: int,
    strangers: Sequence[Failure] = (),
) -> Evaluation:
    """Run the cases in threads: reading, decompressing and the search for distances let go of Python's lock."""
    if workers < 0:
        raise InputError(f"expected workers >= 0 (0: one per core), got {workers}")
    workers = workers or os.cpu_count() or 1

    with ExitStack() as stack:
        # Fewer cases than workers: classes share what is left. A pool of its own, since a case waits for its classes.
        spare = workers > len(tasks)
        classes = stack.enter_context(ThreadPoolExecutor(workers)) if spare else None

        def scored(item: tuple[str, Task]) -> tuple[ScoredFiles, list[Score] | Failure]:
            name, task = item
            # Before they are read for scoring: what is replaced meanwhile shows as changed, and never as scored.
            known = scored_files(name, task.prediction, task.reference)
            scores, failure = attempt(partial(task.score, classes))
            return known, scores if scores is not None else Failure(name, failure or "no scores")

        done = list(stack.enter_context(ThreadPoolExecutor(workers)).map(scored, tasks.items()))
    scores = [score for _, result in done if not isinstance(result, Failure) for score in result]
    failures = [result for _, result in done if isinstance(result, Failure)]
    changed = remark_on_changed([known.case for known, _ in done if _is_changed(tasks[known.case].prediction, known)])
    return Evaluation(
        scores,
        [*failures, *strangers],
        scoring.policy,
        scoring.surface,
        scoring.tolerances_mm,
        scoring.class_tolerances_mm,
        scoring.presets,
        tuple(known for known, _ in done),
        (*reading.remarks(), *filter(None, [changed])),
        predictions.resolve().as_posix(),
    )


def _is_changed(prediction: Path | None, known: ScoredFiles) -> bool:
    return prediction is not None and is_not_as_recorded(prediction, known.prediction_sha256)


def _only(files: Mapping[str, Sequence[Path]], name: str) -> Path | None:
    """The file called `name`; None if there is none, or several."""
    paths = files.get(name, ())
    return paths[0] if len(paths) == 1 else None
