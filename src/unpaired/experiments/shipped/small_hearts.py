"""MM-WHS's hearts, CT and MR, for two processor cores: what the small rows of every paper on them see."""

from dataclasses import replace

from unpaired.data.preprocess import Preprocessing
from unpaired.recipe import Recipe

FIELD_MM = 256.0
"""The part of a coronal slice that is kept, around the middle of the scan, in both directions."""


def small_mmwhs(recipe: Recipe, pixels: int = 128) -> Recipe:
    """A recipe for 2D slices on coronal ones of MM-WHS, cut around the middle, so many pixels high and wide."""
    voxel = FIELD_MM / pixels
    preprocessing = Preprocessing(
        plane="coronal",
        spacing_mm=(voxel, voxel, voxel),
        roi="center",
        size=(None, pixels, pixels),
        normalization="zscore_slice",
    )
    return replace(recipe, preprocessing=preprocessing, patch_size=(pixels, pixels), context_slices=3)
