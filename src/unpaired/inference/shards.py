"""An archive cut into shards of equal work, for any scheduler: each process takes one, by its number.

Nothing is exchanged between them. Every process lists all images, reads their sizes from their headers and arrives at
the same shards; which case is done already plays no part in it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace
from math import prod
from pathlib import Path

from unpaired.data.images import NIFTI, image_suffix
from unpaired.errors import InputError
from unpaired.inference.jobs import Job


@dataclass(frozen=True)
class Shard:
    """Shard `number` of `count`, counted from 1. Raises InputError for a number that isn't among them."""

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise InputError(
                f"shard {self.number}/{self.count}: expected a number from 1 to the number of shards, such as 1/20"
            )

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """What a person types: "3/20". Raises InputError for anything else."""
        match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text.strip())
        if match is None:
            raise InputError(f"expected a shard as NUMBER/COUNT, such as 3/20, got {text!r}")
        return cls(int(match[1]), int(match[2]))


def jobs_of_shard(jobs: Sequence[Job], shard: Shard) -> list[Job]:
    """The jobs of one shard, in the order of `jobs`; every job is in exactly one of the shards (`dealt`, by voxels)."""
    return [jobs[index] for index in dealt([job_size(job) for job in jobs], [str(job.output) for job in jobs], shard)]


def largest_first(jobs: Sequence[Job]) -> list[Job]:
    """The jobs in the order in which they are dealt out."""
    sizes = [job_size(job) for job in jobs]
    return [jobs[index] for index in _largest_first(sizes, [str(job.output) for job in jobs])]


def job_size(job: Job) -> int:
    """How much work a job is: the voxels of its image, as `image_size` has them, or of its series."""
    return image_size(job.image) if job.dicom is None else prod(job.dicom.series.shape)


def dealt(sizes: Sequence[int], names: Sequence[str], shard: Shard) -> list[int]:
    """The numbers of the items that a shard gets, in order, of items that differ in size and have a name each.

    The largest are dealt out first, each to the shard that has the least so far (of equal ones the first), so that no
    two shards are further apart than the largest item.
    """
    loads = [(0, number) for number in range(1, shard.count + 1)]
    heapify(loads)
    chosen: list[int] = []
    for index in _largest_first(sizes, names):
        load, number = loads[0]
        heapreplace(loads, (load + sizes[index], number))
        if number == shard.number:
            chosen.append(index)
    return sorted(chosen)


def _largest_first(sizes: Sequence[int], names: Sequence[str]) -> list[int]:
    return sorted(range(len(sizes)), key=lambda index: (-sizes[index], names[index]))


def image_size(path: Path) -> int:
    """The number of voxels that an image's header promises; of a file without a readable one its bytes, else 0.

    Such a file has to be in a shard too: there it is a failed case, with the reason.
    """
    try:
        return prod(_shape(path))
    except Exception:  # noqa: BLE001 (another library's, of a file in any state)
        return path.stat().st_size if path.is_file() else 0


def _shape(path: Path) -> Sequence[int]:
    """Read by libraries that stop after the header; it decides nothing but who segments the image."""
    if image_suffix(path) in NIFTI:
        import nibabel as nib

        return nib.load(path).shape  # pyright: ignore[reportAttributeAccessIssue] (a NIfTI image has one)
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    return reader.GetSize()
