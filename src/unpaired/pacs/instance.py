"""The UIDs that an image came with: they name the place of its file."""

from io import BytesIO
from pathlib import Path
from typing import Any

from unpaired.data.formats.dicom_file import one_line
from unpaired.errors import InputError
from unpaired.pacs.archive import is_uid


def uids_of(content: bytes, where: str) -> tuple[str, str, str]:
    """Study, series and instance UID of a file's bytes. Raises InputError, which names `where`, for what has none."""
    from pydicom import dcmread

    with one_line(Path(where)):
        words = ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]
        elements: Any = dcmread(BytesIO(content), specific_tags=words, stop_before_pixels=True)
        study, series, instance = (str(elements.get(word, "")) for word in words)
    if not (is_uid(study) and is_uid(series) and is_uid(instance)):
        raise InputError(f"{where}: an image without UIDs of study, series and instance came; it is left out")
    return study, series, instance
