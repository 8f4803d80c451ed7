"""What an index of DICOM files holds, for people (a table) and for programs (JSON). Patients' names appear nowhere."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unpaired.choices import counted
from unpaired.dicom.index import Index, Series
from unpaired.errors import printable
from unpaired.tables import Table, TableCell

SHOWN_UID = 12
"""So many last characters of a series UID (and its part) stand in the table; `--series` takes them."""
TITLES = ("no.", "modality", "description", "voxels", "mm", "volume", "UID ends in")


def series_table(index: Index) -> Table:
    """A row for each series, or each of its volumes; below it what else lies there, and what can't be read."""
    studies = list(dict.fromkeys(series.study_uid for series in index.series))
    rows = [_row(series) for series in index.series]
    ends = [
        number
        for number, (series, following) in enumerate(zip(index.series, index.series[1:], strict=False))
        if series.study_uid != following.study_uid
    ]
    volumes = sum(series.problem is None for series in index.series)
    patients = len({series.patient for series in index.series})
    counts = (
        f"{counted(volumes, 'volume')} in {counted(len(index.series), 'series', 'series')} of "
        f"{counted(len(studies), 'study', 'studies')} and {counted(patients, 'patient')}"
    )
    return Table(TITLES, rows, "llllll", notes=(counts, *_notes(index)), sections=ends)


def index_to_json(index: Index) -> dict[str, Any]:
    """The index as JSON values: series with what they are, where their files lie, and why one is no volume."""
    return {
        "series": [_series_document(series) for series in index.series],
        "objects": [
            {
                "file": str(stored.file),
                "modality": stored.modality,
                "description": stored.description,
                "series_uid": stored.series_uid,
                "instance_uid": stored.instance_uid,
                "referenced_series": list(stored.referenced_series),
                "patient": stored.patient,
            }
            for stored in index.objects
        ],
        "failures": [{"file": str(path), "message": message} for path, message in index.failures],
        "other_files": index.others,
    }


def millimeters(series: Series) -> str:
    """The voxel size for a table: "0.7 x 0.7 x 5"."""
    return " x ".join(f"{size:.3g}" for size in series.spacing_mm or ())


def title_of(series: Series) -> str:
    """A series in a few words: its description, else protocol or sequence, and what sets this part apart."""
    name = series.description or series.protocol or series.sequence
    return ", ".join(word for word in (name, series.split_by) if word)


def _row(series: Series) -> list[str | TableCell]:
    verdict = "yes" if series.problem is None else f"no: {series.problem}"
    said = "; ".join((verdict, *series.notes))
    style = "" if series.problem is None else "dim"
    cells = (
        str(series.number),
        series.modality,
        title_of(series),
        " x ".join(map(str, series.shape)),
        millimeters(series),
        said,
        series.name[-SHOWN_UID:],
    )
    return [TableCell(printable(text), style=style) for text in cells]


def _notes(index: Index) -> Iterator[str]:
    kinds = Counter(stored.modality or "unknown" for stored in index.objects)
    if kinds:
        yield "no scans: " + ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    if index.others:
        yield f"{counted(index.others, 'file is', 'files are')} no DICOM"


def _series_document(series: Series) -> dict[str, Any]:
    return {
        "name": series.name,
        "uid": series.uid,
        "study_uid": series.study_uid,
        "frame_of_reference_uid": series.frame_of_reference_uid,
        "patient": series.patient,
        "modality": series.modality,
        "number": series.number,
        "description": series.description,
        "protocol": series.protocol,
        "sequence": series.sequence,
        "manufacturer": series.manufacturer,
        "image_type": list(series.image_type),
        "part": series.part,
        "parts": series.parts,
        "split_by": series.split_by,
        "voxels": list(series.shape),
        "spacing_mm": None if series.spacing_mm is None else list(series.spacing_mm),
        "volume": series.problem is None,
        "problem": series.problem,
        "notes": list(series.notes),
        "files": [str(Path(file)) for file in series.files],
    }
