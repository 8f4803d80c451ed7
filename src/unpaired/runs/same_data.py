"""Whether a run goes on with the data it began with: what label values mean, how values are scaled, which files."""

from pathlib import Path
from typing import Any

from unpaired.data.content import content_hash
from unpaired.data.dataset import CaseEntry, Dataset
from unpaired.errors import InputError
from unpaired.runs.difference import first_difference


def require_same_data(folder: Path, stored: Dataset, given: Dataset) -> None:
    """Raise InputError, naming the first difference, if a manifest isn't what the run in `folder` began with.

    Compared are classes, the options of the modalities, and of every case that takes part its patient, modality, label
    values, annotated classes and files. A file that moved is the same if it holds the same; names of label maps and of
    the dataset, and cases that take no part, don't matter.
    """
    there, here = _document(stored), _document(given)
    parts = (first_difference(there[part], here[part], part) for part in ("classes", "modalities", "cases"))
    difference = next(filter(None, parts), None) or _other_file(stored, given)
    if difference is not None:
        raise InputError(
            f"{folder} is a run of other data ({difference}): a corrected manifest needs a new folder, and the old one "
            "goes on with the manifest that it began with"
        )


def _document(dataset: Dataset) -> dict[str, Any]:
    cases = [case for case in dataset.cases if case.split is not None]
    return {
        "classes": list(dataset.classes),
        "modalities": {name: vars(dataset.modalities[name]) for name in {case.modality for case in cases}},
        "cases": {case.id: _case_document(dataset, case) for case in cases},
    }


def _case_document(dataset: Dataset, case: CaseEntry) -> dict[str, Any]:
    values = {str(value): " or ".join(sorted(names)) for value, names in dataset.label_map_of(case).items()}
    return {
        "patient": case.patient,
        "modality": case.modality,
        "values": values if case.label is not None else None,
        "annotated": None if case.annotated is None else sorted(case.annotated),
    }


def _other_file(stored: Dataset, given: Dataset) -> str | None:
    """The first image or label of a case that takes part and is another file in the two datasets."""
    cases = {case.id: case for case in stored.cases}
    for case in given.cases:
        if case.split is None:
            continue
        for what in ("image", "label"):
            there, here = getattr(cases[case.id], what), getattr(case, what)
            if None not in (there, here) and not _is_same_file(there, here):
                return f"the {what} of {case.id} is {there} there and {here} here"
    return None


def _is_same_file(there: Path, here: Path) -> bool:
    if there.resolve() == here.resolve():
        return True
    return there.is_file() and here.is_file() and content_hash(there) == content_hash(here)
