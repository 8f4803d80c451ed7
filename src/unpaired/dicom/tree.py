"""Every DICOM file of a tree to an index: nested folders, any names, mixed with others; one bad file costs one line."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from unpaired.data.image import ImageError
from unpaired.data.parallel import for_each
from unpaired.dicom.header import ImageHeader, Slice, read_header
from unpaired.dicom.index import Frame, Index, Series, StoredObject
from unpaired.dicom.kept import kept_headers
from unpaired.dicom.split import is_localizer, split_series
from unpaired.dicom.stack import normal_of, stacked
from unpaired.errors import InputError
from unpaired.failures import attempt
from unpaired.files import files_below, resolved

CHUNK = 64
"""So many files are one piece of work for a process."""
LOOKED_AT = 1000
SUFFIXES = (".dcm", ".dicom", ".ima", ".dic")
GROUPS = (b"\x02\x00", b"\x08\x00")
"""How a file without the preamble of 128 bytes begins: with group 2 or 8, little-endian."""
LARGEST_FIRST = 64
"""The first element of a file without a preamble is short."""
COPIES_NOTE = "{} more with an SOP Instance UID that is there already (copies), left out"
TILT_NOTE = "tilted gantry ({:.1f} degrees): its slices are moved to a right-angled grid"


@dataclass(frozen=True)
class ReadFile:
    """What came of one file: its header, None for no DICOM, or why it can't be read."""

    path: Path
    header: ImageHeader | StoredObject | None = None
    failure: str | None = None


def list_dicom(
    tree: str | Path | Sequence[str | Path],
    workers: int = 0,
    index: str | Path | None = None,
    progress: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> Index:
    """The index of a folder with all folders in it, of one file, of a DICOMDIR, or of a list of those.

    DICOM is known by its content, whatever a file is called. Files are read in `workers` processes (0: in this one).
    What they say is kept in the file `index`, if one is named: another call takes from it what has the same path, size
    and time of change, so it goes on where an earlier one was stopped. `progress` gets (files done, files in all,
    name). Raises InputError if a path isn't there, and for an index that is damaged or can't be written.
    """
    places = [Path(tree)] if isinstance(tree, str | Path) else [Path(place) for place in tree]
    paths = list(dict.fromkeys(path for place in places for path in _files(place)))
    if index is None:
        read = list(_read_files(paths, workers, progress))
    else:
        read = _read_or_known(paths, places, Path(index), workers, progress)
    others = sum(file.header is None and file.failure is None for file in read)
    read.sort(key=lambda file: file.path)
    objects = tuple(file.header for file in read if isinstance(file.header, StoredObject))
    failures = tuple((file.path, file.failure) for file in read if file.failure is not None)
    images = [file.header for file in read if isinstance(file.header, ImageHeader)]
    return Index(places[0] if len(places) == 1 else Path(), tuple(series_of(images)), objects, failures, others)


def _read_or_known(
    paths: Sequence[Path],
    places: Sequence[Path],
    index: Path,
    workers: int,
    progress: Callable[[int, int, str], None],
) -> list[ReadFile]:
    """The files, those that didn't change out of an index file, which holds all of them afterwards."""
    own = (resolved(index), resolved(index.with_name(f"{index.name}-journal")))
    paths = [path for path in paths if path.name not in (own[0].name, own[1].name) or resolved(path) not in own]
    with kept_headers(index) as kept:
        known = kept.known(paths)
        read = [ReadFile(path, header) for path, header in known.items()]
        left = [path for path in paths if path not in known]
        for file in _read_files(left, workers, progress, len(known)):
            read.append(file)
            if file.failure is None:
                kept.keep(file.path, file.header)
        kept.forget(places)
    return read


def _read_files(
    paths: Sequence[Path], workers: int, progress: Callable[[int, int, str], None], before: int = 0
) -> Iterator[ReadFile]:
    """Each file, as it is read; `before` count as done already."""
    chunks = [paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK)]
    done = before
    for position, files, failure in for_each(_read_all, chunks, workers):
        if failure is not None:  # its process died: each file alone, so that one costs no other
            files = (
                [ReadFile(path, failure=failure) for path in chunks[position]]
                if len(chunks[position]) == 1
                else [alone for path in chunks[position] for alone in _alone(path, workers)]
            )
        yield from files
        done += len(files)
        progress(done, before + len(paths), chunks[position][-1].name)


def series_of(headers: Sequence[ImageHeader]) -> Iterator[Series]:
    """The series of many files, each in its parts, sorted by study, number and UID.

    Files of one series UID that are of several studies, patients, frames of reference or modalities are parts too.
    """
    groups: dict[tuple[str, ...], list[ImageHeader]] = {}
    for header in headers:
        groups.setdefault((header.series.uid, *_owner(header.series)), []).append(header)
    of_uid: dict[str, list[Series]] = {}
    for group in sorted(groups.values(), key=lambda group: (group[0].series.study_uid, group[0].series.number)):
        of_uid.setdefault(group[0].series.uid, []).extend(_parts(group))
    for parts in of_uid.values():
        yield from _numbered(parts)


OWNERS = ("study", "patient", "frame of reference", "modality")
"""What the files of one series should have in common."""


def _owner(series: Series) -> tuple[str, ...]:
    """The values of `OWNERS`."""
    return series.study_uid, series.patient, series.frame_of_reference_uid, series.modality


def _numbered(parts: Sequence[Series]) -> Iterator[Series]:
    """The parts of one series UID, each with a number of its own and with what sets it apart."""
    owners = [list(dict.fromkeys(values)) for values in zip(*map(_owner, parts), strict=True)]
    for number, part in enumerate(parts, start=1):
        named = zip(OWNERS, owners, _owner(part), strict=True)
        words = [f"{what} {of.index(value) + 1} of {len(of)}" for what, of, value in named if len(of) > 1]
        split_by = ", ".join(filter(None, [*words, part.split_by]))
        yield replace(part, part=number, parts=len(parts), split_by=split_by)


def _parts(headers: Sequence[ImageHeader]) -> Iterator[Series]:
    """The parts of the files of one series UID."""
    series = headers[0].series
    slices, copies = _distinct([slice_ for header in headers for slice_ in header.slices])
    problem = next((header.problem for header in headers if header.problem is not None), None)
    parts = [("", slices)] if problem is not None else split_series(slices)
    for number, (words, part) in enumerate(parts, start=1):
        kind = part[0].keys.get("image type", series.image_type)
        template = replace(series, part=number, parts=len(parts), split_by=words, image_type=tuple(map(str, kind)))
        notes = (COPIES_NOTE.format(copies),) if copies else ()
        yield _volume(replace(template, notes=notes), part, problem)


def _volume(series: Series, slices: Sequence[Slice], problem: str | None) -> Series:
    """The series with its frames in order and its grid, or with the reason why it has none."""
    frames = [slice_.frame for slice_ in slices]
    if problem is None and is_localizer(slices[0]):
        problem = "a localizer, made to plan other scans"
    if problem is None:
        try:
            stack = stacked(frames)
        except ImageError as error:
            problem = str(error)
        else:
            notes = (*series.notes, TILT_NOTE.format(stack.tilt_degrees)) if stack.tilt_degrees else series.notes
            spacing = tuple(float((stack.affine[:3, axis] ** 2).sum() ** 0.5) for axis in range(3))
            affine = tuple(tuple(float(number) for number in row) for row in stack.affine)
            return replace(series, frames=stack.frames, spacing_mm=spacing, affine=affine, notes=notes)
    return replace(series, frames=tuple(_in_order(frames)), problem=problem)


def _in_order(frames: Sequence[Frame]) -> list[Frame]:
    """Frames along their normal where all have a place, else as they are numbered."""
    if all(frame.position and frame.row and frame.column for frame in frames):
        normal = normal_of(frames[0])
        return sorted(frames, key=lambda frame: float(np.array(frame.position) @ normal))
    return sorted(frames, key=lambda frame: (frame.instance_number, str(frame.file), frame.number))


def _distinct(slices: Sequence[Slice]) -> tuple[list[Slice], int]:
    """Slices without those of files that repeat an instance at its place, and how many such files there are.

    One UID at several places is no copy: tools that take names out of files have given all slices the same.
    """
    first: dict[tuple[object, ...], Slice] = {}
    copies = set()
    for slice_ in slices:
        frame = slice_.frame
        key = (frame.instance_uid or str(frame.file), frame.number, frame.position, frame.row, frame.column)
        if first.setdefault(key, slice_) is not slice_:
            copies.add(slice_.frame.file)
    return list(first.values()), len(copies)


def _files(place: Path) -> Iterator[Path]:
    """The files of a tree, hidden ones left out; those that a DICOMDIR lists, if that is what was named."""
    if place.is_file():
        yield from _listed(place) if place.name.upper() == "DICOMDIR" else [place]
    elif place.is_dir():
        yield from (path for path in files_below(place) if path.name.upper() != "DICOMDIR" and path.is_file())
    else:
        raise InputError(f"expected a DICOM file or a folder with such files, found nothing at {place}; check the path")


def _listed(dicomdir: Path) -> Iterator[Path]:
    """The files that a DICOMDIR lists and that are there, inside its folder."""
    from pydicom import dcmread

    from unpaired.data.formats.dicom_file import one_line

    with one_line(dicomdir):
        records = list(dcmread(dicomdir).get("DirectoryRecordSequence") or ())
        names = [record.get("ReferencedFileID") for record in records]
    for name in filter(None, names):
        parts = [name] if isinstance(name, str) else list(name)
        path = dicomdir.parent.joinpath(*parts)
        if ".." not in parts and path.is_file() and path.resolve().is_relative_to(dicomdir.parent.resolve()):
            yield path


def holds_dicom(place: Path) -> bool:
    """Whether a file is DICOM, or a folder has such a file among the first `LOOKED_AT` below it."""
    return any(looks_like_dicom(path) for path in islice(_files(place), LOOKED_AT))


def _read_all(paths: Sequence[Path]) -> list[ReadFile]:
    return [_read(path) for path in paths]


def _read(path: Path) -> ReadFile:
    def header() -> ImageHeader | StoredObject | None:
        return read_header(path) if looks_like_dicom(path) else None

    content, failure = attempt(header)
    text = None if failure is None else failure.removeprefix(f"{path}: ")
    return ReadFile(path, content, text)


def _alone(path: Path, workers: int) -> Iterator[ReadFile]:
    for _, files, failure in for_each(_read_all, [[path], []], workers):
        yield from [ReadFile(path, failure=failure)] if failure else files


def looks_like_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM does, with or without its preamble, or is called so."""
    with path.open("rb") as file:
        start = file.read(132)
    if start[128:] == b"DICM" or (path.suffix.lower() in SUFFIXES and start):
        return True
    bare = start[:2] in GROUPS and len(start) >= 8
    short = int.from_bytes(start[4:8], "little") <= LARGEST_FIRST or start[4:6].isalpha()
    return bare and start[3:4] == b"\x00" and short
