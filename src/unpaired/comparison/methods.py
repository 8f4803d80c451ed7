"""Methods beside each other from where they lie: run folders, scores or predictions, read, checked and compared."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from unpaired.comparison.comparison import DEFAULT_SCORES, Comparison, compare
from unpaired.comparison.contenders import Contender, folder_of, predictions_of, read_contender, read_runs
from unpaired.comparison.files import to_json
from unpaired.comparison.papers.formats import paper_terminal
from unpaired.comparison.papers.layout import PaperLayout, lay_out
from unpaired.comparison.papers.recipe_rows import recipe_row
from unpaired.comparison.papers.scores import with_presets
from unpaired.comparison.papers.tables import PaperTable, paper_table
from unpaired.comparison.run_groups import group_runs
from unpaired.comparison.run_warnings import run_warnings
from unpaired.comparison.tables import terminal
from unpaired.data.dataset import Dataset
from unpaired.data.manifest import is_manifest, read_dataset
from unpaired.errors import InputError, nearest
from unpaired.runs.facts import read_run_facts
from unpaired.runs.folder import RunFolder, is_run
from unpaired.scores.evaluate import evaluate_dataset, evaluate_folders
from unpaired.scores.freshness import require_fresh
from unpaired.scores.label_values import parse_classes
from unpaired.scores.reading import Reading
from unpaired.scores.scores import Evaluation
from unpaired.scores.scoring import Scoring

if TYPE_CHECKING:
    from rich.console import Group

Score = Callable[[Path], Evaluation]
"""Scores a folder of predictions."""


@dataclass(frozen=True)
class ComparedMethods:
    """A comparison, the papers' tables it is laid out as, and what says where images and references are."""

    comparison: Comparison
    layouts: tuple[PaperLayout, ...]
    dataset: Dataset | None

    @property
    def predictions(self) -> dict[str, list[Path]]:
        """{method: the folder of label maps of each of its runs}, whether it exists or not."""
        return {
            method.name: [predictions_of(place) for place in method.places] for method in self.comparison.contenders
        }

    def tables(self) -> "tuple[Group, Group]":
        """What a terminal shows: the comparison with its tests and notes, then the papers' tables."""
        return terminal(self.comparison), paper_terminal(self.layouts)

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return to_json(self.comparison, self.layouts)


def compare_methods(
    methods: Sequence[str],
    *,
    baseline: str | None = None,
    scores: Sequence[str] = DEFAULT_SCORES,
    reference: Path | None = None,
    classes: str | None = None,
    prediction_classes: str | None = None,
    only: Sequence[str] = (),
    others: Literal["refuse", "background", "ignore"] = "refuse",
    split: str | None = None,
    policy: Literal["diagonal", "excluded"] = "diagonal",
    surface: Literal["voxel", "area"] = "voxel",
    common: bool = False,
    correct_over: Literal["methods", "table"] = "methods",
    group: bool = False,
    paper: Sequence[str] = (),
    workers: int = 2,
) -> ComparedMethods:
    """Compare methods that scored the same cases, from their run folders, scores or predictions; writes nothing.

    The parameters are those of `unpaired compare`. Raises InputError for methods that are not comparable (see
    `require_comparable`), where predictions or references changed since they were scored, and for choices of scoring
    without a reference to score against.
    """
    tables = [paper_table(name) for name in paper]
    reading = Reading(tuple(only), others, None if prediction_classes is None else parse_classes(prediction_classes))
    score = None
    if reference is not None:
        scoring = Scoring(policy, surface, _tolerances(scores), presets=_presets(tables))
        score = _scorer(reference, classes, split, scoring, reading, workers)
    elif (classes, prediction_classes, others, split) != (None, None, "refuse", None):
        raise InputError(
            "classes, prediction classes, other values and a split are for predictions that are scored here, against a "
            "--reference; without one the methods' own scores are read: evaluate anew with other choices"
        )
    contenders = [_with_only(each, only) for each in _contenders(methods, score, group, tables, workers)]
    dataset = _dataset(contenders, reference)
    _require_references(contenders, reference, dataset)
    comparison = compare(contenders, scores, baseline, common, correct_over, list(_remarks(contenders)))
    return ComparedMethods(comparison, tuple(lay_out(comparison, table) for table in tables), dataset)


def _contenders(
    methods: Sequence[str], score: Score | None, group: bool, tables: Sequence[PaperTable], workers: int
) -> list[Contender]:
    """The methods behind the texts, grouped where that is asked for, with all columns that the tables need."""
    if not group and not tables:
        return [read_contender(text, score) for text in methods]

    def row(recipe: Mapping[str, Any], training: Mapping[str, int]) -> str | None:
        rows = (recipe_row(recipe, table, training) for table in tables)
        return next((name for name in rows if name), None)

    groups = group_runs(methods, row)
    if len(groups) == 1 and len(methods) > 1:
        raise InputError(
            f"all {len(methods)} runs are of one recipe ({groups[0].name}); add those of another to compare"
        )
    contenders = [read_runs(runs.name, runs.places, score) for runs in groups]
    return [with_presets(method, _presets(tables), read_dataset, workers) for method in contenders]


def _presets(tables: Sequence[PaperTable]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(table.preset for table in tables))


def _with_only(method: Contender, only: Sequence[str]) -> Contender:
    """The method with the scores of these classes alone (none: of all); InputError for one that it doesn't have."""
    if not only:
        return method
    for label, run in zip(method.labels(), method.seeds, strict=True):
        for name in only:
            if name not in run.class_names:
                raise InputError(f"{label} has no scores of a class {name!r}; {nearest(name, run.class_names)}")
    seeds = tuple(replace(run, scores=[row for row in run.scores if row.class_name in only]) for run in method.seeds)
    return replace(method, seeds=seeds)


def _scorer(
    reference: Path, classes: str | None, split: str | None, scoring: Scoring, reading: Reading, workers: int
) -> Score:
    """Scores a folder of predictions against the reference, which is read once."""
    if is_manifest(reference):
        if classes is not None:
            raise InputError(
                "a manifest says itself what its label values mean; --prediction-classes says it of predictions that "
                "have other values and no record"
            )
        dataset = read_dataset(reference)
        side = split or ("test" if is_run(reference) else None)
        return lambda predictions: evaluate_dataset(dataset, predictions, side, scoring, workers, reading)
    if classes is None:
        raise InputError('folders of label maps need their classes: --classes "1:LV,2:myo" (or give a manifest)')
    names = parse_classes(classes)
    return lambda predictions: evaluate_folders(predictions, reference, names, scoring, workers, reading=reading)


def _tolerances(scores: Sequence[str]) -> tuple[float, ...]:
    """The tolerances in mm that scores such as "nsd@2" need."""
    try:
        return tuple(float(score.removeprefix("nsd@")) for score in scores if score.startswith("nsd@"))
    except ValueError as error:
        raise InputError(f"expected scores such as nsd@2 (tolerance in mm), got {' '.join(scores)}") from error


def _remarks(contenders: Sequence[Contender]) -> Iterator[str]:
    """What the methods say of themselves: patients they were trained on, a region that leaks, how values were read."""
    for method in contenders:
        for label, place, evaluation in zip(method.labels(), method.places, method.seeds, strict=True):
            run = RunFolder(folder_of(place))
            if run.split_file.is_file() and run.dataset_file.is_file():
                for warning in run_warnings(read_run_facts(run.folder), read_dataset(run.folder), evaluation):
                    yield f"{label}: {warning}"
            for remark in evaluation.remarks:
                yield f"{label}: {remark}"


def _dataset(contenders: Sequence[Contender], reference: Path | None) -> Dataset | None:
    """What says where the images are: the reference's manifest, else that of the first run folder that has one."""
    places = [folder_of(place) for method in contenders for place in method.places]
    for place in [*([reference] if reference is not None else []), *places]:
        if is_manifest(place):
            return read_dataset(place)
    return None


def _require_references(contenders: Sequence[Contender], reference: Path | None, dataset: Dataset | None) -> None:
    """InputError if a method's stored scores are against other references than those that lie there now."""
    for method in contenders:
        for place, evaluation in zip(method.places, method.seeds, strict=True):
            if reference is not None and not is_manifest(reference):
                references = {files.case: reference / files.reference for files in evaluation.files if files.reference}
            else:
                references = {case.id: case.label for case in dataset.cases if case.label} if dataset else {}
            require_fresh(evaluation, place, predictions_of(place), references)
