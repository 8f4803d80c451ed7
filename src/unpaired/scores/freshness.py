"""Whether stored scores are still those of the files that lie there: each case's files are known by their content.

Times and sizes would be quicker to compare, but copying a folder changes times, and two label maps may have one size.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path

from unpaired.choices import some_of
from unpaired.data.content import content_hash
from unpaired.data.dataset import CaseEntry
from unpaired.data.images import NIFTI
from unpaired.data.prediction_record import SERIES, difference_from_record, read_record
from unpaired.errors import InputError
from unpaired.scores.scores import Evaluation, ScoredFiles

SHOWN = 3
"""How many cases a message spells out; the rest are counted."""


@dataclass(frozen=True)
class Stale:
    """A case whose file isn't the one that was scored, and what happened to it."""

    case: str
    what: str


def scored_files(case: str, prediction: Path | None, reference: Path | None) -> ScoredFiles:
    """The files of a case as they are now; None stands for no file, and for the content of one that can't be read."""
    return ScoredFiles(
        case,
        None if prediction is None else prediction.name,
        None if prediction is None else _sha256(prediction),
        None if reference is None else reference.name,
        None if reference is None else _sha256(reference),
    )


def stale_predictions(evaluation: Evaluation, predictions: Path) -> Iterator[Stale]:
    """The cases whose label map in the folder `predictions` isn't the one that was scored, or is there only since.

    A label map that is gone says nothing against its scores. Scores of a version that didn't note files give nothing.
    """
    for scored in evaluation.files:
        names = [scored.prediction] if scored.prediction else [f"{scored.case}{suffix}" for suffix in NIFTI]
        there = [predictions / name for name in names if (predictions / name).is_file()]
        if len(there) == 1 and _sha256(there[0]) != scored.prediction_sha256:  # of two nobody knows which is meant
            yield Stale(scored.case, "prediction changed" if scored.prediction else "prediction came")


def stale_references(evaluation: Evaluation, references: Mapping[str, Path]) -> Iterator[Stale]:
    """The cases whose reference isn't the one that they were scored against; `references` are files by case."""
    for scored in evaluation.files:
        path = references.get(scored.case)
        if path is None or scored.reference is None or not path.is_file():
            continue
        if _sha256(path) != scored.reference_sha256:
            yield Stale(scored.case, "reference changed")


def is_of_another_image(case: CaseEntry, prediction: Path) -> bool:
    """Whether a label map's record says that it was made of an image that holds something else than the case's.

    False where nobody can tell: without a record, without the image, or if the image was read as a DICOM series.
    """
    try:
        record = read_record(prediction)
        if record is None or record.image is None or record.image.file.startswith(SERIES):
            return False
        return case.image.exists() and content_hash(case.image) != record.image.sha256
    except (InputError, OSError):  # a record or an image that can't be read is told by whoever needs it
        return False


def remark_on_other_cases(predictions: Mapping[str, Path | None]) -> str:
    """A sentence about label maps {case: file} whose records name another of these cases; empty where there are none.

    A name of its own, such as the scan's before it was renamed, says nothing.
    """
    said = {name: _recorded_case(path) for name, path in predictions.items() if path is not None}
    swapped = [name for name, case in said.items() if case != name and case in predictions]
    if not swapped:
        return ""
    named = some_of([f"{name} (of {said[name]})" for name in swapped], SHOWN)
    return (
        f"By their records these label maps are those of other cases: {named}; give each label map and its "
        "record their own case's name, or predict again."
    )


def _recorded_case(path: Path) -> str | None:
    """What the record beside a label map calls its case; None without one, or where whoever scores tells of damage."""
    try:
        record = read_record(path)
    except (InputError, OSError):
        return None
    return None if record is None else record.case


def is_not_as_recorded(prediction: Path, sha256: str | None = None) -> bool:
    """Whether a label map, of which the SHA-256 may be known, isn't the file that the record beside it tells of."""
    try:
        record = read_record(prediction)
        return record is not None and difference_from_record(record, prediction, sha256) is not None
    except (InputError, OSError):  # told by whoever needs them
        return False


def remark_on_changed(cases: Sequence[str]) -> str:
    """A sentence about the cases whose label maps aren't as their records tell; empty where there are none."""
    if not cases:
        return ""
    return (
        f"The label maps of {some_of(cases, SHOWN)} were corrected, cut short or replaced since they were "
        "predicted: their records tell of other files. Their values are read by these records all the same; delete "
        "the record of one that has other label values, or predict again."
    )


def remark_on_other_images(cases: Sequence[str]) -> str:
    """A sentence about the cases whose label maps were made of another image; empty where there are none."""
    if not cases:
        return ""
    return (
        f"By their records the label maps of {some_of(cases, SHOWN)} were made of other images than the "
        "manifest has now, or of files that changed since: predict again, unless these are known to be the same scans."
    )


def require_fresh(
    evaluation: Evaluation, scores: Path, predictions: Path, references: Mapping[str, Path] | None = None
) -> None:
    """InputError, in one line that names the cases, if stored scores aren't those of the files that lie there.

    `scores` is where the scores are stored, for the message. A reference is looked at where `references` has it.
    """
    stale = [*stale_predictions(evaluation, predictions), *stale_references(evaluation, references or {})]
    if not stale:
        return
    parts: list[str] = []
    for what in dict.fromkeys(item.what for item in stale):
        cases = [item.case for item in stale if item.what == what]
        parts.append(f"the {what} of {some_of(cases, SHOWN)}")
    raise InputError(
        f"{scores} holds scores of other files than lie there now: since they were made {'; '.join(parts)}; score "
        f"again: unpaired evaluate {predictions} REFERENCE"
    )


def unchecked(evaluation: Evaluation, predictions: Path | None) -> str:
    """Why nobody can say whether scores are those of the label maps in a folder; empty where `require_fresh` can."""
    if not evaluation.files:
        return "the version that stored the scores didn't note which label maps they are of; evaluate again to be sure"
    names = [scored.prediction for scored in evaluation.files if scored.prediction is not None]
    if predictions is None or not any((predictions / name).is_file() for name in names):
        return "the label maps that were scored are not there, so the scores can't be compared with them"
    return ""


def _sha256(path: Path) -> str | None:
    """The checksum of a file; None if it can't be read, which scoring it reports as a failure."""
    try:
        with path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
