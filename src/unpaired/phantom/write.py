"""The phantom: simulated scans of simulated patients, written as NIfTI files and a manifest like any real dataset.

    FOLDER/dataset.json
    FOLDER/ct/ct001.nii.gz      FOLDER/ct/ct001_label.nii.gz
    FOLDER/lge/lge014.nii.gz    ...

Anatomy "heart" (LV, myo, RV, LA, AA) in `ct` (contrast-enhanced, axial), `bssfp` and `lge` (thick oblique short-axis
slices); anatomy "abdomen" (liver, spleen, kidneys) in `ct` and `t2` (fat-suppressed, thick axial slices). Every patient
is scanned in one modality only. `heart` and `abdomen` hold the anatomy, `physics` the signals, `canvas` the painting.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from zlib import crc32

import numpy as np

from unpaired.data.dataset import SPLITS, CaseEntry, Dataset, Modality
from unpaired.data.images import write_image
from unpaired.data.manifest import write_dataset
from unpaired.data.parallel import for_each
from unpaired.errors import InputError, nearest
from unpaired.phantom.abdomen import CLASSES as ABDOMEN_CLASSES
from unpaired.phantom.abdomen import Abdomen, paint_abdomen
from unpaired.phantom.canvas import Canvas, Waves
from unpaired.phantom.heart import CLASSES as HEART_CLASSES
from unpaired.phantom.heart import Heart, paint_heart
from unpaired.phantom.physics import (
    add_ct_noise,
    add_rician_noise,
    bssfp_values,
    coil_sensitivity,
    ct_values,
    lge_values,
    t2_values,
)

# The values that the field's own datasets use: MS-CMRSeg (extended by MM-WHS's for LA and aorta), MM-WHS, CHAOS, BTCV.
LABEL_VALUES: dict[str, dict[str, tuple[str, dict[str, int]]]] = {
    "heart": {
        "ct": ("mmwhs", {"LV": 500, "myo": 205, "RV": 600, "LA": 420, "AA": 820}),
        "bssfp": ("mscmrseg", {"LV": 500, "myo": 200, "RV": 600, "LA": 420, "AA": 820}),
        "lge": ("mscmrseg", {"LV": 500, "myo": 200, "RV": 600, "LA": 420, "AA": 820}),
    },
    "abdomen": {
        "ct": ("btcv", {"spleen": 1, "right kidney": 2, "left kidney": 3, "liver": 6}),
        "t2": ("chaos", {"liver": 63, "right kidney": 126, "left kidney": 189, "spleen": 252}),
    },
}
CLASSES = {"heart": HEART_CLASSES, "abdomen": ABDOMEN_CLASSES}
CT_WINDOW_HU = {"heart": (-250.0, 600.0), "abdomen": (-175.0, 250.0)}


@dataclass(frozen=True)
class PhantomSize:
    """Voxel sizes in mm, in-plane matrix of a heart scan, and how many patients per modality."""

    in_plane_mm: float
    ct_slice_mm: float
    mr_slice_mm: float
    matrix: int
    patients: Mapping[str, int]


SIZES: dict[str, PhantomSize] = {
    "tiny": PhantomSize(4.0, 9.0, 12.0, 48, {"train": 2, "validation": 1, "test": 1}),
    "demo": PhantomSize(2.0, 4.5, 9.0, 104, {"train": 24, "validation": 2, "test": 3}),
    "realistic": PhantomSize(0.9, 1.2, 8.0, 256, {"train": 16, "validation": 4, "test": 9}),
}


@dataclass(frozen=True)
class Scan:
    """One case to simulate: everything its two files depend on."""

    anatomy: str
    modality: str
    number: int
    size: PhantomSize
    ct_plane: str
    seed: int

    @property
    def id(self) -> str:
        """Unique in the dataset; also the patient, since nobody is scanned twice."""
        return f"{self.modality}{self.number:03d}"


def write_phantom(
    folder: str | Path,
    *,
    anatomy: str = "heart",
    modalities: Sequence[str] | None = None,
    patients: Mapping[str, int] | None = None,
    size: str = "demo",
    spacing_mm: float | None = None,
    ct_plane: str = "axial",
    seed: int = 0,
    workers: int = 0,
) -> Dataset:
    """Simulate and write a dataset of images, label maps and `dataset.json` into `folder`, and return it.

    anatomy: "heart" or "abdomen".  modalities: of that anatomy (default: all).
    patients: per modality and split, such as {"train": 8, "validation": 2, "test": 3} (default: the size's own).
    size: "tiny" (tests), "demo" (2 mm) or "realistic" (0.9 mm).  spacing_mm: another in-plane voxel size; the field of
    view stays.  ct_plane: "axial", as CT is acquired (so the two modalities see different cuts, as in life), or
    "short_axis", reformatted like the MR.  workers: processes; up to one simulates in this one.
    The same arguments give bit-identical files whatever `workers`. Raises InputError for a name or number that is none,
    and where a dataset is already.
    """
    folder = Path(folder)
    preset = _size(size, patients, spacing_mm)
    _check(anatomy, "anatomy", list(LABEL_VALUES))
    _check(ct_plane, "ct_plane", ["axial", "short_axis"])
    chosen = tuple(LABEL_VALUES[anatomy]) if modalities is None else tuple(modalities)
    for modality in chosen:
        _check(modality, "modality", list(LABEL_VALUES[anatomy]))
    if not chosen or len(set(chosen)) < len(chosen):
        raise InputError(f"phantom: modalities must be named once each, at least one; got {list(chosen)}")
    if (folder / "dataset.json").exists():
        raise InputError(f"{folder} holds a dataset already (dataset.json); use it, delete it, or name another folder")
    per_modality = sum(preset.patients.values())
    scans = [
        Scan(anatomy, modality, place * per_modality + index + 1, preset, ct_plane, seed)
        for place, modality in enumerate(chosen)
        for index in range(per_modality)
    ]
    for _, _, failure in for_each(partial(_write_scan, folder=folder), scans, workers):
        if failure is not None:
            raise InputError(failure)
    dataset = _dataset(folder, anatomy, chosen, scans, preset)
    write_dataset(dataset, folder)
    return dataset


def simulate(scan: Scan) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One scan: image (int16; HU in CT, arbitrary units in MR), label map (int16 source values), affine."""
    # The name, not its place in a list, seeds a modality: simulating CT alone gives the same CT patients.
    rng = np.random.default_rng([scan.seed, crc32(f"{scan.anatomy}/{scan.modality}".encode()), scan.number])
    patient = Heart.random(rng, scan.modality == "lge") if scan.anatomy == "heart" else Abdomen.random(rng)
    shape, affine, thickness_mm = _grid(scan, patient, rng)
    layers = _layers(scan, thickness_mm)
    fine_shape, fine_affine = _split_slices(shape, affine, layers)
    edge_mm = float(np.linalg.norm(affine[:3, 0]))
    canvas = Canvas(fine_shape, fine_affine, _values(scan, rng), edge_mm, patient.displacement, 3.2)
    paint_heart(canvas, patient) if isinstance(patient, Heart) else paint_abdomen(canvas, patient)
    texture = Waves(rng, 5, 14, 40).on(fine_shape, fine_affine)
    if scan.modality == "ct":
        image = (canvas.image + 5 * texture).reshape(*shape[:2], shape[2], layers).mean(-1)
        kernel = 0.45 + 0.5 / edge_mm
        image = np.clip(add_ct_noise(image, rng.uniform(14, 30), kernel, rng), -1024, 3000)
    else:
        image = _magnitude(canvas, texture, scan, layers, rng)
    numbers = canvas.labels.reshape(*shape[:2], shape[2], layers)
    return np.rint(image).astype(np.int16), _source_labels(numbers, scan), affine


def _magnitude(canvas: Canvas, texture: np.ndarray, scan: Scan, layers: int, rng: np.random.Generator) -> np.ndarray:
    """The MR image: coil sensitivity, slice profile, Rician noise, and a scale that means nothing, as in scanners."""
    shape = (*canvas.image.shape[:2], canvas.image.shape[2] // layers)
    if scan.anatomy == "heart":
        coil, reach = np.array([-75, 85, -5]) + rng.normal(0, 20, 3), rng.uniform(110, 180)
    else:
        coil, reach = np.array([0, 60, 0]) + rng.normal(0, 40, 3), rng.uniform(230, 380)
    bias = coil_sensitivity(canvas.points, coil, reach) * np.exp(
        0.12 * Waves(rng, 150, 300, 8).on(canvas.image.shape, canvas.affine)
    )
    signal = canvas.image * (1 + np.float32(0.09) * texture) * bias
    # A slice-selective pulse excites the middle of a slice more than its rims.
    profile = np.hanning(layers + 2)[1:-1].astype(np.float32) ** 0.5
    signal = np.tensordot(signal.reshape(*shape, layers), profile / profile.sum(), 1)
    reference = float(np.median(bias))
    snr = {"bssfp": rng.uniform(22, 35), "lge": rng.uniform(9, 16), "t2": rng.uniform(25, 45)}[scan.modality]
    noisy = add_rician_noise(signal, reference / snr, rng)
    return np.minimum(noisy / reference * rng.uniform(180, 420), 32767)


def _values(scan: Scan, rng: np.random.Generator) -> dict[str, float]:
    if scan.modality == "ct":
        return ct_values(rng, scan.anatomy)
    return {"bssfp": bssfp_values, "lge": lge_values, "t2": t2_values}[scan.modality](rng)


def _source_labels(numbers: np.ndarray, scan: Scan) -> np.ndarray:
    """(i, j, k, layer) class numbers -> (i, j, k) file values: the class that fills most of the voxel's slice."""
    classes = CLASSES[scan.anatomy]
    votes = np.stack([(numbers == number).sum(-1) for number in range(len(classes))])
    table = LABEL_VALUES[scan.anatomy][scan.modality][1]
    values = np.array([0, *(table[name] for name in classes[1:])], np.int16)
    return values[votes.argmax(0)]


def _layers(scan: Scan, thickness_mm: float) -> int:
    """How many sub-slices a slice is averaged from: about as thick as a voxel is wide; CT slices are nearly sharp."""
    return max(1, round(thickness_mm / (3.0 if scan.modality == "ct" else max(1.2, min(2.2, scan.size.in_plane_mm)))))


def _split_slices(
    shape: tuple[int, int, int], affine: np.ndarray, layers: int
) -> tuple[tuple[int, int, int], np.ndarray]:
    """The grid of sub-slices: `layers` per slice, spread evenly over the slice's spacing."""
    fine = affine.copy()
    fine[:3, 2] /= layers
    fine[:3, 3] -= fine[:3, 2] * (layers - 1) / 2
    return (shape[0], shape[1], shape[2] * layers), fine


def _grid(
    scan: Scan, patient: Heart | Abdomen, rng: np.random.Generator
) -> tuple[tuple[int, int, int], np.ndarray, float]:
    """Shape, affine and slice thickness of the scan: where this patient's technician put the field of view."""
    size, is_ct = scan.size, scan.modality == "ct"
    spacing, slice_mm = size.in_plane_mm * rng.uniform(0.95, 1.08), size.ct_slice_mm if is_ct else size.mr_slice_mm
    jitter = rng.normal(0, 4, 3)
    if isinstance(patient, Abdomen):
        slice_mm = slice_mm if is_ct else min(8.0, slice_mm)
        # A trunk is 1.8 times as wide as a heart's field of view: more voxels, and larger ones.
        matrix = round(size.matrix * 1.25 / 8) * 8
        columns = np.diag(_signs(rng)) * (spacing * 1.45, spacing * 1.45, slice_mm)
        shape = (matrix, matrix, round(220 / slice_mm))
        return shape, _centered(columns, shape, np.array([0, 0, 15]) + jitter), slice_mm
    if is_ct and scan.ct_plane == "axial":
        columns = np.diag(_signs(rng)) * (spacing, spacing, slice_mm)
        shape = (size.matrix, size.matrix, round(136 / slice_mm))
        return shape, _centered(columns, shape, np.array([4, 2, 4]) + jitter), slice_mm
    turn = np.deg2rad(rng.uniform(-25, 25))
    septal, anterior, apical = patient.axes
    # Like scanners' short-axis stacks: first axis away from the septum, second downward, third from apex to base.
    first = -np.cos(turn) * septal - np.sin(turn) * anterior
    second = np.sin(turn) * septal - np.cos(turn) * anterior
    tilt = apical + 0.06 * rng.normal() * septal + 0.06 * rng.normal() * anterior
    third = -tilt / np.linalg.norm(tilt)
    first -= third * (first @ third)
    first /= np.linalg.norm(first)
    second -= third * (second @ third) + first * (second @ first)
    second /= np.linalg.norm(second)
    columns = np.stack([first * spacing, second * spacing, third * slice_mm], axis=1)
    shape = (size.matrix, size.matrix, round(118 / slice_mm))
    return shape, _centered(columns, shape, patient.point(18, 0, 19) + jitter), slice_mm


def _signs(rng: np.random.Generator) -> tuple[int, int, int]:
    """LPS, LAS or RAS storage order: which one a site's converter writes differs."""
    orders = ((-1, -1, 1), (-1, 1, 1), (1, 1, 1))
    return orders[int(rng.integers(len(orders)))]


def _centered(columns: np.ndarray, shape: tuple[int, int, int], center: np.ndarray) -> np.ndarray:
    """The affine with these columns that puts the middle of the grid at `center` (RAS mm)."""
    affine = np.eye(4)
    affine[:3, :3] = columns
    affine[:3, 3] = center - columns @ ((np.array(shape) - 1) / 2)
    return affine


def _write_scan(scan: Scan, folder: Path) -> None:
    image, labels, affine = simulate(scan)
    (folder / scan.modality).mkdir(parents=True, exist_ok=True)
    write_image(folder / scan.modality / f"{scan.id}.nii.gz", image, affine)
    write_image(folder / scan.modality / f"{scan.id}_label.nii.gz", labels, affine)


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
            )
            for index, scan in enumerate(scans)
        ),
        label_maps={
            name: {0: ("background",), **{value: (organ,) for organ, value in table.items()}}
            for name, table in maps.values()
        },
        about="Simulated patients and scanners; no real person. Written by `unpaired phantom`.",
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
