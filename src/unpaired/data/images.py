"""Read and write image files with their geometry. An array's axes are the file's own; the affine places them."""

import gzip
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from unpaired.data.itk_locale import locale_kept
from unpaired.errors import InputError
from unpaired.files import write_bytes

NIFTI = (".nii.gz", ".nii")
ITK = (".nrrd", ".mha", ".mhd")
IMAGE_SUFFIXES = (*NIFTI, *ITK, ".png")
TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""ITK and DICOM count toward left and posterior (LPS), nibabel toward right and anterior (RAS)."""
CORNER_VOXELS = 0.5
"""How far a label map's corner may lie from its image's: less than a voxel is rounding in headers."""
COMPRESSION = 2
"""Of isal's 0..3: within a tenth of zlib's default size, several times faster."""


@dataclass(frozen=True)
class Image:
    """A 3D array in the file's own axis order and its voxel -> RAS+ millimetre affine (4, 4), as nibabel defines it.

    2D files get a third axis of length one.
    """

    array: np.ndarray
    affine: np.ndarray

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel size along each array axis, from the affine's columns."""
        sizes = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(sizes[0]), float(sizes[1]), float(sizes[2])


def read_image(path: str | Path) -> Image:
    """Read a 3D image: NIfTI, NRRD, MetaImage or a grayscale PNG; values after the header's slope and intercept.

    The dtype stays the file's where it holds the values exactly, else it is float32. 2D images and 4D ones with a
    single volume become 3D. Raises InputError for a missing, truncated, foreign, 4D, complex or color file.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"expected an image file, found none at {path}; check the path")
    suffix = image_suffix(path)
    if suffix in NIFTI:
        array, affine = _read_nifti(path)
    elif suffix in ITK:
        array, affine = _read_itk(path)
    elif suffix == ".png":
        array, affine = _read_png(path)
    else:
        raise InputError(f"{path}: not an image format that is read here; expected one of {', '.join(IMAGE_SUFFIXES)}")
    return Image(_three_axes(array, path), affine)


def read_label_map(path: str | Path) -> Image:
    """Read a label map: as `read_image`, with an integer array.

    Labels that were stored as floats are rounded; InputError if a value is further than 0.001 from an integer, which
    means that the file holds probabilities or was resampled with interpolation.
    """
    image = read_image(path)
    if image.array.dtype.kind in "iu":
        return image
    if image.array.dtype.kind == "b":
        return Image(image.array.astype(np.uint8), image.affine)
    with np.errstate(invalid="ignore"):  # infinities are named below
        rounded = np.rint(image.array)
        wrong = ~(np.abs(image.array - rounded) <= 1e-3) | (np.abs(rounded) >= 2**31)
    if wrong.any():
        raise InputError(
            f"{path}: expected whole numbers as label values, got {float(image.array[wrong][0]):g}; "
            "store label maps with nearest-neighbor resampling and an integer type"
        )
    return Image(rounded.astype(np.int32), image.affine)


def write_image(path: str | Path, array: np.ndarray, affine: np.ndarray) -> None:
    """Write a 3D array (axes as the affine says) as NIfTI: `.nii.gz` or `.nii`, atomically; folders are created.

    The dtype is kept; NIfTI lacks bool and float16, which become uint8 and float32. The affine goes to sform and qform
    with the code "scanner". Raises InputError when the file can't be written (no space, no permission); nothing
    half-written is left.
    """
    path = Path(path)
    if image_suffix(path) not in NIFTI:
        raise InputError(f"{path}: images are written as NIfTI; name the file .nii.gz or .nii")
    small = {"bool": np.uint8, "float16": np.float32}
    array = array.astype(small.get(array.dtype.name, array.dtype), copy=False)
    image = nib.Nifti1Image(array, affine, dtype=array.dtype)
    image.set_sform(affine, code="scanner")
    image.set_qform(affine, code="scanner")  # of a sheared affine, the nearest rotation: readers prefer the sform
    content = image.to_bytes()
    if path.name.endswith(".gz"):
        from isal import igzip

        content = igzip.compress(content, compresslevel=COMPRESSION, mtime=0)
    write_bytes(path, content)


def image_files(folder: str | Path) -> list[Path]:
    """The image files directly in a folder, sorted by name; without hidden ones. InputError if it is no folder."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"expected a folder of images, found none at {folder}; check the path")
    return sorted(
        file for file in folder.iterdir() if image_suffix(file) and not file.name.startswith(".") and file.is_file()
    )


def image_suffix(path: Path) -> str | None:
    """The image format of a file name (".nii.gz" counts as one suffix), None for other files."""
    return next((suffix for suffix in IMAGE_SUFFIXES if path.name.lower().endswith(suffix)), None)


def _three_axes(array: np.ndarray, path: Path) -> np.ndarray:
    while array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim == 2:
        array = array[..., np.newaxis]
    if array.ndim != 3:
        raise InputError(
            f"{path}: expected a 3D image, got {array.ndim}D of shape {array.shape}; export one volume per file"
        )
    if array.size == 0:
        raise InputError(f"{path}: expected a 3D image, got no voxels (shape {array.shape}); export it again")
    return array


def _read_nifti(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read through isal: twice as fast as nibabel on top of zlib, and no detour over float64."""
    content = _decompressed(path)
    sizes = {int.from_bytes(content[:4], order) for order in ("little", "big")}  # type: ignore[arg-type]
    header_class = nib.Nifti2Header if 540 in sizes else nib.Nifti1Header
    if not sizes & {348, 540}:
        raise InputError(f"{path}: not a NIfTI file (no NIfTI header); export it again or check the name")
    try:
        header = header_class.from_fileobj(io.BytesIO(content))
        dtype, shape, offset = header.get_data_dtype(), header.get_data_shape(), header.get_data_offset()
        slope, intercept = header.get_slope_inter()
        affine = np.asarray(header.get_best_affine(), dtype=np.float64)
    except (HeaderDataError, WrapStructError, ValueError) as error:
        raise InputError(f"{path}: not a readable NIfTI header ({_one_line(error)}); export it again") from error
    if dtype.kind not in "iuf":
        kind = "complex" if dtype.kind == "c" else "color"
        raise InputError(
            f"{path}: expected one number per voxel, got {kind} values; export the magnitude or one channel"
        )
    count = int(np.prod(shape, dtype=np.int64))
    if len(content) < offset + count * dtype.itemsize:
        raise InputError(
            f"{path}: truncated: the header promises {count * dtype.itemsize} bytes of voxels, the file has "
            f"{max(len(content) - offset, 0)}; copy it again"
        )
    raw = np.frombuffer(content, dtype, count, offset).reshape(shape, order="F")
    return _scaled(raw, 1.0 if slope is None else slope, 0.0 if intercept is None else intercept), affine


def _decompressed(path: Path) -> bytes:
    from isal import igzip
    from isal.igzip_lib import IsalError

    try:
        content = path.read_bytes()
        # By content, not by name: files called .nii.gz that were never compressed do exist.
        return igzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except (EOFError, IsalError, gzip.BadGzipFile) as error:  # pyright: ignore[reportGeneralTypeIssues] (stub)
        raise InputError(f"{path}: truncated or damaged gzip file ({_one_line(error)}); copy it again") from error
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror or error}") from error


def _scaled(raw: np.ndarray, slope: float, intercept: float) -> np.ndarray:
    """Values after slope and intercept: the stored type, or int32, where that is exact, else float32."""
    native = raw.dtype.newbyteorder("=")
    if (slope, intercept) == (1.0, 0.0):
        return raw.astype(np.float32 if native.kind == "f" else native, copy=False)
    if native.kind in "iu" and native.itemsize <= 2 and slope == int(slope) and intercept == int(intercept):
        ends = np.array([raw.min(), raw.max()], dtype=np.float64) * slope + intercept
        for small in (np.uint8, np.int16, np.int32):
            if ends.min() >= np.iinfo(small).min and ends.max() <= np.iinfo(small).max:
                return (raw.astype(np.int64 if small is np.int32 else np.int32) * int(slope) + int(intercept)).astype(
                    small
                )
    values = np.empty(raw.shape, np.float32, order="F")
    for index in range(raw.shape[-1]):  # slice by slice: rounds once, without a float64 copy of the volume
        values[..., index] = raw[..., index] * np.float64(slope) + np.float64(intercept)
    return values


def _read_itk(path: Path) -> tuple[np.ndarray, np.ndarray]:
    import SimpleITK as sitk  # noqa: N813 (its own documentation's name)

    try:
        with locale_kept():
            image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise InputError(f"{path}: unreadable or truncated ({_one_line(error)}); export it again") from error
    if image.GetNumberOfComponentsPerPixel() != 1 or "complex" in image.GetPixelIDTypeAsString():
        raise InputError(
            f"{path}: expected one number per voxel, got {image.GetPixelIDTypeAsString()}; export one channel"
        )
    array = sitk.GetArrayFromImage(image).T  # SimpleITK hands out (z, y, x)
    dimension = image.GetDimension()
    matrix = np.eye(4)
    used = min(dimension, 3)
    direction = np.array(image.GetDirection()).reshape(dimension, dimension)[:used, :used]
    matrix[:used, :used] = direction * np.array(image.GetSpacing())[:used]
    matrix[:used, 3] = image.GetOrigin()[:used]
    return array.astype(np.float32, copy=False) if array.dtype.kind == "f" else array, TO_RAS @ matrix


def _read_png(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Axes (x, y): columns count toward the patient's left, rows toward posterior, 1 mm, as an axial slice."""
    from PIL import Image as Picture
    from PIL import UnidentifiedImageError

    try:
        with Picture.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB") if picture.mode == "P" else picture)
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise InputError(f"{path}: unreadable or truncated PNG ({_one_line(error)}); export it again") from error
    if pixels.ndim == 3:
        gray = pixels[..., 0]
        if any((pixels[..., channel] != gray).any() for channel in range(1, min(pixels.shape[-1], 3))):
            raise InputError(f"{path}: expected a grayscale image, got colors; map colors to label values first")
        pixels = gray
    return (pixels.astype(np.uint8) if pixels.dtype == bool else pixels).T, TO_RAS.copy()


def _one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def require_same_grid(image: Image, label: Image, label_path: Path) -> None:
    """InputError unless a label map lies on its image's grid: the same shape, corners within half a voxel."""
    problem = grid_problem(image, label)
    if problem is not None:
        raise InputError(f"{label_path}: {problem[1]}")


def grid_problem(image: Image, label: Image) -> tuple[Literal["shape", "corners"], str] | None:
    """What is wrong with a label map that doesn't lie on its image's grid, and what to do; None if it does."""
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
    corners = np.array(np.meshgrid(*([0, size - 1] for size in image.array.shape), [1], indexing="ij")).reshape(4, -1)
    moved = ((image.affine - other.affine) @ corners)[:3]
    return float(np.linalg.norm(moved, axis=0).max() / min(image.spacing_mm))
