"""What lies in a folder of prepared cases: each on the network's grid, read back through memory maps."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from unpaired.data.case import Case, Geometry, UnlabeledCase
from unpaired.data.fingerprint import CaseFingerprint
from unpaired.data.memory_maps import KeptMaps
from unpaired.data.scan_values import ScanValues
from unpaired.documents import decode
from unpaired.errors import InputError
from unpaired.files import read_json

RECORD = "case.json"
"""The file, in the folder of a prepared case, that says what it is."""
_MAPS = KeptMaps()


@dataclass(frozen=True)
class PreparedCase:
    """One case on the network's grid, on disk. Nothing is read before it is asked for."""

    id: str
    patient: str
    modality: str
    geometry: Geometry
    volume_file: Path
    label_file: Path | None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(depth, height, width)."""
        return self.geometry.grid

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """(depth, height, width)."""
        return self.geometry.spacing_mm

    def volume(self) -> np.memmap:
        """The volume (depth, height, width), float32, as a read-only memory map."""
        return _MAPS.open(self.volume_file)

    def label_map(self) -> np.memmap | None:
        """Indices into the dataset's `label_sets`, uint8, as a read-only memory map; None for an unlabeled case."""
        return None if self.label_file is None else _MAPS.open(self.label_file)

    @cached_property
    def foreground(self) -> dict[int, np.ndarray]:
        """{label: (n, 3) int32 voxels of it}, up to 4096 random ones each, for foreground oversampling.

        Labels that may be background (value 0, or what wasn't looked for) and absent ones have no entry.
        """
        if self.label_file is None:
            return {}
        with np.load(self.volume_file.with_name("foreground.npz")) as stored:
            return {int(value): stored[value] for value in stored.files}

    def load(self) -> Case | UnlabeledCase:
        """The case with its arrays in memory."""
        label_map = self.label_map()
        volume = np.array(self.volume())
        if label_map is None:
            return UnlabeledCase(self.id, self.patient, self.modality, volume, self.geometry)
        return Case(self.id, self.patient, self.modality, volume, np.array(label_map), self.geometry)


@dataclass(frozen=True)
class Prepared:
    """What `prepare` made: the cases by id in manifest order, and (id, why) of each that failed or is worth a look."""

    cases: dict[str, PreparedCase]
    failures: list[tuple[str, str]]
    warnings: list[tuple[str, str]]
    """Cases of which the crop cuts labeled voxels away: nothing can be learned, nor scored, there."""
    label_sets: tuple[tuple[int, ...], ...]
    """What each label value stands for: `Dataset.label_sets()`."""
    labels: dict[str, frozenset[int]]
    """Which indices into `label_sets` there are in each case's prepared label map; empty for an unlabeled case."""
    sources: dict[str, CaseFingerprint]
    """What each case was made of."""
    report: Path
    """JSON: shape, spacing, crop, seconds and label voxels of every case, as the last such preparation found them."""


@dataclass(frozen=True)
class Recorded:
    """What case.json must hold for a prepared case to be used."""

    geometry: Geometry
    values: ScanValues
    bytes: Mapping[str, int]
    """The size of each file beside it."""
    label_voxels: Mapping[int, int] = field(default_factory=dict)
    file_label_voxels: Mapping[int, Annotated[int, Meta(ge=1)]] = field(default_factory=dict)
    cut_label_voxels: Mapping[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = sorted(set(self.cut_label_voxels) - set(self.file_label_voxels))
        if unknown:
            raise InputError(f"cut_label_voxels has the label {unknown[0]}, which file_label_voxels lacks")


def whole_record(folder: Path) -> dict[str, Any] | None:
    """What is recorded of a case that was prepared before; None if it wasn't, or if a file of it is missing or cut."""
    file = folder / RECORD
    if not file.is_file():
        return None
    try:
        record = read_json(file, "it is made anew")
        recorded = decode(record, Recorded, str(file), "it is made anew", others=True)
        whole = all((folder / name).stat().st_size == size for name, size in recorded.bytes.items())
    except (InputError, OSError):
        return None
    return record if whole else None
