"""The phantom: simulated scans of simulated patients, written as NIfTI files and a manifest like any real dataset.

    FOLDER/dataset.json
    FOLDER/ct/ct001.nii.gz      FOLDER/ct/ct001_label.nii.gz
    FOLDER/lge/lge014.nii.gz    ...

Anatomy "heart" (LV, myo, RV, LA, AA) in `ct` (contrast-enhanced, axial), `bssfp` and `lge` (thick oblique short-axis
slices); anatomy "abdomen" (liver, spleen, kidneys) in `ct` and `t2` (fat-suppressed, thick axial slices). Every patient
is scanned in one modality only. `acquisition` makes a scan out of anatomy (`heart` in its `chest`, `abdomen`),
signals (`physics`) and painting (`canvas`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from unpaired.choices import require_seed, several
from unpaired.data.dataset import MANIFEST, SPLITS, CaseEntry, Dataset, Modality
from unpaired.data.image import ImageError
from unpaired.data.images import read_image, write_image
from unpaired.data.manifest import as_dataset, write_dataset
from unpaired.data.parallel import for_each
from unpaired.data.subsets import Patients, parse_counts
from unpaired.dicom.codes import same_classes
from unpaired.errors import InputError, nearest
from unpaired.phantom.acquisition import CLASSES, LABEL_VALUES, PhantomSize, Scan, simulate

CT_WINDOW_HU = {"heart": (-250.0, 600.0), "abdomen": (-175.0, 250.0)}


SIZES: dict[str, PhantomSize] = {
    "tiny": PhantomSize(4.0, 9.0, 12.0, 48, {"train": 2, "validation": 1, "test": 1}),
    "demo": PhantomSize(2.0, 4.5, 9.0, 104, {"train": 24, "validation": 2, "test": 3}),
    "realistic": PhantomSize(0.9, 1.2, 8.0, 256, {"train": 16, "validation": 4, "test": 9}),
}


def write_phantom(
    out: str | Path,
    *,
    anatomy: str = "heart",
    modalities: Sequence[str] | None = None,
    like: Dataset | str | Path | None = None,
    patients: Patients | None = None,
    size: str = "demo",
    spacing_mm: float | None = None,
    ct_plane: str = "axial",
    seed: int = 0,
    workers: int = 0,
) -> Dataset:
    """Simulate and write a dataset of images, label maps and `dataset.json` into the folder `out`, and return it.

    anatomy: "heart" or "abdomen".  modalities: of that anatomy (default: all).  like: a dataset, or its manifest, that
    the phantom is to be joined with: it gets that dataset's modalities, their options and its classes, as far as the
    anatomy has them; its other structures are background.
    patients: per modality and split, such as {"train": 8, "validation": 2, "test": 3} or ["train=8"] (default: the
    size's own).
    size: "tiny" (tests), "demo" (2 mm) or "realistic" (0.9 mm).  spacing_mm: another in-plane voxel size; the field of
    view stays.  ct_plane: "axial", as CT is acquired (so the two modalities see different cuts, as in life), or
    "short_axis", reformatted like the MR.  workers: processes; up to one simulates in this one.
    The same arguments give bit-identical files whatever `workers`, and go on where they were interrupted. Raises
    InputError for a name or number that is none, and where a dataset or another scan is already.
    """
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"expected a folder to write the phantom to, but {folder} is a file; name another place")
    counts = None if patients is None else parse_counts(patients, "side", "train=8")
    preset = _size(size, counts, spacing_mm)
    _check(anatomy, "anatomy", list(LABEL_VALUES))
    _check(ct_plane, "ct_plane", ["axial", "short_axis"])
    require_seed(seed)
    real = None if like is None else as_dataset(like)
    known = [name for name in LABEL_VALUES[anatomy] if real is None or name in real.modalities]
    if real is not None and not known:
        raise _none_in(real, anatomy, "modalities", LABEL_VALUES[anatomy])
    chosen = tuple(known) if modalities is None else tuple(several(modalities))
    for modality in chosen:
        _check(modality, "modality", list(LABEL_VALUES[anatomy]))
    if not chosen or len(set(chosen)) < len(chosen):
        raise InputError(f"phantom: modalities must be named once each, at least one; got {list(chosen)}")
    classes = {} if real is None else _shared_classes(real, anatomy)
    if real is not None and not classes:
        raise _none_in(real, anatomy, "classes", CLASSES[anatomy][1:])
    if (folder / MANIFEST).exists():
        raise InputError(f"{folder} holds a dataset already (dataset.json); use it, delete it, or name another folder")
    per_modality = sum(preset.patients.values())
    scans = [
        Scan(anatomy, modality, place * per_modality + index + 1, preset, ct_plane, seed)
        for place, modality in enumerate(chosen)
        for index in range(per_modality)
    ]
    # What is there first: a scan that isn't ours is found before a file is written.
    there_first = sorted(scans, key=lambda scan: -sum(map(Path.exists, _files(scan, folder))))
    for _, _, failure in for_each(partial(_write_scan, folder=folder), there_first, workers):
        if failure is not None:
            raise InputError(failure)
    dataset = _dataset(folder, anatomy, chosen, scans, preset)
    if real is not None:
        dataset = _as_in(real, dataset, classes)
    write_dataset(dataset, folder)
    return dataset


def _write_scan(scan: Scan, folder: Path) -> None:
    """Write the two files of a scan; those that an interrupted call wrote stay.

    Raises InputError for a file of its name that is another scan, such as one of a patient.
    """
    image, labels, affine = simulate(scan)
    arrays = dict(zip(_files(scan, folder), (image, labels), strict=True))
    for path, array in arrays.items():
        if path.exists() and not _holds(path, array, affine):
            raise InputError(f"{path} is there and is another scan than the phantom's; name another folder")
    for path, array in arrays.items():
        if not path.exists():
            write_image(path, array, affine)


def _files(scan: Scan, folder: Path) -> tuple[Path, Path]:
    """The files of a scan's image and label map."""
    return folder / scan.modality / f"{scan.id}.nii.gz", folder / scan.modality / f"{scan.id}_label.nii.gz"


def _holds(path: Path, array: np.ndarray, affine: np.ndarray) -> bool:
    try:
        there = read_image(path)
    except ImageError:
        return False
    return np.array_equal(there.array, array) and np.allclose(there.affine, affine, atol=1e-3)


def _none_in(real: Dataset, anatomy: str, what: str, names: Iterable[str]) -> InputError:
    article = "an" if anatomy == "abdomen" else "a"
    return InputError(
        f"phantom: the {what} of {article} {anatomy} are {', '.join(names)}; dataset {real.name} has none of them"
    )


def _shared_classes(real: Dataset, anatomy: str) -> dict[str, str]:
    """{the anatomy's class: what the dataset calls it, perhaps in other words}, in the dataset's order."""
    theirs = same_classes(real.classes[1:], CLASSES[anatomy][1:])
    return {theirs[name]: name for name in real.classes[1:] if name in theirs}


def _as_in(real: Dataset, phantom: Dataset, classes: Mapping[str, str]) -> Dataset:
    """The phantom with the options of the real dataset's modalities, and those classes alone, by its names."""
    background = real.classes[0]
    return replace(
        phantom,
        classes=(background, *classes.values()),
        modalities={name: real.modalities.get(name, options) for name, options in phantom.modalities.items()},
        label_maps={
            name: {value: (classes.get(of[0], background),) for value, of in table.items()}
            for name, table in phantom.label_maps.items()
        },
    )


def _dataset(folder: Path, anatomy: str, modalities: tuple[str, ...], scans: list[Scan], size: PhantomSize) -> Dataset:
    splits = [split for split in SPLITS for _ in range(size.patients.get(split, 0))]
    root = folder.resolve()
    maps = {modality: LABEL_VALUES[anatomy][modality] for modality in modalities}
    return Dataset(
        name=f"phantom-{anatomy}",
        classes=CLASSES[anatomy],
        modalities={
            name: Modality("zscore", clip=CT_WINDOW_HU[anatomy] if name == "ct" else None) for name in modalities
        },
        cases=tuple(
            CaseEntry(
                id=scan.id,
                patient=scan.id,
                modality=scan.modality,
                image=root / scan.modality / f"{scan.id}.nii.gz",
                label=root / scan.modality / f"{scan.id}_label.nii.gz",
                label_map=maps[scan.modality][0],
                split=splits[index % len(splits)],
                simulated=True,
            )
            for index, scan in enumerate(scans)
        ),
        label_maps={
            name: {0: ("background",), **{value: (organ,) for organ, value in table.items()}}
            for name, table in maps.values()
        },
        about="Simulated patients and scanners; no real person. Written by unpaired phantom.",
    )


def _size(size: str, patients: Mapping[str, int] | None, spacing_mm: float | None) -> PhantomSize:
    _check(size, "size", list(SIZES))
    preset = SIZES[size]
    counts = dict(preset.patients if patients is None else patients)
    for split, count in counts.items():
        _check(split, "split", list(SPLITS))
        if count < 0:
            raise InputError(f"phantom: patients[{split!r}] must be 0 or more, got {count}")
    if sum(counts.values()) == 0:
        raise InputError("phantom: expected at least one patient per modality, got none")
    if spacing_mm is None:
        return PhantomSize(preset.in_plane_mm, preset.ct_slice_mm, preset.mr_slice_mm, preset.matrix, counts)
    if not 0.3 <= spacing_mm <= 10:
        raise InputError(f"phantom: spacing_mm must lie between 0.3 and 10 mm, got {spacing_mm}")
    matrix = max(16, round(preset.matrix * preset.in_plane_mm / spacing_mm / 8) * 8)
    return PhantomSize(spacing_mm, preset.ct_slice_mm, preset.mr_slice_mm, matrix, counts)


def _check(value: str, what: str, allowed: list[str]) -> None:
    if value not in allowed:
        raise InputError(f"phantom: {what} {value!r} is not known; {nearest(value, allowed)}")
