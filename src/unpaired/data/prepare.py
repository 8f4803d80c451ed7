"""From a manifest to prepared arrays on disk: cached, parallel, resumable; read back through memory maps.

One folder per case and content key: `volume.npy` (float32; the slice plane first in memory, so that a slice is one
read), `label.npy` (uint8), `foreground.npz`, `case.json`. A folder appears under its name only once it is complete.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from unpaired.data.case import Case, Geometry, UnlabeledCase
from unpaired.data.dataset import CaseEntry, Dataset, Modality, encode_values
from unpaired.data.images import Image, read_image, read_label_map, require_same_grid
from unpaired.data.label_map import UNKNOWN, cut_labels, encode_label_map, foreground_sample, present_labels
from unpaired.data.parallel import for_each
from unpaired.data.preprocess import Preprocessing, apply, apply_to_label, kept_part, with_windows
from unpaired.documents import decode, fitted
from unpaired.errors import InputError
from unpaired.files import clear_leftovers, input_error_if_unwritable, read_json, temporary_beside, write_text

FORMAT = 2
"""Raised when prepared arrays or what is recorded of them change their meaning, so that old caches aren't used."""

Progress = Callable[[int, int, str], None]
"""Called with (cases done, cases in all, id of the case just done)."""


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
        return np.load(self.volume_file, mmap_mode="r")

    def label_map(self) -> np.memmap | None:
        """Indices into the dataset's `label_sets`, uint8, as a read-only memory map; None for an unlabeled case."""
        return None if self.label_file is None else np.load(self.label_file, mmap_mode="r")

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
    report: Path
    """JSON: shape, spacing, crop, seconds and label voxels of every case."""


@dataclass(frozen=True)
class _Job:
    entry: CaseEntry
    modality: Modality
    preprocessing: Preprocessing
    encoding: Mapping[int, int]
    foreground: tuple[int, ...]
    folder: Path


@dataclass(frozen=True)
class _Recorded:
    """What case.json must hold for a prepared case to be used."""

    geometry: Geometry
    file_label_voxels: Mapping[int, Annotated[int, Meta(ge=1)]] = field(default_factory=dict)
    cut_label_voxels: Mapping[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = sorted(set(self.cut_label_voxels) - set(self.file_label_voxels))
        if unknown:
            raise InputError(f"cut_label_voxels has the label {unknown[0]}, which file_label_voxels lacks")


def prepare(
    dataset: Dataset,
    preprocessing: Preprocessing,
    folder: str | Path,
    workers: int = 0,
    progress: Progress | None = None,
    only: Collection[str] | None = None,
) -> Prepared:
    """Prepare every case of a dataset under `folder` (or `only` the cases with these ids), or find it there.

    A case is done again only if its files (path, size, time), its label encoding or the preprocessing changed. A run
    that was killed keeps what it had finished. `workers` above 1 are processes. Cases that fail are listed in
    `failures` and don't stop the others. Raises `UnwritableError` if the disk is full or the
    folder can't be written.
    """
    folder, dataset = Path(folder), with_windows(dataset, preprocessing)
    sets = dataset.label_sets()
    if len(sets) > UNKNOWN:
        raise InputError(
            f"dataset {dataset.name}: expected at most {UNKNOWN} label sets, got {len(sets)}; merge classes"
        )
    with input_error_if_unwritable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        clear_leftovers(folder)
    foreground = tuple(index for index, members in enumerate(sets) if 0 not in members)
    number = {members: index for index, members in enumerate(sets)}
    jobs = [
        _Job(
            entry,
            dataset.modalities[entry.modality],
            preprocessing,
            {value: number[members] for value, members in encode_values(dataset, entry).items()},
            foreground,
            folder,
        )
        for entry in dataset.cases
        if only is None or entry.id in only
    ]
    records: dict[str, dict[str, Any]] = {}
    reasons: dict[str, str] = {}
    for done, (position, record, failure) in enumerate(for_each(_prepare_case, jobs, workers), start=1):
        case_id = jobs[position].entry.id
        if failure is None:
            records[case_id] = record
        else:
            reasons[case_id] = failure
        if progress is not None:
            progress(done, len(jobs), case_id)
    cases = {entry.id: _prepared_case(records[entry.id], entry) for entry in dataset.cases if entry.id in records}
    failures = [(entry.id, reasons[entry.id]) for entry in dataset.cases if entry.id in reasons]
    names = ["/".join(dataset.classes[number] for number in members) for members in sets]
    warnings = [
        (case_id, _cut_message(records[case_id], names))
        for case_id in cases
        if records[case_id].get("cut_label_voxels")
    ]
    report = {
        "dataset": dataset.name,
        "preprocessing": asdict(preprocessing),
        "label_sets": sets,
        "cases": {case_id: records[case_id] for case_id in cases},
        "failures": dict(failures),
        "warnings": dict(warnings),
    }
    write_text(folder / "report.json", json.dumps(report, indent=1) + "\n")
    return Prepared(cases, failures, warnings, sets, folder / "report.json")


def _cut_message(record: Mapping[str, Any], names: Sequence[str]) -> str:
    """The classes that lose voxels, each with its share."""
    voxels = record["file_label_voxels"]
    shares = ", ".join(f"{names[int(v)]} {cut / voxels[v]:.2g}" for v, cut in record["cut_label_voxels"].items())
    return (
        f"the crop cuts labeled voxels away (share of each class: {shares}); "
        "enlarge preprocessing.size, roi_size_mm or roi_margin_mm, or choose another roi"
    )


def _prepared_case(record: Mapping[str, Any], entry: CaseEntry) -> PreparedCase:
    folder = Path(record["folder"])
    label = folder / "label.npy" if entry.label is not None else None
    geometry = fitted(record["geometry"], Geometry)
    return PreparedCase(entry.id, entry.patient, entry.modality, geometry, folder / "volume.npy", label)


def _prepare_case(job: _Job) -> dict[str, Any]:
    """The record of one case: from the cache, else made now."""
    final = job.folder / f"{job.entry.id}-{_key(job)}"
    if not final.is_dir():
        temporary = temporary_beside(final)
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            with input_error_if_unwritable(final):
                temporary.mkdir()
            _write_case(job, temporary)
            _rename(temporary, final)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    file, advice = final / "case.json", f"delete {final}, so that this case is prepared anew"
    record = read_json(file, advice)
    decode(record, _Recorded, str(file), advice, others=True)
    return {**record, "folder": str(final)}


def _rename(temporary: Path, final: Path) -> None:
    try:
        temporary.rename(final)
    except OSError:
        if not final.is_dir():  # otherwise another run was faster with the same case: its result is as good
            raise


def _write_case(job: _Job, folder: Path) -> None:
    began = time.perf_counter()
    entry = job.entry
    image = read_image(entry.image)
    label: Image | None = None
    encoded: np.ndarray | None = None
    if entry.label is not None:
        label = read_label_map(entry.label)
        require_same_grid(image, label, entry.label)
        encoded = encode_label_map(label.array, job.encoding, entry.label)
    try:
        volume, geometry = apply(image, job.preprocessing, job.modality, label)
    except InputError as error:
        raise InputError(f"{entry.image}: {error}") from error
    with input_error_if_unwritable(folder):
        np.save(folder / "volume.npy", volume)
    record: dict[str, Any] = {
        "patient": entry.patient,
        "modality": entry.modality,
        "image": str(entry.image),
        "shape": geometry.grid,
        "spacing_mm": geometry.spacing_mm,
        "file_shape": geometry.shape,
        "file_spacing_mm": image.spacing_mm,
        "crop": geometry.crop,
        "reference_leaks": job.preprocessing.leaks_reference,
        "geometry": geometry.to_json(),
    }
    if encoded is not None:
        prepared = apply_to_label(encoded, geometry, outside=job.encoding.get(0, 0))
        with input_error_if_unwritable(folder):
            np.save(folder / "label.npy", prepared)
            np.savez(folder / "foreground.npz", **foreground_sample(prepared, job.foreground))
        record["label_voxels"] = present_labels(prepared)
        record["file_label_voxels"] = present_labels(encoded)
        record["cut_label_voxels"] = cut_labels(encoded, kept_part(encoded, geometry), job.foreground)
    record["seconds"] = round(time.perf_counter() - began, 3)
    with input_error_if_unwritable(folder):
        (folder / "case.json").write_text(json.dumps(record), encoding="utf-8")


def _key(job: _Job) -> str:
    """Changes whenever the prepared arrays would."""
    identity = {
        "format": FORMAT,
        "image": _file_identity(job.entry.image),
        "label": None if job.entry.label is None else _file_identity(job.entry.label),
        "preprocessing": asdict(job.preprocessing),
        "modality": asdict(job.modality),
        "encoding": sorted(job.encoding.items()),
        "foreground": job.foreground,
    }
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]


def _file_identity(file: Path) -> list[str | int]:
    if not file.is_file():
        raise InputError(f"expected a file at {file}, found none; correct the manifest's path")
    status = file.stat()
    return [str(file.resolve()), status.st_size, status.st_mtime_ns]
