"""Hostile image files from a seed, and what the readers may do with them: refuse in one line, or read what is there.

    python tests/reader_fuzz.py 2000 --seed 0

prints how many of each format were refused, read as before, or read as a changed header says. It stops at the first
that was read wrongly or ended in a traceback, and leaves that file behind. A crash of the process shows by itself.
"""

import argparse
import gzip
import io
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unpaired.data.image import Image, require_finite, require_placed
from unpaired.data.images import read_image
from unpaired.dicom.one_series import dicom_files, read_series
from unpaired.errors import InputError

SHAPE = (9, 8, 5)
VOXELS = np.random.default_rng(0).integers(-50, 200, SHAPE).astype(np.int16)
NUMBERS = [
    b"-1",
    b"0",
    b"nan",
    b"inf",
    b"-inf",
    b"1e300",
    b"1e-300",
    b"12.5",
    b"",
    b"4294967296",
    b"9" * 30,
    b"x",
    b"3",
]
WORDS = [
    b"\0" * 4,
    b"\xff" * 4,
    b"\xff\xff\xff\x7f",
    b"\0\0\x80\x7f",
    b"\0\0\xc0\x7f",
    b"\xca\xf2\x49\x71",
    b"\x01\0\0\0",
]
"""Bytes of extremes: integers, infinity, NaN, 1e30."""


@dataclass(frozen=True)
class Sample:
    """A sound file. Bytes from `guarded` on are compressed, so that a checksum stands for them; -1: there are none."""

    name: str
    content: bytes
    guarded: int
    read: Callable[[Path], Image]


def samples() -> list[Sample]:
    """One of each format, uncompressed and compressed."""
    import nibabel as nib
    import SimpleITK as sitk  # noqa: N813

    affine = np.array([[-1.3, 0, 0, 20], [0, -1.3, 0, 30], [0, 0, 5, -40], [0, 0, 0, 1.0]])
    nifti = nib.Nifti1Image(VOXELS, affine)
    nifti.set_qform(affine, 1)
    image = sitk.GetImageFromArray(VOXELS.T)
    image.SetSpacing((1.3, 1.3, 5))
    found = [Sample("a.nii", nifti.to_bytes(), -1, read_image)]
    packed = gzip.compress(nifti.to_bytes(), mtime=0)
    found.append(Sample("a.nii.gz", packed, 10, read_image))
    with tempfile.TemporaryDirectory() as folder:
        for name, compressed in (("a.nrrd", False), ("b.nrrd", True), ("a.mha", False), ("b.mha", True)):
            sitk.WriteImage(image, f"{folder}/{name}", compressed)
            content = Path(folder, name).read_bytes()
            end = content.index(b"\n\n") + 12 if name.endswith("nrrd") else content.index(b"LOCAL\n") + 8
            found.append(Sample(name, content, end if compressed else -1, read_image))
    found.append(Sample("a.png", _png(), 8, read_image))
    return [
        *found,
        Sample("a.dcm", _dicom(None), -1, _series),
        Sample("rle.dcm", _dicom("1.2.840.10008.1.2.5"), -1, _series),
    ]


def _png() -> bytes:
    from PIL import Image as Picture

    stream = io.BytesIO()
    Picture.fromarray(VOXELS[..., 0].astype(np.uint16)).save(stream, "png")
    return stream.getvalue()


def _dicom(syntax: str | None) -> bytes:
    return dicom_slice(VOXELS[..., 0], np.diag([1.3, 1.3, 5]), np.zeros(3), syntax)


def dicom_slice(pixels: np.ndarray, axes: np.ndarray, position: np.ndarray, syntax: str | None = None) -> bytes:
    """One slice: `pixels` (columns, rows) int16, `axes` (steps between voxels, as columns) and `position` in LPS mm."""
    from pydicom.dataset import FileDataset, FileMetaDataset

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    file = FileDataset("a.dcm", {}, file_meta=meta, preamble=bytes(128))
    file.SOPClassUID, file.SOPInstanceUID, file.Modality = meta.MediaStorageSOPClassUID, "1.2.3.4", "CT"
    file.Columns, file.Rows = pixels.shape
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
    file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 16, 16, 15, 1
    steps = np.linalg.norm(axes, axis=0)
    file.ImagePositionPatient = [f"{value:.9g}" for value in position]
    file.ImageOrientationPatient = [f"{value:.9g}" for value in (axes[:, :2] / steps[:2]).T.ravel()]
    file.PixelSpacing = [f"{steps[1]:.9g}", f"{steps[0]:.9g}"]
    file.RescaleSlope, file.RescaleIntercept = 1, 0
    file.PixelData = pixels.tobytes("F")
    file["PixelData"].VR = "OW"
    if syntax is not None:
        file.compress(syntax)
    stream = io.BytesIO()
    file.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _series(path: Path) -> Image:
    """The hostile slice with two sound ones above it."""
    folder = path.parent / f"{path.name}_series"
    folder.mkdir(exist_ok=True)
    (folder / "0.dcm").write_bytes(path.read_bytes())
    for number in (1, 2):
        slice_file = folder / f"{number}.dcm"
        if not slice_file.exists():
            import pydicom

            file = pydicom.dcmread(io.BytesIO(_dicom(None)))
            file.ImagePositionPatient = [0, 0, 5 * number]
            file.save_as(slice_file)
    return read_series(dicom_files(folder)).image


def mutated(sample: Sample, rng: np.random.Generator) -> tuple[bytes, bool]:
    """A damaged or hostile copy, and whether nothing was touched but what a checksum stands for."""
    content = bytearray(sample.content)
    end = len(content) if sample.guarded < 0 else sample.guarded
    kind = rng.choice(["bits", "guarded", "cut", "word", "number", "line", "splice", "more"])
    if kind == "guarded" and sample.guarded >= 0:
        for _ in range(rng.integers(1, 4)):
            content[rng.integers(sample.guarded, len(content))] ^= 1 << rng.integers(8)
        return bytes(content), True
    if kind == "cut":
        return bytes(content[: rng.integers(len(content))]), sample.guarded >= 0
    if kind == "more":
        return bytes(content) + rng.bytes(int(rng.integers(1, 40))), sample.guarded >= 0
    place = int(rng.integers(min(end, 400)))
    if kind == "word":
        content[place // 4 * 4 : place // 4 * 4 + 4] = WORDS[rng.integers(len(WORDS))]
    elif kind == "number":
        numbers = list(re.finditer(rb"[-+]?\d+(?:\.\d+)?", bytes(content[:end])))
        if numbers:
            number = numbers[rng.integers(len(numbers))]
            content[number.start() : number.end()] = NUMBERS[rng.integers(len(NUMBERS))]
    elif kind == "line":
        lines = bytes(content[:end]).split(b"\n")
        line = int(rng.integers(len(lines)))
        lines[line : line + 1] = [lines[line]] * int(rng.choice([0, 2]))
        content[:end] = b"\n".join(lines)
    elif kind == "splice":
        other, length = int(rng.integers(len(content))), int(rng.integers(1, 60))
        content[place : place + length * int(rng.integers(2))] = content[other : other + length]
    else:
        for _ in range(rng.integers(1, 6)):
            content[rng.integers(min(end, len(content)))] ^= 1 << rng.integers(8)
    return bytes(content), False


def outcome(sample: Sample, content: bytes, guarded: bool, folder: Path) -> str:
    """What a reader did: "refused", "same" or "changed".

    Raises AssertionError if it read what it must not, or said more than a line. Any other error is the reader's fault.
    """
    path = folder / sample.name
    path.write_bytes(sample.content)
    truth = sample.read(path)
    path.write_bytes(content)
    try:
        image = sample.read(path)
    except InputError as error:
        message = str(error)
    else:
        message = None
    if message is not None:
        assert "\n" not in message
        assert len(message) < 1000
        return "refused"
    same = np.array_equal(image.array, truth.array) and np.array_equal(image.affine, truth.affine)
    assert same or not guarded, f"{sample.name}: damage that a checksum shows was read"
    require_placed(image, path)
    require_finite(image.array, path)
    assert image.array.nbytes <= 2 * len(sample.content) * (1032 if sample.guarded >= 0 else 4)
    return "same" if same else "changed"


def main() -> int:
    """Run as many as asked for, spread over the formats; the exit code is 1 if one went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    every = samples()
    counts = {sample.name: Counter() for sample in every}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(arguments.count):
            sample = every[number % len(every)]
            content, guarded = mutated(sample, np.random.default_rng((arguments.seed, number)))
            try:
                counts[sample.name][outcome(sample, content, guarded, Path(folder))] += 1
            except Exception as error:  # named with the number that makes it again, and raised
                Path(f"hostile_{number}_{sample.name}").write_bytes(content)
                raise AssertionError(f"number {number}, {sample.name}: {type(error).__name__}: {error}") from error
    for name, count in counts.items():
        print(f"{name:10} {count['refused']:6} refused {count['same']:6} same {count['changed']:6} changed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
