"""Voxels out of a file's bytes, so that lengths, checksums and a limit of memory count before anything is believed."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from unpaired.data.free_memory import free_memory
from unpaired.data.image import ImageError, require_float32
from unpaired.errors import InputError

LIMIT_VARIABLE = "UNPAIRED_MAX_IMAGE_GB"
WITHOUT_KNOWN_MEMORY = 8 * 10**9
"""The limit in bytes where the system doesn't say how much memory there is (Windows)."""
SMALL = 2**24
"""What any machine has: 16 MB. Asking for its memory takes as long as reading a slice."""
DEFLATE_RATIO = 1032
"""Deflate makes at most 1,032 bytes of one (zlib's technical details)."""
FIRST_STEP = 4096
"""How many compressed bytes a further gzip member is given at first."""
Container = Literal["gzip", "zlib"]


def byte_limit() -> int:
    """How many bytes an image's voxels may take: half of the memory that is free now, or `UNPAIRED_MAX_IMAGE_GB`.

    Raises InputError if the variable holds no positive number.
    """
    chosen = os.environ.get(LIMIT_VARIABLE)
    if chosen is None:
        return (free_memory() or 2 * WITHOUT_KNOWN_MEMORY) // 2
    try:
        gigabytes = float(chosen)
    except ValueError:
        gigabytes = math.nan
    if not 0 < gigabytes < 1e9:
        raise InputError(f"{LIMIT_VARIABLE}: expected a number of gigabytes above 0, got {chosen!r}; unset or mend it")
    return int(gigabytes * 1e9)


def exceeded_limit(size: int) -> int | None:
    """`byte_limit` if `size` bytes are more than that, else None."""
    if size < SMALL and LIMIT_VARIABLE not in os.environ:
        return None
    limit = byte_limit()
    return limit if size > limit else None


def require_affordable(size: int, path: Path) -> None:
    """Raise ImageError if `size` bytes of voxels are more than `byte_limit` allows."""
    limit = exceeded_limit(size)
    if limit is not None:
        text = f"promises {size / 1e9:.2f} GB of voxels, an image may take {limit / 1e9:.2f} GB here"
        raise ImageError(f"{path}: {text}; set {LIMIT_VARIABLE} to read it all the same")


def voxel_bytes(shape: Sequence[int], dtype: np.dtype, path: Path) -> int:
    """How many bytes a header promises. Raises ImageError for sizes below one, and for more than is affordable."""
    if any(size < 1 for size in shape):
        raise ImageError(f"{path}: expected a size of at least 1 along every axis, got {tuple(shape)}: no voxels")
    size = math.prod(shape) * dtype.itemsize
    require_affordable(size, path)
    return size


def read_file(path: Path) -> bytes:
    """A file's content. Raises ImageError if it can't be read or is larger than an image may be."""
    try:
        require_affordable(path.stat().st_size, path)
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: can't be read: {error.strerror or error}") from error


def require_length(got: int, expected: int, path: Path) -> None:
    """Raise ImageError unless a file holds exactly the bytes of voxels that its header promises."""
    if got == expected:
        return
    what = "truncated" if got < expected else "too long"
    raise ImageError(
        f"{path}: {what}: the header promises {expected} bytes of voxels, the file has {got}; copy or export it again"
    )


class Inflater:
    """Bytes out of a gzip or zlib stream, never more than asked for; `read_voxels` makes sure that it ends there.

    Several gzip members in a row are one stream, zeros behind the last one are padding (as Python's gzip has it).
    Raises ImageError for damage.
    """

    def __init__(self, packed: bytes | memoryview, path: Path, container: Container = "gzip") -> None:
        self.path = path
        self.container: Container = container
        self.most = DEFLATE_RATIO * len(packed)
        self._packed = packed
        self._place = 0
        self._step = max(len(packed), 1)
        self._decoder = self._new_decoder()

    def read(self, count: int) -> bytes:
        """The next `count` bytes, fewer where the stream ends or breaks off before."""
        parts: list[bytes] = []
        while count > 0 and not self._ended() and not self._broken_off():
            parts.append(self._decompress(count))
            count -= len(parts[-1])
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def read_voxels(self, size: int) -> bytes:
        """The `size` bytes that are left. Raises ImageError if there are fewer or more, or if one was damaged."""
        promise = f"the header promises {size} bytes of voxels, the compressed data"
        if size > self.most:
            raise ImageError(
                f"{self.path}: truncated or damaged: {promise} can't hold more than {self.most}; copy it again"
            )
        content = self.read(size)
        if len(content) < size:
            raise ImageError(f"{self.path}: truncated: {promise} hold {len(content)}; copy it again")
        while not self._ended():
            if self._broken_off():
                raise ImageError(f"{self.path}: truncated: the compressed data break off; copy it again")
            if self._decompress(1):
                raise ImageError(f"{self.path}: too long: {promise} hold more; export it again")
        if bytes(self._behind()).strip(b"\0"):
            raise ImageError(f"{self.path}: damaged: other bytes follow the compressed data; copy or export it again")
        return content

    def _ended(self) -> bool:
        """Whether the last member is over; goes on to the next one where another follows."""
        if not self._decoder.eof:
            return False
        if self.container != "gzip" or bytes(self._behind()[:2]) != b"\x1f\x8b":
            return True
        self._place -= len(self._decoder.unused_data)
        self._decoder = self._new_decoder()
        self._step = FIRST_STEP  # what a decoder leaves is copied: of many short members, not all of the rest each time
        return False

    def _behind(self) -> memoryview:
        return memoryview(self._packed)[self._place - len(self._decoder.unused_data) :]

    def _broken_off(self) -> bool:
        return self._decoder.needs_input and self._place >= len(self._packed) and not self._decoder.eof

    def _decompress(self, most: int) -> bytes:
        from isal.igzip_lib import IsalError

        given: bytes | memoryview = b""
        if self._decoder.needs_input:
            given = self._packed[self._place : self._place + self._step]
            self._place += len(given)
            self._step *= 2
        try:
            return self._decoder.decompress(given, most)
        except (IsalError, EOFError) as error:  # pyright: ignore[reportGeneralTypeIssues] (stub)
            raise ImageError(f"{self.path}: truncated or damaged compressed data ({error}); copy it again") from error

    def _new_decoder(self):
        from isal import igzip_lib

        flags = {"gzip": igzip_lib.DECOMP_GZIP, "zlib": igzip_lib.DECOMP_ZLIB}
        return igzip_lib.IgzipDecompressor(flag=flags[self.container])


def as_voxels(content: bytes | memoryview, dtype: np.dtype, shape: Sequence[int], where: Path) -> np.ndarray:
    """The array (first axis fastest) that lies in the bytes of a file, as `scaled` returns it."""
    raw = np.frombuffer(content, dtype, math.prod(shape)).reshape(shape, order="F")
    return scaled(raw, 1.0, 0.0, where)


def scaled(raw: np.ndarray, slope: float, intercept: float, where: Path) -> np.ndarray:
    """Values after slope and intercept: the stored type, or uint8 to int32, where that is exact, else float32.

    In the machine's byte order. Raises ImageError, naming the file `where`, for values that float32 can't hold.
    """
    try:
        with np.errstate(over="raise"):
            return _scaled(raw, slope, intercept)
    except FloatingPointError:
        with np.errstate(over="ignore"):
            require_float32(raw.astype(np.float64) * slope + intercept, where)
        raise


def _scaled(raw: np.ndarray, slope: float, intercept: float) -> np.ndarray:
    if (slope, intercept) == (1.0, 0.0):
        kind = raw.dtype.newbyteorder("=")
        return raw.astype(np.float32 if kind.kind == "f" else kind, copy=False)
    kind = raw.dtype
    if kind.kind in "iu" and kind.itemsize <= 2 and slope == int(slope) and intercept == int(intercept):
        ends = np.array([raw.min(), raw.max()], dtype=np.float64) * slope + intercept
        for small in (np.uint8, np.int16, np.int32):
            if ends.min() >= np.iinfo(small).min and ends.max() <= np.iinfo(small).max:
                wide = raw.astype(np.int64 if small is np.int32 else np.int32)
                return (wide * int(slope) + int(intercept)).astype(small)
    values = np.empty(raw.shape, np.float32, order="F")
    for index in range(raw.shape[-1]):  # slice by slice: rounds once, without a float64 copy of the volume
        values[..., index] = raw[..., index] * np.float64(slope) + np.float64(intercept)
    return values
