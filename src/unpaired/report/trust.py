"""The report's part on trust: which cases to look at first, and whether probabilities mean what they say."""

from dataclasses import dataclass
from pathlib import Path

from unpaired.errors import InputError
from unpaired.report.pictures import Picture, themed
from unpaired.scores.trust.calibration_files import Calibration
from unpaired.scores.trust.figure import draw_agreement, draw_reliability
from unpaired.scores.trust.trust import Trust, read_trust
from unpaired.scores.trust.uncertainty import CaseUncertainty, least_agreed_first
from unpaired.scores.trust.uncertainty_check import UncertaintyCheck, sentences


@dataclass(frozen=True)
class TrustView:
    """What the section shows: cases in the order to look at them, the check in sentences, pictures, and problems."""

    cases: tuple[CaseUncertainty, ...] = ()
    dice: dict[str, float] | None = None
    """{case: true mean Dice} of the cases that were checked."""
    sentences: tuple[str, ...] = ()
    agreement: Picture | None = None
    calibration: Calibration | None = None
    reliability: tuple[Picture, ...] = ()
    problem: str = ""


def trust_view(predictions: Path, evaluation_folder: Path) -> TrustView:
    """Read what predictions and their evaluation say about trust; a file that is broken becomes `problem`."""
    try:
        trust = read_trust(predictions, evaluation_folder)
    except InputError as error:
        return TrustView(problem=str(error))
    return TrustView(
        tuple(least_agreed_first(trust.cases)),
        {point.case: point.dice for point in trust.check.points} if trust.check else {},
        tuple(sentences(trust.check)) if trust.check else (),
        _agreement_picture(trust.check) if trust.check else None,
        trust.calibration,
        _reliability_pictures(trust),
    )


def _agreement_picture(check: UncertaintyCheck) -> Picture:
    alt = "Agreement of the single predictions against the true Dice, a point per case. " + "; ".join(sentences(check))
    return themed("agreement and Dice", lambda theme: draw_agreement(check.points, theme), alt)


def _reliability_pictures(trust: Trust) -> tuple[Picture, ...]:
    pictures: list[Picture] = []
    for modality in trust.calibration.modalities if trust.calibration else ():
        assert trust.calibration is not None  # there are modalities
        rows = trust.calibration.rows(modality)
        said = ", ".join(f"{row.class_name} {100 * row.ece:.2f} %" for row in rows if row.ece is not None)
        alt = f"Reliability plot of {modality}: frequency found against probability said. Calibration error: {said}"
        pictures.append(
            themed(modality, lambda theme, rows=rows, name=modality: draw_reliability(rows, name, theme), alt)
        )
    return tuple(pictures)
