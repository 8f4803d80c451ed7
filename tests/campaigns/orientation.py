"""Every axis order and flip through every format: read, written, prepared, restored, each voxel compared.

    PYTHONPATH=tests python -m campaigns.orientation --seed 0 --count 6

`count` is the number of geometries for each of the 48 orders: the first has cubic voxels, the second other ones, all
further ones are turned too. Files to read are written by nibabel, SimpleITK, Pillow and pydicom; files that were
written are read by nibabel and SimpleITK. The oracle is a volume whose axes run to the patient's right, front and top:
a voxel is right if the place that a file gives it holds its value there.
"""

import itertools
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk  # noqa: N813 (its own documentation's name)

from campaigns.tally import Tally, run_alone
from unpaired.data.case import Geometry
from unpaired.data.dataset import Modality
from unpaired.data.images import Image, read_image, read_label_map, write_image
from unpaired.data.orientation import Plane
from unpaired.data.preprocess import Preprocessing, apply, apply_to_label
from unpaired.data.restore import restore_slabs
from unpaired.dicom.one_series import dicom_files, read_series

ORDERS = [
    (axes, flips) for axes in itertools.permutations(range(3)) for flips in itertools.product((False, True), repeat=3)
]
KINDS = ("image", "label map")
LPS = np.diag([-1.0, -1.0, 1.0])
TOLERANCE_VOXELS = 0.01
CLASSES = 5


@dataclass(frozen=True)
class Truth:
    """A volume whose axes run to right, front and top (turned a little where oblique), and its voxel -> RAS+ mm."""

    array: np.ndarray
    affine: np.ndarray

    def stored(self, axes: tuple[int, ...], flips: tuple[bool, ...]) -> tuple[np.ndarray, np.ndarray]:
        """(array, affine) of the same scan with permuted and reversed axes."""
        array = self.array.transpose(axes)[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
        affine = np.eye(4)
        affine[:3, 3] = self.affine[:3, 3]
        for axis, (source, flip) in enumerate(zip(axes, flips, strict=True)):
            column = self.affine[:3, source]
            affine[:3, axis] = -column if flip else column
            if flip:
                affine[:3, 3] += column * (self.array.shape[source] - 1)
        return np.ascontiguousarray(array), affine

    def wrong_voxels(self, array: np.ndarray, affine: np.ndarray) -> int:
        """How many voxels of a read file hold another value than this scan has at their place."""
        if array.size != self.array.size:
            return max(array.size, self.array.size)
        indices = np.indices(array.shape).reshape(3, -1)
        places = affine[:3, :3] @ indices + affine[:3, 3:]
        own = np.linalg.solve(self.affine[:3, :3], places - self.affine[:3, 3:])
        nearest = np.rint(own).astype(int)
        size = np.array(self.array.shape)[:, None]
        inside = ((nearest >= 0) & (nearest < size)).all(axis=0) & (np.abs(own - nearest).max(0) < TOLERANCE_VOXELS)
        values = self.array[tuple(nearest.clip(0, size - 1))]
        return int((~inside | (values != array.ravel())).sum())


def truth(rng: np.random.Generator, number: int, kind: str) -> Truth:
    """Geometry `number`: 0 has cubic voxels, 1 other ones; from 2 on it is turned too.

    Even ones by up to 0.4, so that the nearest of the three planes is known by hand, odd ones anyhow.
    """
    shape = tuple(rng.permutation([3, 4, 6]) if number else (3, 4, 6))
    spacing = np.full(3, 1.5) if number == 0 else rng.uniform(0.4, 9.0, 3)
    affine = np.eye(4)
    angle = 0.0 if number < 2 else rng.uniform(0.05, 0.4) if number % 2 == 0 else rng.uniform(0.5, np.pi)
    affine[:3, :3] = _rotation(rng.normal(size=3), angle) * spacing
    affine[:3, 3] = rng.uniform(-300, 300, 3)
    if kind == "label map":
        return Truth(rng.integers(0, CLASSES, shape).astype(np.uint8), affine)
    values = rng.permutation(int(np.prod(shape))).reshape(shape)
    return Truth(values.astype(np.float32 if number % 2 else np.int16), affine)


def _rotation(axis: np.ndarray, angle: float) -> np.ndarray:
    """Rodrigues' formula."""
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def _nibabel(array: np.ndarray, affine: np.ndarray, path: Path) -> None:
    image = nib.Nifti1Image(array, affine)
    image.set_qform(affine, 1)
    nib.save(image, path)


def _itk_image(array: np.ndarray, affine: np.ndarray) -> sitk.Image:
    image = sitk.GetImageFromArray(array.T)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin((LPS @ affine[:3, 3]).tolist())
    image.SetDirection((LPS @ affine[:3, :3] / spacing).ravel().tolist())
    return image


def _itk(array: np.ndarray, affine: np.ndarray, path: Path) -> None:
    sitk.WriteImage(_itk_image(array, affine), str(path), path.stem.endswith("packed"))


def _dicom(array: np.ndarray, affine: np.ndarray, folder: Path) -> None:
    """Slices along the last axis, each placed by its own position, under names in another order."""
    from reader_fuzz import dicom_slice

    folder.mkdir()
    for number in range(array.shape[2]):
        position = LPS @ (affine @ [0, 0, number, 1])[:3]
        content = dicom_slice(array[..., number], LPS @ affine[:3, :3], position)
        (folder / f"{(number * 7) % 10}_{number}.dcm").write_bytes(content)


WRITERS: dict[str, tuple[str, Callable[[np.ndarray, np.ndarray, Path], None]]] = {
    "NIfTI": ("scan.nii", _nibabel),
    "NIfTI, gzip": ("scan.nii.gz", _nibabel),
    "NIfTI by ITK": ("itk.nii.gz", _itk),
    "NRRD": ("scan.nrrd", _itk),
    "NRRD, gzip": ("packed.nrrd", _itk),
    "NRRD, two files": ("scan.nhdr", _itk),
    "MetaImage": ("scan.mha", _itk),
    "MetaImage, zlib": ("packed.mha", _itk),
    "MetaImage, two files": ("scan.mhd", _itk),
    "DICOM series": ("series", _dicom),
}


def campaign(seed: int, count: int, folder: Path, tally: Tally) -> None:
    """All orders, formats and kinds, each in `count` geometries; then PNG, which has no order."""
    for order, (axes, flips) in enumerate(ORDERS):
        for number, kind in itertools.product(range(count), KINDS):
            rng = np.random.default_rng((seed, number, KINDS.index(kind)))
            place = folder / f"{order}_{number}_{KINDS.index(kind)}"
            place.mkdir()
            scan = truth(rng, number, kind)
            array, affine = scan.stored(axes, flips)
            for step, wrong in (
                *_read_steps(scan, array, affine, kind, place),
                *_write_steps(scan, array, affine, kind, place),
                *_prepare_steps(scan, array, affine, place, known_plane=number < 2 or number % 2 == 0),
            ):
                if wrong:
                    tally.fault(step, f"{wrong} voxels, seed {seed}, order {axes} {flips}, geometry {number}, {kind}")
                else:
                    tally.add(step, "right")
    for number in range(48 * count):
        _png(np.random.default_rng((seed, number)), folder / "slice.png", tally)


def _read_steps(
    scan: Truth, array: np.ndarray, affine: np.ndarray, kind: str, folder: Path
) -> Iterator[tuple[str, int]]:
    """(step, wrong voxels) of reading what others wrote."""
    for name, (file, write) in WRITERS.items():
        path = folder / file
        write(array.astype(np.int16) if name == "DICOM series" else array, affine, path)
        if path.is_dir():
            image = read_series(dicom_files(path)).image
        else:
            image = (read_label_map if kind == "label map" else read_image)(path)
        yield f"read {name}, {kind}", scan.wrong_voxels(image.array, image.affine)


def _write_steps(
    scan: Truth, array: np.ndarray, affine: np.ndarray, kind: str, folder: Path
) -> Iterator[tuple[str, int]]:
    """(step, wrong voxels) of writing what others read."""
    for suffix in (".nii", ".nii.gz"):
        path = folder / f"written{suffix}"
        write_image(path, array, affine)
        yield f"write {suffix}, read by nibabel, {kind}", scan.wrong_voxels(*_by_nibabel(path))
        yield f"write {suffix}, read by SimpleITK, {kind}", scan.wrong_voxels(*read_by_itk(path))


def _by_nibabel(path: Path) -> tuple[np.ndarray, np.ndarray]:
    image = nib.Nifti1Image.from_filename(path)
    return np.asanyarray(image.dataobj), np.asarray(image.affine)


def read_by_itk(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(array, voxel -> RAS+ mm affine) as SimpleITK has them."""
    image = sitk.ReadImage(str(path))
    affine = np.eye(4)
    affine[:3, :3] = LPS @ np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = LPS @ image.GetOrigin()
    return sitk.GetArrayFromImage(image).T, affine


def _prepare_steps(
    scan: Truth, array: np.ndarray, affine: np.ndarray, folder: Path, known_plane: bool
) -> Iterator[tuple[str, int]]:
    """(step, wrong voxels) of what a network gets, by plane, and of its answer on the file's own grid."""
    by_hand: dict[Plane, np.ndarray] = {  # out of axes to right, front and top; see `data.orientation.orientation`
        "axial": scan.array.transpose(2, 1, 0)[:, ::-1, ::-1],
        "coronal": scan.array.transpose(1, 2, 0)[::-1, ::-1, ::-1],
        "sagittal": scan.array.transpose(0, 2, 1)[:, ::-1, ::-1],
    }
    labels = (array % CLASSES).astype(np.uint8)
    for plane in by_hand:
        volume, geometry = _prepared(array, affine, plane)
        expected = by_hand[plane] if known_plane else _prepared(scan.array, scan.affine, plane)[0]
        yield f"prepare the image, {plane}", _differing(volume, expected)
        yield f"place the prepared image, {plane}", scan.wrong_voxels(volume, geometry.prepared_affine)
        prepared = apply_to_label(labels, geometry)
        yield f"prepare the label map, {plane}", _differing(prepared, (expected % CLASSES).astype(np.uint8))
        logits = np.eye(CLASSES, dtype=np.float32)[prepared].transpose(3, 0, 1, 2)
        restored = restore_slabs([logits[:, :1], logits[:, 1:]], geometry)
        yield f"restore a prediction, {plane}", _differing(restored, labels)
        path = folder / "prediction.nii.gz"
        write_image(path, restored, affine)
        answer = Truth((scan.array % CLASSES).astype(np.uint8), scan.affine)
        yield f"restore and write a prediction, {plane}", answer.wrong_voxels(*_by_nibabel(path))


def _prepared(array: np.ndarray, affine: np.ndarray, plane: Plane) -> tuple[np.ndarray, Geometry]:
    return apply(Image(array, affine), Preprocessing(plane=plane), Modality(normalization="none"))


def _differing(array: np.ndarray, expected: np.ndarray) -> int:
    if array.shape != expected.shape:
        return max(array.size, expected.size)
    return int((array != expected).sum())


def _png(rng: np.random.Generator, path: Path, tally: Tally) -> None:
    """PNG has no place: columns count toward the patient's left, rows toward posterior, 1 mm."""
    from PIL import Image as Picture

    width, height = rng.integers(1, 30, 2)
    for kind, dtype, read in (("image", np.uint16, read_image), ("label map", np.uint8, read_label_map)):
        pixels = rng.integers(0, np.iinfo(dtype).max, (height, width)).astype(dtype)
        Picture.fromarray(pixels).save(path)
        image = read(path)
        right = image.array.shape == (width, height, 1) and np.array_equal(image.affine, np.diag([-1, -1, 1, 1]))
        if right and all(
            image.array[column, row, 0] == pixels[row, column] for column in range(width) for row in range(height)
        ):
            tally.add(f"read PNG, {kind}", "right")
        else:
            tally.fault(f"read PNG, {kind}", f"{width} x {height}")


if __name__ == "__main__":
    sys.exit(run_alone(campaign, 6, __doc__))
