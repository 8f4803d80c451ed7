"""The command that compares methods: compare."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

import unpaired
from unpaired.commands.arguments import ClassNames, OptionalPath, OptionalText, print_json, print_table
from unpaired.scores.scores import Others, Policy, Surface

Methods = Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="METHOD")]
Names = Annotated[tuple[str, ...], tyro.conf.arg(metavar="SCORE")]
Tables = Annotated[tuple[str, ...], tyro.conf.arg(metavar="TABLE")]


def compare(
    methods: Methods,
    /,
    *,
    out: Path = Path("comparison"),
    baseline: OptionalText = None,
    scores: Names = ("dice", "hd95", "assd"),
    reference: OptionalPath = None,
    classes: OptionalText = None,
    prediction_classes: OptionalText = None,
    only: ClassNames = (),
    others: Others = "refuse",
    split: OptionalText = None,
    policy: Policy = "diagonal",
    surface: Surface = "voxel",
    common: bool = False,
    correct_over: Literal["methods", "table"] = "methods",
    group: bool = False,
    paper: Tables = (),
    report: bool = True,
    viewer_mb: float = 20.0,
    json: bool = False,
    workers: int = 2,
) -> int:
    """Compare methods that scored the same cases: tables for a paper, paired tests per patient, figures, one page.

    Refused where predictions or references changed since they were scored: evaluate again first.

    Args:
        methods: Two or more of PATH, NAME=PATH, or NAME=PATH,PATH with a path per seed. A path is a run folder or
            another with scores.json, or a folder of predictions.
        out: Folder for the tables (Markdown, LaTeX, CSV, JSON), the figures and the page. Never over the comparison of
            other methods.
        baseline: The method that the others are tested against (default: the first).
        scores: What to compare; the first also ranks the worst cases.
        reference: For folders of predictions: a manifest, a run folder (its test cases), or a folder of label maps.
        classes: For a folder of references, what values mean: "1:LV,2:myo". "4:background" is no structure, and voxels
            whose reference is "5:ignore" count for nothing.
        prediction_classes: What predictions' values mean, if not what the references' do and if no record beside a
            prediction says it: "5:liver,1:spleen".
        only: Compare these classes alone, such as liver spleen.
        others: When predictions are scored here: what values are that nothing names: refused (the case fails),
            background, or, in references, ignored.
        split: Only this side of a manifest's cases.
        policy: When predictions are scored here: a missed structure's distance is the image's diagonal, or left out.
        surface: When predictions are scored here: distances between surface voxels, or area-weighted.
        common: Leave out what a method failed at or lacks, instead of refusing to compare.
        correct_over: p values are corrected over the methods in a column, or over a score's whole table.
        group: Take runs without a NAME whose recipes differ in the seed alone (or the split) as one method.
        paper: Also lay out as the tables of papers, beside their numbers: csa-table-1, csa-tables-2-3, ssc-cardiac,
            ssc-abdomen, ssc-few-shot. Runs are grouped, and find their row by their recipe or by NAME.
        report: Also draw the figures and write the page.
        viewer_mb: How many megabytes of scans the page's viewer may hold; 0 leaves the viewer out.
        json: Print the comparison as JSON for programs.
        workers: Threads that score predictions.
    """
    compared = unpaired.compare(
        methods,
        out=out,
        baseline=baseline,
        scores=scores,
        reference=reference,
        classes=classes,
        prediction_classes=prediction_classes,
        only=only,
        others=others,
        split=split,
        policy=policy,
        surface=surface,
        common=common,
        correct_over=correct_over,
        group=group,
        paper=paper,
        report=report,
        viewer_mb=viewer_mb,
        workers=workers,
    )
    if json:
        print_json(compared.to_json())
    else:
        print_table(*compared.tables())
        print(f"tables, differences per patient{', figures, page' if report else ''}: {out}")
    return 0
