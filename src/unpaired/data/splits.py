"""Splits are drawn by patient: one is on one side only, across all modalities and sequences."""

import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import overload

from unpaired.data.checks.spelling import similar_names
from unpaired.data.dataset import Dataset, with_splits
from unpaired.data.manifest import as_dataset
from unpaired.data.overwriting import require_no_more_folds, require_other_file
from unpaired.data.simulated import of_patients, simulated_beside
from unpaired.data.split import Split, write_split
from unpaired.data.subsets import (
    Patients,
    groups_of_patients,
    parse_patients,
    shuffled_patients,
    training_only_cases,
    with_so_many_patients,
)
from unpaired.errors import InputError
from unpaired.files import together


@overload
def split(
    data: Dataset | str | Path,
    out: str | Path | None = None,
    *,
    test: float = ...,
    validation: float = ...,
    folds: None = None,
    patients: Patients = ...,
    training_only: Dataset | str | Path | None = ...,
    seed: int = ...,
    say: Callable[[str], None] = ...,
    warn: Callable[[str], None] = ...,
) -> Split: ...
@overload
def split(
    data: Dataset | str | Path,
    out: str | Path | None = None,
    *,
    test: float = ...,
    validation: float = ...,
    folds: int,
    patients: Patients = ...,
    training_only: Dataset | str | Path | None = ...,
    seed: int = ...,
    say: Callable[[str], None] = ...,
    warn: Callable[[str], None] = ...,
) -> list[Split]: ...
def split(
    data: Dataset | str | Path,
    out: str | Path | None = None,
    *,
    test: float = 0.2,
    validation: float = 0.1,
    folds: int | None = None,
    patients: Patients = (),
    training_only: Dataset | str | Path | None = None,
    seed: int = 0,
    say: Callable[[str], None] = lambda line: None,
    warn: Callable[[str], None] = warnings.warn,
) -> Split | list[Split]:
    """Draw a split by patient, the same patient never on two sides, and store it in a file if `out` names one.

    data: a dataset or its manifest.  out: the split file (JSON); with `folds` a folder for fold0.json, fold1.json, ...
    test, validation: shares of patients (`test` without `folds`).  folds: cross-validation: so many splits come back
    as a list, and every patient is tested in exactly one.  patients: {"mr": 9} or ["mr=9"]: only so many of that
    modality take part, drawn too (`with_so_many_patients`).  training_only: a dataset or manifest that was joined into
    this one: its cases train in every split, all others are drawn as if these weren't there; scans that the manifest
    calls simulated do so anyway.  seed: other seeds draw other patients.

    `say` gets a line of counts for each split, `warn` one for each modality or class without a labeled case, and for
    names that may be one patient's. See `split_by_patient` and `folds_by_patient`. Raises InputError for impossible
    shares or folds, for cases of `training_only` that aren't in `data`, and where `out` is a manifest it comes from.
    """
    whole = as_dataset(data)
    always = {} if training_only is None else training_only_cases(whole, as_dataset(training_only))
    dataset = replace(whole, cases=tuple(case for case in whole.cases if case.id not in always))
    place = None if out is None else Path(out)
    if place is not None:
        require_other_file(place, data, training_only)
        require_no_more_folds(place, folds)
    dataset = with_so_many_patients(dataset, parse_patients(patients), seed)
    if folds is None:
        splits = {place: split_by_patient(dataset, test=test, validation=validation, seed=seed)}
    else:
        numbered = enumerate(folds_by_patient(dataset, folds=folds, validation=validation, seed=seed))
        splits = {(place or Path()) / f"fold{number}.json": fold for number, fold in numbered}
    asked = ["train", *(["test"] if folds or test else []), *(["validation"] if validation else [])]
    splits = {path: Split.from_sides({**drawn.sides, **always}) for path, drawn in splits.items()}
    dataset = replace(dataset, cases=(*dataset.cases, *(case for case in whole.cases if case.id in always)))
    with together():  # folds, all or none
        for path, drawn in splits.items():
            if place is not None and path is not None:
                write_split(drawn, path)
    for line in similar_names(dataset):
        warn(line)
    for path, drawn in splits.items():
        counts = drawn.counts(dataset).items()
        say(f"{path or dataset.name}: " + "; ".join(f"{side} {numbers}" for side, numbers in counts))
        for line in (*drawn.missing_labels(dataset, asked), *drawn.missing_classes(dataset)):
            warn(f"{path.name if path else dataset.name}: {line}")
    return next(iter(splits.values())) if folds is None else list(splits.values())


def split_by_patient(dataset: Dataset, *, test: float = 0.2, validation: float = 0.1, seed: int = 0) -> Split:
    """Who trains, validates and tests, by patient, seeded.

    Patients with labels are drawn separately for every set of modalities that a patient has labels of, so each side
    gets its share of each modality; shares are rounded per set. Then patients are moved until every modality is on
    each side that was asked for, in training first, as far as there are patients: `Split.missing_labels` says what
    could not be had. Patients without any label train; where nobody has one, all are drawn as if they had. Scans that
    are simulated beside those of patients train.
    """
    if not (0 <= test < 1 and 0 <= validation < 1 and test + validation < 1):
        text = "split: shares must lie in [0, 1), such as 0.2 for 20 %, and leave some for training"
        raise InputError(f"{text}, got test={test} validation={validation}")
    labeled = _drawable(dataset)
    sides: dict[str, str] = {case.patient: "train" for case in dataset.cases}
    for group, patients in groups_of_patients(labeled).items():
        shuffled = shuffled_patients(patients, group, seed)
        n_test = _count(test, len(patients), spare=len(patients) - 1)
        n_validation = _count(validation, len(patients), spare=len(patients) - 1 - n_test)
        for index, patient in enumerate(shuffled):
            sides[patient] = "test" if index < n_test else "validation" if index < n_test + n_validation else "train"
    asked = ["train", *(["test"] if test else []), *(["validation"] if validation else [])]
    _spread(sides, _modalities_of(labeled), asked)
    return Split.from_sides({case.id: sides[case.patient] for case in dataset.cases})


def folds_by_patient(dataset: Dataset, *, folds: int = 5, validation: float = 0.1, seed: int = 0) -> list[Split]:
    """`folds` splits in which every patient with labels is tested exactly once; the rest trains, a share validates.

    Folds get their share of each modality. A patient who alone has labels of a modality is never tested: there would
    be nobody left to train it on. Patients without any label train in every fold, and so do scans that are simulated.
    """
    labeled = _drawable(dataset)
    modalities = _modalities_of(labeled)
    if not 2 <= folds <= len(modalities):
        raise InputError(
            f"split: expected between 2 and {len(modalities)} folds (the number of patients with labels), got {folds}"
        )
    fold_of = _fold_of(labeled, modalities, folds, seed)
    result: list[Split] = []
    for fold in range(folds):
        sides = {case.id: "test" for case in dataset.cases if fold_of.get(case.patient) == fold}
        rest = tuple(case for case in dataset.cases if case.id not in sides)
        drawn = split_by_patient(replace(dataset, cases=rest), test=0.0, validation=validation, seed=seed + fold)
        sides |= drawn.sides
        result.append(Split.from_sides({case.id: sides[case.id] for case in dataset.cases}))
    return result


def with_sides(dataset: Dataset) -> tuple[Dataset, str]:
    """The dataset with a training side, and a line that says how it was drawn ("" where it has one already).

    Drawn as `split_by_patient` does by default (seed 0), among the patients of whom no case has a side. Where some
    test already, nobody is drawn for testing; the same holds for validation. Scans simulated beside them train; alone
    where no patient is left to.
    """
    simulated = dict.fromkeys(simulated_beside(dataset), "train")
    sides = {case.patient: case.split for case in of_patients(dataset) if case.split is not None}
    dataset = with_splits(dataset, simulated)
    if "train" in sides.values() or (simulated and {case.patient for case in of_patients(dataset)} <= sides.keys()):
        return dataset, ""
    free = replace(dataset, cases=tuple(case for case in dataset.cases if case.patient not in sides))
    test, validation = (
        0.0 if side in sides.values() else share for side, share in (("test", 0.2), ("validation", 0.1))
    )
    drawn = split_by_patient(free, test=test, validation=validation).apply(free)
    result = with_splits(dataset, {case.id: case.split or "" for case in drawn.cases})
    counts = ", ".join(
        f"{len({case.patient for case in members})} {what}"
        for side, what in (("train", "train"), ("validation", "validate"), ("test", "test"))
        if (members := result.of(split=side))
    )
    said = f"patients drawn (seed 0), since the manifest has no training side: {counts}; --split names your own"
    return result, said


def _drawable(dataset: Dataset) -> Dataset:
    """The labeled cases of patients; where there is none, all of patients."""
    return replace(dataset, cases=tuple(of_patients(dataset, labeled=True) or of_patients(dataset)))


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
        for group, patients in groups_of_patients(labeled).items()
        for patient in shuffled_patients(patients, group, seed)
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
    mend_folds(fold_of, modalities, folds)
    return fold_of


def mend_folds(fold_of: dict[str, int], modalities: Mapping[str, set[str]], folds: int) -> None:
    """Move patients, or let two change places, until nothing brings a modality to a fold that lacks it.

    Dealing out by the rarest modality can pile another one up: a fold that tests all of its patients would train
    without it. That is mended first, then folds that test none of it.
    """
    names = sorted(set().union(*modalities.values()))
    holders = {name: [patient for patient in modalities if name in modalities[patient]] for name in names}

    def lacking() -> list[tuple[int, str, int]]:
        """(0 where training lacks it or 1 where testing does, modality, the fold that should test a patient of it)."""
        missing: list[tuple[int, str, int]] = []
        for name, patients in holders.items():
            tested_in = {fold_of.get(patient) for patient in patients}
            if len(patients) > 1 and len(tested_in) == 1:
                missing += [(0, name, fold) for fold in range(folds) if fold not in tested_in]
            if sum(patient in fold_of for patient in patients) >= folds:
                missing += [(1, name, fold) for fold in range(folds) if fold not in tested_in]
        return missing

    def cost() -> tuple[int, int]:
        kinds = Counter(kind for kind, _, _ in lacking())
        return kinds[0], kinds[1]

    best, improving = cost(), True
    while improving and best > (0, 0):
        improving = False
        for _, name, fold in sorted(lacking()):
            for patient, other in product(holders[name], (None, *fold_of)):
                before = dict(fold_of)
                if patient not in fold_of or (other is not None and fold_of[other] != fold):
                    continue
                if other is not None:
                    fold_of[other] = fold_of[patient]
                fold_of[patient] = fold
                if cost() < best:
                    best, improving = cost(), True
                    break
                fold_of.update(before)
            if improving:
                break


def _count(share: float, patients: int, spare: int) -> int:
    return min(max(spare, 0), max(1, round(share * patients))) if share > 0 else 0
