"""`evaluate` as a person calls it: a folder of predictions, what to hold them against, and where the scores go."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unpaired.choices import several
from unpaired.data.dataset import Dataset
from unpaired.errors import InputError
from unpaired.files import together
from unpaired.runs.folder import RunFolder
from unpaired.runs.model_file import require_no_model
from unpaired.scores.files import CASE_TABLE
from unpaired.scores.places import evaluation_folder, require_free_place
from unpaired.scores.reading import Reading
from unpaired.scores.scorer import Scorer
from unpaired.scores.scores import Evaluation, Failure, Others, Policy, Surface
from unpaired.scores.scoring import Scoring, parse_tolerances
from unpaired.scores.tables import SHOWN, evaluation_to_json, score_table, write_evaluation
from unpaired.scores.trust.trust import Trust, evaluate_trust
from unpaired.tables import Table


class NothingScored(InputError):  # noqa: N818 (what there is to say is that there is nothing)
    """Every case failed; `failures` are (case, one line)."""

    def __init__(self, failures: Sequence[Failure]) -> None:
        first = failures[0]
        self.brief = f"nothing could be scored: {len(failures)} failed"
        """For where the failures are listed beside it."""
        super().__init__(f"{self.brief}, {first.case} because: {first.message}")
        self.failures = [(failure.case, failure.message) for failure in failures]


@dataclass(frozen=True)
class EvaluatedPredictions:
    """What `evaluate` found out and wrote into `folder`: scores, and how far probabilities and uncertainty hold."""

    evaluation: Evaluation
    trust: Trust
    folder: Path
    shown: tuple[str, ...]
    """The columns of `table`."""
    warnings: tuple[tuple[str, str], ...] = ()
    """(the folder of predictions, one line) of what is odd about the files: the evaluation's remarks on them."""

    @property
    def failures(self) -> list[tuple[str, str]]:
        """(case, one line) of those that could not be scored, or whose probabilities could not be judged."""
        more = () if self.trust.calibration is None else self.trust.calibration.failures
        return [(failure.case, failure.message) for failure in (*self.evaluation.failures, *more)]

    @property
    def case_table(self) -> Path:
        """The CSV with a row per case and class."""
        return self.folder / CASE_TABLE

    def table(self) -> Table:
        """The means per modality and class; its methods write it as Markdown, LaTeX or CSV."""
        return score_table(self.evaluation, self.shown)

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values."""
        failures = [{"case": case, "message": message} for case, message in self.failures]
        return {"folder": str(self.folder), **evaluation_to_json(self.evaluation), "failures": failures}


def evaluate(
    predictions: str | Path,
    reference: Dataset | RunFolder | str | Path,
    *,
    out: str | Path | None = None,
    classes: str | None = None,
    prediction_classes: str | None = None,
    only: Sequence[str] = (),
    others: Others = "refuse",
    split: str | None = None,
    policy: Policy = "diagonal",
    surface: Surface = "voxel",
    tolerance: Sequence[str | float] = (),
    preset: Sequence[str] = (),
    show: Sequence[str] = (),
    workers: int = 2,
) -> EvaluatedPredictions:
    """Score label maps against references: overlap, distances, volumes per case and class. Needs no torch.

    predictions: a folder of label maps named like the case (or, for folders, like the reference).  reference: a dataset
    or its manifest, a run (its test cases), a folder of folds (the cases that a fold was not trained with: out-of-fold
    scores of all of them), or a folder of label maps.  out: the folder for scores.csv,
    patients.csv and scores.json (default: see `evaluation_folder`); never over another folder's scores.

    classes: for a folder of references, what values mean: "1:LV,2:myo"; "background" and "ignore" are understood.
    prediction_classes: what the predictions' values mean, where that differs and no record says it.  only: score these
    classes alone.  others: what values are that nothing names.  split: only this side of a dataset's cases.

    policy: what a missed structure's distance is: the image's diagonal, or left out.  surface: distances between
    surface voxels, or weighted by area.  tolerance: of the surface Dice in mm: 1.5 for all classes, "LV=1.5" for one.
    preset: also what other protocols would print: csa, ssc, transunet, amos.  show: the columns of `table()`, such as
    "dice" and "nsd@2", or "all".  workers: threads.

    Probabilities that were saved are judged too, and so is the uncertainty of averaged predictions. A case that can't
    be scored is among `failures`. Raises InputError for what doesn't fit, `NothingScored` where every case failed.
    """
    predictions = Path(predictions)
    require_no_model(predictions, "predict with it (`unpaired predict MODEL DATA OUT`) and evaluate OUT")
    folder = Path(out) if out else evaluation_folder(predictions)
    everyone, own = parse_tolerances([str(value) for value in several(tolerance)])
    scoring = Scoring(policy, surface, everyone or Scoring.tolerances_mm, own, tuple(several(preset)))
    reading = Reading.of(several(only), others, prediction_classes)
    scorer = Scorer.of(reference, classes, split, scoring, reading, workers)
    require_free_place(folder, predictions)
    evaluation = scorer.score(predictions)
    if not evaluation.scores:
        raise NothingScored(evaluation.failures)
    columns = _columns(evaluation, tuple(several(show)), bool(tolerance))
    with together():
        write_evaluation(evaluation, folder)
        trust = evaluate_trust(evaluation, scorer.dataset, predictions, scorer.side, folder, workers)
    odd = (remark for remark in evaluation.remarks if remark not in reading.remarks())
    warnings = tuple((predictions.name, remark) for remark in odd)
    return EvaluatedPredictions(evaluation, trust, folder, columns, warnings)


def _columns(evaluation: Evaluation, show: tuple[str, ...], tolerances: bool) -> tuple[str, ...]:
    """The table's columns; raises InputError for a name that is no score."""
    if show == ("all",):
        return tuple(name for name in evaluation.score_names if ":" not in name)
    for name in show:
        evaluation.require_score(name)
    return show or (*SHOWN, *(evaluation.nsd_names if tolerances else ()))
