"""A table (CSV or TSV) as a manifest: one row per case, for people whose study already lives in a spreadsheet.

    cases.csv
        patient,modality,image,label,split
        p01,ct,ct/p01.nii.gz,ct/p01_seg.nii.gz,train
        p02,mr,mr/p02.nii.gz,,train
    cases.json        (the same name, beside it: what a row can't say)
        {"classes": ["background", "liver", "spleen"],
         "label_maps": {"hospital": {"0": "background", "5": "liver", "9": "spleen"}},
         "modalities": {"ct": {"clip": [-175, 250]}, "mr": {}}}

Columns: patient, modality, image; and if wanted id, label, label_map, annotated (class names with `;` between them, or
"all"), split, fold. An empty cell is an absent value, so a case without a label is unlabeled. Paths are relative to the
table. Only `classes` is required in the JSON file; without `label_maps`, label value i is class i.
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unpaired.data.dataset import CASE_FIELDS
from unpaired.documents import read
from unpaired.errors import InputError, nearest

_EXAMPLE = '{"classes": ["background", "liver", "spleen"]}'


def table_document(path: Path) -> dict[str, Any]:
    """The manifest document of a `.csv` (comma) or `.tsv` (tab) table with a header row, in UTF-8.

    Raises InputError naming the row and column that are wrong. A table without rows gives a document without cases,
    which the manifest's own check refuses.
    """
    return {"name": path.stem, **_options(path), "cases": list(_rows(path))}


def _options(path: Path) -> dict[str, Any]:
    """What the JSON file of the same name says."""
    beside = path.with_suffix(".json")
    if not beside.is_file():
        raise InputError(f"{path}: a table needs {beside.name} beside it to name the classes, such as {_EXAMPLE}")
    options = read(beside, dict[str, Any], f"it should look like {_EXAMPLE}")
    allowed = ["name", "about", "classes", "label_maps", "modalities", "schema"]
    for key in options:
        if key not in allowed:
            raise InputError(f"{beside}: unknown field {key!r}; {nearest(key, allowed)}")
    return options


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows as case documents, empty cells left out."""
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    try:
        # utf-8-sig: spreadsheets put a byte order mark in front of the first column's name.
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file, delimiter=delimiter, strict=True))
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected a table in UTF-8, but {error}") from error
    columns = [name.strip() for name in rows[0]] if rows else []
    _check_columns(columns, path)
    for number, cells in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) > len(columns):
            raise InputError(f"{path}: row {number} has {len(cells)} cells under {len(columns)} columns")
        entry: dict[str, Any] = {name: cell.strip() for name, cell in zip(columns, cells, strict=False) if cell.strip()}
        for name in ("patient", "modality", "image"):
            if name not in entry:
                raise InputError(f"{path}: row {number} has no {name!r}")
        if "annotated" in entry and entry["annotated"] != "all":
            entry["annotated"] = [name.strip() for name in entry["annotated"].split(";") if name.strip()]
        if "fold" in entry:
            if not entry["fold"].isdecimal():
                raise InputError(f"{path}: row {number}: fold must be a whole number, got {entry['fold']!r}")
            entry["fold"] = int(entry["fold"])
        yield entry


def _check_columns(columns: list[str], path: Path) -> None:
    for name in columns:
        if name not in CASE_FIELDS:
            raise InputError(f"{path}: unknown column {name!r}; {nearest(name, list(CASE_FIELDS))}")
        if columns.count(name) > 1:
            raise InputError(f"{path}: column {name!r} appears twice")
    missing = [name for name in ("patient", "modality", "image") if name not in columns]
    if missing:
        raise InputError(f"{path}: the header row lacks {', '.join(missing)}; it needs at least patient,modality,image")
