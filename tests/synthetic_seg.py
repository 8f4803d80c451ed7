"""DICOM SEG objects written by highdicom for tests, and changed by hand where highdicom writes none such."""

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
