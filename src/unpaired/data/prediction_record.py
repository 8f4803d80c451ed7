"""How a predicted label map was made and what its values mean, in a small file beside it: `<case>.prediction.json`.

Label numbers are a study's own habit: 2 is a kidney in one and the liver in another. So a prediction says what its
numbers stand for, and whoever scores or draws it goes by that. The record also names the image, the networks and the
settings, so that a file made of another scan, or in another way, is never taken for done.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from unpaired.data.images import LARGEST_VALUE, image_suffix
from unpaired.documents import read
from unpaired.errors import InputError
from unpaired.files import write_json

SCHEMA = 1
SUFFIX = ".prediction.json"
SERIES = "series "
"""What a source begins with that is no file, but a series of DICOM files."""
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
    settings: Mapping[str, Any]
    runs: list[dict[str, Any]]
    values: Mapping[str, int]
    """{class: its value in the label map}, background first."""
    image: Source | None = None
    """None in the records of versions that didn't note it."""
    uncertainty: dict[str, Any] | None = None
    """How far averaged predictions agree, as JSON values; `scores.trust.uncertainty` reads them."""


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
    write_json(record_path(label_map), document)


def read_record(label_map: Path) -> Record | None:
    """The record beside a label map; None if there is none. Raises InputError if it is damaged."""
    path = record_path(label_map)
    if not path.is_file():
        return None
    record = read(path, Record, AGAIN, schema=SCHEMA)
    if not record.values or len(set(record.values.values())) != len(record.values):
        raise InputError(f"{path}: expected 'values' to give each class a whole number of its own; {AGAIN}")
    if max(map(abs, record.values.values())) > LARGEST_VALUE:
        raise InputError(
            f"{path}: expected label values of at most 32 bits, got {max(record.values.values(), key=abs)}; {AGAIN}"
        )
    return record
