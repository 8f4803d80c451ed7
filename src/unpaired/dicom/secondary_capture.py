"""Pictures of a segmented series as DICOM Secondary Capture (PS3.3 A.8.1): a series that every viewer shows.

One image for each slice from the first to the last that shows a class, with the classes' names beside it. JPEG
(baseline) of high quality: 600 slices take some 50 MB, not 500.
"""

import warnings
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from unpaired.dicom.deidentify import deidentify
from unpaired.dicom.overlays import Segmented, enlargement, overlays
from unpaired.dicom.segmentation import LONGEST, require_highdicom
from unpaired.dicom.source import MANUFACTURER, derived_number, image_reference, is_own, read_source, save_object, share
from unpaired.errors import InputError
from unpaired.files import input_error_if_unwritable

NUMBER_OFFSET = 1000
"""Added to the number of a segmentation's series."""
LETTERS = ("LR", "PA", "HF")
"""Where each axis of the patient (LPS) leads, and where it comes from: left, posterior, head."""
FONT_PIXELS = 14
MARGIN = 8
INK = (230, 237, 243)


def write_captures(folder: str | Path, segmented: Segmented, *, anonymous: bool = False) -> list[Path]:
    """Write an image for each slice that shows something into a folder (slice number.dcm), and return the files.

    Captures that it held are removed. Colors are those that the DICOM SEG of the series recommends. Equal pictures have
    equal UIDs. Raises InputError for a folder that holds something else, without the extra `dicom`, and for a series
    that objects can't refer to.
    """
    folder, levels = Path(folder), segmented.shown()
    source = read_source(segmented.series)
    if folder.exists():
        remove_captures(folder)
    with input_error_if_unwritable(folder):
        folder.mkdir(parents=True)
    written = []
    for number, (level, picture) in enumerate(zip(levels, overlays(segmented, levels), strict=True), start=1):
        file = _capture(with_names(picture, segmented, level), number, level, segmented)
        share(file, source, segmented.series, segmented.classes)
        del file.FrameOfReferenceUID, file.PositionReferenceIndicator  # a picture has no place in the patient
        if anonymous:
            deidentify(file)
        written.append(folder / f"{level + 1:04}.dcm")
        save_object(file, written[-1])
    return written


def remove_captures(folder: Path) -> None:
    """Remove a folder of captures. Raises InputError, and removes nothing, if it holds anything else."""
    files = list(folder.iterdir()) if folder.is_dir() else [folder]
    for file in files:
        if file.suffix != ".dcm" or not is_own(file):
            raise InputError(f"{folder}: expected a folder for captures, got one with {file.name}; name another folder")
    with input_error_if_unwritable(folder):
        for file in files:
            file.unlink()
        folder.rmdir()


def with_names(picture: np.ndarray, segmented: Segmented, level: int) -> np.ndarray:
    """A slice's picture with a strip on its right: which slice it is, which classes it shows in which colors."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(FONT_PIXELS)
    shown = [number for number in np.unique(segmented.label_map[..., level]).tolist() if number]
    lines = [(f"slice {level + 1} of {segmented.label_map.shape[2]}", INK)]
    lines += [(segmented.classes[number], segmented.color(number)) for number in shown]
    rows, step = picture.shape[0], FONT_PIXELS + 5
    room = max((rows - 2 * MARGIN) // step, 2)
    if len(lines) > room:
        lines = [*lines[: room - 1], (f"and {len(lines) - room + 1} more", INK)]
    longest = max((f"slice {rows} of {rows}", *segmented.classes[1:]), key=font.getlength)
    strip = Image.new("RGB", (round(font.getlength(longest)) + 2 * MARGIN + FONT_PIXELS + 6, rows))
    pen = ImageDraw.Draw(strip)
    for line, (text, color) in enumerate(lines):
        top = MARGIN + line * step
        if color != INK:
            pen.rectangle((MARGIN, top + 2, MARGIN + FONT_PIXELS - 4, top + FONT_PIXELS - 2), fill=color)
        left = MARGIN + (0 if color == INK else FONT_PIXELS + 4)
        pen.text((left, top), text, fill=INK, font=font)
    return np.concatenate([picture, np.asarray(strip)], axis=1)


def _capture(picture: np.ndarray, number: int, level: int, segmented: Segmented) -> Any:
    highdicom = require_highdicom()
    from pydicom.uid import JPEGBaseline8Bit, generate_uid

    series, algorithm = segmented.series, segmented.algorithm
    frame, factor = series.frames[level], enlargement(segmented)
    columns_mm, rows_mm = frame.spacing_mm or (1.0, 1.0)
    seeds = [series.name, *algorithm.weights, *segmented.classes, sha256(segmented.label_map.tobytes()).hexdigest()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = highdicom.sc.SCImage(
            pixel_array=picture,
            photometric_interpretation="YBR_FULL_422",
            bits_allocated=8,
            coordinate_system="PATIENT",
            patient_orientation=(_letter(frame.row), _letter(frame.column)),
            pixel_spacing=(rows_mm / factor, columns_mm / factor),
            study_instance_uid=series.study_uid,
            series_instance_uid=generate_uid(entropy_srcs=["captures", *seeds]),
            series_number=derived_number(series) + NUMBER_OFFSET,
            sop_instance_uid=generate_uid(entropy_srcs=["capture", *seeds, str(number), str(level)]),
            instance_number=number,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=algorithm.name[:LONGEST],
            software_versions=algorithm.version[:LONGEST],
            series_description=f"{series.description} overlay".strip()[:LONGEST],
            transfer_syntax_uid=JPEGBaseline8Bit,
        )
    file.Laterality = ""  # of what may be paired; a slice shows both sides
    file.BurnedInAnnotation = "NO"  # names of classes, not of patients
    file.LossyImageCompression, file.LossyImageCompressionMethod = "01", "ISO_10918_1"
    file.LossyImageCompressionRatio = f"{picture.nbytes / len(file.PixelData):.4g}"
    file.SourceImageSequence = [image_reference(frame, series)]
    return file


def _letter(direction: tuple[float, float, float] | None) -> str:
    """The letter of the patient's side that a direction leads to most: L, R, P, A, H (head) or F (feet)."""
    assert direction is not None  # a volume's frames have directions
    axis = int(np.abs(direction).argmax())
    return LETTERS[axis][int(direction[axis] < 0)]
