"""Arrays on disk as memory maps: kept open from one read to the next, and asked for as a whole before a part is read.

Opening a map anew costs a fault for every few pages that are read of it, up to ten times what reading takes. And where
the pages aren't in memory yet, each fault waits for the disk, unless the system knows what will be wanted.
"""

import mmap
import os
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

KEPT_BYTES = 1 << 32
"""Maps of so many bytes together stay open in a process. What is read of them counts as its memory, though the system
takes it back when it needs it."""
KEPT_FILES = 4096
"""At most so many maps stay open, however small their files are."""
STRETCH = 1 << 22
"""Bytes in a row, more than half of them wanted, from which on the system's own reading ahead is as fast as asking."""


class KeptMaps:
    """Read-only memory maps of .npy files; those used last stay open, up to `limit` bytes together and to a quarter of
    the files that a process may have open (often 1,024), as each map holds its file."""

    def __init__(self, limit: int = KEPT_BYTES) -> None:
        self.limit, self.most = limit, _files_to_keep()
        self._maps: OrderedDict[tuple[int, ...], np.memmap] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._maps)

    def open(self, file: Path) -> np.memmap:
        """The array of a file, as it is now: one that was written anew is opened anew. Raises what `np.load` does.

        Where a file that is open can't be deleted (Windows), none stays open.
        """
        if os.name == "nt":
            return np.load(file, mmap_mode="r")
        status = file.stat()
        which = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
        volume = self._maps.get(which)
        if volume is not None:
            self._maps.move_to_end(which)
            return volume
        volume = np.load(file, mmap_mode="r")
        self._maps[which] = volume
        self._bytes += volume.nbytes
        while len(self._maps) > 1 and (self._bytes > self.limit or len(self._maps) > self.most):
            _, oldest = self._maps.popitem(last=False)
            self._bytes -= oldest.nbytes
        return volume


def _files_to_keep() -> int:
    """How many files of this process may be maps that stay open."""
    if os.name == "nt":
        return 0
    import resource

    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return KEPT_FILES if allowed == resource.RLIM_INFINITY else min(allowed // 4, KEPT_FILES)


def ask_for(volume: np.ndarray, box: Sequence[slice]) -> None:
    """Tell the system that a box of a memory map is about to be read; nothing for other arrays, views and systems.

    `box` has a slice for each axis, with a start and a stop inside the volume.
    """
    memory = getattr(volume, "_mmap", None)
    if memory is None or not isinstance(volume, np.memmap) or volume.base is not memory:
        return
    if not hasattr(mmap, "MADV_WILLNEED"):
        return
    begins = volume.offset % mmap.ALLOCATIONGRANULARITY  # of the array in the map, which begins at a page
    with suppress(OSError):  # it is advice, and not every file system takes it
        for first, last in spans(volume, box):
            start = (begins + first) // mmap.PAGESIZE * mmap.PAGESIZE
            memory.madvise(mmap.MADV_WILLNEED, start, begins + last - start)


def spans(volume: np.ndarray, box: Sequence[slice]) -> list[tuple[int, int]]:
    """What to ask for, to read a box of an array in C order: (first, last + 1) of its bytes, for each position along
    the first axis. Nothing where a box takes most of a long stretch of bytes.
    """
    starts = [part.start * stride for part, stride in zip(box[1:], volume.strides[1:], strict=True)]
    stops = [(part.stop - 1) * stride for part, stride in zip(box[1:], volume.strides[1:], strict=True)]
    first, last = sum(starts), sum(stops) + volume.itemsize
    stretch = (box[0].stop - box[0].start - 1) * volume.strides[0] + last - first
    wanted = (box[0].stop - box[0].start) * (last - first)
    if stretch > STRETCH and 2 * wanted > stretch:
        return []
    planes = range(box[0].start * volume.strides[0], box[0].stop * volume.strides[0], volume.strides[0])
    return [(plane + first, plane + last) for plane in planes]
