"""Hostile DICOM trees from a seed, and what may come of them: one line for what is broken, the other series as ever.

    python tests/tree_fuzz.py 500 --seed 0

prints how often a damaged series was read, was no volume, was left out, or was refused when its voxels were read or
written beside. It stops at the first that cost more than itself, or that nobody foresaw, and names its number.
"""

import argparse
import io
import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag
from pydicom.uid import RLELossless

from synthetic_dicom import lps, volume, write_enhanced, write_series
from unpaired.dicom.choice import choose
from unpaired.dicom.index import Series
from unpaired.dicom.listing import index_to_json, series_table
from unpaired.dicom.segmentation import Algorithm, write_segmentation
from unpaired.dicom.structure_set_writer import write_structure_set
from unpaired.dicom.tree import list_dicom
from unpaired.dicom.volume import read_volume
from unpaired.failures import attempt

SHAPE = (16, 12, 4)
"""GDCM decodes no RLE of a few pixels."""
SOUND = volume(SHAPE, seed=5)
"""The series that nobody touches."""
HOSTILE: list[bytes] = [
    b"",
    b" ",
    b"x" * 300,
    b"-1",
    b"0\\0",
    b"1e999\\1",
    b"nan\\nan",
    b"9" * 40,
    b"1\\2\\3\\4\\5\\6\\7",
    b"\xff\xfe\x00\x01",
    b"\x1b$B\x1b(J",
    b"\xe4\n\r\t\\\x1b[31m",
    b"1.2.3",
    b"\0" * 7,
]
CHARACTER_SETS = [
    "ISO_IR 192", "ISO_IR 100", "ISO_IR 13", "GB18030", "GBK", "ISO 2022 IR 87", "ISO 2022 IR 149", "\\ISO 2022 IR 87",
    "ISO 2022 IR 6\\ISO 2022 IR 58", "ISO_IR 999", "latin-9", "\\\\", "UTF-8",
    "ISO_IR 192\\ISO 2022 IR 87", "idna", "zip",
]  # fmt: skip
DEEP = bytes.fromhex("feff00e0ffffffff08004011ffffffff")
"""An item that holds a sequence (Referenced Image), both of undefined length, and so on."""


def write_tree(folder: Path) -> list[Path]:
    """A sound CT; a CT, a compressed CT and an enhanced MR, which are the files to damage."""
    write_series(folder / "sound", SOUND, lps(), series="9", StudyInstanceUID="1.2.3.9", PatientID="sound")
    files = write_series(folder / "ct", volume(SHAPE), lps(), series="1")
    packed = write_series(folder / "rle", volume(SHAPE, seed=1), lps(), series="2")
    for path in packed:
        file = dcmread(path)
        file.compress(RLELossless, generate_instance_uid=False)
        file.save_as(path)
    return [*files, *packed, write_enhanced(folder / "mr.dcm", volume(SHAPE, seed=2), lps(), "3")]


def bits(content: bytes, rng: np.random.Generator) -> bytes:
    """A few bits turned over, mostly before the pixels."""
    changed = bytearray(content)
    end = len(changed) if rng.integers(4) == 0 else min(len(changed), 1200)
    for place in rng.integers(end, size=rng.integers(1, 6)):
        changed[place] ^= 1 << rng.integers(8)
    return bytes(changed)


def cut(content: bytes, rng: np.random.Generator) -> bytes:
    """The file breaks off."""
    return content[: rng.integers(len(content))]


def length(content: bytes, rng: np.random.Generator) -> bytes:
    """Two or four bytes become a length that is too long, too short or undefined."""
    place = int(rng.integers(132, len(content) - 4))
    words = [b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\0", b"\xfe\xff", b"\x01\0", b"\xff\xff"]
    word = words[rng.integers(len(words))]
    return content[:place] + word + content[place + len(word) :]


def deep(content: bytes, rng: np.random.Generator) -> bytes:
    """Sequences in sequences, behind the file's own group."""
    start = 144 + int.from_bytes(content[140:144], "little")
    nested = bytes.fromhex("08004011") + b"SQ\0\0\xff\xff\xff\xff" if rng.integers(2) else DEEP[8:]
    return content[:start] + nested + DEEP * int(rng.choice([3, 200, 5000, 60000])) + content[start:]


def without(content: bytes, rng: np.random.Generator) -> bytes:
    """An attribute is missing, at the top or inside."""

    def change(holder: Dataset, element: DataElement) -> None:
        del holder[element.tag]

    return _edited(content, rng, change)


def hostile(content: bytes, rng: np.random.Generator) -> bytes:
    """An attribute holds what it must not."""

    def change(holder: Dataset, element: DataElement) -> None:
        if element.keyword != "PixelData":  # bits, cut and length do that
            _set(holder, element.tag, element.VR, HOSTILE[rng.integers(len(HOSTILE))])

    return _edited(content, rng, change)


def characters(content: bytes, rng: np.random.Generator) -> bytes:
    """Texts of any character set, right or wrong."""
    file = _opened(content)
    words = CHARACTER_SETS[rng.integers(len(CHARACTER_SETS))].encode()
    words += b" " * (len(words) % 2)
    for tag in (0x0008103E, 0x00181030, 0x00100010, 0x00100020):
        _set(file, tag, "LO", rng.bytes(2 * int(rng.integers(1, 20))))
    changed = _saved(file)
    start = 144 + int.from_bytes(changed[140:144], "little")
    named = bytes.fromhex("08000500") + b"CS" + len(words).to_bytes(2, "little") + words  # pydicom would encode anew
    return changed[:start] + named + changed[start:]


def patient(content: bytes, rng: np.random.Generator) -> bytes:
    """One file is of somebody else, or of another study, frame of reference or modality."""
    file = _opened(content)
    changes = {"PatientID": "else", "StudyInstanceUID": "1.2.3", "FrameOfReferenceUID": "1.2.4", "Modality": "XX"}
    name = list(changes)[rng.integers(len(changes))]
    setattr(file, name, changes[name])
    return _saved(file)


def syntax(content: bytes, rng: np.random.Generator) -> bytes:
    """The file names a transfer syntax that it isn't in."""
    file = _opened(content)
    own = file.file_meta.TransferSyntaxUID.encode()
    ends = [
        b"1.2.840.10008.1.2",
        b"1.2.840.10008.1.2.2",
        b"1.2.840.10008.1.2.1.99",
        b"1.2.840.10008.1.2.4.90",
        b"1.2.3",
    ]
    other = ends[rng.integers(len(ends))]
    place = content.index(own)
    return content[:place] + other[: len(own)].ljust(len(own), b"\0") + content[place + len(own) :]


DAMAGES: dict[str, Callable[[bytes, np.random.Generator], bytes]] = {
    damage.__name__: damage for damage in (bits, cut, length, deep, without, hostile, characters, patient, syntax)
}


def _set(holder: Dataset, tag: int, kind: str, content: bytes) -> None:
    """Bytes as they are, whatever pydicom thinks of them."""
    kind = kind if len(kind) == 2 else "OW"
    holder[tag] = RawDataElement(BaseTag(tag), kind, len(content), content, 0, False, True, True)


def _opened(content: bytes) -> Dataset:
    return dcmread(io.BytesIO(content))


def _saved(file: Dataset) -> bytes:
    stream = io.BytesIO()
    file.save_as(stream)
    return stream.getvalue()


def _edited(content: bytes, rng: np.random.Generator, change: Callable[[Dataset, DataElement], None]) -> bytes:
    """A file with one of its attributes, at any depth, changed."""
    file = _opened(content)
    places = [(holder, element) for holder in _holders(file) for element in holder]
    change(*places[rng.integers(len(places))])
    return _saved(file)


def _holders(file: Dataset) -> list[Dataset]:
    inner = [inside for element in file if element.VR == "SQ" for inside in element.value]
    return [file, *(holder for inside in inner for holder in _holders(inside))]


def outcome(folder: Path, write: bool) -> str:
    """What came of the damaged series: "volume", "no volume", "refused" or "left out".

    With `write`, segmentations of what was read are written, too. Raises AssertionError where the damage cost more than
    itself, and where an error was none that somebody foresaw.
    """
    index = list_dicom(folder)
    sound = [series for series in index.series if series.number == 9 and series.study_uid == "1.2.3.9"]
    assert len(sound) == 1
    assert np.array_equal(read_volume(sound[0]).array, SOUND)
    json.dumps(index_to_json(index)).encode()
    series_table(index)
    choose(index, ["ct", "mr"])
    said = [message for _, message in index.failures]
    said += [text for series in index.series for text in (series.problem or "", *series.notes)]
    outcomes = ["left out"] if index.failures else ["no volume" if series.problem else "" for series in index.series]
    for series in (series for series in index.volumes() if series is not sound[0]):
        image, problem = attempt(lambda series=series: read_volume(series))
        said.append(problem or "")
        outcomes.append("refused" if image is None else "volume")
        if image is not None and write:
            said += _written(series, image.array.shape, folder / "out")
    for text in said:
        assert "fault of unpaired" not in text, text
        assert text.isprintable(), text
        assert len(text) < 600, text
    return next(kind for kind in ("left out", "refused", "no volume", "volume") if kind in outcomes)


def _written(series: Series, shape: tuple[int, ...], out: Path) -> list[str]:
    """Why a segmentation and contours of the first slice couldn't be written, "" where they could."""
    label_map = np.zeros(shape, np.uint8)
    label_map[1:4, 1:4, 0] = 1
    _, seg = attempt(
        lambda: write_segmentation(out / "seg.dcm", label_map, series, ("background", "LV"), Algorithm("a", "1", ()))
    )
    _, contours = attempt(lambda: write_structure_set(out / "rt.dcm", label_map, series, {1: "LV"}, {}, label="a"))
    shutil.rmtree(out, ignore_errors=True)
    return [seg or "", contours or ""]


def damaged(folder: Path, files: list[Path], seed: tuple[int, int], kind: str) -> tuple[Path, bytes]:
    """Damage one file of a tree; which, and what it held before."""
    rng = np.random.default_rng(seed)
    path = files[rng.integers(len(files))]
    before = path.read_bytes()
    path.write_bytes(DAMAGES[kind](before, rng))
    return path, before


def main() -> int:
    """Run as many as asked for; the exit code is 1 if one went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in DAMAGES}
    wrong = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = write_tree(folder)
        for number in range(arguments.count):
            kind = list(DAMAGES)[number % len(DAMAGES)]
            path, before = damaged(folder, files, (arguments.seed, number), kind)
            try:
                counts[kind][outcome(folder, number % 3 == 0)] += 1
            except Exception as error:  # noqa: BLE001 (named with the number that makes it again)
                wrong += 1
                print(f"number {number}, {kind}, {path.name}: {type(error).__name__}: {error}", flush=True)
            path.write_bytes(before)
    for kind, count in counts.items():
        print(f"{kind:12}", ", ".join(f"{many} {what}" for what, many in count.most_common()))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
