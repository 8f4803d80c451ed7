"""The cases that are predicted beside partners: which, how each is read once, and that a bad one stops no other."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Generic, TypeVar

from unpaired.analyses.partners.computation import prepare_image, require_partners
from unpaired.data.case import UnlabeledCase
from unpaired.data.dataset import CaseEntry, Dataset
from unpaired.data.images import read_image
from unpaired.data.simulated import of_patients
from unpaired.errors import InputError
from unpaired.failures import attempt
from unpaired.inference.predictor import Predictor
from unpaired.runs.same_data import require_same_classes

Say = Callable[[str], None]
R = TypeVar("R")
KEPT_SCANS = 8
"""How many prepared partners are kept at once."""


def labeled_cases(predictor: Predictor, dataset: Dataset, split: str) -> list[CaseEntry]:
    """The labeled cases of a side, of the modalities that the run knows, in manifest order.

    Raises InputError for a run of one modality, other classes, or where there is no such case.
    """
    run = predictor.run
    require_partners(predictor)
    require_same_classes(run.called, run.dataset, dataset, "name the manifest that it was trained with")
    cases = [case for case in of_patients(dataset, split=split, labeled=True) if case.modality in run.modalities]
    if not cases:
        raise InputError(
            f"dataset {dataset.name}: no labeled case of {' or '.join(run.modalities)} in split {split!r}, so there is "
            "nothing to score"
        )
    return cases


def kept_scans(predictor: Predictor) -> Callable[[CaseEntry], UnlabeledCase]:
    """`prepare_scan` that remembers the last scans, since one partner serves several cases."""

    @lru_cache(KEPT_SCANS)
    def read(image: Path, modality: str, case: str, patient: str) -> UnlabeledCase:
        return prepare_image(predictor, read_image(image), modality, case, patient)

    return lambda entry: read(entry.image, entry.modality, entry.id, entry.patient)


@dataclass(frozen=True)
class CaseWork(Generic[R]):
    """A case that is to be scored: what failures call it, what is said before it, and what makes its rows."""

    name: str
    announcement: str
    rows: Callable[[], Iterable[R]]


def score_cases(work: Iterable[CaseWork[R]], say: Say) -> tuple[list[R], list[tuple[str, str]]]:
    """The rows of all cases, and (name, one line) of each that couldn't be read; one bad case stops no other.

    Raises InputError if not a single case could be.
    """
    rows: list[R] = []
    failures: list[tuple[str, str]] = []
    for case in work:
        say(case.announcement)
        of_case, failure = attempt(lambda case=case: list(case.rows()))
        rows += of_case or []
        if failure is not None:
            failures.append((case.name, failure))
    if not rows:
        raise InputError(f"no case could be scored; the first, {failures[0][0]}: {failures[0][1]}")
    return rows, failures
