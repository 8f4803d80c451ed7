"""Splits that make labels scarce: few training patients of one modality, or labels for a share of them alone."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from unpaired.choices import counted
from unpaired.data.dataset import Dataset
from unpaired.data.manifest import as_dataset
from unpaired.data.overwriting import require_other_file
from unpaired.data.simulated import of_patients, simulated_beside
from unpaired.data.split import Split, as_split, write_split
from unpaired.data.subsets import groups_of_patients, shuffled_patients
from unpaired.errors import InputError, nearest


def few_shot(
    data: Dataset | str | Path,
    modality: str,
    patients: int,
    out: str | Path | None = None,
    *,
    split: Split | str | Path | None = None,
    seed: int = 0,
    say: Callable[[str], None] = lambda line: None,
    warn: Callable[[str], None] = warnings.warn,
) -> Split:
    """The split with so many training patients of one modality, drawn by `seed`; stored in a file if `out` names one.

    data: a dataset or its manifest.  split: the one to start from, or its file (default: the dataset's own sides).
    Training cases of that modality in other patients are left out; all other modalities, validation and test stay as
    they are, so that runs with few and with all cases are compared on the same patients. Only labeled cases count, and
    scans that are simulated beside those of patients stay.

    `say` gets a line that names the patients, `warn` one for each modality or class that no training case is labeled
    with. Raises InputError for an unknown modality, a dataset without sides, more
    patients than it has, or where `out` is what the split comes from.
    """
    dataset = _with_sides(data, split, out)
    kept = set(_few_patients(dataset, modality, patients, seed))
    simulated = simulated_beside(dataset)
    sides = {
        case.id: case.split
        for case in dataset.cases
        if case.split is not None
        and (
            case.modality != modality
            or case.split != "train"
            or case.id in simulated
            or (case.patient in kept and case.label is not None)
        )
    }
    unlabeled = [case for case in Split.of(dataset).unlabeled if case in sides]
    drawn = Split.from_sides(sides, unlabeled)
    _keep(drawn, dataset, out, warn)
    left = [case.patient for case in of_patients(dataset, modality) if sides.get(case.id) == "train"]
    say(
        f"{out or dataset.name}: {modality} trains on {counted(len(left), 'case')} of {', '.join(sorted(set(left)))}"
        f"{_and_simulated(drawn.apply(dataset), modality)}"
    )
    return drawn


def labeled_fraction(
    data: Dataset | str | Path,
    fraction: float,
    out: str | Path | None = None,
    *,
    split: Split | str | Path | None = None,
    seed: int = 0,
    say: Callable[[str], None] = lambda line: None,
    warn: Callable[[str], None] = warnings.warn,
) -> Split:
    """The split in which only that share of the labeled training patients keep their labels: 0.1 is 10 %.

    data: a dataset or its manifest.  split: the one to start from, or its file (default: the dataset's own sides).
    out: a file to store it in. All other training cases stay training cases, unlabeled; validation and test are not
    touched. A patient keeps the labels of all modalities or of none. Patients are drawn separately for every set of
    modalities that a patient has labels of, so each modality keeps its share, rounded per set, and at least one
    patient. With one seed the patients of a smaller share are among those of a larger one. Scans that are simulated
    beside those of patients keep their labels.

    `say` gets a line for each modality, `warn` one for each modality or class that no training case is labeled with.
    Raises InputError for a share outside (0, 1], if no training case is labeled, or where `out` is what the split comes
    from.
    """
    dataset = _with_sides(data, split, out)
    kept = _patients_with_labels(dataset, fraction, seed)
    whole = Split.of(dataset)
    simulated = simulated_beside(dataset)
    kept |= {case.patient for case in dataset.cases if case.id in simulated}
    unlabeled = [case.id for case in dataset.of(split="train") if case.label is None or case.patient not in kept]
    drawn = replace(whole, unlabeled=tuple(unlabeled))
    _keep(drawn, dataset, out, warn)
    fewer = drawn.apply(dataset)
    for modality in dataset.modalities:
        labeled, others = (
            len({case.patient for case in of_patients(fewer, modality, "train", labeled)}) for labeled in (True, False)
        )
        say(
            f"{out or dataset.name}: {modality} trains on {labeled} labeled and {counted(others, 'unlabeled patient')}"
            f"{_and_simulated(fewer, modality)}"
        )
    return drawn


def _and_simulated(dataset: Dataset, modality: str) -> str:
    """ ", and 4 simulated cases", those that train beside patients; "" where there is none."""
    beside = simulated_beside(dataset)
    count = sum(case.id in beside for case in dataset.of(modality, "train"))
    return f", and {counted(count, 'simulated case')}" if count else ""


def _with_sides(data: Dataset | str | Path, split: Split | str | Path | None, out: str | Path | None) -> Dataset:
    """The dataset on the sides of the split to start from. InputError where `out` is what either comes from."""
    dataset = as_dataset(data)
    dataset = dataset if split is None else as_split(split).apply(dataset)
    if out is not None:
        require_other_file(Path(out), data, split)
    return dataset


def _keep(split: Split, dataset: Dataset, out: str | Path | None, warn: Callable[[str], None]) -> None:
    """Store a split where `out` names a file; warn of modalities and classes without a labeled training case."""
    if out is not None:
        write_split(split, out)
    for line in (*split.missing_labels(dataset, ["train"]), *split.missing_classes(dataset)):
        warn(f"{dataset.name if out is None else Path(out).name}: {line}")


def _few_patients(dataset: Dataset, modality: str, patients: int, seed: int) -> list[str]:
    """So many of the patients with a labeled training case of a modality."""
    if modality not in dataset.modalities:
        raise InputError(
            f"dataset {dataset.name} has no modality {modality!r}; {nearest(modality, list(dataset.modalities))}"
        )
    candidates = sorted({case.patient for case in of_patients(dataset, modality, "train", labeled=True)})
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
    return shuffled_patients(candidates, (modality,), seed)[:patients]


def _patients_with_labels(dataset: Dataset, fraction: float, seed: int) -> set[str]:
    """The labeled training patients who keep their labels."""
    if not 0 < fraction <= 1:
        raise InputError(
            f"labeled-fraction: expected a share above 0 and up to 1, such as 0.1 for 10 %; got {fraction}"
        )
    labeled = replace(dataset, cases=tuple(of_patients(dataset, split="train", labeled=True)))
    if not labeled.cases:
        raise InputError(
            f"labeled-fraction: dataset {dataset.name} has no labeled training case; a manifest without sides needs "
            "--split"
        )
    groups = {
        group: shuffled_patients(patients, group, seed) for group, patients in groups_of_patients(labeled).items()
    }
    kept = {patient for drawn in groups.values() for patient in drawn[: int(fraction * len(drawn) + 0.5)]}
    for modality in dataset.modalities:
        own = [drawn for group, drawn in groups.items() if modality in group]
        if own and not any(kept.intersection(drawn) for drawn in own):
            kept.add(max(own, key=len)[0])  # also the first whom any larger share keeps
    return kept
