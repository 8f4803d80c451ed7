"""The logs of a run, CSV files with a row per step: read, added to, cut back to the step that training goes on from."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unpaired.documents import shown
from unpaired.errors import InputError
from unpaired.files import input_error_if_unwritable, remove, write_text
from unpaired.tables import csv_text, csv_value

ADVICE = "restore the file, or delete it: it tells how training went, which goes on without it"


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a log; empty if there are none yet. Raises InputError for a file that is damaged."""
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [{name: csv_value(cell) for name, cell in row.items()} for row in csv.DictReader(file, restkey="")]
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected a CSV file, but {error}; {ADVICE}") from error


def append_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add rows to a log; the first rows decide the columns.

    A log that another version began keeps its columns: what it didn't have is dropped, what is gone stays empty.
    """
    if not rows:
        return
    columns = _columns(path)
    if columns:
        rows = [{column: row.get(column, "") for column in columns} for row in rows]
    with input_error_if_unwritable(path), path.open("a", newline="", encoding="utf-8") as file:
        file.write(_csv_text(rows, header=not columns))


def drop_rows_after(path: Path, step: int) -> None:
    """Drop the rows of later steps, which a kill has lost, and a half written last row; without rows the file goes.

    Raises InputError for a row that names no step.
    """
    whole = [row for row in read_rows(path) if "" not in row and None not in row.values()]
    if strange := [row for row in whole if not row.get("step", "").isdecimal()]:
        raise InputError(f"{path}: expected a step in every row, got {shown(strange[0])}; {ADVICE}")
    rows = [row for row in whole if int(row["step"]) <= step]
    if rows:
        write_text(path, _csv_text(rows, header=True))
    else:
        remove(path)


def _columns(path: Path) -> list[str]:
    """The first line of a CSV file; empty if there is none."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        head = next(csv.reader(file), None)
    return [] if head is None else [csv_value(cell) for cell in head]


def _csv_text(rows: Sequence[Mapping[str, Any]], header: bool) -> str:
    names = list(rows[0])
    text = csv_text(names, ([row.get(name) for name in names] for row in rows))
    return text if header else text.partition("\n")[2]  # names of columns are one line
