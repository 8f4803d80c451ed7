"""Which prediction file belongs to which reference, and whether both lie on one grid."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from nibabel.orientations import aff2axcodes

from unpaired.data.images import CORNER_VOXELS, Image, corner_shift, image_files, name_below, turned_axes
from unpaired.errors import InputError, nearest
from unpaired.runs.folder import PROBABILITIES

PERPENDICULAR = 0.01
"""The largest cosine between two axes of a grid on which distances per axis still mean something."""


def label_files(folder: Path, what: str) -> dict[str, list[Path]]:
    """{path in the folder, without suffix: its files}; more than one where x.nii lies beside x.nii.gz.

    Raises InputError if there is no such folder, or no label map in it.
    """
    if not folder.is_dir():
        raise InputError(f"expected a folder of {what}, found none at {folder}; check the path")
    files: dict[str, list[Path]] = {}
    for file in image_files(folder):
        if PROBABILITIES not in file.relative_to(folder).parts:
            files.setdefault(name_below(file, folder), []).append(file)
    if not files:
        raise InputError(f"expected label maps (.nii.gz) in the folder of {what} {folder}, found none")
    return files


def one_file(files: Mapping[str, Sequence[Path]], name: str, folder: Path, what: str, advice: str) -> Path:
    """The prediction or reference (`what`) called `name`. InputError, with `advice`, if there is none, or several."""
    candidates = files.get(name, ())
    if not candidates:
        raise InputError(f"no {what} {name}.nii.gz in {folder}; {advice}")
    if len(candidates) > 1:
        names = " and ".join(file.name for file in candidates)
        raise InputError(f"{folder}: the same case twice, {names}; keep the one that is right")
    return candidates[0]


def require_a_match(names: Iterable[str], expected: Sequence[str], folder: Path, what: str, advice: str = "") -> None:
    """InputError, with `advice`, if not one of the names `found` in a folder is one of the names `expected`."""
    names = list(names)
    if not set(names) & set(expected):
        raise InputError(
            f"{folder}: none of its {len(names)} files is named like {what}: found {_few(names)}; "
            f"expected {_few(expected)}{advice and f'; {advice}'}"
        )


def stranger(name: str, expected: Sequence[str], folder: Path, what: str) -> str:
    """The message about a file that matches nothing."""
    return f"{folder / name}: matches no {what}; {nearest(name.split('.')[0], list(expected))} Rename or remove it"


def require_one_grid(prediction: Image, reference: Image, path: Path, reference_path: Path) -> None:
    """InputError, saying by how much, unless both have one shape, perpendicular axes and corners that meet."""
    if turned := turned_axes(reference, prediction):
        raise InputError(f"{path}: lies on the voxels of {reference_path.name}, but {turned}")
    shape, expected = prediction.array.shape, reference.array.shape
    if shape != expected:
        differ = ", ".join(
            f"axis {axis} by {a - b:+d}" for axis, (a, b) in enumerate(zip(shape, expected, strict=True)) if a != b
        )
        raise InputError(
            f"{path}: expected the shape {expected} of {reference_path.name}, got {shape} ({differ} voxels); "
            "predict on the image's own grid"
        )
    apart = corner_shift(reference, prediction)
    if not apart <= CORNER_VOXELS:
        raise InputError(
            f"{path}: its affine puts a corner {apart * min(reference.spacing_mm):.2f} mm ({apart:.1f} voxels) from "
            f"where {reference_path.name} has it ({CORNER_VOXELS} voxels are allowed)"
            f"{_why_apart(prediction, reference)}; write the prediction with the image's own affine"
        )
    axes = reference.affine[:3, :3] / np.linalg.norm(reference.affine[:3, :3], axis=0)
    cosine = float(np.abs(axes.T @ axes - np.eye(3)).max())
    if not cosine <= PERPENDICULAR:
        raise InputError(
            f"{reference_path}: its axes are {np.degrees(np.arcsin(min(cosine, 1))):.1f} degrees from perpendicular "
            "(gantry tilt?), so distances along them mean little; resample image, reference and prediction"
        )


def _why_apart(prediction: Image, reference: Image) -> str:
    """What of the affine differs most tellingly: directions, then spacing; nothing for a mere shift."""
    if not (np.isfinite(prediction.affine).all() and min(prediction.spacing_mm) > 0):
        return ": it has no valid affine"
    axes, reference_axes = (
        "".join(str(code) for code in aff2axcodes(image.affine)) for image in (prediction, reference)
    )
    if axes != reference_axes:
        return f": its axes run {axes}, the reference's {reference_axes}"
    if not np.allclose(prediction.spacing_mm, reference.spacing_mm, rtol=1e-3):
        sizes = (" x ".join(f"{size:g}" for size in image.spacing_mm) for image in (prediction, reference))
        return ": its spacing is {} mm, the reference's {}".format(*sizes)
    return ""


def _few(names: Sequence[str]) -> str:
    return ", ".join(sorted(names)[:3]) + (", ..." if len(names) > 3 else "")
