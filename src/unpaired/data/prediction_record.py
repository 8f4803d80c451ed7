"""How a predicted label map was made and what its values mean, in a small file beside it: `<case>.prediction.json`.

Label numbers are a study's own habit: 2 is a kidney in one and the liver in another. So a prediction says what its
numbers stand for, and whoever scores or draws it goes by that. The record also names the image, the networks and the
settings, so that a file made of another scan, or in another way, is never taken for done, and the label map's own
bytes, so that one that was cut short or replaced isn't either.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from unpaired.data.content import content_hash
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
class Written:
    """The file of a label map as it was written: its size in bytes and its SHA-256."""

    size: int
    sha256: str

    @classmethod
    def of(cls, content: bytes) -> "Written":
        """Of a file that will hold `content`."""
        return cls(len(content), sha256(content).hexdigest())


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
    label_map: Written | None = None
    """None in the records of versions that didn't note it."""


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
        "label_map": None if record.label_map is None else asdict(record.label_map),
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


def difference_from_record(record: Record, label_map: Path, known: str | None = None) -> str | None:
    """What says that a label map isn't the file that its record tells of; None if nothing does.

    It is read to be hashed only where its size is right, and not where its SHA-256 is `known`. Nobody can tell of the
    records of versions that didn't note the file. Raises OSError for a file that can't be read.
    """
    written = record.label_map
    if written is None:
        return None
    size = label_map.stat().st_size
    if size != written.size:
        return f"it has {size:,} bytes, its record says {written.size:,}"
    return None if (known or content_hash(label_map)) == written.sha256 else "it holds other bytes than its record says"


@contextmanager
def doubting_record(record: Record | None, label_map: Path) -> Generator[None]:
    """Add to an InputError about label values that the label map isn't the file that its record tells of, if so."""
    try:
        yield
    except InputError as error:
        difference = None if record is None else difference_from_record(record, label_map)
        if difference is None:
            raise
        raise InputError(
            f"{error}. The file was replaced since its record was written ({difference}): delete "
            f"{record_path(label_map).name} if it doesn't say what these values mean"
        ) from error
