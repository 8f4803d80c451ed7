"""Score prediction files against reference files: a dataset's split, or two folders of label maps.

Nothing here needs torch, so that anybody's label maps can be scored. Empty masks are a status, not only a number (see
`Score`): a missed or false positive class has Dice 0, and as distances the image diagonal in mm (policy "diagonal")
or none (policy "excluded"); it is counted either way. A prediction that can't be read is a listed failure.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from unpaired.data.dataset import CaseEntry, Dataset, encode_values
from unpaired.data.images import read_label_map
from unpaired.errors import InputError
from unpaired.failures import attempt
from unpaired.scores.case_scores import DEFAULT, CaseInfo, evaluate_case
from unpaired.scores.freshness import scored_files
from unpaired.scores.label_values import not_annotated, prediction_values, translate
from unpaired.scores.pairs import label_files, one_file, require_a_match, require_one_grid, stranger
from unpaired.scores.scores import Evaluation, Failure, Score, ScoredFiles
from unpaired.scores.scoring import Scoring


@dataclass(frozen=True)
class Task:
    """One case: what reads and scores it (the executor, if there is one, takes a class each), and its files."""

    score: Callable[[Executor | None], list[Score]]
    prediction: Path | None
    reference: Path | None


def evaluate_dataset(
    dataset: Dataset, predictions: Path, split: str | None = "test", scoring: Scoring = DEFAULT, workers: int = 0
) -> Evaluation:
    """Score the folder `predictions` (files `<case id>.nii.gz`) against the labeled cases of a split (None: all).

    Predictions lie on the reference's own grid and carry the source's label values. A class that was not annotated in
    a case is not applicable there. `workers` threads (0: one per core). Raises InputError if there is nothing to score;
    a missing, unreadable or unfitting file is a `Failure` of its case, and so is a file that is named like no case of
    the dataset. Files of the dataset's other cases are left alone.
    """
    if not predictions.is_dir():
        raise InputError(f"expected a folder of predictions, found none at {predictions}; run `unpaired predict` first")
    cases = dataset.of(split=split, labeled=True)
    if not cases:
        where = "" if split is None else f" in split {split!r}"
        raise InputError(f"dataset {dataset.name}: no labeled case{where}, so there is nothing to score")
    scoring.require_classes(dataset.classes[1:])
    files = label_files(predictions, "predictions")
    require_a_match(files, [case.id for case in cases], predictions, "a case to score")
    sets = dataset.label_sets()
    numbers = {members: index for index, members in enumerate(sets)}

    def score(case: CaseEntry, pool: Executor | None) -> list[Score]:
        assert case.label is not None  # `labeled=True` above
        path = one_file(files, case.id, predictions, "prediction", "run `unpaired predict` for this case")
        encoded = encode_values(dataset, case)
        reference = read_label_map(case.label)
        prediction = read_label_map(path)
        require_one_grid(prediction, reference, path, case.label)
        truth = translate(reference.array, {value: numbers[members] for value, members in encoded.items()}, case.label)
        predicted = translate(prediction.array, prediction_values(dataset, case), path)
        info = CaseInfo(case.id, case.patient, case.modality, not_annotated(dataset, case))
        return evaluate_case(predicted, truth, reference.spacing_mm, dataset.classes, info, sets, scoring, pool)

    known = [case.id for case in dataset.cases]
    strangers = [
        Failure(name, stranger(found[0].name, known, predictions, f"case of dataset {dataset.name}"))
        for name, found in files.items()
        if name not in known
    ]
    tasks = {
        case.id: Task(lambda pool, case=case: score(case, pool), _only(files, case.id), case.label) for case in cases
    }
    return _evaluate(tasks, scoring, workers, strangers)


def evaluate_folders(
    predictions: Path,
    references: Path,
    classes: Mapping[int, str],
    scoring: Scoring = DEFAULT,
    workers: int = 0,
    modality: str = "all",
) -> Evaluation:
    """Score two folders of label maps that have equal file names; `classes` names the label values ({1: "LV"}).

    Value 0 is background unless named; a value that is neither is a failure of its case, and so is a file without its
    partner on the other side. The case and the patient are the file's name. Raises InputError if there is nothing to
    score.
    """
    ours, theirs = label_files(predictions, "predictions"), label_files(references, "references")
    foreground = {value: name for value, name in classes.items() if value != 0}
    if not foreground or len(set(foreground.values())) != len(foreground):
        raise InputError(f"expected classes such as 1:LV,2:myo, each name once, got {dict(classes)}")
    scoring.require_classes(foreground.values())
    require_a_match(ours, list(theirs), predictions, f"one of {references}")
    table = {0: 0} | {value: number for number, value in enumerate(foreground, start=1)}
    names = (classes.get(0, "background"), *foreground.values())

    def score(name: str, pool: Executor | None) -> list[Score]:
        advice = "each case needs a prediction and a reference"
        path = one_file(ours, name, predictions, "prediction", advice)
        reference_path = one_file(theirs, name, references, "reference", advice)
        prediction, reference = read_label_map(path), read_label_map(reference_path)
        require_one_grid(prediction, reference, path, reference_path)
        predicted = translate(prediction.array, table, path)
        truth = translate(reference.array, table, reference_path)
        info = CaseInfo(name, name, modality)
        return evaluate_case(predicted, truth, reference.spacing_mm, names, info, scoring=scoring, pool=pool)

    tasks = {
        name: Task(lambda pool, name=name: score(name, pool), _only(ours, name), _only(theirs, name))
        for name in sorted({*ours, *theirs})
    }
    return _evaluate(tasks, scoring, workers)


def _evaluate(
    tasks: Mapping[str, Task], scoring: Scoring, workers: int, strangers: list[Failure] | None = None
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
    failures = [result for _, result in done if isinstance(result, Failure)] + (strangers or [])
    return Evaluation(
        scores,
        failures,
        scoring.policy,
        scoring.surface,
        scoring.tolerances_mm,
        scoring.class_tolerances_mm,
        scoring.presets,
        tuple(known for known, _ in done),
    )


def _only(files: Mapping[str, Sequence[Path]], name: str) -> Path | None:
    """The file called `name`; None if there is none, or several."""
    found = files.get(name, ())
    return found[0] if len(found) == 1 else None
