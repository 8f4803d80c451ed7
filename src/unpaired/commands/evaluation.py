"""The commands about scores: evaluate, report."""

import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from unpaired.commands.arguments import (
    OptionalPath,
    OptionalText,
    Predictions,
    Reference,
    RunFolder,
    list_failures,
    table_width,
)
from unpaired.commands.errors import report_error
from unpaired.errors import InputError
from unpaired.runs.folder import is_run
from unpaired.scores.files import CASE_TABLE, SCORES

if TYPE_CHECKING:
    from unpaired.data.dataset import Dataset
    from unpaired.scores.reading import Reading
    from unpaired.scores.scores import Evaluation
    from unpaired.scores.scoring import Scoring

Tolerances = Annotated[tuple[str, ...], tyro.conf.arg(metavar="MM|CLASS=MM")]
ClassNames = Annotated[tuple[str, ...], tyro.conf.arg(metavar="CLASS")]
ScoreNames = Annotated[tuple[str, ...], tyro.conf.arg(metavar="SCORE")]
Presets = tuple[Literal["csa", "ssc", "transunet", "amos"], ...]


def evaluate(
    predictions: Predictions,
    reference: Reference,
    /,
    *,
    out: OptionalPath = None,
    classes: OptionalText = None,
    prediction_classes: OptionalText = None,
    only: ClassNames = (),
    others: Literal["refuse", "background", "ignore"] = "refuse",
    split: OptionalText = None,
    policy: Literal["diagonal", "excluded"] = "diagonal",
    surface: Literal["voxel", "area"] = "voxel",
    tolerance: Tolerances = (),
    preset: Presets = (),
    show: ScoreNames = (),
    json: bool = False,
    workers: int = 2,
) -> int:
    """Score label maps against references: overlap, distances, volumes per case and class. Needs no torch.

    Saved probabilities (`predict --probabilities`) are judged too, and so is the uncertainty of averaged predictions.

    Args:
        predictions: Folder of label maps named like the case (or, for folders, like the reference).
        reference: A manifest, a run folder (its test cases), or a folder of label maps.
        out: Folder for scores.csv, patients.csv and scores.json (default: `evaluation` beside a folder called
            `predictions`, as in a run, and `NAME_evaluation` beside any other). Never over another folder's scores.
        classes: For a folder of references, what values mean: "1:LV,2:myo". "4:background" is no structure, and voxels
            whose reference is "5:ignore" count for nothing.
        prediction_classes: What the predictions' values mean, if not what the references' do and if no record beside a
            prediction says it: "5:liver,1:spleen".
        only: Score these classes alone, such as liver spleen.
        others: What values are that nothing names: refused (the case fails), background, or, in references, ignored.
        split: Only this side of a manifest's cases.
        policy: What a missed structure's distance is: the image's diagonal, or left out (always counted).
        surface: Distances between surface voxels, or between surface elements weighted by their area.
        tolerance: Tolerances in mm of the surface Dice (NSD): "1 2" for all classes, "LV=1.5" for one (default: 1 2).
        preset: Also print what other protocols would, beside our columns.
        show: Columns of the table: names such as dice iou hd nsd@2, or all (default: dice hd95 assd, NSD if asked for).
        json: Print everything as one JSON value instead of a table; also what is wrong with the input.
        workers: Threads.
    """
    from unpaired.scores.label_values import parse_classes
    from unpaired.scores.places import evaluation_folder, require_free_place
    from unpaired.scores.reading import Reading

    out = out or evaluation_folder(predictions)
    evaluation = None
    try:
        scoring = _scoring(policy, surface, tolerance, preset)
        dataset, side = _dataset(reference, split)
        require_free_place(out, predictions)
        reading = Reading(only, others, None if prediction_classes is None else parse_classes(prediction_classes))
        evaluation = _score(predictions, dataset or reference, side, classes, scoring, reading, workers)
        if not evaluation.scores:
            raise _nothing_scored(evaluation)
        return _write_and_show(
            evaluation, dataset, predictions, side, out, workers, _shown(evaluation, show, bool(tolerance)), json
        )
    except InputError as error:
        if evaluation is None or not json:
            raise
        return report_error(str(error), 2, json, [(failure.case, failure.message) for failure in evaluation.failures])


def _scoring(
    policy: Literal["diagonal", "excluded"], surface: Literal["voxel", "area"], tolerance: Tolerances, preset: Presets
) -> "Scoring":
    from unpaired.scores.scoring import Scoring, parse_tolerances

    everyone, own = parse_tolerances(tolerance)
    return Scoring(policy, surface, everyone or Scoring.tolerances_mm, own, preset)


def _dataset(reference: Path, split: str | None) -> "tuple[Dataset | None, str | None]":
    """The dataset and the side to score if the reference is a manifest or a run, else nothing."""
    from unpaired.data.manifest import is_manifest, read_dataset

    if is_manifest(reference):
        return read_dataset(reference), split or ("test" if is_run(reference) else None)
    return None, None


def _score(
    predictions: Path,
    reference: "Dataset | Path",
    side: str | None,
    classes: str | None,
    scoring: "Scoring",
    reading: "Reading",
    workers: int,
) -> "Evaluation":
    from unpaired.scores.evaluate import evaluate_dataset, evaluate_folders
    from unpaired.scores.label_values import parse_classes

    if not isinstance(reference, Path):
        if classes is not None:
            raise InputError(
                "a manifest says itself what its label values mean; --prediction-classes says it of predictions that "
                "have other values and no record"
            )
        return evaluate_dataset(reference, predictions, side, scoring, workers, reading)
    if classes is None:
        raise InputError('folders of label maps need their classes: --classes "1:LV,2:myo" (or give a manifest)')
    return evaluate_folders(predictions, reference, parse_classes(classes), scoring, workers, reading=reading)


def _shown(evaluation: "Evaluation", show: tuple[str, ...], tolerances: bool) -> tuple[str, ...]:
    """The table's columns; raises InputError for a name that is no score."""
    from unpaired.scores.tables import SHOWN

    if show == ("all",):
        return tuple(name for name in evaluation.score_names if ":" not in name)
    for name in show:
        evaluation.require_score(name)
    return show or (*SHOWN, *(evaluation.nsd_names if tolerances else ()))


def _nothing_scored(evaluation: "Evaluation") -> InputError:
    """Every case failed, which no table should hide: all are named, and it is an error."""
    list_failures([(failure.case, failure.message) for failure in evaluation.failures])
    first = evaluation.failures[0]
    return InputError(
        f"nothing could be scored: {len(evaluation.failures)} failed, {first.case} because: {first.message}"
    )


def _write_and_show(
    evaluation: "Evaluation",
    dataset: "Dataset | None",
    predictions: Path,
    side: str | None,
    out: Path,
    workers: int,
    shown: tuple[str, ...],
    json: bool,
) -> int:
    """Write the scores, judge what else was predicted, show both; returns the exit code."""
    from rich.console import Console

    from unpaired.scores.tables import evaluation_to_json, score_table, write_evaluation
    from unpaired.scores.trust.calibration_files import calibration_table
    from unpaired.scores.trust.trust import evaluate_trust
    from unpaired.scores.trust.uncertainty_check import sentences

    write_evaluation(evaluation, out)
    trust = evaluate_trust(evaluation, dataset, predictions, side, out, workers)
    more = trust.calibration.failures if trust.calibration is not None else ()
    failures = [(failure.case, failure.message) for failure in (*evaluation.failures, *more)]
    if json:
        document: dict[str, Any] = {"folder": str(out), **evaluation_to_json(evaluation)}
        document["failures"] = [{"case": case, "message": message} for case, message in failures]
        print(json_format.dumps(document, indent=1))
        return list_failures(failures)
    table = score_table(evaluation, shown)
    console = Console(width=table_width(), highlight=False)
    if table_width() is not None:  # nobody's terminal: as wide as it takes
        console.width = max(console.width, console.measure(table, options=console.options.update(width=1000)).maximum)
    console.print(table)
    if trust.calibration is not None:
        console.print(calibration_table(trust.calibration))
    for sentence in sentences(trust.check) if trust.check else ():
        print(f"agreement, {sentence}")
    print(f"scores by case and class: {out / CASE_TABLE}")
    return list_failures(failures)


def report(
    run: RunFolder,
    /,
    *,
    predictions: OptionalPath = None,
    out: OptionalPath = None,
    viewer_mb: float = 20.0,
) -> int:
    """Write one HTML page about a run, from its predictions and scores: opens from disk, needs no network.

    Refused where predictions or references changed since they were scored: evaluate again first.

    Args:
        run: A run whose test cases were predicted and evaluated.
        predictions: Folder of its predictions, with their scores beside it where `unpaired evaluate` puts them
            (default: `predictions` in the run).
        out: The page (default: report.html in the run).
        viewer_mb: How many megabytes of scans the page's viewer may hold; 0 leaves the viewer out.
    """
    from unpaired.report.page import write_report
    from unpaired.runs.run import Run
    from unpaired.scores.freshness import require_fresh
    from unpaired.scores.places import evaluation_folder
    from unpaired.scores.tables import read_evaluation

    trained = Run.at(run)
    predictions = predictions or trained.predictions
    scores = evaluation_folder(predictions)
    evaluation = read_evaluation(scores)
    references = {case.id: case.label for case in trained.dataset.cases if case.label is not None}
    require_fresh(evaluation, scores / SCORES, predictions, references)
    page = write_report(run, trained.dataset, predictions, evaluation, out or trained.report, viewer_mb)
    print(page)
    return 0
