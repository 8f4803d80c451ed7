"""What a device carries: the patch, width, depth and batch of a planned network."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

Device = Literal["cpu", "cuda"]


@dataclass(frozen=True)
class Budget:
    """What a device carries. Voxels are those of a patch for 8 GB of a GPU's memory, or an hour of a processor."""

    voxels_2d: int
    voxels_3d: int
    width: int
    blocks: tuple[int, ...]
    batch_2d: int
    coarsest: float
    """How many times coarser than the scans the grid may be, for a patch to see enough."""

    def scaled(self, factor: float) -> "Budget":
        """The same budget, with patches of `factor` times the voxels."""
        return replace(self, voxels_2d=int(self.voxels_2d * factor), voxels_3d=int(self.voxels_3d * factor))

    def within(self, voxels: int | None) -> "Budget":
        """The same budget, with patches of at most so many voxels."""
        if voxels is None:
            return self
        return replace(self, voxels_2d=min(self.voxels_2d, voxels), voxels_3d=min(self.voxels_3d, voxels))


BUDGETS: Mapping[Device, Budget] = {
    "cpu": Budget(128 * 128, 64 * 96 * 96, 12, (1, 1, 1, 1, 1), 4, 3.0),
    "cuda": Budget(320 * 320, 112 * 128 * 128, 32, (1, 3, 4, 6, 6, 6, 6), 12, 1.5),
}
