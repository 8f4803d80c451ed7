"""Whether a run goes on with the data it began with: what label values mean, how values are scaled, which files."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from unpaired.data.content import content_hash
from unpaired.data.dataset import CaseEntry, Dataset
from unpaired.data.fingerprint import CaseFingerprint
from unpaired.errors import InputError
from unpaired.files import resolved
from unpaired.runs.difference import first_difference

NOTHING_NOTED: Mapping[str, CaseFingerprint] = MappingProxyType({})


def require_same_data(
    folder: Path, stored: Dataset, given: Dataset, fingerprint: Mapping[str, CaseFingerprint] = NOTHING_NOTED
) -> None:
    """Raise InputError, naming the first difference, if a manifest isn't what the run in `folder` began with.

    Compared are classes, the options of the modalities, and of every case that takes part its patient, modality, label
    values, annotated classes, files, and beside scans of patients whether it is simulated. A file that moved is the
    same if it holds the same: what the run's `fingerprint` notes, else what still lies at the old place. Names of label
    maps and of the dataset, codes, and cases that take no part, don't matter.
    """
    there, here = data_document(stored), data_document(given)
    parts = (first_difference(there[part], here[part], part) for part in ("classes", "modalities", "cases"))
    difference = next(filter(None, parts), None) or _other_file(stored, given, fingerprint)
    if difference is not None:
        raise InputError(
            f"{folder} is a run of other data ({difference}): a corrected manifest needs a new folder, and the old one "
            "goes on with the manifest that it began with"
        )


def require_same_classes(called: str, theirs: Dataset, dataset: Dataset, advice: str) -> None:
    """Raise InputError, with `advice`, if a run's dataset has other classes than `dataset`, or in another order: what
    a network says is a class number. `called` is how a person named the run."""
    if theirs.classes != dataset.classes:
        raise InputError(
            f"run {called} has the classes {', '.join(theirs.classes)}, but {dataset.name} has "
            f"{', '.join(dataset.classes)}; {advice}"
        )


def data_document(dataset: Dataset) -> dict[str, Any]:
    """What counts of a dataset besides its files, as JSON values: classes, options, what labels mean in each case that
    takes part."""
    cases = [case for case in dataset.cases if case.split is not None]
    scanned = not all(case.simulated for case in dataset.cases)
    return {
        "classes": list(dataset.classes),
        "modalities": {name: asdict(dataset.modalities[name]) for name in {case.modality for case in cases}},
        "cases": {case.id: _case_document(dataset, case, case.simulated and scanned) for case in cases},
    }


def _case_document(dataset: Dataset, case: CaseEntry, simulated: bool) -> dict[str, Any]:
    values = {str(value): " or ".join(sorted(names)) for value, names in dataset.label_map_of(case).items()}
    return {
        "patient": case.patient,
        "modality": case.modality,
        "values": values if case.label is not None else None,
        "annotated": None if case.annotated is None else sorted(case.annotated),
        **({"simulated": True} if simulated else {}),
    }


def brought_up_to_date(stored: Dataset, given: Dataset) -> Dataset | None:
    """The stored dataset with what changes nothing that was learned as `given` has it; None if nothing differs.

    That are the places of files that are no longer at their own, and the classes' codes for DICOM.

    Both are of the same data (`require_same_data`).
    """
    there_now = {case.id: case for case in given.cases}

    def moved(case: CaseEntry) -> CaseEntry:
        here = there_now.get(case.id)
        if here is None:
            return case
        image = case.image if case.image.is_file() else here.image
        label = case.label if case.label is None or case.label.is_file() else here.label
        return replace(case, image=image, label=label)

    result = replace(stored, cases=tuple(map(moved, stored.cases)), codes=given.codes)
    return None if result == stored else result


def _other_file(stored: Dataset, given: Dataset, fingerprint: Mapping[str, CaseFingerprint]) -> str | None:
    """The first image or label of a case that takes part and is another file in the two datasets."""
    cases = {case.id: case for case in stored.cases}
    for case in given.cases:
        if case.split is None:
            continue
        for what in ("image", "label"):
            there, here = getattr(cases[case.id], what), getattr(case, what)
            if None in (there, here) or resolved(there) == resolved(here):
                continue
            noted = fingerprint.get(case.id)
            if noted is None and fingerprint:
                continue  # it takes no part in training: a test case
            sha256 = None if noted is None else getattr(noted, f"{what}_sha256")
            if not _is_same_file(there, here, sha256):
                return f"the {what} of {case.id} is {there} there and {here} here"
    return None


def _is_same_file(there: Path, here: Path, sha256: str | None) -> bool:
    """Whether the file that is `here` holds what the one `there` did, whose hash may be known."""
    if not here.is_file() or (sha256 is None and not there.is_file()):
        return False
    return content_hash(here) == (sha256 or content_hash(there))
