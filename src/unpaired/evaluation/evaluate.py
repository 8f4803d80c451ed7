"""Score prediction files against reference files: a dataset's split, or two folders of label maps.

Nothing here needs torch, so that anybody's label maps can be scored. Empty masks are a status, not only a number (see
`Score`): a missed or false positive class has Dice 0, and as distances the image diagonal in mm (policy "diagonal")
or none (policy "excluded"); it is counted either way. A prediction that can't be read is a listed failure.
"""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from unpaired.data.dataset import CaseEntry, Dataset, encode_values
from unpaired.data.images import NIFTI, Image, image_files, image_suffix, read_label_map
from unpaired.errors import InputError, nearest
from unpaired.evaluation.case_scores import CaseInfo, evaluate_case
from unpaired.evaluation.scores import POLICIES, Evaluation, Failure, Score


def evaluate_dataset(
    dataset: Dataset, predictions: Path, split: str | None = "test", policy: str = "diagonal", workers: int = 0
) -> Evaluation:
    """Score the folder `predictions` (files `<case id>.nii.gz`) against the labeled cases of a split (None: all).

    Predictions lie on the reference's own grid and carry the source's label values. A class that was not annotated in
    a case is not applicable there. `workers` threads (0: one per core). Raises InputError if there is nothing to score;
    a missing, unreadable or unfitting file is a `Failure` of its case.
    """
    if not predictions.is_dir():
        raise InputError(f"expected a folder of predictions, found none at {predictions}; run `unpaired predict` first")
    cases = dataset.of(split=split, labeled=True)
    if not cases:
        where = "" if split is None else f" in split {split!r}"
        raise InputError(f"dataset {dataset.name}: no labeled case{where}, so there is nothing to score")
    sets = dataset.label_sets()
    numbers = {members: index for index, members in enumerate(sets)}

    def score(case: CaseEntry) -> list[Score]:
        assert case.label is not None  # `labeled=True` above
        path = _prediction_file(predictions, case.id)
        encoded = encode_values(dataset, case)
        reference = read_label_map(case.label)
        prediction = read_label_map(path)
        _same_grid(prediction, reference, path, case.label)
        truth = translate(reference.array, {value: numbers[members] for value, members in encoded.items()}, case.label)
        predicted = translate(prediction.array, prediction_values(dataset, case), path)
        info = CaseInfo(case.id, case.patient, case.modality, not_annotated(dataset, case))
        return evaluate_case(predicted, truth, reference.spacing_mm, dataset.classes, info, sets, policy)

    return _evaluate({case.id: (lambda case=case: score(case)) for case in cases}, policy, workers)


def evaluate_folders(
    predictions: Path,
    references: Path,
    classes: Mapping[int, str],
    policy: str = "diagonal",
    workers: int = 0,
    modality: str = "all",
) -> Evaluation:
    """Score two folders of label maps that have equal file names; `classes` names the label values ({1: "LV"}).

    Value 0 is background unless named; a value that is neither is a failure of its case, and so is a file without its
    partner on the other side. The case and the patient are the file's name. Raises InputError if there is nothing to
    score.
    """
    ours, theirs = _files(predictions, "predictions"), _files(references, "references")
    foreground = {value: name for value, name in classes.items() if value != 0}
    if not foreground or len(set(foreground.values())) != len(foreground):
        raise InputError(f"expected classes such as 1:LV,2:myo, each name once, got {dict(classes)}")
    table = {0: 0} | {value: number for number, value in enumerate(foreground, start=1)}
    names = (classes.get(0, "background"), *foreground.values())

    def score(name: str) -> list[Score]:
        for files, folder in ((ours, predictions), (theirs, references)):
            if name not in files:
                raise InputError(f"no file {name}.nii.gz in {folder}; each case needs a prediction and a reference")
        prediction, reference = read_label_map(ours[name]), read_label_map(theirs[name])
        _same_grid(prediction, reference, ours[name], theirs[name])
        predicted = translate(prediction.array, table, ours[name])
        truth = translate(reference.array, table, theirs[name])
        return evaluate_case(
            predicted, truth, reference.spacing_mm, names, CaseInfo(name, name, modality), policy=policy
        )

    return _evaluate({name: (lambda name=name: score(name)) for name in sorted({*ours, *theirs})}, policy, workers)


def prediction_values(dataset: Dataset, case: CaseEntry) -> dict[int, int]:
    """{file value: class number} of a case's prediction: the values that predictions are written with
    (`Dataset.source_values`), then those of the case's own label map that name one class."""
    number = {name: index for index, name in enumerate(dataset.classes)}
    table = {value: index for index, value in enumerate(dataset.source_values(case.modality))}
    for value, names in dataset.label_map_of(case).items():
        if len(names) == 1:
            table.setdefault(value, number[names[0]])
    return table


def not_annotated(dataset: Dataset, case: CaseEntry) -> frozenset[int]:
    """The class numbers that can't be scored in this case: not looked for, or known only as part of a merged value."""
    number = {name: index for index, name in enumerate(dataset.classes)}
    unseen = (
        set() if case.annotated is None else {number[name] for name in set(dataset.classes[1:]) - {*case.annotated}}
    )
    members = list(encode_values(dataset, case).values())
    merged = {one for several in members if len(several) > 1 for one in several} - {0}
    alone = {several[0] for several in members if len(several) == 1}
    return frozenset(unseen | (merged - alone))


def translate(values: np.ndarray, table: Mapping[int, int], path: Path) -> np.ndarray:
    """Replace label values by numbers through `table`. Raises InputError naming the values it doesn't know."""
    known = np.array(sorted(table))
    dtype = np.result_type(*(np.min_scalar_type(end(table.values())) for end in (min, max)))
    numbers = np.array([table[int(value)] for value in known], dtype=dtype)
    inside = bool(values.size) and known[0] <= values.min() and values.max() <= known[-1]
    if inside and known[-1] - known[0] < 1 << 16:  # a table over the whole range is ten times faster than a search
        positions = np.full(known[-1] - known[0] + 1, -1, dtype=np.int32)
        positions[known - known[0]] = np.arange(len(known))
        found = positions[values - known[0]] if known[0] else positions[values]
    else:
        found = np.searchsorted(known, values).clip(max=len(known) - 1)
        found = np.where(known[found] == values, found, -1)
    if (found < 0).any():
        raise InputError(
            f"{path}: expected label values {_listed(known)}; found {_listed(np.unique(values[found < 0]))}; "
            "name each value in the label map (or --classes)"
        )
    return numbers[found]


def _listed(values: np.ndarray) -> str:
    return ", ".join(str(int(value)) for value in values[:12]) + (", ..." if len(values) > 12 else "")


def parse_classes(text: str) -> dict[int, str]:
    """{1: "LV", 2: "myo"} from "1:LV,2:myo". Raises InputError for anything else."""
    classes: dict[int, str] = {}
    for part in text.split(","):
        value, colon, name = part.partition(":")
        if not colon or not name.strip() or not value.strip().isdecimal() or int(value) in classes:
            raise InputError(f"expected classes such as 1:LV,2:myo, each value once, got {part.strip()!r} in {text!r}")
        classes[int(value)] = name.strip()
    return classes


def _evaluate(tasks: Mapping[str, Callable[[], list[Score]]], policy: str, workers: int) -> Evaluation:
    """Run the cases in threads: reading, decompressing and the k-d tree search all let go of Python's lock."""
    if policy not in POLICIES:
        raise InputError(f"there is no policy {policy!r} for empty masks; {nearest(policy, list(POLICIES))}")
    if workers < 0:
        raise InputError(f"expected workers >= 0 (0: one per core), got {workers}")

    def attempt(item: tuple[str, Callable[[], list[Score]]]) -> list[Score] | Failure:
        name, task = item
        try:
            return task()
        except InputError as error:
            return Failure(name, str(error))

    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        results = list(pool.map(attempt, tasks.items()))
    scores = [score for result in results if not isinstance(result, Failure) for score in result]
    return Evaluation(scores, [result for result in results if isinstance(result, Failure)], policy)


def _same_grid(prediction: Image, reference: Image, path: Path, reference_path: Path) -> None:
    """Raise InputError unless both have one shape and their corners lie within half a voxel of each other."""
    if prediction.array.shape != reference.array.shape:
        raise InputError(
            f"{path}: expected the shape {reference.array.shape} of {reference_path.name}, got "
            f"{prediction.array.shape}; predict on the image's own grid"
        )
    shape = reference.array.shape
    corners = np.stack(np.meshgrid(*[(0, size - 1) for size in shape], [1], indexing="ij"), -1).reshape(-1, 4)
    apart = np.linalg.norm(corners @ (prediction.affine - reference.affine).T, axis=1).max()
    if not apart <= min(reference.spacing_mm) / 2:
        raise InputError(
            f"{path}: its affine puts a corner {apart:.2f} mm from where {reference_path.name} has it (half a voxel is "
            "allowed); write the prediction with the image's own affine"
        )


def _files(folder: Path, what: str) -> dict[str, Path]:
    files = {file.name[: -len(image_suffix(file) or "")]: file for file in image_files(folder)}
    if not files:
        raise InputError(f"expected label maps (.nii.gz) in the folder of {what} {folder}, found none")
    return files


def _prediction_file(folder: Path, case_id: str) -> Path:
    for suffix in NIFTI:
        if (folder / f"{case_id}{suffix}").is_file():
            return folder / f"{case_id}{suffix}"
    raise InputError(f"no prediction: expected {folder / case_id}.nii.gz; run `unpaired predict` for this case")
