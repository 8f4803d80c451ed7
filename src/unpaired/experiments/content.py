"""What decides a cell's scores: a document that its record keeps, compared as stored recipes are read.

A hash of the document is the cell's key. Another version of the package may write an equal recipe as another document
(with a field more, or a class that moved), so a record with another key is compared by what its document says: moved
classes are mapped, and fields that are newer than it have their defaults.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from unpaired.configs import code_of, dumps, from_json, to_json
from unpaired.data.dataset import Dataset, Modality
from unpaired.data.known_content import Hashed, hashed, read_hashes, remember_hashes
from unpaired.data.manifest import read_dataset
from unpaired.data.prepare import HASHES
from unpaired.documents import fitted
from unpaired.errors import InputError
from unpaired.experiments.program import Program, ProgramContent
from unpaired.files import is_object, read_json, resolved
from unpaired.recipe import DAMAGED, Recipe
from unpaired.runs.difference import first_difference
from unpaired.runs.folder import RunFolder
from unpaired.runs.same_data import data_document

FIRST_STAGE = "(the row that it begins with)"
"""Stands for the path of another cell's run."""


@dataclass(frozen=True)
class Content:
    """All that decides what a cell's scores are, as a JSON document; of no path, so that folders may move.

    `key` is its hash; `trust` are the modules of a person's own that its recipe names. `early` is the document as
    early versions had it: with the options of modalities that the manifest spells out, with all scripts of a folder.
    """

    document: Mapping[str, Any]
    key: str
    trust: tuple[str, ...] = ()
    early: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def of(
        cls,
        recipe: Recipe | Program,
        dataset: Dataset,
        norms_of: str | None,
        begins_with: str | None,
        hashes: "FileHashes",
    ) -> "Content":
        """Of a recipe on a dataset; `begins_with` is the key of the cell whose run it begins with."""
        if isinstance(recipe, Program):
            described, trust = recipe.content(), ()
        else:
            described, trust = _without_names(json.loads(dumps(recipe)), begins_with), code_of(recipe)
        document: dict[str, Any] = {
            "recipe": described,
            "data": data_document(dataset),
            "sides": {c.id: [c.split, *hashes.of(c.image, c.label)] for c in dataset.cases if c.split},
            "norms_of": norms_of,
            "begins_with": begins_with,
        }
        spelled = {name: vars(dataset.modalities[name]) for name in document["data"]["modalities"]}
        early = [{**document, "data": {**document["data"], "modalities": spelled}}]
        if isinstance(recipe, Program):
            early += [{**each, "recipe": recipe.content(whole_folder=True)} for each in (document, *early)]
        return cls(document, content_key(document), trust, tuple(early))

    def stored_as(self, key: str, document: Mapping[str, Any] | None, run: RunFolder) -> "Content | None":
        """This content as a record with `key` and `document` has it; None if that is of another one.

        A record without a document is one of an early version: the recipe is then this one, or that of its run folder,
        where the key says that it is what was hashed.
        """
        if key == self.key:
            return self
        there = document if document is not None else self._early_of(run, key)
        if there is None or not self._equals(there):
            return None
        return replace(self, key=key, document=self.document if "program" in self.document["recipe"] else there)

    def is_of(self, run: RunFolder) -> bool:
        """Whether a run folder's own files say that it is of this content: another one may lie in its place."""
        try:
            dataset = read_dataset(run.dataset_file)
            stored = self._recipe_in(run)
        except InputError:
            return False
        there = {
            **self.document,
            "recipe": self.document["recipe"] if "program" in self.document["recipe"] else stored,
            "data": {**self.document["data"], "cases": data_document(dataset)["cases"]},
        }
        sides = {case: side for case, (side, *_) in self.document["sides"].items()}
        return sides == {case.id: case.split for case in dataset.cases if case.split} and self._equals(there)

    def difference(self, before: Mapping[str, Any]) -> str:
        """The first thing that another content, as a record has it, says otherwise."""
        here = self.document
        try:
            there: _Read = fitted(dict(before), _Read)
        except InputError:
            return "what it was trained on and how is written down as this version can't read it"
        return (
            first_difference(there.recipe, here["recipe"], "recipe")
            or _other_case(there.sides, here["sides"])
            or first_difference(before["data"], here["data"], "data")
            or first_difference(there.norms_of, here["norms_of"], "norms_of")
            or "the run that it begins with is another there"
        )

    def _early_of(self, run: RunFolder, key: str) -> Mapping[str, Any] | None:
        """The document with this key that an early version may have hashed."""
        stored = self._recipe_in(run)
        own = [] if stored is None else [stored]
        forms = (self.document, *self.early)
        tried = [{**form, "recipe": recipe} for form in forms for recipe in (form["recipe"], *own)]
        return next((document for document in tried if content_key(document) == key), None)

    def _recipe_in(self, run: RunFolder) -> dict[str, Any] | None:
        """The recipe of a run folder, as this document would have it; None where there is none."""
        stored = read_json(run.recipe_file, DAMAGED) if run.recipe_file.is_file() else None
        return _without_names(stored, self.document["begins_with"]) if is_object(stored) else None

    def _equals(self, other: Mapping[str, Any]) -> bool:
        """Whether a document says the same, as far as this version can read it."""
        try:
            there = _read(other, self.trust)
            return any(there == _read(form, self.trust) for form in (self.document, *self.early))
        except InputError:
            return False


@dataclass(frozen=True)
class _Case:
    """What `data_document` says of a case."""

    patient: str
    modality: str
    values: dict[str, str] | None = None
    annotated: tuple[str, ...] | None = None
    simulated: bool = False


@dataclass(frozen=True)
class _Data:
    """What `data_document` says of a dataset."""

    classes: tuple[str, ...]
    modalities: dict[str, Modality]
    cases: dict[str, _Case]


@dataclass(frozen=True)
class _Read:
    """A content's document, read: fields that it lacks have their defaults."""

    recipe: dict[str, Any]
    data: _Data
    sides: dict[str, tuple[str | None, ...]]
    norms_of: str | None = None
    begins_with: str | None = None


def _other_case(there: Mapping[str, Sequence[str | None]], here: Mapping[str, Sequence[str | None]]) -> str | None:
    """The first case that is on another side, or whose files hold something else; each is [side, hashes]."""
    for case in sorted({*there, *here}):
        before, now = there.get(case), here.get(case)
        if before is None or now is None:
            return f"case {case} {'is missing' if before is None else 'takes part'} there"
        if before[0] != now[0]:
            return f"case {case} is on side {before[0]} there and {now[0]} here"
        if list(before) != list(now):
            return f"the {'image' if before[1] != now[1] else 'label map'} of {case} is another there"
    return None


def _read(document: Mapping[str, Any], trust: tuple[str, ...]) -> tuple[_Read, Any]:
    """A document's parts as values, the recipe as this version writes it. InputError for what it doesn't know."""
    read: _Read = fitted(dict(document), _Read)
    if "program" in read.recipe:
        return replace(read, recipe={}), fitted(read.recipe, ProgramContent)
    first = {} if read.begins_with is None else {"init_from": FIRST_STAGE}
    return replace(read, recipe={}), to_json(from_json(read.recipe | first, trust=trust))


def _without_names(recipe: dict[str, Any], begins_with: str | None) -> dict[str, Any]:
    """A recipe's document without what a paper calls it, which changes nothing that is trained, and without the path of
    the run that it begins with, where that is a cell's."""
    left_out = ("paper_row", *(() if begins_with is None else ("init_from",)))
    return recipe | {name: None for name in left_out if name in recipe}


def content_key(document: object) -> str:
    """Sixteen hexadecimal digits of a JSON value."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:16]


class FileHashes:
    """Hashes of a dataset's files, remembered with those of the volumes that are prepared in `cache`."""

    def __init__(self, cache: Path) -> None:
        self.store = cache / HASHES
        self.known = read_hashes(self.store)
        self.new: dict[str, Hashed] = {}

    def of(self, *files: Path | None) -> Iterator[str | None]:
        """The hash of each file; None for none. Raises InputError for a file that isn't there."""
        for file in files:
            if file is None:
                yield None
                continue
            name = str(resolved(file))
            if name not in self.new:
                self.new[name] = hashed(file, self.known.get(name))
            yield self.new[name].sha256

    def remember(self) -> None:
        """Write down what was hashed."""
        remember_hashes(self.store, self.known, self.new.values())
