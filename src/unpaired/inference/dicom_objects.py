"""What stands beside the label map of a DICOM series: SEG, RTSTRUCT, secondary captures, a report; which are there."""

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from unpaired.data.formats.dicom_file import read_elements
from unpaired.data.image import Image
from unpaired.data.images import image_suffix
from unpaired.dicom.attributes import tag_of, text
from unpaired.dicom.deidentify import is_deidentified
from unpaired.dicom.encapsulated_pdf import write_report
from unpaired.dicom.overlays import Segmented
from unpaired.dicom.secondary_capture import remove_captures, write_captures
from unpaired.dicom.segmentation import Algorithm, write_segmentation
from unpaired.dicom.source import is_own
from unpaired.dicom.structure_set_writer import write_structure_set
from unpaired.files import remove
from unpaired.inference.jobs import DicomScan, Job

if TYPE_CHECKING:
    from unpaired.inference.ensemble import Ensemble

ENDINGS = {"seg": ".dcm", "rtstruct": ".rtstruct.dcm", "sc": ".sc", "pdf": ".pdf.dcm"}
"""What the names of objects end with, after the label map's; secondary captures are a folder of files."""
LABEL = "unpaired"


def object_path(label_map: Path, kind: str) -> Path:
    """Where an object of a label map is written."""
    return label_map.with_name(label_map.name[: -len(image_suffix(label_map) or "")] + ENDINGS[kind])


def write_objects(job: Job, ensemble: "Ensemble", label_map: np.ndarray, image: Image) -> None:
    """Write the objects that are asked for of a label map in class numbers, where its scan is a series."""
    scan = job.dicom
    if scan is None:
        return
    classes, codes = tuple(ensemble.classes), ensemble.predictors[0].run.dataset.codes
    weights = tuple(predictor.weights_hash for predictor in ensemble.predictors)
    algorithm, paths = Algorithm("unpaired", version("unpaired"), weights), _paths(job, scan)
    if "seg" in paths:
        write_segmentation(
            paths["seg"],
            label_map,
            scan.series,
            classes,
            algorithm,
            codes=codes,
            kind=scan.segmentation,
            anonymous=scan.deidentify,
        )
    if "rtstruct" in paths:
        write_structure_set(
            paths["rtstruct"],
            label_map,
            scan.series,
            dict(enumerate(classes[1:], start=1)),
            codes,
            label=LABEL,
            algorithm=algorithm,
            anonymous=scan.deidentify,
        )
    segmented = Segmented(scan.series, image.array, label_map, classes, algorithm, codes)
    if "sc" in paths:
        write_captures(paths["sc"], segmented, anonymous=scan.deidentify)
    if "pdf" in paths:
        write_report(paths["pdf"], segmented, anonymous=scan.deidentify)


def remove_objects(label_map: Path) -> None:
    """Remove what was written of an earlier label map of this name, so that it never stands beside a new one."""
    for kind in ENDINGS:
        path = object_path(label_map, kind)
        if path.is_dir():
            remove_captures(path)
        elif is_own(path):
            remove(path)


def objects_difference(job: Job) -> str | None:
    """What sets an object that is there apart from the one that would be written now; None if nothing does."""
    scan = job.dicom
    for kind, path in {} if scan is None else _paths(job, scan).items():
        file = next(path.iterdir(), path) if path.is_dir() else path
        if scan is None or not file.is_file():
            continue
        elements = read_elements(file, _tags(), pixels=False).elements
        if kind == "seg" and text(elements, "SegmentationType") != scan.segmentation.upper():
            return f"{path} is there as {text(elements, 'SegmentationType').lower()}, not {scan.segmentation}"
        if is_deidentified(elements) != scan.deidentify:
            return f"{path} is there {'without' if not scan.deidentify else 'with'} the patient's identity"
    return None


def objects_are_there(job: Job) -> bool:
    """Whether all objects that are asked for are there."""
    return job.dicom is None or all(path.exists() for path in _paths(job, job.dicom).values())


def _paths(job: Job, scan: DicomScan) -> dict[str, Path]:
    return {kind: object_path(job.output, kind) for kind in scan.objects}


def _tags() -> list[int]:
    words = ("SegmentationType", "DeidentificationMethod", "SpecificCharacterSet")
    return [tag_of(word) for word in words]
