"""The cases that a run trains on and validates with, prepared once for all its processes."""

from collections.abc import Iterator
from pathlib import Path

from lightning_fabric import Fabric
from rich.console import Console

from unpaired.choices import counted
from unpaired.data.dataset import CaseEntry, Dataset
from unpaired.data.prepare import file_hashes, prepare
from unpaired.data.prepared import Prepared, PreparedCase
from unpaired.data.randomization import (
    BORROWED_ALL_GAIN_AND_PRICE,
    BORROWED_GAIN_AND_PRICE,
    GAIN_AND_PRICE,
    count_labels,
)
from unpaired.data.sampling import times_of_patients
from unpaired.data.sides import mirror_warning
from unpaired.data.simulated import idle_simulated, simulated_beside
from unpaired.errors import InputError
from unpaired.recipe import Recipe
from unpaired.runs.fingerprint import note_new_cases, require_same_files
from unpaired.runs.run import Run
from unpaired.training.batches import pseudo_labeled
from unpaired.training.modalities import left_out, not_taught, not_validated
from unpaired.training.processes import by_the_first
from unpaired.training.progress import case_progress, tell

WARNINGS_SHOWN = 3


def cases_to_prepare(recipe: Recipe, dataset: Dataset, modalities: tuple[str, ...]) -> list[CaseEntry]:
    """Labeled training and validation cases, and unlabeled training cases for a recipe that takes them.

    Raises InputError if it takes them and there is none.
    """
    cases = [case for case in dataset.cases if case.modality in modalities]
    unlabeled = {case.id for case in cases if case.split == "train" and case.label is None}
    if recipe.unlabeled_batch_size and not unlabeled:
        raise InputError(
            f"recipe.unlabeled_batch_size is {recipe.unlabeled_batch_size}, but dataset {dataset.name} has no "
            f'unlabeled training case of {", ".join(modalities)} (split "train", label null): add some to the manifest '
            "or keep the labels of few patients with `unpaired labeled-fraction`; 0 trains without"
        )
    labeled = {case.id for case in cases if case.split in ("train", "validation") and case.label is not None}
    taken = labeled | unlabeled if recipe.unlabeled_batch_size else labeled
    return [case for case in cases if case.id in taken]


def nothing_to_compare(dataset: Dataset, modalities: tuple[str, ...]) -> str:
    """A sentence where fewer than two modalities have unlabeled training scans; empty where two have."""
    unlabeled = [name for name in modalities if dataset.of(name, "train", labeled=False)]
    if len(unlabeled) > 1:
        return ""
    return (
        f"its terms compare unlabeled scans of two modalities, and only {unlabeled[0]} has some: they are 0 "
        "throughout; give unlabeled training scans of another modality, or choose CMCConfig, which compares labeled "
        "ones then"
    )


def remarks(run: Run, modalities: tuple[str, ...]) -> Iterator[str]:
    """What training should not do without a word."""
    if said := left_out(run.dataset, modalities):
        yield said
    recipe = run.recipe
    yield from _of_borrowed(run, modalities)
    randomized = [name for name in modalities if recipe.randomization.share_of(name)]
    if randomized:
        yield (
            f"{recipe.randomization.share:.0%} of the samples of {', '.join(randomized)} in random intensities: "
            f"{GAIN_AND_PRICE}"
        )
    yield from _of_simulated(run, modalities)
    if said := not_validated(run.dataset, modalities):
        yield said
    mirror = recipe.augmentation
    if said := mirror_warning(run.dataset.classes, recipe.preprocessing.plane, mirror.mirror, mirror.mirror_swaps):
        yield f"warning: {said}"


def _of_borrowed(run: Run, modalities: tuple[str, ...]) -> Iterator[str]:
    """What share of the samples of a modality with few labels or none is borrowed, and what that gave and took."""
    labeled = {name: [case.id for case in run.dataset.of(name, "train", labeled=True)] for name in modalities}
    labels = count_labels(labeled, simulated_beside(run.dataset), pseudo_labeled(run.dataset))
    for modality, borrowing in run.recipe.randomization.borrowing(labels).items():
        if run.recipe.randomization.borrowed and borrowing.share:
            of = labels[modality]
            beside = [f"{n} {kind}" for n, kind in ((of.simulated, "simulated"), (of.pseudo, "pseudo-labeled")) if n]
            besides = f" ({', '.join(beside)})" if beside else ""
            measured = BORROWED_GAIN_AND_PRICE if of.patients or beside else BORROWED_ALL_GAIN_AND_PRICE
            yield (
                f"{modality} has {counted(of.patients, 'labeled training case')}{besides}: {borrowing.share:.0%} of "
                f"its samples are borrowed from modalities with more, their intensities randomized: {measured}"
            )


def _of_simulated(run: Run, modalities: tuple[str, ...]) -> Iterator[str]:
    """How many scans are simulated beside those of patients, and what share of a modality's own samples they are."""
    if said := idle_simulated(run.dataset):
        yield f"warning: {said}"
    beside = simulated_beside(run.dataset)
    for modality in modalities:
        labeled = run.dataset.of(modality, "train", labeled=True)
        invented = sum(case.id in beside for case in labeled)
        scanned = len(labeled) - invented
        if invented:
            often = scanned * times_of_patients(scanned, invented, run.recipe.simulated_share)
            share = invented / (invented + often) if run.recipe.simulated_share or not scanned else 0.0
            yield (
                f"{modality} has {invented} simulated training cases beside {scanned} labeled ones of patients: "
                f"{share:.0%} of its own samples are simulated"
            )


def prepared_cases(
    run: Run, cache: Path, modalities: tuple[str, ...], fabric: Fabric, workers: int, console: Console
) -> dict[str, dict[str, list[PreparedCase]]]:
    """{"train" or "validation": {modality: prepared cases}}.

    The first process prepares them, with so many `workers`, and the others read what lies in `cache`.

    Raises InputError if a case can't be prepared, or isn't what it was when the run began.
    """
    wanted = cases_to_prepare(run.recipe, run.dataset, modalities)
    entries = {case.id: case for case in wanted}

    def prepared_here() -> Prepared:
        if run.fingerprint_file.is_file():
            require_same_files(run, file_hashes(wanted, cache))
        with case_progress("preparing", console) as progress:
            prepared = prepare(run.dataset, run.recipe.preprocessing, cache, workers, progress, only=set(entries))
        if prepared.failures:
            lines = "; ".join(message for _, message in prepared.failures[:3])
            raise InputError(
                f"{len(prepared.failures)} of {len(entries)} cases can't be prepared (see `unpaired verify`): {lines}"
            )
        note_new_cases(run, prepared.sources)
        return prepared

    prepared = by_the_first(fabric, prepared_here) or prepared_here()
    tell(console, f"{len(entries)} prepared cases in {cache}")
    for line in remarks(run, modalities):
        tell(console, line)
    for line in not_taught(run.dataset, modalities, prepared):
        tell(console, f"warning: {line}")
    for case, message in prepared.warnings[:WARNINGS_SHOWN]:
        tell(console, f"warning: {case}: {message}")
    if len(prepared.warnings) > WARNINGS_SHOWN:
        tell(console, f"and {len(prepared.warnings) - WARNINGS_SHOWN} more such warnings: {prepared.report}")
    return {
        side: {
            modality: [prepared.cases[c.id] for c in wanted if c.split == side and c.modality == modality]
            for modality in modalities
        }
        for side in ("train", "validation")
    }
