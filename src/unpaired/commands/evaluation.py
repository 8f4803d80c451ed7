"""The commands about scores: evaluate, report."""

from typing import Literal

from unpaired.commands.arguments import (
    OptionalPath,
    OptionalText,
    Predictions,
    Reference,
    RunFolder,
    list_failures,
    table_width,
)
from unpaired.errors import InputError


def evaluate(
    predictions: Predictions,
    reference: Reference,
    /,
    *,
    out: OptionalPath = None,
    classes: OptionalText = None,
    split: OptionalText = None,
    policy: Literal["diagonal", "excluded"] = "diagonal",
    workers: int = 2,
) -> int:
    """Score label maps against references: Dice, HD95, ASSD per case and class. Needs no torch, takes anybody's files.

    Args:
        predictions: Folder of label maps named like the case (or, for folders, like the reference).
        reference: A manifest, a run folder (its test cases), or a folder of label maps.
        out: Folder for scores.csv and scores.json (default: `evaluation` beside the predictions).
        classes: For a folder of references: "1:LV,2:myo".
        split: Only this side of a manifest's cases.
        policy: What a missed structure's distance is: the image's diagonal, or left out (always counted).
        workers: Processes.
    """
    from rich.console import Console

    from unpaired.data.manifest import read_dataset
    from unpaired.evaluation.evaluate import evaluate_dataset, evaluate_folders
    from unpaired.evaluation.label_values import parse_classes
    from unpaired.evaluation.scoring import Scoring
    from unpaired.evaluation.tables import score_table, write_evaluation

    out = out or predictions.parent / "evaluation"
    if reference.suffix in (".json", ".csv", ".tsv") or (reference / "dataset.json").is_file():
        side = split or ("test" if (reference / "recipe.json").is_file() else None)
        evaluation = evaluate_dataset(
            read_dataset(reference), predictions, split=side, scoring=Scoring(policy), workers=workers
        )
    else:
        if classes is None:
            raise InputError('folders of label maps need their classes: --classes "1:LV,2:myo" (or give a manifest)')
        names = parse_classes(classes)
        evaluation = evaluate_folders(predictions, reference, names, scoring=Scoring(policy), workers=workers)
    write_evaluation(evaluation, out)
    Console(width=table_width()).print(score_table(evaluation))
    print(f"scores by case and class: {out / 'scores.csv'}")
    return list_failures([(failure.case, failure.message) for failure in evaluation.failures])


def report(
    run: RunFolder,
    /,
    *,
    predictions: OptionalPath = None,
    out: OptionalPath = None,
    viewer_mb: float = 20.0,
) -> int:
    """Write one HTML page about a run, from its predictions and scores: opens from disk, needs no network.

    Args:
        run: A run whose test cases were predicted and evaluated.
        predictions: Folder of its predictions (default: `predictions` in the run).
        out: The page (default: report.html in the run).
        viewer_mb: How many megabytes of scans the page's viewer may hold; 0 leaves the viewer out.
    """
    from unpaired.evaluation.tables import read_evaluation
    from unpaired.report.page import write_report
    from unpaired.run import Run

    trained = Run.open(run)
    evaluation = read_evaluation(trained.evaluation)
    page = write_report(
        run, trained.dataset, predictions or trained.predictions, evaluation, out or trained.report, viewer_mb
    )
    print(page)
    return 0
