"""The commands about scores: evaluate, report."""

from typing import Annotated, Literal

import tyro

import unpaired
from unpaired.commands.arguments import (
    ClassNames,
    OptionalPath,
    OptionalText,
    Predictions,
    Reference,
    RunFolder,
    list_failures,
    list_warnings,
    print_json,
    print_lines,
    print_whole_table,
)
from unpaired.commands.errors import report_error
from unpaired.scores.scores import Others, Policy, Surface

Tolerances = Annotated[tuple[str, ...], tyro.conf.arg(metavar="MM|CLASS=MM")]
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
    others: Others = "refuse",
    split: OptionalText = None,
    policy: Policy = "diagonal",
    surface: Surface = "voxel",
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
        preset: Also print the scores by these papers' rules, beside our columns.
        show: Columns of the table: names such as dice iou hd nsd@2, or all (default: dice hd95 assd, NSD if asked for).
        json: Print everything as one JSON value instead of a table; also what is wrong with the input.
        workers: Threads.
    """
    from unpaired.scores.evaluate_predictions import NothingScored
    from unpaired.scores.trust.calibration_files import calibration_table
    from unpaired.scores.trust.uncertainty_check import sentences

    try:
        scored = unpaired.evaluate(
            predictions,
            reference,
            out=out,
            classes=classes,
            prediction_classes=prediction_classes,
            only=only,
            others=others,
            split=split,
            policy=policy,
            surface=surface,
            tolerance=tolerance,
            preset=preset,
            show=show,
            workers=workers,
        )
    except NothingScored as error:
        list_failures(error.failures)
        return report_error(error.brief, 2, json, error.failures)
    list_warnings(scored.warnings)
    if json:
        print_json(scored.to_json())
        return list_failures(scored.failures)
    calibration = scored.trust.calibration
    print_whole_table(scored.table(), *([calibration_table(calibration)] if calibration is not None else []))
    if scored.trust.check is not None:
        print_lines(f"agreement, {sentence}" for sentence in sentences(scored.trust.check))
    print(f"scores by case and class: {scored.case_table}")
    return list_failures(scored.failures)


def report(
    run: RunFolder,
    /,
    *,
    predictions: OptionalPath = None,
    out: OptionalPath = None,
    viewer_mb: float = 20.0,
) -> int:
    """Write one HTML page about a run, from its predictions and scores: opens from disk, without the internet.

    Refused where predictions or references changed since they were scored: evaluate again first.

    Args:
        run: A run whose test cases were predicted and evaluated.
        predictions: Folder of its predictions, with their scores beside it where `unpaired evaluate` puts them
            (default: `predictions` in the run).
        out: The page (default: report.html in the run; of predictions in another folder NAME, NAME_report.html beside
            it). Never over another page.
        viewer_mb: How many megabytes of scans the page's viewer may hold; 0 leaves the viewer out.
    """
    print(unpaired.write_report(run, predictions=predictions, out=out, viewer_mb=viewer_mb))
    return 0
