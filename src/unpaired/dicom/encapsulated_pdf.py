"""A report of a segmented series as Encapsulated PDF (PS3.3 A.45.1): pictures, and each class's volume."""

from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from unpaired.data.label_map import count_values
from unpaired.dicom.deidentify import deidentify
from unpaired.dicom.overlays import Segmented, overlays
from unpaired.dicom.segmentation import LONGEST
from unpaired.dicom.source import MANUFACTURER, derived_number, image_references, read_source, save_object, share

PANELS = 12
NUMBER_OFFSET = 2000
"""Added to the number of a segmentation's series."""
TITLE = "Segmentation report"


def write_report(path: str | Path, segmented: Segmented, *, anonymous: bool = False) -> None:
    """Write a report as DICOM, atomically: slices with overlays, a table of volumes, what made it.

    The page names the series and no patient, who stands in the object's header, but for `anonymous`. Raises InputError
    for a series that objects can't refer to.
    """
    source = read_source(segmented.series)
    file = _document(report_of(segmented, describe=not anonymous), segmented)
    share(file, source, segmented.series, segmented.classes)
    del file.FrameOfReferenceUID, file.PositionReferenceIndicator
    if anonymous:
        deidentify(file)
    save_object(file, path)


def report_of(segmented: Segmented, *, describe: bool = True) -> bytes:
    """The report as a PDF file; without `describe` it says the series' number, not what a person called it."""
    from unpaired.figures.segmentation_page import segmentation_pages

    series, shown = segmented.series, segmented.shown()
    levels = sorted({shown[int((place + 0.5) / PANELS * len(shown))] for place in range(PANELS)})
    panels = [(f"{level + 1}", picture) for level, picture in zip(levels, overlays(segmented, levels), strict=True)]
    columns_mm, rows_mm, gap = series.spacing_mm or (1.0, 1.0, 1.0)
    size = " x ".join(map(str, segmented.label_map.shape))
    named = f" ({series.description})" if describe and series.description else ""
    algorithm = segmented.algorithm
    facts = [
        f"Series {series.number}{named}, {series.modality}, {size} voxels of "
        f"{columns_mm:.3g} x {rows_mm:.3g} x {gap:.3g} mm",
        f"{algorithm.name} {algorithm.version}, weights {', '.join(each[:12] for each in algorithm.weights) or '-'}",
        "Made by a program without a person's review.",
    ]
    return segmentation_pages(TITLE, facts, panels, rows_mm / columns_mm, list(_rows(segmented)))


def _rows(segmented: Segmented) -> Iterator[tuple[tuple[int, int, int], str, str, str]]:
    """Color, name, volume and slices of each class."""
    label_map = segmented.label_map
    counts = count_values(label_map, len(segmented.classes))
    voxel_ml = float(np.prod(segmented.series.spacing_mm or (1.0, 1.0, 1.0))) / 1000
    for number, name in enumerate(segmented.classes[1:], start=1):
        where = np.flatnonzero((label_map == number).any(axis=(0, 1))) + 1
        slices = f"{where[0]}-{where[-1]}" if where.size else "-"
        yield segmented.color(number), name, f"{counts[number] * voxel_ml:.1f}", slices


def _document(pdf: bytes, segmented: Segmented) -> Any:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import EncapsulatedPDFStorage, ExplicitVRLittleEndian, generate_uid

    series, algorithm, now = segmented.series, segmented.algorithm, datetime.now()
    seeds = [series.name, *algorithm.weights, *segmented.classes, sha256(segmented.label_map.tobytes()).hexdigest()]
    file = Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.SOPClassUID = file.file_meta.MediaStorageSOPClassUID = EncapsulatedPDFStorage
    file.SOPInstanceUID = generate_uid(entropy_srcs=["report", *seeds])
    file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID
    file.Modality, file.SeriesInstanceUID = "DOC", generate_uid(entropy_srcs=["reports", *seeds])
    file.SeriesNumber, file.InstanceNumber = derived_number(series) + NUMBER_OFFSET, 1
    file.SeriesDescription = f"{series.description} report".strip()[:LONGEST]
    file.Manufacturer, file.ManufacturerModelName = MANUFACTURER, algorithm.name[:LONGEST]
    file.SoftwareVersions, file.ConversionType = algorithm.version[:LONGEST], "WSD"
    file.ContentDate, file.ContentTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    file.InstanceCreationDate, file.InstanceCreationTime = file.ContentDate, file.ContentTime
    file.AcquisitionDateTime, file.ConceptNameCodeSequence = "", []
    file.BurnedInAnnotation, file.DocumentTitle = "NO", TITLE
    file.SourceInstanceSequence = image_references(series)
    file.MIMETypeOfEncapsulatedDocument = "application/pdf"
    file.EncapsulatedDocument, file.EncapsulatedDocumentLength = pdf + b"\0" * (len(pdf) % 2), len(pdf)
    return file
