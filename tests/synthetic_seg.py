"""DICOM SEG objects written by highdicom for tests, and read by a plain loop over their frames."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread
from pydicom.sr.coding import Code
from pydicom.uid import UID, ExplicitVRLittleEndian

CODES = {
    "liver": Code("10200004", "SCT", "Liver"),
    "spleen": Code("78961009", "SCT", "Spleen"),
    "kidney": Code("64033007", "SCT", "Kidney"),
    "widget": Code("W-1", "99MINE", "Widget"),
}


def write_seg(
    path: Path,
    files: Sequence[Path],
    masks: np.ndarray,
    names: Sequence[str] = ("liver", "spleen"),
    kind: str = "BINARY",
    syntax: UID = ExplicitVRLittleEndian,
    **options: Any,
) -> Path:
    """A SEG object of masks or fractions (slice, row, column, segment), or of a label map (slice, row, column)."""
    import highdicom as hd

    algorithm = hd.AlgorithmIdentificationSequence("test", Code("123110", "DCM", "Artificial Intelligence"), "1")
    descriptions = [
        hd.seg.SegmentDescription(
            number, f"my {name}", Code("91723000", "SCT", "Anatomical Structure"), CODES[name], "AUTOMATIC", algorithm
        )
        for number, name in enumerate(names, start=1)
    ]
    segmentation = hd.seg.Segmentation(
        [dcmread(file) for file in files],
        masks,
        kind,
        descriptions,
        series_instance_uid=hd.UID(),
        series_number=100,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="ACME",
        manufacturer_model_name="X",
        software_versions="1",
        device_serial_number="1",
        transfer_syntax_uid=syntax,
        **options,
    )
    segmentation.save_as(path)
    return path


def by_a_plain_loop(path: Path) -> dict[tuple[int, ...], tuple[int, int]]:
    """{(patient position of a voxel in hundredths of mm): (segment, frame)} of every voxel that is set."""
    file = dcmread(path)
    bits = file.pixel_array.reshape(int(file.NumberOfFrames), file.Rows, file.Columns)
    shared = file.SharedFunctionalGroupsSequence[0]
    spacing = [float(value) for value in shared.PixelMeasuresSequence[0].PixelSpacing]
    directions = [float(value) for value in shared.PlaneOrientationSequence[0].ImageOrientationPatient]
    voxels: dict[tuple[int, ...], tuple[int, int]] = {}
    for number, group in enumerate(file.PerFrameFunctionalGroupsSequence):
        origin = np.array([float(value) for value in group.PlanePositionSequence[0].ImagePositionPatient])
        segmented = "SegmentIdentificationSequence" in group
        segment = int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber) if segmented else 0
        for row, column in np.argwhere(bits[number]):
            along = np.array(directions[:3]) * column * spacing[1] + np.array(directions[3:]) * row * spacing[0]
            place = tuple(np.round((origin + along) * 100).astype(int).tolist())
            assert place not in voxels
            voxels[place] = (segment or int(bits[number, row, column]), number)
    return voxels


def placed(label_map: np.ndarray, affine: np.ndarray) -> dict[tuple[int, ...], int]:
    """{(patient position of a voxel in hundredths of mm): label} of every voxel of a label map that isn't 0."""
    return {
        tuple(np.round((affine @ [*place, 1])[:3] * 100).astype(int).tolist()): int(label_map[tuple(place)])
        for place in np.argwhere(label_map)
    }
