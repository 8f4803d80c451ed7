"""Draw the picture of the how-to about DICOM: a secondary capture and the report of a simulated scan.

    python docs/images/dicom_objects.py

An LGE of the phantom and its reference, as if a run had predicted it; written as objects, read back, drawn as viewers
show them. Needs the extra `dicom`, and pdftoppm (Debian's poppler-utils) to draw the report.
"""

import io
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image
from pydicom import dcmread

from unpaired.data.image import TO_RAS
from unpaired.data.images import read_image, read_label_map
from unpaired.dicom.encapsulated_pdf import write_report
from unpaired.dicom.index import Frame, Series
from unpaired.dicom.overlays import Segmented
from unpaired.dicom.secondary_capture import write_captures
from unpaired.dicom.segmentation import Algorithm
from unpaired.phantom.write import write_phantom

OUT = Path(__file__).with_suffix(".webp")
HEIGHT, GAP = 760, 14
PAPER = "#d8dee4"


def simulated(folder: Path) -> Segmented:
    """A scan of the phantom as a series of DICOM, and its reference in class numbers."""
    dataset = write_phantom(folder / "phantom", modalities="lge", patients={"train": 1}, seed=3)
    (case,) = dataset.cases
    assert case.label is not None
    image, values = read_image(case.image), read_label_map(case.label).array
    label_map = np.zeros(values.shape, np.uint8)
    for number, value in enumerate(dataset.source_values("lge")):
        label_map[values == value] = number
    affine = TO_RAS @ image.affine
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    row, column = (tuple(affine[:3, axis] / spacing[axis]) for axis in (0, 1))
    frames = tuple(
        Frame(
            header_file(folder),
            0,
            f"1.2.3.{level + 1}",
            "1.2.840.10008.5.1.4.1.1.4",
            image.array.shape[:2],
            tuple(affine[:3, 3] + level * affine[:3, 2]),
            row,
            column,
            (spacing[0], spacing[1]),
        )
        for level in range(image.array.shape[2])
    )
    series = Series(
        "1.2.3", "1.2", "1.4", "", "MR", frames, "LGE short axis", number=5, spacing_mm=tuple(map(float, spacing))
    )
    return Segmented(series, image.array, label_map, dataset.classes, Algorithm("unpaired", "0.1", ("0" * 64,)))


def header_file(folder: Path) -> Path:
    """A DICOM file that says nothing of a patient."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    path = folder / "slice.dcm"
    file = Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.SOPClassUID = file.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    file.SOPInstanceUID = file.file_meta.MediaStorageSOPInstanceUID = "1.2.3.1"
    file.save_as(path, enforce_file_format=True)
    return path


def main() -> None:
    """A capture on the left, the report on the right, of one height."""
    with TemporaryDirectory() as place:
        folder = Path(place)
        segmented = simulated(folder)
        captures = write_captures(folder / "sc", segmented)
        capture = Image.fromarray(dcmread(captures[len(captures) // 2]).pixel_array)
        write_report(folder / "pdf", segmented)
        pdf = dcmread(folder / "pdf").EncapsulatedDocument
        drawn = subprocess.run(["pdftoppm", "-r", "110", "-png"], input=pdf, capture_output=True, check=True).stdout
        report = Image.open(io.BytesIO(drawn)).convert("RGB")
    report = report.crop((0, 0, report.width, round(report.height * 0.8)))
    parts = [part.resize((round(part.width * HEIGHT / part.height), HEIGHT)) for part in (capture, report)]
    picture = Image.new("RGB", (sum(part.width for part in parts) + GAP, HEIGHT), PAPER)
    picture.paste(parts[0], (0, 0))
    picture.paste(parts[1], (parts[0].width + GAP, 0))
    picture.save(OUT, quality=85, method=6)
    print(f"{OUT}: {OUT.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
