"""One DICOM file: its pixels against GDCM's, its lengths against its header, and what hostile ones do."""

import io
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
)

from itk_locale import locale_kept
from unpaired.data.formats import decoder
from unpaired.data.formats.dicom_file import read_elements
from unpaired.data.formats.dicom_pixels import require_gray, rescale_of, stored_frames
from unpaired.data.formats.payload import scaled
from unpaired.errors import InputError

PIXELS = np.random.default_rng(0).integers(-1000, 1000, (6, 7)).astype("<i2")
LARGER = np.random.default_rng(0).integers(-1000, 1000, (20, 24)).astype("<i2")
"""So many bytes that GDCM decodes their RLE."""
SYNTAXES = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]


def dataset(array: np.ndarray = PIXELS, syntax: str = ExplicitVRLittleEndian, **elements: object) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    order = "little" if syntax.is_little_endian else "big"
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    file = FileDataset(
        "a.dcm", {}, bytes(128), meta, is_implicit_VR=syntax.is_implicit_VR, is_little_endian=syntax.is_little_endian
    )
    bits = array.dtype.itemsize * 8
    given = {
        "SOPClassUID": meta.MediaStorageSOPClassUID,
        "SOPInstanceUID": "1.2.3.4",
        "Modality": "CT",
        "Rows": array.shape[0],
        "Columns": array.shape[1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(array.dtype.kind == "i"),
        "ImagePositionPatient": [0, 0, 0],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "PixelSpacing": [1, 1],
        "PixelData": array.astype(array.dtype.newbyteorder(order)).tobytes() + bytes(array.nbytes % 2),
    }
    for name, value in (given | elements).items():
        if value is not None:
            setattr(file, name, value)
    file["PixelData"].VR = "OB" if bits == 8 else "OW"
    return file


def saved(path: Path, file: FileDataset) -> Path:
    file.save_as(path, enforce_file_format=True)
    return path


def gdcm(path: Path) -> np.ndarray:
    with locale_kept():
        return sitk.GetArrayFromImage(sitk.ReadImage(str(path), imageIO="GDCMImageIO"))[0].T


def read(path: Path) -> np.ndarray:
    """The pixels of a file's only frame, after slope and intercept, as those of a volume are read."""
    file = read_elements(path)
    require_gray(file)
    ((_, stored),) = stored_frames(file, [0])
    return scaled(stored, *rescale_of(file, 0), path)


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.name)
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16"])
@pytest.mark.parametrize("slope", [None, (2.0, -100.0), (0.5, 3.0)])
def test_uncompressed_pixels_are_gdcms(tmp_path: Path, syntax: str, dtype: str, slope: tuple | None) -> None:
    array = np.abs(PIXELS).astype(dtype) if dtype.startswith("u") else PIXELS
    scale = {} if slope is None else {"RescaleSlope": slope[0], "RescaleIntercept": slope[1]}
    path = saved(tmp_path / "a.dcm", dataset(array, syntax, **scale))
    np.testing.assert_array_equal(read(path), gdcm(path))
    np.testing.assert_array_equal(read(path).T, array * (slope or (1, 0))[0] + (slope or (1, 0))[1])


@pytest.mark.parametrize("signed", [0, 1])
def test_bits_above_the_high_bit_are_no_pixels(tmp_path: Path, signed: int) -> None:
    """Overlays of old files lie there."""
    stored = np.random.default_rng(1).integers(0, 2**16, (6, 7)).astype("<u2")
    path = saved(tmp_path / "a.dcm", dataset(stored, BitsStored=12, HighBit=11, PixelRepresentation=signed))
    low = (stored & 0xFFF).astype(int)
    expected = np.where(low >= 2048, low - 4096, low) if signed else low
    np.testing.assert_array_equal(read(path).T, expected)
    np.testing.assert_array_equal(read(path), gdcm(path))


def test_an_odd_number_of_bytes_is_padded(tmp_path: Path) -> None:
    array = np.arange(35, dtype=np.uint8).reshape(5, 7)
    np.testing.assert_array_equal(read(saved(tmp_path / "a.dcm", dataset(array))).T, array)


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        ({"Rows": 5}, "too long: the header promises 70 bytes of voxels, the file has 84"),
        ({"Rows": 7}, "truncated: the header promises 98 bytes of voxels, the file has 84"),
        ({"Columns": 70}, "truncated"),
        ({"Rows": 0}, "got no pixels"),
        ({"Rows": None}, "no Rows"),
        ({"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}, "too long"),
        ({"BitsAllocated": 12}, "aren't read"),
        ({"BitsStored": 17}, "aren't read"),
        ({"HighBit": 16}, "aren't read"),
        ({"BitsStored": 12, "HighBit": 5}, "aren't read"),
        ({"PixelData": b""}, "no pixels"),
        ({"PixelData": PIXELS.tobytes() * 2}, "too long"),
        ({"NumberOfFrames": 2}, "truncated: the header promises 168 bytes of voxels, the file has 84"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "expected one number per pixel"),
        ({"RescaleSlope": 0}, "Rescale Slope of 0"),
        ({"ModalityLUTSequence": [Dataset()]}, "Modality LUT"),
    ],
)
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian], ids=["plain", "deflated"])
def test_what_is_refused(tmp_path: Path, elements: dict, words: str, syntax: str) -> None:
    path = saved(tmp_path / "a.dcm", dataset(syntax=syntax, **elements))
    with pytest.raises(InputError, match=r"a\.dcm") as caught:
        read(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_cut_at_any_byte_is_noticed(tmp_path: Path) -> None:
    content = saved(tmp_path / "a.dcm", dataset()).read_bytes()
    for length in [*range(0, len(content), 17), *range(len(content) - 100, len(content))]:
        (tmp_path / "a.dcm").write_bytes(content[:length])
        with pytest.raises(InputError, match=r"a\.dcm"):
            read(tmp_path / "a.dcm")


def test_nesting_without_end(tmp_path: Path) -> None:
    """A hundred thousand sequences in each other: GDCM's process dies of it."""
    content = saved(tmp_path / "a.dcm", dataset()).read_bytes()
    place = content.index(b"\x28\x00\x02\x00US")  # before the pixels' elements
    item = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    (tmp_path / "a.dcm").write_bytes(content[:place] + item * 100_000 + content[place:])
    with pytest.raises(InputError, match="unreadable or truncated DICOM"):
        read(tmp_path / "a.dcm")


def test_lengths_of_gigabytes_take_no_memory(tmp_path: Path) -> None:
    """The last element says 4 GB; its 84 bytes are all that is asked for, and the right number."""
    content = saved(tmp_path / "a.dcm", dataset()).read_bytes()
    place = content.index(b"\xe0\x7f\x10\x00OW\0\0") + 8
    (tmp_path / "a.dcm").write_bytes(content[:place] + b"\xf0\xff\xff\xff" + content[place + 4 :])
    tracemalloc.start()
    np.testing.assert_array_equal(read(tmp_path / "a.dcm").T, PIXELS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


def test_a_deflated_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unpaired.data.formats.dicom_file.LARGEST_INFLATED", 10_000)
    path = saved(tmp_path / "a.dcm", dataset(syntax=DeflatedExplicitVRLittleEndian))
    np.testing.assert_array_equal(read(path).T, PIXELS)
    content = path.read_bytes()
    start = 144 + int(pydicom.dcmread(io.BytesIO(content)).file_meta.FileMetaInformationGroupLength)
    packer = zlib.compressobj(wbits=-15)
    bomb = packer.compress(zlib.decompress(content[start:], -15) + bytes(20_000)) + packer.flush()
    path.write_bytes(content[:start] + bomb)
    with pytest.raises(InputError, match="hold more than 10000 bytes"):
        read(path)


# ---- the process that decodes what is compressed


@pytest.fixture(scope="module")
def compressed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = dataset(LARGER)
    file.compress(RLELossless)
    return saved(tmp_path_factory.mktemp("rle") / "a.dcm", file)


@pytest.mark.parametrize("shape", [(5, 5), (7, 9), (15, 15)])
@pytest.mark.parametrize("dtype", ["<u1", "<i2"])
def test_run_lengths_of_a_few_bytes_are_read_too(tmp_path: Path, shape: tuple[int, int], dtype: str) -> None:
    array = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    file = dataset(array)
    file.compress(RLELossless, encoding_plugin="pydicom")
    np.testing.assert_array_equal(read(saved(tmp_path / "a.dcm", file)).T, array)


def test_compressed_pixels_are_gdcms(compressed: Path, tmp_path: Path) -> None:
    np.testing.assert_array_equal(read(compressed).T, LARGER)
    file = pydicom.dcmread(compressed)
    file.RescaleSlope, file.RescaleIntercept = 2, -5
    path = saved(tmp_path / "a.dcm", file)
    np.testing.assert_array_equal(read(path).T, LARGER * 2 - 5)
    np.testing.assert_array_equal(read(path), gdcm(path))


def test_a_size_that_the_compressed_pixels_do_not_have(compressed: Path, tmp_path: Path) -> None:
    file = pydicom.dcmread(compressed)
    file.Rows = 3
    with pytest.raises(InputError, match=r"a\.dcm: pixels can't be decoded"):
        read(saved(tmp_path / "a.dcm", file))


@pytest.mark.parametrize(
    "behavior", ["os.kill(os.getpid(), 9)", "os.abort()", "sys.exit()", "print('{')", "print()", "time.sleep(99)"]
)
def test_a_decoder_that_dies_or_hangs_costs_its_file(
    compressed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behavior: str
) -> None:
    """It is replaced for the next file."""
    process = decoder.decoder_process.__file__
    (tmp_path / "bad.py").write_text(f"import os, sys, time\nsys.stdin.readline()\n{behavior}\n")
    monkeypatch.setattr(decoder, "SECONDS", 0.1 if "sleep" in behavior else 60.0)
    monkeypatch.setattr(decoder.decoder_process, "__file__", str(tmp_path / "bad.py"))
    worker = decoder.Decoder()
    with pytest.raises(InputError, match=r"a\.dcm: its pixels killed the decoder, or kept it busy"):
        worker.decode(compressed.read_bytes(), (24, 20), compressed)
    monkeypatch.setattr(decoder, "SECONDS", 60.0)
    monkeypatch.setattr(decoder.decoder_process, "__file__", process)
    np.testing.assert_array_equal(worker.decode(compressed.read_bytes(), (24, 20), compressed).T, LARGER)
    worker.close()


def test_one_process_decodes_all_files_and_ends_with_us(compressed: Path) -> None:
    worker = decoder.Decoder()
    for _ in range(2):
        worker.decode(compressed.read_bytes(), (24, 20), compressed)
    process = worker._process
    assert process is not None
    assert process.poll() is None
    worker.decode(compressed.read_bytes(), (24, 20), compressed)
    assert worker._process is process
    worker.close()
    assert process.poll() is not None


def test_damaged_jpeg(tmp_path: Path) -> None:
    file = dataset(np.abs(PIXELS).astype(np.uint8), JPEGBaseline8Bit)
    file.PixelData = encapsulate([b"\xff\xd8\xff\xc0" + bytes(200)])
    file["PixelData"].is_undefined_length = True
    with pytest.raises(InputError, match=r"a\.dcm"):
        read(saved(tmp_path / "a.dcm", file))
