"""Simulate abdominal CT on the anatomy of real label maps, where a label set is at hand and its scans are not.

    python studies/ct_on_labels.py LABELS data/simulated_ct
    unpaired import btcv data/simulated_ct data/ct.json
    unpaired import chaos CHAOS data/mr.json
    unpaired join data/ct.json data/mr.json --out data/abdomen.json

LABELS holds label maps label_1.nii.gz, ... with BTCV's values and its thirteen organs. The organs are the patient's;
what nobody labeled is the abdomen phantom's, fitted to them: wall, fat, ribs, spine, bowel, lungs. HU, noise and their
variation between patients are the phantom's too. Every second voxel in plane is kept, and the slices with liver,
spleen or kidneys. Some redistributed copies have front and back mixed up in their headers; those are flipped. Real
shapes, simulated contrast: a stand-in for CT to develop on, and no evidence about real CT.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy import ndimage

from unpaired.data.images import image_files, read_label_map, write_image
from unpaired.phantom.abdomen import Abdomen, paint_bowel, paint_trunk
from unpaired.phantom.canvas import Canvas, Waves
from unpaired.phantom.physics import add_ct_noise, ct_values

SPLEEN, RIGHT_KIDNEY, LEFT_KIDNEY, LIVER, STOMACH, PANCREAS = 1, 2, 3, 6, 7, 11
NEEDED = {"liver": LIVER, "left kidney": LEFT_KIDNEY, "right kidney": RIGHT_KIDNEY, "pancreas": PANCREAS}
ORGANS_OF_TASK = (SPLEEN, RIGHT_KIDNEY, LEFT_KIDNEY, LIVER)
ORGANS = {
    5: "muscle",
    9: "venous blood",
    8: "arterial blood",
    STOMACH: "bowel wall",
    12: "pancreas",
    13: "pancreas",
    PANCREAS: "pancreas",
    10: "venous blood",
    LIVER: "liver",
    SPLEEN: "spleen",
    RIGHT_KIDNEY: "renal cortex",
    LEFT_KIDNEY: "renal cortex",
    4: "fluid",
}
"""In the order of painting."""
PHANTOM_WIDTH_MM, PHANTOM_DEPTH_MM = 262.0, 165.0
PHANTOM_CENTER = np.array([7.0, -2.0])
KIDNEY_HEIGHT_MM = -4.0
"""Where the phantom has its organs (width, depth and their middle) and its kidneys' middle."""
MARGIN_MM = 15.0


def simulate(path: Path, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """CT (int16, HU), label map (uint8, the source's values) and affine, on every second voxel in plane."""
    rng = np.random.default_rng([seed, *path.name.encode()])
    labels, affine = _cropped(path)
    to_phantom = _to_phantom(labels, affine)
    patient = Abdomen.random(rng)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    canvas = Canvas(labels.shape, to_phantom @ affine, ct_values(rng, "abdomen"), float(spacing[0]))
    paint_trunk(canvas, patient, patient.lumps.on(labels.shape, canvas.affine))
    paint_bowel(canvas, rng)
    _paint_lungs(canvas, labels, spacing)
    for value, tissue in ORGANS.items():
        _paint_organ(canvas, labels == value, canvas.values[tissue])
    _paint_inside(canvas, labels, spacing, rng)
    texture = Waves(rng, 5, 14, 40).on(labels.shape, canvas.affine)
    image = add_ct_noise(canvas.image + 5 * texture, rng.uniform(14, 30), 0.45 + 0.5 / float(spacing[0]), rng)
    return np.rint(np.clip(image, -1024, 3000)).astype(np.int16), labels.astype(np.uint8), affine


def _cropped(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Every second voxel in plane, and the slices with labels and a little beyond: with the affine that belongs."""
    source = read_label_map(path)
    labels, affine = np.asarray(source.array), source.affine.copy()
    upward = int(np.argmax(np.abs(affine[2, :3])))
    if upward != 2:
        raise SystemExit(f"{path}: expected axial slices along the third axis, found them along axis {upward + 1}")
    missing = [name for name, value in NEEDED.items() if not (labels == value).any()]
    if missing:
        raise SystemExit(f"{path}: found no {' and no '.join(missing)}, by which the phantom is fitted; leave it out")
    if _back_to_front(labels, affine):
        labels = labels[:, ::-1]
        print(f"{path.name}: the kidneys lie before the pancreas; flipped from front to back", flush=True)
    present = np.flatnonzero(np.isin(labels, ORGANS_OF_TASK).any((0, 1)))
    beyond = int(MARGIN_MM / source.spacing_mm[2])
    first, last = max(0, present[0] - beyond), min(labels.shape[2] - 1, present[-1] + beyond)
    affine[:3, 3] += affine[:3, 2] * first
    affine[:3, :2] *= 2
    return labels[::2, ::2, first : last + 1], affine


def _back_to_front(labels: np.ndarray, affine: np.ndarray) -> bool:
    """Whether the header has front and back the wrong way round: kidneys lie behind the pancreas in everybody."""
    if int(np.argmax(np.abs(affine[1, :3]))) != 1:
        raise SystemExit("expected rows from front to back or back to front along the second axis of the file")
    kidneys, pancreas = (
        np.flatnonzero(np.isin(labels, values).any((0, 2))).mean() * affine[1, 1]
        for values in ((RIGHT_KIDNEY, LEFT_KIDNEY), (PANCREAS,))
    )
    return bool(kidneys > pancreas)


def _to_phantom(labels: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """RAS mm of the patient -> RAS mm of the phantom: the organs' width and depth, and the height of the kidneys."""
    organs = np.argwhere(np.isin(labels, ORGANS_OF_TASK)) @ affine[:3, :3].T + affine[:3, 3]
    kidneys = np.argwhere(np.isin(labels, (LEFT_KIDNEY, RIGHT_KIDNEY))) @ affine[:3, :3].T + affine[:3, 3]
    low, high = organs[:, :2].min(0), organs[:, :2].max(0)
    scale = np.array([PHANTOM_WIDTH_MM, PHANTOM_DEPTH_MM]) / (high - low)
    matrix = np.diag([*scale, 1.0, 1.0])
    matrix[:2, 3] = PHANTOM_CENTER - scale * (low + high) / 2
    matrix[2, 3] = KIDNEY_HEIGHT_MM - kidneys[:, 2].mean()
    return matrix


def _paint_organ(canvas: Canvas, mask: np.ndarray, value: float) -> None:
    amount = ndimage.gaussian_filter(mask.astype(np.float32), 0.6)
    canvas.image += amount * (np.float32(value) - canvas.image)


def _depth(mask: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """How deep in the mask each of its voxels lies, in mm; 0 outside."""
    return np.asarray(ndimage.distance_transform_edt(mask, spacing))


def _paint_lungs(canvas: Canvas, labels: np.ndarray, spacing: np.ndarray) -> None:
    """Lung above the dome that liver, spleen and stomach make, inside the ribs, without the heart in the middle."""
    x, y, z = canvas.points
    under = np.isin(labels, (LIVER, SPLEEN, STOMACH))
    top = np.where(under, z, -np.inf).max(2)
    reach = top > -np.inf
    nearest = np.asarray(
        ndimage.distance_transform_edt(~reach, spacing[:2], return_distances=False, return_indices=True)
    )
    dome = top[tuple(nearest)] - 0.8 * _depth(~reach, spacing[:2])
    dome = ndimage.gaussian_filter(dome, 8 / spacing[0])[..., None] + 4
    chest = (x / 140) ** 2 + ((y + 4) / 86) ** 2 < 1
    heart = ((x + 20) / 62) ** 2 + ((y - 16) / 54) ** 2 < 1
    _paint_organ(canvas, chest & (z > dome) & (z > 40) & heart, canvas.values["venous blood"])
    _paint_organ(canvas, chest & (z > dome) & (z > 40) & ~heart, canvas.values["lung"])


def _paint_inside(canvas: Canvas, labels: np.ndarray, spacing: np.ndarray, rng: np.random.Generator) -> None:
    """Vessels in the liver, medulla in the kidneys, fluid and gas in the stomach."""
    values = canvas.values
    for side in (RIGHT_KIDNEY, LEFT_KIDNEY):
        depth = _depth(labels == side, spacing)
        lumps = Waves(rng, 12, 22, 30).on(labels.shape, canvas.affine)
        _paint_organ(canvas, (depth > 6) & (lumps > 0), values["renal medulla"])
    depth = _depth(labels == STOMACH, spacing)
    up = canvas.points[1] > np.median(canvas.points[1][labels == STOMACH]) + 12 if (depth > 0).any() else False
    _paint_organ(canvas, depth > 4, values["fluid"])
    _paint_organ(canvas, (depth > 4) & up, values["gas"])
    depth = _depth(labels == LIVER, spacing)
    branches = np.abs(Waves(rng, 35, 70, 30).on(labels.shape, canvas.affine)) < 0.1
    crossing = np.abs(Waves(rng, 35, 70, 30).on(labels.shape, canvas.affine)) < 0.12
    _paint_organ(canvas, (depth > 8) & branches & crossing, values["liver vessel"])


def main() -> None:
    """Write the scans, each beside its label map. Those that are there already stay."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    found = image_files(options.labels) if options.labels.is_dir() else []
    files = [path for path in found if path.name.startswith("label_")]
    if not files:
        raise SystemExit(f"{options.labels}: expected label maps named label_1.nii.gz and so on, found none")
    for path in files:
        scan = options.out / path.name.replace("label_", "image_", 1)
        if scan.is_file():
            continue
        image, labels, affine = simulate(path, options.seed)
        write_image(options.out / path.name, labels, affine)
        write_image(scan, image, affine)
        print(f"{scan}: {' x '.join(map(str, image.shape))} voxels", flush=True)


if __name__ == "__main__":
    main()
