"""Where the scores of a folder of predictions lie, so that no evaluation writes over another's."""

from pathlib import Path

from unpaired.errors import InputError
from unpaired.files import require_writable
from unpaired.runs.folder import EVALUATION, PREDICTIONS
from unpaired.scores.files import CASE_TABLE
from unpaired.scores.freshness import stale_predictions
from unpaired.scores.tables import read_evaluation


def evaluation_folder(predictions: Path) -> Path:
    """Where scores go when no place is named: `evaluation` beside a folder called `predictions`, as in a run, and
    `NAME_evaluation` beside a folder of another name."""
    name = predictions.name or predictions.resolve().name
    place = EVALUATION if name == PREDICTIONS else f"{name}_{EVALUATION}"
    return (predictions if predictions.name else predictions.resolve()).with_name(place)


def require_free_place(folder: Path, predictions: Path) -> None:
    """Raise InputError if `folder` holds the scores of other predictions, or can't be written.

    Those of the same folder are written anew, and so are those of label maps of the same content that have moved.
    Scores that can't be read, or that don't say of which folder they are, are in nobody's way.
    """
    require_writable(folder / CASE_TABLE)
    try:
        stored = read_evaluation(folder)
    except InputError:
        return
    if stored.predictions in ("", predictions.resolve().as_posix()):
        return
    names = [files.prediction for files in stored.files if files.prediction is not None]
    moved = any((predictions / name).is_file() for name in names) and not any(stale_predictions(stored, predictions))
    if not moved:
        raise InputError(
            f"{folder} holds the scores of the predictions in {stored.predictions}; name another place for those of "
            f"{predictions} (--out), or delete it"
        )


def predictions_folder(scores: Path) -> Path:
    """The folder of label maps whose scores lie in the folder `scores`, by the names that `evaluation_folder` gives."""
    name = scores.name.removesuffix(f"_{EVALUATION}")
    return scores.with_name(PREDICTIONS if scores.name == EVALUATION else name)
