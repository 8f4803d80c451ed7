"""A table of patients beside the scans: BIDS's participants.tsv, TotalSegmentator's meta.csv, a hospital's own.

    participant_id  age  sex  site     manufacturer  scanner_model
    sub-01          63   F    Zurich   Siemens       Avanto

The first of these columns that is there says who it is: participant_id, patient, patient_id, subject, subject_id,
image_id, id. Columns are read in capitals or not, whatever stands between their words; others are passed over.
"""

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from unpaired.choices import some_of
from unpaired.data.dataset import Dataset
from unpaired.data.demographics import DEMOGRAPHIC_FIELDS, Demographics, is_unstated, readable_demographics
from unpaired.documents import shown
from unpaired.errors import InputError

NAMES = ("participantid", "patient", "patientid", "subject", "subjectid", "imageid", "id")
MEANT = {
    "age": ("age", "ageyears", "patientage", "patientsage"),
    "sex": ("sex", "gender", "patientsex", "patientssex"),
    "site": ("site", "center", "centre", "hospital", "institute", "institution"),
    "scanner": ("scanner", "scannermodel", "manufacturersmodelname", "manufacturermodelname", "model"),
}
"""{field: columns that mean it}, letters and digits alone; a column `manufacturer` goes in front of the scanner."""
SHOWN = 3


def with_participants(
    dataset: Dataset, table: Path, people: Mapping[str, Demographics], warn: Callable[[str], None]
) -> Dataset:
    """The dataset with what `people` of a table says of its patients (else of its cases, by their ids) in place of what
    is known.

    `warn` gets a line for patients that the table lacks. Raises InputError if it names none of the patients.
    """
    if not people.keys() & {name for case in dataset.cases for name in (case.patient, case.id)}:
        raise InputError(
            f"{table}: expected rows of patients such as {dataset.cases[0].patient!r}, found "
            f"{some_of(list(map(repr, people)), SHOWN) or 'none'}; call them as the manifest does (--patient-from)"
        )
    missing = [name for name in dataset.patients if name not in people]
    missing = [name for name in missing if not any(c.id in people for c in dataset.cases if c.patient == name)]
    if missing:
        warn(f"{table} says nothing of {len(missing)} of {len(dataset.patients)} patients, such as {missing[0]}")
    cases = [
        replace(case, demographics=people.get(case.patient, people.get(case.id, case.demographics)))
        for case in dataset.cases
    ]
    return replace(dataset, cases=tuple(cases))


def participants_beside(table: Path, warn: Callable[[str], None]) -> dict[str, Demographics]:
    """What a layout's own table says, {} where there is none; `warn` gets a line for a table of something else."""
    try:
        return read_participants(table, warn) if table.is_file() else {}
    except InputError as error:
        warn(str(error))
        return {}


def read_participants(table: Path, warn: Callable[[str], None]) -> dict[str, Demographics]:
    """{name: demographics} of a table in UTF-8 whose cells tabs, commas or semicolons part.

    Of a name that has several rows (sessions) the first counts. `warn` gets a line for each column with values that
    can't be read, which are left out. Raises InputError for a file that is no table, or says nobody's name.
    """
    rows = _rows(table)
    columns = [_plain(name) for name in rows[0]] if rows else []
    who = next((name for name in NAMES if name in columns), None)
    if who is None:
        there = shown(rows[0]) if rows else "an empty file"
        raise InputError(f"{table}: expected a table with a column participant_id or patient, got {there}; add it")
    people: dict[str, Demographics] = {}
    unread: dict[str, list[str]] = {}
    for cells in rows[1:]:
        entry = dict(zip(columns, (cell.strip() for cell in cells), strict=False))
        if entry.get(who):
            people.setdefault(entry[who], _demographics(entry, unread))
    for name, values in unread.items():
        warn(f"{table}: {len(values)} values of {name} can't be read, such as {shown(values[0])}; they are left out")
    return people


def _demographics(entry: Mapping[str, str], unread: dict[str, list[str]]) -> Demographics:
    """What a row says; a value that can't be read is noted in `unread` ({field: values})."""
    said = {name: next((entry[c] for c in MEANT[name] if entry.get(c)), "") for name in DEMOGRAPHIC_FIELDS}
    maker = entry.get("manufacturer", "")
    if not is_unstated(maker) and not said["scanner"].lower().startswith(maker.lower()):
        said["scanner"] = maker if is_unstated(said["scanner"]) else f"{maker} {said['scanner']}"
    demographics, odd = readable_demographics(said)
    for name in odd:
        unread.setdefault(name, []).append(said[name])
    return demographics


def _rows(table: Path) -> list[list[str]]:
    if not table.is_file():
        raise InputError(f"{table}: expected a table of patients, found no file; correct the path")
    text = table.read_bytes().decode("utf-8-sig", errors="replace")
    head = text.split("\n", 1)[0]
    delimiter = max("\t;,", key=head.count)
    try:
        return [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if any(row)]
    except csv.Error as error:
        raise InputError(f"{table}: expected a table, but {error}; save it as CSV or TSV in UTF-8") from error


def _plain(column: str) -> str:
    return "".join(sign for sign in column.lower() if sign.isalnum())
