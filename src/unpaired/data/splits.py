"""Splits by patient: a patient is on one side only, across all modalities and sequences; few-shot subsets of them, and
training sides of which only a share is labeled."""

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from unpaired.data.dataset import SPLITS, UNLABELED, Dataset, with_splits, without_labels
from unpaired.errors import InputError, nearest
from unpaired.files import read_json, write_text


def split_by_patient(dataset: Dataset, *, test: float = 0.2, validation: float = 0.1, seed: int = 0) -> dict[str, str]:
    """{case id: "train" | "validation" | "test"}, by patient, seeded.

    Patients with labels are drawn separately for every set of modalities that a patient has labels of, so each side
    gets its share of each modality; shares are rounded per set. Then patients are moved until every modality is on
    each side that was asked for, in training first, as far as there are patients: `missing_labels` says what could not
    be had. Patients without any label train; where nobody has one, all are drawn as if they had.
    """
    if not (0 <= test < 1 and 0 <= validation < 1 and test + validation < 1):
        raise InputError(
            f"split: shares must lie in [0, 1) and leave some for training, got test={test} validation={validation}"
        )
    labeled = _drawable(dataset)
    sides: dict[str, str] = {case.patient: "train" for case in dataset.cases}
    for group, patients in _groups(labeled).items():
        shuffled = _shuffled(patients, group, seed)
        n_test = _count(test, len(patients), spare=len(patients) - 1)
        n_validation = _count(validation, len(patients), spare=len(patients) - 1 - n_test)
        for index, patient in enumerate(shuffled):
            sides[patient] = "test" if index < n_test else "validation" if index < n_test + n_validation else "train"
    asked = ["train", *(["test"] if test else []), *(["validation"] if validation else [])]
    _spread(sides, _modalities_of(labeled), asked)
    return {case.id: sides[case.patient] for case in dataset.cases}


def folds_by_patient(
    dataset: Dataset, *, folds: int = 5, validation: float = 0.1, seed: int = 0
) -> list[dict[str, str]]:
    """`folds` splits in which every patient with labels is tested exactly once; the rest trains, a share validates.

    Folds get their share of each modality. A patient who alone has labels of a modality is never tested: there would
    be nobody left to train it on. Patients without any label train in every fold.
    """
    labeled = _drawable(dataset)
    modalities = _modalities_of(labeled)
    if not 2 <= folds <= len(modalities):
        raise InputError(
            f"split: expected between 2 and {len(modalities)} folds (the number of patients with labels), got {folds}"
        )
    fold_of = _fold_of(labeled, modalities, folds, seed)
    result = []
    for fold in range(folds):
        split = {case.id: "test" for case in dataset.cases if fold_of.get(case.patient) == fold}
        rest = tuple(case for case in dataset.cases if case.id not in split)
        split |= split_by_patient(replace(dataset, cases=rest), test=0.0, validation=validation, seed=seed + fold)
        result.append({case.id: split[case.id] for case in dataset.cases})
    return result


def missing_labels(dataset: Dataset, split: Mapping[str, str], sides: Collection[str] = SPLITS) -> list[str]:
    """A line for each modality without a labeled case on a side: "ct: no labeled case in train (1 in test)"."""
    lines = []
    for modality in dataset.modalities:
        count = Counter(split.get(case.id) for case in dataset.of(modality, labeled=True))
        there = ", ".join(f"{count[side]} in {side}" for side in SPLITS if count[side]) or "none anywhere"
        lines += [f"{modality}: no labeled case in {side} ({there})" for side in sides if not count[side]]
    return lines


def _drawable(dataset: Dataset) -> Dataset:
    """The labeled cases; where there is none, all."""
    return replace(dataset, cases=tuple(dataset.of(labeled=True)) or dataset.cases)


def _modalities_of(dataset: Dataset) -> dict[str, set[str]]:
    """{patient: modalities}, patients in a fixed order."""
    modalities: dict[str, set[str]] = {patient: set() for patient in sorted({case.patient for case in dataset.cases})}
    for case in dataset.cases:
        modalities[case.patient].add(case.modality)
    return modalities


def _spread(sides: dict[str, str], modalities: Mapping[str, set[str]], asked: Sequence[str]) -> None:
    """Move one patient at a time until no move brings a modality to a side that lacks it.

    `asked` are the sides in their order of importance: a modality may leave a side for a more important one.
    """

    everything = set().union(*modalities.values())

    def present(side: str) -> set[str]:
        return set().union(*(names for patient, names in modalities.items() if sides[patient] == side))

    def covered() -> tuple[int, ...]:
        return tuple(len(present(side)) for side in asked)

    best, improving = covered(), True
    while improving:
        improving = False
        lacking = {side: everything - present(side) for side in asked}
        for side, patient in ((side, patient) for side in asked for patient in modalities):
            if not modalities[patient] & lacking[side]:
                continue
            before, sides[patient] = sides[patient], side
            if covered() > best:
                best, improving = covered(), True
                break
            sides[patient] = before


def _fold_of(labeled: Dataset, modalities: Mapping[str, set[str]], folds: int, seed: int) -> dict[str, int]:
    """{patient: the fold that tests them}: the fold with fewest of the patient's rarest modality, then of all.

    Rare modalities are dealt out first, as in iterative stratification (Sechidis et al., ECML PKDD 2011).
    """
    count = Counter(name for names in modalities.values() for name in names)
    tested = [
        patient
        for group, patients in _groups(labeled).items()
        for patient in _shuffled(patients, group, seed)
        if all(count[name] > 1 for name in group)
    ]
    rarest = {patient: sorted((count[name], name) for name in modalities[patient]) for patient in tested}
    tested.sort(key=lambda patient: rarest[patient][0])
    loads = [Counter[str]() for _ in range(folds)]
    sizes = [0] * folds
    fold_of: dict[str, int] = {}
    for patient in tested:
        names = [name for _, name in rarest[patient]]
        fold = min(range(folds), key=lambda fold: (*(loads[fold][name] for name in names), sizes[fold], fold))
        fold_of[patient] = fold
        loads[fold].update(names)
        sizes[fold] += 1
    return fold_of


def few_shot(dataset: Dataset, modality: str, patients: int, *, seed: int = 0) -> dict[str, str]:
    """{case id: side} as the dataset has them, with so many training patients of one modality, drawn by `seed`.

    Training cases of that modality in other patients are left out; all other modalities, validation and test stay as
    they are, so that runs with few and with all cases are compared on the same patients. Only labeled cases count.
    Raises InputError for an unknown modality, a dataset without sides, or more patients than it has.
    """
    if modality not in dataset.modalities:
        raise InputError(
            f"dataset {dataset.name} has no modality {modality!r}; {nearest(modality, list(dataset.modalities))}"
        )
    candidates = sorted({case.patient for case in dataset.of(modality, "train", labeled=True)})
    if not candidates:
        raise InputError(
            f"few-shot: dataset {dataset.name} has no labeled training case of {modality}; a manifest without sides "
            "needs --split"
        )
    if not 1 <= patients <= len(candidates):
        raise InputError(
            f"few-shot: expected between 1 and {len(candidates)} training patients of {modality} (as many as dataset "
            f"{dataset.name} has), got {patients}"
        )
    kept = set(_shuffled(candidates, (modality,), seed)[:patients])
    return {
        case.id: case.split
        for case in dataset.cases
        if case.split is not None
        and (case.modality != modality or case.split != "train" or (case.patient in kept and case.label is not None))
    }


def labeled_fraction(dataset: Dataset, fraction: float, *, seed: int = 0) -> Dataset:
    """The dataset with the labels of that share of its labeled training patients alone: 0.1 is 10 %.

    All other training cases stay training cases, unlabeled; validation and test are not touched. A patient keeps the
    labels of all modalities or of none. Patients are drawn separately for every set of modalities that a patient has
    labels of, so each modality keeps its share, rounded per set, and at least one patient. With one seed the patients
    of a smaller share are among those of a larger one. Raises InputError for a share outside (0, 1], or if no training
    case is labeled.
    """
    if not 0 < fraction <= 1:
        raise InputError(
            f"labeled-fraction: expected a share above 0 and up to 1, such as 0.1 for 10 %; got {fraction}"
        )
    labeled = replace(dataset, cases=tuple(dataset.of(split="train", labeled=True)))
    if not labeled.cases:
        raise InputError(
            f"labeled-fraction: dataset {dataset.name} has no labeled training case; a manifest without sides needs "
            "--split"
        )
    groups = {group: _shuffled(patients, group, seed) for group, patients in _groups(labeled).items()}
    kept = {patient for drawn in groups.values() for patient in drawn[: int(fraction * len(drawn) + 0.5)]}
    for modality in dataset.modalities:
        own = [drawn for group, drawn in groups.items() if modality in group]
        if own and not any(kept.intersection(drawn) for drawn in own):
            kept.add(max(own, key=len)[0])  # also the first whom any larger share keeps
    return without_labels(dataset, {case.id for case in labeled.cases if case.patient not in kept})


def unlabeled_training_cases(dataset: Dataset) -> list[str]:
    """The ids of the training cases without a label, in manifest order."""
    return [case.id for case in dataset.of(split="train", labeled=False)]


def write_split(split: Mapping[str, str], path: str | Path, unlabeled: Collection[str] = ()) -> Path:
    """Write {side: [case ids]} as JSON, atomically; labels of the training cases `unlabeled` must not be read."""
    path = Path(path)
    document = {side: [case for case, s in split.items() if s == side] for side in SPLITS}
    document |= {UNLABELED: list(unlabeled)} if unlabeled else {}
    write_text(path, json.dumps(document, indent=1) + "\n")
    return path


def read_split(path: str | Path, dataset: Dataset) -> Dataset:
    """The dataset with the sides that a split file gives; cases that the file leaves out take no part (split None).

    Training cases that the file lists under "unlabeled" lose their label. Raises InputError for an unknown case, a case
    or a patient on two sides, or an unlabeled case that is not in train.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"expected a split file (JSON with {', '.join(SPLITS)}), found no file at {path}")
    document = read_json(path, "write a split with `unpaired split`")
    lists = isinstance(document, dict) and all(
        isinstance(ids, list) and all(isinstance(case_id, str) for case_id in ids) for ids in document.values()
    )
    if not lists or not set(document) <= {*SPLITS, UNLABELED}:
        raise InputError(f"{path}: expected lists of case ids under {', '.join(SPLITS)} (and {UNLABELED})")
    unlabeled = document.pop(UNLABELED, [])
    split: dict[str, str] = {}
    for side, ids in document.items():
        for case_id in ids:
            dataset.case(case_id)
            if split.setdefault(case_id, side) != side:
                raise InputError(f"{path}: case {case_id!r} is both in {split[case_id]} and in {side}")
    for case_id in unlabeled:
        if split.get(dataset.case(case_id).id) != "train":
            raise InputError(
                f"{path}: {UNLABELED} case {case_id!r} is not in train; labels are left out of training only"
            )
    cleared = replace(dataset, cases=tuple(replace(case, split=None) for case in dataset.cases))
    result = without_labels(with_splits(cleared, split), set(unlabeled))
    check_patients(result)
    return result


def check_patients(dataset: Dataset) -> None:
    """Raise InputError if a patient has cases in more than one of train, validation and test."""
    sides: dict[str, dict[str, str]] = defaultdict(dict)
    for case in dataset.cases:
        if case.split is not None:
            sides[case.patient][case.split] = case.id
    for patient, cases in sides.items():
        if len(cases) > 1:
            where = ", ".join(f"{case} in {side}" for side, case in cases.items())
            raise InputError(
                f"patient {patient!r} is on {len(cases)} sides of the split ({where}); "
                "split by patient with `unpaired split`"
            )


def _groups(dataset: Dataset) -> dict[tuple[str, ...], list[str]]:
    """{set of modalities: patients who have exactly these}, both in a fixed order."""
    modalities: dict[str, set[str]] = defaultdict(set)
    for case in dataset.cases:
        modalities[case.patient].add(case.modality)
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for patient in sorted(modalities):
        groups[tuple(sorted(modalities[patient]))].append(patient)
    return dict(sorted(groups.items()))


def _shuffled(patients: list[str], group: tuple[str, ...], seed: int) -> list[str]:
    rng = np.random.default_rng([seed, *(ord(letter) for letter in "+".join(group))])
    return [patients[index] for index in rng.permutation(len(patients))]


def _count(share: float, patients: int, spare: int) -> int:
    return min(max(spare, 0), max(1, round(share * patients))) if share > 0 else 0
