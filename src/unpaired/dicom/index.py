"""What lies in a tree of DICOM files: its series, each split into the volumes it holds, and its objects without pixels.

Plain data, without pixels, pickled between processes and written as JSON. Positions and directions are as DICOM counts
them: in mm toward the patient's left, posterior and superior (LPS).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unpaired.data.image import TO_RAS

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Frame:
    """One slice: a file of one slice, or one frame of a multi-frame file, and its place.

    `number` counts the frames of a file from 0. `row` and `column` are the directions in which column and row numbers
    grow (unit vectors); `spacing_mm` and `size` count (columns, rows), as (x, y). What a file doesn't say is None.
    """

    file: Path
    number: int
    instance_uid: str
    class_uid: str
    size: tuple[int, int]
    position: Triple | None = None
    row: Triple | None = None
    column: Triple | None = None
    spacing_mm: tuple[float, float] | None = None
    instance_number: int = 0


@dataclass(frozen=True)
class Series:
    """One volume of a DICOM series; or what of a series is none, with the reason in `problem`.

    A series UID may hold several volumes (echoes, phases, b-values, orientations, localizers): each is a `Series` of
    its own, number `part` of `parts` (from 1), and `split_by` says what sets it apart ("echo 2, b 1000"). `frames` are
    sorted along the normal of the slices where they have one. `patient` is a pseudonym, a hash of Patient ID; names
    aren't kept. `spacing_mm` counts as an array (column, row, slice), None where there is no volume. `notes` are what
    to know of a volume that is read all the same.
    """

    uid: str
    study_uid: str
    frame_of_reference_uid: str
    patient: str
    modality: str
    frames: tuple[Frame, ...]
    description: str = ""
    protocol: str = ""
    sequence: str = ""
    number: int = 0
    image_type: tuple[str, ...] = ()
    manufacturer: str = ""
    part: int = 1
    parts: int = 1
    split_by: str = ""
    spacing_mm: Triple | None = None
    affine: tuple[tuple[float, ...], ...] | None = None
    """Voxel (column, row, slice) -> LPS mm, four rows; the grid after a gantry's tilt is sheared back."""
    problem: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The series UID, with the part's number where the series holds several volumes: "1.2.3" or "1.2.3/2"."""
        return self.uid if self.parts == 1 else f"{self.uid}/{self.part}"

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that the frames lie in, each once, in the order of the slices."""
        return tuple(dict.fromkeys(frame.file for frame in self.frames))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Columns, rows and slices."""
        columns, rows = self.frames[0].size
        return columns, rows, len(self.frames)

    def affine_ras(self) -> np.ndarray:
        """Voxel (column, row, slice) -> RAS+ mm, (4, 4), as `Image.affine`. Raises ValueError for no volume."""
        if self.affine is None:
            raise ValueError(f"series {self.name} is no volume: {self.problem}")
        return TO_RAS @ np.array(self.affine)


@dataclass(frozen=True)
class StoredObject:
    """A DICOM object that is no image: a segmentation (SEG), contours (RTSTRUCT), a report, ...

    `referenced_series` are the series UIDs that it names.
    """

    file: Path
    instance_uid: str
    class_uid: str
    series_uid: str
    study_uid: str
    frame_of_reference_uid: str
    patient: str
    modality: str
    description: str = ""
    referenced_series: tuple[str, ...] = ()


@dataclass(frozen=True)
class Index:
    """All of a tree: volumes and what is none, objects, files that can't be read (with one line why).

    `others` counts the files that are no DICOM.
    """

    root: Path
    series: tuple[Series, ...] = ()
    objects: tuple[StoredObject, ...] = ()
    failures: tuple[tuple[Path, str], ...] = ()
    others: int = 0

    def volumes(self) -> Iterator[Series]:
        """The series that are volumes."""
        return (series for series in self.series if series.problem is None)

    def named_failures(self) -> list[tuple[str, str]]:
        """(file below the tree, one line why it can't be read)."""
        return [
            (str(path.relative_to(self.root) if path.is_relative_to(self.root) else path), message)
            for path, message in self.failures
        ]

    def of_uid(self, uid: str) -> list[Series]:
        """The parts of a series UID, none if the tree doesn't have it."""
        return [series for series in self.series if series.uid == uid]
