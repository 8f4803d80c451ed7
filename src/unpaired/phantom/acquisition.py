"""One simulated scan of one simulated patient: field of view, signals, slices as thick as they are, noise."""

from collections.abc import Mapping
from dataclasses import dataclass
from zlib import crc32

import numpy as np

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


@dataclass(frozen=True)
class PhantomSize:
    """Voxel sizes in mm, in-plane matrix of a heart scan, and how many patients per modality."""

    in_plane_mm: float
    ct_slice_mm: float
    mr_slice_mm: float
    matrix: int
    patients: Mapping[str, int]


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
