"""A manifest is written, and a person hears what is in it and what to do next."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from unpaired.choices import counted, some_of
from unpaired.data.dataset import Dataset
from unpaired.data.demographics import DEMOGRAPHIC_FIELDS
from unpaired.data.manifest import write_dataset
from unpaired.data.simulated import of_patients, simulated_beside


def store_dataset(dataset: Dataset, out: str | Path, say: Callable[[str], None]) -> Path:
    """Write the manifest as `write_dataset` does; `say` gets the `stored_lines`."""
    path = write_dataset(dataset, out)
    for line in stored_lines(dataset, path):
        say(line)
    return path


def stored_lines(dataset: Dataset, path: Path) -> Iterator[str]:
    """A line that counts the cases of each modality, one of the patients who have several, one of what else is known of
    them, one of the classes, and what was written and what to do next."""
    beside = simulated_beside(dataset)
    for modality in dataset.modalities:
        cases = dataset.of(modality)
        labeled = sum(case.label is not None for case in cases)
        patients = len({case.patient for case in cases if case.id not in beside})
        simulated = sum(case.id in beside for case in cases)
        said = f", {simulated} of the cases simulated" if simulated else ""
        yield f"{modality}: {counted(len(cases), 'case')}, {labeled} labeled, {counted(patients, 'patient')}{said}"
    shared = [patient for patient, count in Counter(_patients_by_modality(dataset)).items() if count > 1]
    if shared:
        yield (
            f"{len(shared)} patient{'' if len(shared) == 1 else 's'} in several modalities ({some_of(shared)}): "
            "scans of one name are one person's"
        )
    known = {name: len(_patients_who_say(dataset, name)) for name in DEMOGRAPHIC_FIELDS}
    if any(known.values()):
        counts = ", ".join(f"{name} of {count}" for name, count in known.items() if count)
        yield f"known of {len({case.patient for case in of_patients(dataset)})} patients: {counts}"
    yield f"classes: {', '.join(dataset.classes[1:])}"
    yield f"wrote {path}; check it with: unpaired verify {path}"


def _patients_by_modality(dataset: Dataset) -> Iterator[str]:
    """Each patient once for each modality."""
    for modality in dataset.modalities:
        yield from dict.fromkeys(case.patient for case in of_patients(dataset, modality))


def _patients_who_say(dataset: Dataset, name: str) -> set[str]:
    """The patients of whom a field of the demographics is known."""
    return {case.patient for case in of_patients(dataset) if getattr(case.demographics, name) is not None}
