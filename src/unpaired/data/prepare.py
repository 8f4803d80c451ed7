"""From a manifest to prepared arrays on disk: cached, parallel, resumable; read back through memory maps.

One folder per case and content key: `volume.npy` (float32; the slice plane first in memory, so that a slice is one
read), `label.npy` (uint8), `foreground.npz`, `case.json`. A folder appears under its name only once it is complete. The
key is of what the files hold (`data.known_content`), not of where they lie: what was replaced is prepared again, what
was moved is not.
"""

import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unpaired.data.case import Geometry
from unpaired.data.dataset import CaseEntry, Dataset, Modality, encode_values
from unpaired.data.fingerprint import CaseFingerprint
from unpaired.data.images import Image, read_image, read_label_map, require_same_grid
from unpaired.data.known_content import Hashed, hashed, read_hashes, remember_hashes
from unpaired.data.label_map import UNKNOWN, cut_labels, encode_label_map, foreground_sample, present_labels
from unpaired.data.parallel import for_each
from unpaired.data.prepared import RECORD, Prepared, PreparedCase, whole_record
from unpaired.data.prepared_ways import REPORTS, Way, short_hash, ways
from unpaired.data.preprocess import Preprocessing, apply, apply_to_label, kept_part, with_windows
from unpaired.data.scan_values import scan_values
from unpaired.documents import fitted
from unpaired.errors import InputError
from unpaired.files import (
    clear_leftovers,
    input_error_if_unwritable,
    resolved,
    temporary_beside,
    temporary_folder,
    write_json,
)

HASHES = "hashes.json"
"""The file, in the folder of prepared cases, that holds the hashes of what they were made of."""

Progress = Callable[[int, int, str], None]
"""Called with (cases done, cases in all, id of the case just done)."""


@dataclass(frozen=True)
class _Job:
    entry: CaseEntry
    modality: Modality
    preprocessing: Preprocessing
    ways: Sequence[Way]
    """Both as this version writes them, and as others did."""
    encoding: Mapping[int, int]
    foreground: tuple[int, ...]
    folder: Path
    files: tuple[tuple[Path, Hashed | None], ...]
    """The image and, if there is one, the label map, with what is known of their hashes."""


@dataclass(frozen=True)
class _Made:
    """What a worker gives back of one case: what the report says of it, and the hashes of its files."""

    record: dict[str, Any]
    hashes: list[Hashed]


def prepare(
    dataset: Dataset,
    preprocessing: Preprocessing,
    folder: str | Path,
    workers: int = 0,
    progress: Progress | None = None,
    only: Collection[str] | None = None,
) -> Prepared:
    """Prepare every case of a dataset under `folder` (or `only` the cases with these ids), or find it there.

    A case is done again only if what its files hold, its label encoding or the preprocessing changed. A run that was
    killed keeps what it had finished. `workers` above 1 are processes. Cases that fail are listed in `failures` and
    don't stop the others. The report's name says what was asked for: runs that share the folder write one report if
    they ask the same, two if not. Raises `UnwritableError` if the disk is full or the folder can't be written.
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
    known = read_hashes(folder / HASHES)
    jobs = list(_jobs(dataset, preprocessing, folder, known, only))
    records, hashes, reasons = _done(jobs, workers, progress)
    remember_hashes(folder / HASHES, known, hashes)
    cases = {entry.id: _prepared_case(records[entry.id], entry) for entry in dataset.cases if entry.id in records}
    failures = [(entry.id, reasons[entry.id]) for entry in dataset.cases if entry.id in reasons]
    names = ["/".join(dataset.classes[number] for number in members) for members in sets]
    warnings = [
        (case_id, _cut_message(records[case_id], names))
        for case_id in cases
        if records[case_id].get("cut_label_voxels")
    ]
    options = {name: asdict(modality) for name, modality in dataset.modalities.items()}
    asked = {"dataset": dataset.name, "preprocessing": asdict(preprocessing), "label_sets": sets, "modalities": options}
    report = folder / REPORTS.format(short_hash([asked, sorted({*cases, *reasons})]))
    about = {
        **asked,
        "cases": {case_id: {**records[case_id], "folder": Path(records[case_id]["folder"]).name} for case_id in cases},
        "failures": dict(failures),
        "warnings": dict(warnings),
    }
    write_json(report, about)
    sources = {case_id: fitted(records[case_id], CaseFingerprint, others=True) for case_id in cases}
    labels = {case_id: frozenset(map(int, records[case_id].get("label_voxels", ()))) for case_id in cases}
    return Prepared(cases, failures, warnings, sets, labels, sources, report)


def file_hashes(cases: Iterable[CaseEntry], folder: Path) -> dict[str, tuple[str, str | None]]:
    """{case id: (hash of the image, of the label map)}, taken from what was noted in `folder` where that still holds.

    Raises InputError for a file that isn't there.
    """
    known = read_hashes(folder / HASHES)

    def sha256(file: Path) -> str:
        return hashed(file, known.get(str(resolved(file)))).sha256

    return {case.id: (sha256(case.image), None if case.label is None else sha256(case.label)) for case in cases}


def _done(
    jobs: Sequence[_Job], workers: int, progress: Progress | None
) -> tuple[dict[str, dict[str, Any]], list[Hashed], dict[str, str]]:
    """Do all jobs: {case id: its record}, what was hashed for them, and {case id: why it can't be prepared}."""
    records: dict[str, dict[str, Any]] = {}
    hashes: list[Hashed] = []
    reasons: dict[str, str] = {}
    for done, (position, made, failure) in enumerate(for_each(_prepare_case, jobs, workers), start=1):
        case_id = jobs[position].entry.id
        if failure is None:
            records[case_id] = made.record
            hashes += made.hashes
        else:
            reasons[case_id] = failure
        if progress is not None:
            progress(done, len(jobs), case_id)
    return records, hashes, reasons


def _jobs(
    dataset: Dataset,
    preprocessing: Preprocessing,
    folder: Path,
    known: Mapping[str, Hashed],
    only: Collection[str] | None,
) -> Iterator[_Job]:
    """What is to be done for each case, in manifest order."""
    sets = dataset.label_sets()
    number = {members: index for index, members in enumerate(sets)}
    foreground = tuple(index for index, members in enumerate(sets) if 0 not in members)
    known_ways = ways(folder, preprocessing, dataset.modalities)
    for entry in dataset.cases:
        if only is None or entry.id in only:
            files = (entry.image,) if entry.label is None else (entry.image, entry.label)
            yield _Job(
                entry,
                dataset.modalities[entry.modality],
                preprocessing,
                known_ways[entry.modality],
                {value: number[members] for value, members in encode_values(dataset, entry).items()},
                foreground,
                folder,
                tuple((file, known.get(str(resolved(file)))) for file in files),
            )


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


def _prepare_case(job: _Job) -> _Made:
    """One case: from the cache, if it is whole, else made now."""
    hashes = [hashed(file, known) for file, known in job.files]
    image_sha256, label_sha256 = hashes[0].sha256, hashes[1].sha256 if len(hashes) > 1 else None
    keys = (way.key([image_sha256, label_sha256], job.encoding, job.foreground) for way in job.ways)
    final, *others = [job.folder / f"{job.entry.id}-{key}" for key in keys]
    record = whole_record(final)
    for other in others if record is None else ():
        if (record := whole_record(other)) is not None:
            final = other
            break
    if record is None:
        temporary = temporary_beside(final)
        try:
            with input_error_if_unwritable(final):
                temporary_folder(final)
            record = _write_case(job, temporary)
            for (file, _), read in zip(job.files, hashes, strict=True):
                if not read.is_current(file):
                    raise InputError(f"{file} changed while it was read; try again when it is complete")
            _rename(temporary, final)
            record = whole_record(final) or record  # another run's, if it was first
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    of_now = {
        "patient": job.entry.patient,
        "modality": job.entry.modality,
        "image": str(resolved(job.entry.image)),  # the same from wherever a manifest names it
        "image_sha256": image_sha256,
        "label_sha256": label_sha256,
        "folder": str(final),
    }  # the same files may be another manifest's case
    return _Made({**record, **of_now}, hashes)


def _rename(temporary: Path, final: Path) -> None:
    """Give a case its name. A whole one that another run put there meanwhile is as good, and may be in use: it stays.

    So nothing is deleted to make room before it is certain that it is no whole case.
    """
    try:
        temporary.rename(final)
    except OSError:
        if whole_record(final) is not None:
            return
        damaged = temporary.with_name(f"{temporary.name}-damaged")
        with suppress(FileNotFoundError):
            final.rename(damaged)
        temporary.rename(final)
        shutil.rmtree(damaged, ignore_errors=True)


def _write_case(job: _Job, folder: Path) -> dict[str, Any]:
    """Prepare a case into a folder; returns what is recorded of it."""
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
        "shape": geometry.grid,
        "spacing_mm": geometry.spacing_mm,
        "file_shape": geometry.shape,
        "file_spacing_mm": image.spacing_mm,
        "crop": geometry.crop,
        "reference_leaks": job.preprocessing.leaks_reference,
        "geometry": geometry.to_json(),
        "values": asdict(scan_values(image)),
    }
    if encoded is not None:
        prepared = apply_to_label(encoded, geometry, outside=_background(job))
        with input_error_if_unwritable(folder):
            np.save(folder / "label.npy", prepared)
            np.savez(folder / "foreground.npz", **foreground_sample(prepared, job.foreground))
        record["label_voxels"] = present_labels(prepared)
        record["file_label_voxels"] = present_labels(encoded)
        record["cut_label_voxels"] = cut_labels(encoded, kept_part(encoded, geometry), job.foreground)
    record["seconds"] = round(time.perf_counter() - began, 3)
    record["bytes"] = {file.name: file.stat().st_size for file in sorted(folder.iterdir())}
    write_json(folder / RECORD, record, compact=True)
    return record


def _background(job: _Job) -> int:
    """The label that what lies beyond a file gets: that of the values which may be background, whatever they are."""
    return next((index for index in job.encoding.values() if index not in job.foreground), 0)
