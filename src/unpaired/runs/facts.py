"""What a run folder says about itself. A part that is missing or broken becomes a note, never a crash of the report."""

import csv
from dataclasses import dataclass
from pathlib import Path
from types import GenericAlias
from typing import Any, TypeVar

from unpaired.documents import read
from unpaired.errors import InputError
from unpaired.files import is_object
from unpaired.runs.folder import RunFolder, no_run
from unpaired.tables import csv_value

T = TypeVar("T")
Rows = list[dict[str, str]]


@dataclass(frozen=True)
class RunFacts:
    """The parsed files of a run folder; None or empty where a file is missing, with a note that says so."""

    folder: Path
    recipe: dict[str, Any] | None
    split: dict[str, list[str]] | None
    versions: dict[str, Any] | None
    log: Rows
    validation: Rows
    notes: list[str]

    @property
    def method(self) -> str | None:
        """The method's name: its config's class without "Config"."""
        return self._part("method")

    @property
    def network(self) -> str | None:
        """The network's name: its config's class without "Config"."""
        return self._part("network")

    def _part(self, name: str) -> str | None:
        part = (self.recipe or {}).get(name)
        if not is_object(part) or "type" not in part:
            return None
        return str(part["type"]).rpartition(":")[2].removesuffix("Config")


def read_run_facts(folder: Path) -> RunFacts:
    """Read recipe, split and versions (JSON), log and validation (CSV) of a run folder, as far as they are there.

    Raises InputError only if the folder isn't there.
    """
    if not folder.is_dir():
        raise no_run(folder, str(folder))
    notes: list[str] = []
    run = RunFolder(folder)
    recipe = _read_object(run.recipe_file, dict[str, Any], notes)
    split = _read_object(run.split_file, dict[str, list[str]], notes)
    versions = _read_object(run.versions_file, dict[str, Any], notes)
    log, validation = (_read_rows(file, notes) for file in (run.log_file, run.validation_file))
    return RunFacts(folder, recipe, split, versions, log, validation, notes)


def _read_object(path: Path, kind: type[T] | GenericAlias, notes: list[str]) -> T | None:
    if not path.is_file():
        notes.append(f"{path.name} is not in the run folder")
        return None
    try:
        return read(path, kind, "this part of the report is missing")
    except InputError as error:
        notes.append(str(error))
        return None


def _read_rows(path: Path, notes: list[str]) -> Rows:
    if not path.is_file():
        notes.append(f"{path.name} is not in the run folder")
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            read = csv.DictReader(file, restkey="", restval="")
            rows = [{name: csv_value(cell) for name, cell in row.items()} for row in read]
    except (csv.Error, UnicodeDecodeError) as error:
        notes.append(f"{path.name} can't be read: {error}")
        return []
    if not rows:
        notes.append(f"{path.name} has no rows yet")
    return rows
