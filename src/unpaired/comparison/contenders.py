"""What may be compared: methods that scored the same cases of the same reference in the same way.

A method is one evaluation, or one for each run of it: another seed on the same patients, or another fold.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from unpaired.choices import some_of
from unpaired.comparison.replicates import match_folds
from unpaired.errors import InputError
from unpaired.runs.folder import EVALUATION, PREDICTIONS
from unpaired.scores.files import SCORES
from unpaired.scores.freshness import require_fresh
from unpaired.scores.places import evaluation_folder, predictions_folder
from unpaired.scores.scores import OWN_TOLERANCE, Evaluation, Score
from unpaired.scores.tables import read_evaluation

SHOWN = 6
"""How many names a message spells out; the rest are counted."""
GENERIC_NAMES = (EVALUATION, PREDICTIONS, "scores")


@dataclass(frozen=True)
class Contender:
    """A method's name, its evaluation for each run (seed or fold), and where each came from."""

    name: str
    seeds: tuple[Evaluation, ...]
    places: tuple[Path, ...] = ()

    def labels(self) -> list[str]:
        """How messages call each seed: the method's name, with the folder where there are several."""
        if len(self.seeds) == 1:
            return [self.name]
        places = [str(place) for place in self.places] or [f"seed {number}" for number in range(len(self.seeds))]
        return [f"{self.name} ({place})" for place in places]


@dataclass(frozen=True)
class LeftOut:
    """A case, or a class of one (None: all of them), that is in no number because `method` has no scores for it."""

    case: str
    class_name: str | None
    method: str
    reason: str


def read_contender(text: str, score: Callable[[Path], Evaluation] | None = None) -> Contender:
    """A method from "PATH", "NAME=PATH" or "NAME=PATH,PATH" (one path per seed).

    A path is a run folder or any folder with `evaluation/scores.json`, a folder with `scores.json`, that file, or a
    folder of predictions, which `score` then scores (None: there is no reference to score it against). Without a name
    the first folder's is taken. Raises InputError for a path that is none of these, and for stored scores of label maps
    that others have replaced since.
    """
    return read_runs(*parse_contender(text), score)


def read_runs(name: str, paths: tuple[Path, ...], score: Callable[[Path], Evaluation] | None = None) -> Contender:
    """A method from its name and the paths of its runs, each as `read_contender` takes it."""
    return Contender(name, tuple(_evaluation(path, score) for path in paths), paths)


def parse_contender(text: str) -> tuple[str, tuple[Path, ...]]:
    """(name, paths) of "PATH", "NAME=PATH" or "NAME=PATH,PATH"; a path that exists may hold "=" and ","."""
    name, equals, rest = text.partition("=")
    if not equals or Path(text).exists():
        name, rest = "", text
    whole = bool(rest) and Path(rest).exists()
    paths = (Path(rest),) if whole else tuple(Path(part) for part in rest.split(",") if part.strip())
    if not paths or not (name or rest == text):
        raise InputError(f"expected a method as PATH, NAME=PATH or NAME=PATH,PATH (one path per seed), got {text!r}")
    return name.strip() or _name_of(paths[0]), paths


def folder_of(place: Path) -> Path:
    """The folder, as a rule of a run, that a path given to `read_contender` belongs to."""
    folder = place.parent if place.name == SCORES else place
    whole = folder.name not in GENERIC_NAMES or (folder / EVALUATION).is_dir()
    return folder if whole else folder.parent


def predictions_of(place: Path) -> Path:
    """The folder of label maps that belongs to a path given to `read_contender`, whether it exists or not."""
    folder = folder_of(place)
    if (folder / PREDICTIONS).is_dir():
        return folder / PREDICTIONS
    scored = predictions_folder(folder)
    return scored if (folder / SCORES).is_file() and scored.is_dir() else place


def require_comparable(
    contenders: Sequence[Contender], scores: Sequence[str], common: bool = False
) -> tuple[list[Contender], list[LeftOut]]:
    """The methods as they may be compared, and what was left out for it.

    Raises InputError unless all were made with one policy and surface (and tolerances, where `scores` need them)
    against the same reference and scored the same classes of the same cases, in the same folds (see `match_folds`).
    With `common` cases, classes and folds that a method failed at or lacks are left out of all of them instead.
    """
    _require_names(contenders)
    entries = [(label, run) for method in contenders for label, run in zip(method.labels(), method.seeds, strict=True)]
    _require_one_definition(entries, scores)
    _require_one_reference(entries)
    left_out: list[LeftOut] = []
    kept: dict[tuple[str, int], Evaluation] = {}
    for fold in match_folds({method.name: method.seeds for method in contenders}):
        runs = [(method, number) for method in contenders for number in fold.get(method.name, [])]
        of_fold = [(method.labels()[number], method.seeds[number]) for method, number in runs]
        tables = [{(row.case, row.class_name): row for row in run.scores} for _, run in of_fold]
        without = [method for method in contenders if method.name not in fold]
        for method in without:
            cases = dict.fromkeys(case for table in tables for case, _ in table)
            left_out += [LeftOut(case, None, method.name, "none of its runs scored it") for case in cases]
        left_out += _left_out(of_fold, tables)
        shared = set[tuple[str, str]]() if without else set(tables[0]).intersection(*tables[1:])
        for (method, number), (_, run) in zip(runs, of_fold, strict=True):
            rows = [row for row in run.scores if (row.case, row.class_name) in shared]
            if rows:
                kept[method.name, number] = replace(run, scores=rows, failures=[])
    if left_out and not common:
        raise InputError(_difference_message(left_out))
    if not kept:
        raise InputError("the methods have no scored case in common; compare evaluations of the same cases")
    return [_with_runs(method, kept) for method in contenders], left_out


def _with_runs(method: Contender, kept: Mapping[tuple[str, int], Evaluation]) -> Contender:
    """The method with those of its runs that are in `kept`, as they are there."""
    numbers = [number for number in range(len(method.seeds)) if (method.name, number) in kept]
    places = tuple(method.places[number] for number in numbers) if method.places else ()
    return Contender(method.name, tuple(kept[method.name, number] for number in numbers), places)


def _evaluation(path: Path, score: Callable[[Path], Evaluation] | None) -> Evaluation:
    named = path.name == SCORES and path.is_file()
    for folder in (path.parent,) if named else (path / EVALUATION, path):
        if (folder / SCORES).is_file():
            evaluation = read_evaluation(folder)
            require_fresh(evaluation, folder / SCORES, predictions_of(path))
            return evaluation
    if not path.is_dir():
        raise InputError(
            f"expected a run folder, scores or a folder of predictions, found no folder at {path}; correct the path"
        )
    if score is None:
        beside = evaluation_folder(path)
        if (beside / SCORES).is_file():
            raise InputError(f"{path} holds no scores; its own lie beside it, name {beside}")
        raise InputError(
            f"{path} holds no scores (evaluation/scores.json or scores.json); write them with `unpaired evaluate`, or "
            "name the reference of these predictions: --reference"
        )
    return score(predictions_of(path))


def _name_of(path: Path) -> str:
    folder = path.resolve().parent if path.name == SCORES else path.resolve()
    if folder.name not in GENERIC_NAMES:
        folder = predictions_folder(folder)
    return folder.parent.name if folder.name in GENERIC_NAMES and folder.parent.name else folder.name


def _require_names(contenders: Sequence[Contender]) -> None:
    names = [method.name for method in contenders]
    if len(names) < 2:
        raise InputError(f"expected two methods or more to compare, got {len(names)}")
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"two methods are called {name!r}; name them apart: NAME=PATH")
    for method in contenders:
        if not method.seeds:
            raise InputError(f"{method.name} has no run that was scored; name one that was")
        for label, run in zip(method.labels(), method.seeds, strict=True):
            if not run.scores:
                why = f": {run.failures[0].case}: {run.failures[0].message}" if run.failures else ""
                raise InputError(f"{label} has no scores, {len(run.failures)} cases failed{why}")


def _require_one_definition(entries: Sequence[tuple[str, Evaluation]], scores: Sequence[str]) -> None:
    first, expected = entries[0]
    for label, run in entries:
        for what, wanted, used in (
            ("policy for empty masks", expected.policy, run.policy),
            ("surface", expected.surface, run.surface),
        ):
            if wanted != used:
                raise InputError(f"{first} was scored with {what} {wanted!r}, {label} with {used!r}; score both alike")
        for score in scores:
            run.require_score(score)
        if OWN_TOLERANCE in scores and dict(run.class_tolerances_mm) != dict(expected.class_tolerances_mm):
            raise InputError(f"{first} and {label} judge classes at different tolerances (nsd@own); score both alike")


def _left_out(
    entries: Sequence[tuple[str, Evaluation]], tables: Sequence[dict[tuple[str, str], Score]]
) -> Iterator[LeftOut]:
    """What some method has no scores for though another has, or failed at."""
    order = {key: None for table in tables for key in table}
    failed = {failure.case for _, run in entries for failure in run.failures}
    cases = list(dict.fromkeys([*(case for case, _ in order), *sorted(failed)]))
    for (label, run), table in zip(entries, tables, strict=True):
        reasons = {failure.case: failure.message for failure in run.failures}
        present = {case for case, _ in table}
        for case in cases:
            if case not in present:
                yield LeftOut(case, None, label, reasons.get(case, "not among its cases"))
        for case, name in order:
            if case in present and (case, name) not in table:
                yield LeftOut(case, name, label, "a class that it has no scores for")


def _difference_message(left_out: Sequence[LeftOut]) -> str:
    parts: list[str] = []
    for method in dict.fromkeys(item.method for item in left_out):
        items = [item for item in left_out if item.method == method]
        names = [item.case if item.class_name is None else f"{item.case}/{item.class_name}" for item in items]
        listed = some_of(names, SHOWN)
        parts.append(f"{method} lacks {len(names)} of the structures or cases compared: {listed} ({items[0].reason})")
    return f"not comparable: {'; '.join(parts)}; score the same cases, or compare what all have with --common"


def _require_one_reference(entries: Sequence[tuple[str, Evaluation]]) -> None:
    """Equal volumes of every reference structure: another reference, label map or spacing would show there."""
    first: dict[tuple[str, str], tuple[str, Score]] = {}
    for label, run in entries:
        for row in run.scores:
            other, known = first.setdefault((row.case, row.class_name), (label, row))
            if (known.patient, known.modality) != (row.patient, row.modality):
                raise InputError(
                    f"not comparable: case {row.case} is {known.modality} of patient {known.patient} in {other}, but "
                    f"{row.modality} of patient {row.patient} in {label}; score both against one manifest"
                )
            if not math.isclose(_reference_ml(known), _reference_ml(row), rel_tol=1e-6, abs_tol=1e-9):
                raise InputError(
                    f"not comparable: the reference of {row.class_name} in case {row.case} has "
                    f"{_reference_ml(known):.3f} ml in {other}, {_reference_ml(row):.3f} ml in {label}; score both "
                    "against one reference"
                )


def _reference_ml(row: Score) -> float:
    """Zero where neither mask had a voxel, so that an invented structure and none at all have the same reference."""
    return 0.0 if row.status == "not_applicable" or row.reference_ml is None else row.reference_ml
