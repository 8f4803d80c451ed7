"""The command that compares methods: compare."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from unpaired.commands.arguments import OptionalPath, OptionalText, table_width
from unpaired.errors import InputError

if TYPE_CHECKING:
    from unpaired.data.dataset import Dataset
    from unpaired.evaluation.comparison import Comparison
    from unpaired.evaluation.contenders import Contender
    from unpaired.evaluation.scores import Evaluation
    from unpaired.evaluation.scoring import Scoring

Methods = Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="METHOD")]
Names = Annotated[tuple[str, ...], tyro.conf.arg(metavar="SCORE")]


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
    report: bool = True,
    json: bool = False,
    workers: int = 2,
) -> int:
    """Compare methods that scored the same cases: tables for a paper, paired tests per patient, figures, one page.

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
        report: Also draw the figures and write the page.
        json: Print the comparison as JSON for programs.
        workers: Threads that score predictions.
    """
    from json import dumps

    from rich.console import Console

    from unpaired.evaluation.comparison import compare as compare_methods
    from unpaired.evaluation.comparison_files import to_json, write_comparison
    from unpaired.evaluation.comparison_tables import terminal
    from unpaired.evaluation.contenders import read_contender
    from unpaired.evaluation.scoring import Scoring

    score = None
    if reference is not None:
        scoring = Scoring(policy, surface, _tolerances(scores))
        score = _scorer(reference, classes, split, scoring, workers)
    contenders = [read_contender(text, score) for text in methods]
    remarks = list(_remarks(contenders))
    comparison = compare_methods(contenders, scores, baseline, common, correct_over, remarks)
    write_comparison(comparison, out)
    if report:
        _write_page(comparison, out, reference)
    if json:
        print(dumps(to_json(comparison), ensure_ascii=False))
    else:
        Console(width=table_width(), highlight=False).print(terminal(comparison))
        print(f"tables, differences per patient{', figures, page' if report else ''}: {out}")
    return 0


def _scorer(
    reference: Path, classes: str | None, split: str | None, scoring: "Scoring", workers: int
) -> "Callable[[Path], Evaluation]":
    """Scores a folder of predictions against the reference, which is read once."""
    from unpaired.data.manifest import read_dataset
    from unpaired.evaluation.evaluate import evaluate_dataset, evaluate_folders
    from unpaired.evaluation.label_values import parse_classes

    if _is_manifest(reference):
        dataset = read_dataset(reference)
        side = split or ("test" if (reference / "recipe.json").is_file() else None)
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
    from unpaired.data.manifest import read_dataset
    from unpaired.evaluation.contenders import folder_of
    from unpaired.report.run_facts import read_run_facts
    from unpaired.report.run_warnings import run_warnings

    for method in contenders:
        for label, place, one in zip(method.labels(), method.places, method.seeds, strict=True):
            folder = folder_of(place)
            if (folder / "split.json").is_file() and (folder / "dataset.json").is_file():
                for warning in run_warnings(read_run_facts(folder), read_dataset(folder), one):
                    yield f"{label}: {warning}"


def _is_manifest(path: Path) -> bool:
    return path.suffix in (".json", ".csv", ".tsv") or (path / "dataset.json").is_file()


def _write_page(comparison: "Comparison", out: Path, reference: Path | None) -> None:
    from unpaired.evaluation.contenders import predictions_of
    from unpaired.report.comparison_page import write_comparison_report

    predictions = {one.name: [predictions_of(place) for place in one.places] for one in comparison.contenders}
    write_comparison_report(comparison, out / "comparison.html", _dataset(comparison, reference), predictions)


def _dataset(comparison: "Comparison", reference: Path | None) -> "Dataset | None":
    """What says where the images are: the reference's manifest, else that of the first run folder that has one."""
    from unpaired.data.manifest import read_dataset
    from unpaired.evaluation.contenders import folder_of

    places = [folder_of(place) for method in comparison.contenders for place in method.places]
    for place in [*([reference] if reference is not None else []), *places]:
        if _is_manifest(place):
            return read_dataset(place)
    return None
