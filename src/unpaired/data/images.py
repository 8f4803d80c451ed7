"""Read and write image files with their geometry. An array's axes are the file's own; the affine places them."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Literal

import numpy as np

from unpaired.data.content import what_is_at
from unpaired.data.formats.metaimage import read_metaimage
from unpaired.data.formats.nifti import read_nifti
from unpaired.data.formats.nrrd import read_nrrd
from unpaired.data.formats.png import read_png
from unpaired.data.image import Image, ImageError, affine_problem, require_finite, require_placed
from unpaired.errors import InputError
from unpaired.files import files_below, write_bytes

NIFTI = (".nii.gz", ".nii")
READERS: dict[str, Callable[[Path], Image]] = {
    **dict.fromkeys(NIFTI, read_nifti),
    **dict.fromkeys((".nrrd", ".nhdr"), read_nrrd),
    **dict.fromkeys((".mha", ".mhd"), read_metaimage),
    ".png": read_png,
}
IMAGE_SUFFIXES = tuple(READERS)
LARGEST_VALUE = 2**31 - 1
"""The largest label value, as of whole numbers of 32 bits; the smallest is as far below 0."""
CORNER_VOXELS = 0.5
"""How far a label map's corner may lie from its image's: less than a voxel is rounding in headers."""
COMPRESSION = 2
"""isal's level, of 0 to 3: files within a tenth of zlib's default size, several times faster."""


def read_image(path: str | Path) -> Image:
    """Read a 3D image: NIfTI, NRRD, MetaImage or a grayscale PNG; values after the header's slope and intercept.

    The dtype stays the file's where it holds the values exactly, else it is float32. 2D images and 4D ones with a
    single volume become 3D. Raises ImageError (an InputError) for a missing, damaged, foreign, 4D, complex or color
    file, one that is larger than memory allows (see `payload.byte_limit`), a header that places no scan or contradicts
    itself, and NaN, infinity or values beyond float32 among the voxels.
    """
    image = _read(Path(path))
    require_finite(image.array, path)
    return image


def _read(path: Path) -> Image:
    if not path.is_file():
        raise ImageError(f"expected an image file, found {what_is_at(path)} at {path}; {_near(path)}", "missing")
    suffix = image_suffix(path)
    if suffix is None:
        formats = ", ".join(IMAGE_SUFFIXES)
        raise ImageError(f"{path}: not an image format that is read here; expected one of {formats}")
    image = READERS[suffix](path)
    image = Image(_three_axes(image.array), image.affine, image.notes)
    require_placed(image, path)
    return image


def _near(path: Path) -> str:
    """What to do about a name without a file: take the image of that name with a suffix, or in other letters."""
    try:
        names = () if path.exists() else sorted(file.name for file in path.parent.iterdir() if image_suffix(file))
    except OSError:  # the folder isn't there either, or can't be listed
        names = ()
    meant = path.name.lower()
    same = [name for name in names if name.lower() == meant or name.lower().startswith(f"{meant}.")]
    return f"did you mean {' or '.join(same)}?" if same else "check the path"


def read_label_map(path: str | Path) -> Image:
    """Read a label map: as `read_image`, with an integer array.

    Labels that were stored as floats are rounded; InputError if a value is further than 0.001 from an integer, which
    means that the file holds probabilities or was resampled with interpolation.
    """
    image = _read(Path(path))
    if image.array.dtype.kind in "iu":
        return image
    if image.array.dtype.kind == "b":
        return Image(image.array.astype(np.uint8), image.affine, image.notes)
    with np.errstate(invalid="ignore"):  # infinities are named below
        rounded = np.rint(image.array)
        wrong = ~(np.abs(image.array - rounded) <= 1e-3) | (np.abs(rounded) > LARGEST_VALUE)
    if wrong.any():
        raise ImageError(
            f"{path}: expected whole numbers as label values, got {float(image.array[wrong][0]):g}; "
            "store label maps with nearest-neighbor resampling and an integer type"
        )
    return Image(rounded.astype(np.int32), image.affine, image.notes)


def write_image(path: str | Path, image: Image | np.ndarray, affine: np.ndarray | None = None) -> None:
    """Write an image as NIfTI: `.nii.gz` or `.nii`, atomically; folders are created.

    A bare 3D array, such as a label map, needs the `affine` of the image that it lies on. The dtype is kept; NIfTI
    lacks bool and float16, which become uint8 and float32. The affine goes to sform and qform with the code "scanner".
    Raises InputError when the affine places no scan, or when the file can't be written (no space, no permission);
    nothing half-written is left.
    """
    write_bytes(Path(path), image_bytes(path, image, affine))


def image_bytes(path: str | Path, image: Image | np.ndarray, affine: np.ndarray | None = None) -> bytes:
    """What `write_image` writes to `path`."""
    import nibabel as nib

    path = Path(path)
    array, placed = (image.array, image.affine) if isinstance(image, Image) else (image, affine)
    placed = placed if affine is None else affine
    if placed is None:
        raise InputError(f"{path}: an array alone doesn't say where it lies; give its image's affine too")
    if image_suffix(path) not in NIFTI:
        raise InputError(f"{path}: images are written as NIfTI; name the file .nii.gz or .nii")
    problem = affine_problem(placed)
    if problem is not None:
        raise ImageError(f"{path}: {problem}", "affine")
    small = {"bool": np.uint8, "float16": np.float32}
    array = array.astype(small.get(array.dtype.name, array.dtype), copy=False)
    nifti = nib.Nifti1Image(array, placed, dtype=array.dtype)
    nifti.set_sform(placed, code="scanner")
    nifti.set_qform(placed, code="scanner")
    content = nifti.to_bytes()
    if not path.name.endswith(".gz"):
        return content
    from isal import igzip

    return bytes(igzip.compress(content, compresslevel=COMPRESSION, mtime=0))


def image_files(folder: str | Path, but: Collection[str | Path] = ()) -> list[Path]:
    """The image files of a folder and of all folders in it, sorted by path; hidden files and folders are left out.

    `but` are folders to leave out. Linked folders are followed, each once. What has an image's name and can't be read,
    such as a link to nowhere, is among them: whoever reads it says so, and nothing is left out without a word. Raises
    InputError if it is no folder, and for a folder in it that can't be listed.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"expected a folder of images, found none at {folder}; check the path")
    return sorted(file for file in files_below(folder, but) if image_suffix(file))


def name_below(file: Path, folder: Path) -> str:
    """How an image of a folder is called: its path below the folder, with `/`, without the format's suffix."""
    name = file.relative_to(folder).as_posix()
    return name[: len(name) - len(image_suffix(file) or "")]


def image_suffix(path: Path) -> str | None:
    """The image format of a file name (".nii.gz" counts as one suffix), None for other files."""
    return next((suffix for suffix in IMAGE_SUFFIXES if path.name.lower().endswith(suffix)), None)


def _three_axes(array: np.ndarray) -> np.ndarray:
    """A view without fourth axes of length one, and with a third one for 2D."""
    while array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    return array[..., np.newaxis] if array.ndim == 2 else array


def require_same_grid(image: Image, label: Image, label_path: Path) -> None:
    """InputError unless a label map lies on its image's grid: the same shape, corners within half a voxel."""
    problem = grid_problem(image, label)
    if problem is not None:
        raise InputError(f"{label_path}: {problem[1]}")


def grid_problem(image: Image, label: Image) -> tuple[Literal["shape", "corners"], str] | None:
    """What is wrong with a label map that doesn't lie on its image's grid, and what to do; None if it does."""
    turned = turned_axes(image, label)
    if turned is not None:
        rule = "corners" if image.array.shape == label.array.shape else "shape"
        return rule, f"the label map lies on the image's voxels, but {turned}"
    if image.array.shape != label.array.shape:
        text = f"the label map's shape {label.array.shape} isn't the image's {image.array.shape}; "
        return "shape", text + "export it on the image's own grid"
    shift = corner_shift(image, label)
    if not shift <= CORNER_VOXELS:
        text = f"a corner of the label map lies {shift:.1f} voxels away from the image's (allowed: {CORNER_VOXELS}); "
        return "corners", text + "copy the affine of the one that is right"
    return None


def corner_shift(image: Image, other: Image) -> float:
    """The largest distance between the same corners of two grids of one shape, in the first one's finest voxels."""
    moved = _corners_mm(image.array.shape, image.affine) - _corners_mm(image.array.shape, other.affine)
    return float(np.linalg.norm(moved, axis=0).max() / min(image.spacing_mm))


def turned_axes(image: Image, other: Image) -> str | None:
    """What to do where the grid of `other` is that of `image` with its axes in another order or direction; else None.

    Both headers may be right then: with the affine of one of them the other would be mirrored or turned.
    """
    from nibabel.orientations import aff2axcodes, io_orientation, ornt_transform

    there, here = (io_orientation(each.affine) for each in (image, other))
    if np.array_equal(there, here):
        return None
    axes = ornt_transform(here, there)
    shape, affine = [0, 0, 0], np.eye(4)
    for axis, (onto, direction) in enumerate(axes):
        size = other.array.shape[axis]
        shape[int(onto)] = size
        affine[:3, int(onto)] = other.affine[:3, axis] * direction
    last = np.array(
        [size - 1 if direction < 0 else 0 for size, (_, direction) in zip(other.array.shape, axes, strict=True)]
    )
    affine[:3, 3] = other.affine[:3, 3] + other.affine[:3, :3] @ last
    if tuple(shape) != image.array.shape:
        return None
    if not corner_shift(image, Image(image.array, affine)) <= CORNER_VOXELS:
        return None
    names = ["".join(aff2axcodes(each.affine)) for each in (other, image)]
    return (
        f"its axes run toward {names[0]}, the image's toward {names[1]}; write it with its voxels in the image's order "
        "(nibabel: as_reoriented), don't copy an affine, which would mirror or turn it"
    )


def _corners_mm(shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    corners = np.array(np.meshgrid(*([0, size - 1] for size in shape), [1], indexing="ij")).reshape(4, -1)
    return (affine @ corners)[:3]
