"""The command that compares methods: compare."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from unpaired.commands.arguments import OptionalPath, OptionalText, table_width
from unpaired.errors import InputError
from unpaired.runs.folder import RunFolder, is_run

if TYPE_CHECKING:
    from unpaired.comparison.comparison import Comparison
    from unpaired.comparison.contenders import Contender
    from unpaired.comparison.papers.layout import PaperLayout
    from unpaired.comparison.papers.tables import PaperTable
    from unpaired.data.dataset import Dataset
    from unpaired.scores.scores import Evaluation
    from unpaired.scores.scoring import Scoring

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
    split: OptionalText = None,
    policy: Literal["diagonal", "excluded"] = "diagonal",
    surface: Literal["voxel", "area"] = "voxel",
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
        out: Folder for the tables (Markdown, LaTeX, CSV, JSON), the figures and the page.
        baseline: The method that the others are tested against (default: the first).
        scores: What to compare; the first also ranks the worst cases.
        reference: For folders of predictions: a manifest, a run folder (its test cases), or a folder of label maps.
        classes: For a folder of references: "1:LV,2:myo".
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
    from json import dumps

    from rich.console import Console

    from unpaired.comparison.comparison import compare as compare_methods
    from unpaired.comparison.files import to_json, write_comparison
    from unpaired.comparison.papers.formats import paper_terminal
    from unpaired.comparison.papers.layout import lay_out
    from unpaired.comparison.papers.tables import paper_table
    from unpaired.comparison.tables import terminal
    from unpaired.scores.scoring import Scoring

    tables = [paper_table(name) for name in paper]
    score = None
    if reference is not None:
        scoring = Scoring(policy, surface, _tolerances(scores), presets=_presets(tables))
        score = _scorer(reference, classes, split, scoring, workers)
    contenders = _contenders(methods, score, group, tables, workers)
    dataset = _dataset(contenders, reference)
    _require_references(contenders, reference, dataset)
    remarks = list(_remarks(contenders))
    comparison = compare_methods(contenders, scores, baseline, common, correct_over, remarks)
    layouts = [lay_out(comparison, table) for table in tables]
    write_comparison(comparison, out, layouts)
    if report:
        _write_page(comparison, out, dataset, viewer_mb, layouts)
    if json:
        print(dumps(to_json(comparison, layouts), ensure_ascii=False))
    else:
        Console(width=table_width(), highlight=False).print(terminal(comparison), paper_terminal(layouts))
        print(f"tables, differences per patient{', figures, page' if report else ''}: {out}")
    return 0


def _contenders(
    methods: Sequence[str],
    score: "Callable[[Path], Evaluation] | None",
    group: bool,
    tables: "Sequence[PaperTable]",
    workers: int,
) -> "list[Contender]":
    """The methods behind the arguments, grouped where that is asked for, with all columns that the tables need."""
    from unpaired.comparison.contenders import read_contender, read_runs
    from unpaired.comparison.papers.recipe_rows import recipe_row
    from unpaired.comparison.papers.scores import with_presets
    from unpaired.comparison.run_groups import group_runs
    from unpaired.data.manifest import read_dataset

    if not group and not tables:
        return [read_contender(text, score) for text in methods]

    def row(recipe: Mapping[str, Any], training: Mapping[str, int]) -> str | None:
        return next((found for table in tables if (found := recipe_row(recipe, table.name, training))), None)

    groups = group_runs(methods, row)
    if len(groups) == 1 and len(methods) > 1:
        raise InputError(
            f"all {len(methods)} runs are of one recipe ({groups[0].name}); add those of another to compare"
        )
    found = [read_runs(one.name, one.places, score) for one in groups]
    return [with_presets(method, _presets(tables), read_dataset, workers) for method in found]


def _presets(tables: "Sequence[PaperTable]") -> tuple[str, ...]:
    return tuple(dict.fromkeys(table.preset for table in tables))


def _scorer(
    reference: Path, classes: str | None, split: str | None, scoring: "Scoring", workers: int
) -> "Callable[[Path], Evaluation]":
    """Scores a folder of predictions against the reference, which is read once."""
    from unpaired.data.manifest import is_manifest, read_dataset
    from unpaired.scores.evaluate import evaluate_dataset, evaluate_folders
    from unpaired.scores.label_values import parse_classes

    if is_manifest(reference):
        if classes is not None:
            raise InputError("a manifest says itself what its label values mean; leave --classes out")
        dataset = read_dataset(reference)
        side = split or ("test" if is_run(reference) else None)
        return lambda predictions: evaluate_dataset(dataset, predictions, side, scoring, workers)
    if classes is None:
        raise InputError('folders of label maps need their classes: --classes "1:LV,2:myo" (or give a manifest)')
    names = parse_classes(classes)
    return lambda predictions: evaluate_folders(predictions, reference, names, scoring, workers)


def _tolerances(scores: Sequence[str]) -> tuple[float, ...]:
    """The tolerances in mm that scores such as "nsd@2" need."""
    try:
        return tuple(float(score.removeprefix("nsd@")) for score in scores if score.startswith("nsd@"))
    except ValueError as error:
        raise InputError(f"expected scores such as nsd@2 (tolerance in mm), got {' '.join(scores)}") from error


def _remarks(contenders: "Sequence[Contender]") -> Iterator[str]:
    """What the runs among the methods say of themselves: patients they were trained on, a region that leaks."""
    from unpaired.comparison.contenders import folder_of
    from unpaired.comparison.run_warnings import run_warnings
    from unpaired.data.manifest import read_dataset
    from unpaired.runs.facts import read_run_facts

    for method in contenders:
        for label, place, one in zip(method.labels(), method.places, method.seeds, strict=True):
            run = RunFolder(folder_of(place))
            if run.split_file.is_file() and run.dataset_file.is_file():
                for warning in run_warnings(read_run_facts(run.folder), read_dataset(run.folder), one):
                    yield f"{label}: {warning}"


def _write_page(
    comparison: "Comparison",
    out: Path,
    dataset: "Dataset | None",
    viewer_mb: float,
    layouts: "Sequence[PaperLayout]",
) -> None:
    from unpaired.comparison.contenders import predictions_of
    from unpaired.report.comparison_page import write_comparison_report

    predictions = {one.name: [predictions_of(place) for place in one.places] for one in comparison.contenders}
    write_comparison_report(comparison, out / "comparison.html", dataset, predictions, viewer_mb, layouts)


def _dataset(contenders: "Sequence[Contender]", reference: Path | None) -> "Dataset | None":
    """What says where the images are: the reference's manifest, else that of the first run folder that has one."""
    from unpaired.comparison.contenders import folder_of
    from unpaired.data.manifest import is_manifest, read_dataset

    places = [folder_of(place) for method in contenders for place in method.places]
    for place in [*([reference] if reference is not None else []), *places]:
        if is_manifest(place):
            return read_dataset(place)
    return None


def _require_references(contenders: "Sequence[Contender]", reference: Path | None, dataset: "Dataset | None") -> None:
    """InputError if a method's stored scores are against other references than those that lie there now."""
    from unpaired.comparison.contenders import predictions_of
    from unpaired.data.manifest import is_manifest
    from unpaired.scores.freshness import require_fresh

    for method in contenders:
        for place, one in zip(method.places, method.seeds, strict=True):
            if reference is not None and not is_manifest(reference):
                found = {files.case: reference / files.reference for files in one.files if files.reference}
            else:
                found = {case.id: case.label for case in dataset.cases if case.label} if dataset else {}
            require_fresh(one, place, predictions_of(place), found)
