"""Methods beside each other from where they lie: run folders, scores or predictions, read, checked and compared."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from unpaired.comparison.budget import trained_with
from unpaired.comparison.comparison import DEFAULT_SCORES, Comparison, compare
from unpaired.comparison.contenders import Contender, folder_of, predictions_of, read_contender, read_runs
from unpaired.comparison.files import to_json
from unpaired.comparison.papers.formats import paper_terminal
from unpaired.comparison.papers.layout import PaperLayout, lay_out
from unpaired.comparison.papers.recipe_rows import recipe_row
from unpaired.comparison.papers.scores import with_presets
from unpaired.comparison.papers.tables import PaperTable, paper_table
from unpaired.comparison.run_groups import RunGroup, group_runs
from unpaired.comparison.run_warnings import run_warnings
from unpaired.comparison.tables import terminal
from unpaired.data.dataset import Dataset
from unpaired.data.manifest import is_manifest, read_dataset
from unpaired.errors import InputError, nearest
from unpaired.runs.facts import read_run_facts
from unpaired.runs.folder import RunFolder
from unpaired.scores.freshness import require_fresh
from unpaired.scores.scorer import Scorer
from unpaired.scores.scores import Evaluation

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
    methods: Sequence[str | RunGroup],
    *,
    baseline: str | None = None,
    scores: Sequence[str] = DEFAULT_SCORES,
    scorer: Scorer | None = None,
    only: Sequence[str] = (),
    common: bool = False,
    correct_over: Literal["methods", "table"] = "methods",
    group: bool = False,
    paper: Sequence[str] = (),
    workers: int = 2,
    budget: str = "",
) -> ComparedMethods:
    """Compare methods that scored the same cases, from their run folders, scores or predictions; writes nothing.

    A method may be a group of runs that has its name already; folders of predictions are scored by `scorer`. The other
    parameters are those of `unpaired compare`; `budget` is what each run was given, in words.

    Raises InputError for methods that are not comparable (see `require_comparable`), and where predictions or
    references changed since they were scored.
    """
    tables = [paper_table(name) for name in paper]
    score = None if scorer is None else scorer.score
    contenders = [_with_only(each, only) for each in _contenders(methods, score, group, tables, workers)]
    dataset = _dataset(contenders) if scorer is None else scorer.dataset or _dataset(contenders)
    _require_references(contenders, scorer, dataset)
    comparison = compare(
        contenders, scores, baseline, common, correct_over, list(_remarks(contenders)), trained_with(contenders, budget)
    )
    return ComparedMethods(comparison, tuple(lay_out(comparison, table) for table in tables), dataset)


def _contenders(
    methods: Sequence[str | RunGroup], score: Score | None, group: bool, tables: Sequence[PaperTable], workers: int
) -> list[Contender]:
    """The methods behind the texts, grouped where that is asked for, with all columns that the tables need."""
    if not group and not tables:
        return [
            read_contender(method, score) if isinstance(method, str) else read_runs(method.name, method.places, score)
            for method in methods
        ]

    def row(recipe: Mapping[str, Any], training: Mapping[str, int]) -> str | None:
        rows = (recipe_row(recipe, table, training) for table in tables)
        return next((name for name in rows if name), None)

    groups = group_runs(methods, row)
    if len(groups) == 1 and len(methods) > 1:
        raise InputError(
            f"all {len(methods)} runs are of one recipe ({groups[0].name}); add those of another to compare"
        )
    contenders = [read_runs(runs.name, runs.places, score) for runs in groups]
    return [with_presets(method, presets_of(tables), read_dataset, workers) for method in contenders]


def presets_of(tables: Sequence[PaperTable]) -> tuple[str, ...]:
    """The protocols whose columns these tables of papers show, each once."""
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


def tolerances_of(scores: Sequence[str]) -> tuple[float, ...]:
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


def _dataset(contenders: Sequence[Contender]) -> Dataset | None:
    """What says where the images are: the manifest of the first run folder that has one."""
    places = (folder_of(place) for method in contenders for place in method.places)
    return next((read_dataset(place) for place in places if is_manifest(place)), None)


def _require_references(contenders: Sequence[Contender], scorer: Scorer | None, dataset: Dataset | None) -> None:
    """InputError if a method's stored scores are against other references than those that lie there now."""
    folder = None if scorer is None or isinstance(scorer.reference, Dataset) else scorer.reference
    for method in contenders:
        for place, evaluation in zip(method.places, method.seeds, strict=True):
            if folder is not None:
                references = {files.case: folder / files.reference for files in evaluation.files if files.reference}
            else:
                references = {case.id: case.label for case in dataset.cases if case.label} if dataset else {}
            require_fresh(evaluation, place, predictions_of(place), references)
