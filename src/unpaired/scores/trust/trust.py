"""What `unpaired evaluate` finds out beside scores, where predictions allow it: calibration, worth of uncertainty.

Probabilities that were saved are calibrated, an uncertainty that was measured is compared with the truth; files of
neither kind are no error. What is found is written beside the scores; what an earlier evaluation wrote and this one
can't say is deleted, so that a report never shows numbers of other predictions.
"""

from dataclasses import dataclass
from pathlib import Path

from unpaired.data.dataset import Dataset
from unpaired.files import remove
from unpaired.runs.folder import PROBABILITIES, UNCERTAINTY
from unpaired.scores.files import CALIBRATION, UNCERTAINTY_CHECK
from unpaired.scores.scores import Evaluation
from unpaired.scores.trust.calibration_files import Calibration, calibrate_dataset, read_calibration, write_calibration
from unpaired.scores.trust.uncertainty import CaseUncertainty, read_uncertainty
from unpaired.scores.trust.uncertainty_check import UncertaintyCheck, check_uncertainty, read_check, write_check


@dataclass(frozen=True)
class Trust:
    """What is known about how far predictions can be trusted; None or empty where nothing was saved to tell."""

    calibration: Calibration | None = None
    check: UncertaintyCheck | None = None
    cases: tuple[CaseUncertainty, ...] = ()


def evaluate_trust(
    evaluation: Evaluation, dataset: Dataset | None, predictions: Path, split: str | None, out: Path, workers: int = 0
) -> Trust:
    """Judge probabilities (against a dataset's references) and uncertainty (against the scores), write both to `out`.

    Raises InputError for files that are there but can't be read; a case's probabilities that don't fit are a failure
    in `calibration.failures`.
    """
    calibration = check = None
    cases: tuple[CaseUncertainty, ...] = ()
    if dataset is not None and (predictions / PROBABILITIES).is_dir():
        calibration = calibrate_dataset(dataset, predictions, split, workers=workers)
        write_calibration(calibration, out)
    else:
        remove(out / CALIBRATION)
    if (predictions / UNCERTAINTY).is_file():
        cases = tuple(read_uncertainty(predictions))
    if {case.case for case in cases} & {score.case for score in evaluation.scores if score.dice is not None}:
        check = check_uncertainty(cases, evaluation)
        write_check(check, out)
    else:
        remove(out / UNCERTAINTY_CHECK)
    return Trust(calibration, check, cases)


def read_trust(predictions: Path, evaluation_folder: Path) -> Trust:
    """What was found before: from the predictions' folder and the evaluation's, as far as it is there."""
    calibrated = (evaluation_folder / CALIBRATION).is_file()
    checked = (evaluation_folder / UNCERTAINTY_CHECK).is_file()
    measured = (predictions / UNCERTAINTY).is_file()
    return Trust(
        read_calibration(evaluation_folder) if calibrated else None,
        read_check(evaluation_folder) if checked else None,
        tuple(read_uncertainty(predictions)) if measured else (),
    )
