"""Read NIfTI-1 and -2 in one file, gzipped or not: lengths and checksums count, slope and intercept are applied."""

from pathlib import Path

import numpy as np

from unpaired.data.formats.nifti_header import HEADER_BYTES, NiftiHeader, parse_header
from unpaired.data.formats.payload import Inflater, read_file, require_affordable, require_length, scaled
from unpaired.data.image import Image

SHORTEST, LONGEST = min(HEADER_BYTES.values()), max(HEADER_BYTES.values())


def read_nifti(path: Path) -> Image:
    """The image, of any number of axes, after slope and intercept. Raises ImageError as `read_stored` does."""
    stored, header = read_stored(path)
    return Image(scaled(stored, header.slope, header.intercept, path), header.affine, header.notes)


def read_stored(path: Path) -> tuple[np.ndarray, NiftiHeader]:
    """The values as they are stored, in the file's byte order, and the header that gives them scale and place.

    Through isal: twice as fast as nibabel on top of zlib. Raises ImageError for damage, contradictions (see
    `nifti_header`), complex and color values.
    """
    content = read_file(path)
    # By content, not by name: files called .nii.gz that were never compressed do exist.
    if content[:2] == b"\x1f\x8b":
        inflater = Inflater(content, path)
        head = inflater.read(SHORTEST)
        if 540 in (int.from_bytes(head[:4], "little"), int.from_bytes(head[:4], "big")):
            head += inflater.read(LONGEST - SHORTEST)
        header = parse_header(head, path)
        require_affordable(header.offset, path)
        inflater.read(header.offset - len(head))  # extensions
        content, offset = inflater.read_voxels(header.size), 0
    else:
        header = parse_header(content[:LONGEST], path)
        offset = header.offset
        require_length(max(len(content) - offset, 0), header.size, path)
    return np.frombuffer(content, header.dtype, offset=offset).reshape(header.shape, order="F"), header
