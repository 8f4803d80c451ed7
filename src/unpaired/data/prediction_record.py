"""How a predicted label map was made and what its values mean, in a small file beside it: `<case>.prediction.json`.

Label numbers are a study's own habit: 2 is a kidney in one and the liver in another. So a prediction says what its
numbers stand for, and whoever scores or draws it goes by that. The record also names the image, the networks and the
settings, so that a file made of another scan, or in another way, is never taken for done.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from unpaired.data.images import image_suffix
from unpaired.errors import InputError
from unpaired.files import read_json, write_text

SCHEMA = 1
SUFFIX = ".prediction.json"
AGAIN = "delete it and predict this case again"


@dataclass(frozen=True)
class Source:
    """The image that was segmented: where it lay, and the SHA-256 of what it held (`content_hash`)."""

    file: str
    sha256: str


@dataclass(frozen=True)
class Record:
    """What made one label map. `settings` are what decides its voxels: equal ones make equal voxels of one image."""

    case: str
    modality: str
    image: Source | None
    """None in the records of versions that didn't note it."""
    settings: Mapping[str, Any]
    runs: list[dict[str, Any]]
    values: Mapping[str, int]
    """{class: its value in the label map}, background first."""
    uncertainty: dict[str, Any] | None = None
    """As JSON values; `scores.trust.uncertainty` reads them."""


def record_path(label_map: Path) -> Path:
    """The record's place beside a label map."""
    return label_map.with_name(label_map.name[: -len(image_suffix(label_map) or "")] + SUFFIX)


def write_record(record: Record, label_map: Path) -> None:
    """Write the record of a label map, atomically."""
    document = {
        "schema": SCHEMA,
        "unpaired": version("unpaired"),
        "case": record.case,
        "modality": record.modality,
        "image": None if record.image is None else {"file": record.image.file, "sha256": record.image.sha256},
        "runs": record.runs,
        "settings": dict(record.settings),
        "values": dict(record.values),
        "uncertainty": record.uncertainty,
    }
    write_text(record_path(label_map), json.dumps(document, indent=1) + "\n")


def read_record(label_map: Path) -> Record | None:
    """The record beside a label map; None if there is none. Raises InputError if it is damaged."""
    path = record_path(label_map)
    if not path.is_file():
        return None
    document = read_json(path, AGAIN)
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise InputError(f"{path}: expected a record of schema {SCHEMA}; {AGAIN}")
    try:
        image = document.get("image")
        return Record(
            str(document["case"]),
            str(document["modality"]),
            None if image is None else Source(str(image["file"]), str(image["sha256"])),
            dict(document["settings"]),
            [dict(run) for run in document["runs"]],
            _checked_values(document["values"], path),
            None if document["uncertainty"] is None else dict(document["uncertainty"]),
        )
    except KeyError as error:
        raise InputError(f"{path} lacks {error}; {AGAIN}") from error
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: not a record of this version ({error}); {AGAIN}") from error


def _checked_values(values: Any, path: Path) -> dict[str, int]:
    """InputError unless every class has a whole number of its own."""
    whole = isinstance(values, dict) and all(type(value) is int for value in values.values())
    if not whole or not values or len(set(values.values())) != len(values):
        raise InputError(f"{path}: expected 'values' to give each class a whole number of its own; {AGAIN}")
    return values
