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
"all"), split, fold, simulated (yes or no), and what is known of the patient: age, sex, site, scanner; in capitals or
not. Further columns are passed over, unless their name looks like a misspelled one. A CSV may have semicolons or
tabs for commas, as spreadsheets write them. A modality is taken in small letters. An empty cell is an absent value,
so a case without a label is unlabeled. Paths are relative to the table. Only `classes` is required in the JSON file;
without `label_maps`, label value i is class i.
"""

import csv
import io
import re
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from unpaired.data.dataset import CASE_FIELDS, COLUMNS
from unpaired.documents import read
from unpaired.errors import InputError, nearest

MISSPELLED = 0.75
"""How alike (difflib's ratio) an unknown column is to one that is missing, to be taken for a misspelling of it."""
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_BEFORE_HEADER = re.compile(r"(\s*\n)?(sep=.\r?\n)?", re.IGNORECASE)
"""Empty lines, and the line by which Excel is told what stands between cells."""
_YES_NO = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
_EXAMPLE = '{"classes": ["background", "liver", "spleen"]}'


def table_document(path: Path) -> dict[str, Any]:
    """The manifest document of a `.csv` or `.tsv` table (commas, semicolons or tabs) with a header row, in UTF-8.

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
    if isinstance(options.get("modalities"), dict):
        options["modalities"] = {str(name).lower(): value for name, value in options["modalities"].items()}
    return options


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows as case documents, empty cells left out."""
    try:
        # utf-8-sig: spreadsheets put a byte order mark in front of the first column's name.
        text = path.read_text(encoding="utf-8-sig")
        before = _BEFORE_HEADER.match(text)
        text = text[before.end() :] if before else text
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(path, text), strict=True))
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected a table in UTF-8, but {error}; save it as UTF-8") from error
    except csv.Error as error:
        raise InputError(f"{path}: expected a table of cells, but {error}; close each quote in it") from error
    columns = [name.strip().lower() for name in rows[0]] if rows else []
    _check_columns(columns, path, SEPARATORS[_delimiter(path, text)])
    skipped = before[0].count("\n") if before else 0
    for number, cells in enumerate(rows[1:], start=2 + skipped):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) > len(columns):
            raise InputError(
                f"{path}: row {number} has {len(cells)} cells under {len(columns)} columns; give it as many"
            )
        entry: dict[str, Any] = {
            name: cell.strip() for name, cell in zip(columns, cells, strict=False) if name in COLUMNS and cell.strip()
        }
        for name in ("patient", "modality", "image"):
            if name not in entry:
                raise InputError(f"{path}: row {number} has no {name!r}; fill it in")
        entry["modality"] = entry["modality"].lower()
        if "annotated" in entry and entry["annotated"] != "all":
            entry["annotated"] = [name.strip() for name in entry["annotated"].split(";") if name.strip()]
        if "fold" in entry:
            if not entry["fold"].isdecimal():
                raise InputError(f"{path}: row {number}: fold must be a whole number, got {entry['fold']!r}")
            entry["fold"] = int(entry["fold"])
        if "simulated" in entry:
            if entry["simulated"].lower() not in _YES_NO:
                raise InputError(f"{path}: row {number}: simulated must be yes or no, got {entry['simulated']!r}")
            entry["simulated"] = _YES_NO[entry["simulated"].lower()]
        yield entry


def _delimiter(path: Path, text: str) -> str:
    """What stands between the header's cells: what the suffix says, or else another one that is there."""
    head = text.split("\n", 1)[0]
    usual = "\t" if path.suffix.lower() == ".tsv" else ","
    return next((mark for mark in (usual, ";", "\t", ",") if mark in head), usual)


def _check_columns(columns: list[str], path: Path, separators: str) -> None:
    for name in columns:
        meant = get_close_matches(name, CASE_FIELDS, n=1, cutoff=MISSPELLED)
        if name not in COLUMNS and meant and meant[0] not in columns:
            raise InputError(f"{path}: unknown column {name!r}; did you mean {meant[0]}? Else give it another name")
        if name in COLUMNS and columns.count(name) > 1:
            raise InputError(f"{path}: column {name!r} appears twice; rename or remove one")
    missing = [name for name in ("patient", "modality", "image") if name not in columns]
    if missing:
        raise InputError(
            f"{path}: the header row, read with {separators} between cells, lacks {', '.join(missing)}; it needs at "
            "least patient,modality,image"
        )
