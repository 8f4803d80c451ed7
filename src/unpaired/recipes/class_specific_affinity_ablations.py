"""CSA's open choices, one recipe for each other reading: `class_specific_affinity/mscmrseg_csa` with one field changed.

    unpaired train class_specific_affinity_ablations/far_layers_4_8 data/mscmrseg.json runs/far --split data/split.json
    unpaired compare runs/csa runs/far --baseline csa

What the paper (Chen et al., MICCAI 2020) says of each, and where the default comes from, is in the table of
docs/methods/class_specific_affinity.md. On two CPU cores: `class_specific_affinity/small_csa` with the same field by
`--set`, such as `--set method.pooling=image`.
"""

from dataclasses import replace
from typing import Any

from unpaired.networks.fcn import FCNConfig
from unpaired.recipe import Recipe
from unpaired.recipes.class_specific_affinity import mmwhs_csa, mscmrseg_csa, mscmrseg_ummkd, small_unet_csa


def _with_method(recipe: Recipe, what: str, **fields: Any) -> Recipe:
    """The recipe with fields of its method changed, and in words `what` is not as in its row of the paper."""
    return replace(recipe, method=replace(recipe.method, **fields), paper_row=f"{recipe.paper_row} ({what})")


def s_c_pixels() -> Recipe:
    """S_c of Eq. 3 as printed: the number of the class's pixels on the feature grid, instead of 1."""
    return _with_method(mscmrseg_csa(), "S_c in pixels", roi_size="pixels")


def eq4_literal() -> Recipe:
    """Eq. 4 as printed: the squared difference of two mean entries, instead of the mean squared difference."""
    return _with_method(mscmrseg_csa(), "Eq. 4 literal", consistency="literal")


def eq4_frobenius() -> Recipe:
    """Eq. 4 with P inside the norm: the squared Frobenius norm of (A^1 - A^2) / P (a third reading)."""
    return _with_method(mscmrseg_csa(), "Eq. 4 Frobenius", consistency="frobenius")


def pooled_by_image() -> Recipe:
    """Affinities of each image, averaged over those that show the class, instead of the batch as one region."""
    return _with_method(mscmrseg_csa(), "pooled by image", pooling="image")


def area_masks() -> Recipe:
    """M^c on the feature grid as the share of each block, instead of the block's first pixel."""
    return _with_method(mscmrseg_csa(), "area masks", mask_resizing="area")


def center_masks() -> Recipe:
    """M^c at the resolution of the features from the pixel in the middle of each block, instead of its first."""
    return _with_method(mscmrseg_csa(), "center masks", mask_resizing="center")


def cross_fitted() -> Recipe:
    """An estimate of Eq. 4 whose mean is 0 where the modalities agree, over two halves of a batch."""
    return _with_method(mscmrseg_csa(), "cross-fitted", estimate="cross_fitted")


def two_near_pairs() -> Recipe:
    """Three layers in two neighboring pairs, (4, 5) and (5, 6), as Fig. 4 draws three layers; the default is (4, 5)."""
    return _with_method(mscmrseg_csa(), "layers 4-5, 5-6", layer_pairs=(("group4", "group5"), ("group5", "group6")))


def far_layers_4_8() -> Recipe:
    """Layers far apart, (4, 8): the paper tried "more distant layers" and found close ones better."""
    return _with_method(mscmrseg_csa(), "layers 4-8", layer_pairs=(("group4", "group8"),))


def far_layers_4_9() -> Recipe:
    """Layers farthest apart, (4, 9): the second one is what the deconvolution reads."""
    return _with_method(mscmrseg_csa(), "layers 4-9", layer_pairs=(("group4", "group9"),))


def foreground_only() -> Recipe:
    """Background is no class of Eq. 4; Fig. 2 shows it as one."""
    return _with_method(mscmrseg_csa(), "foreground only", background=False)


def absent_as_zero() -> Recipe:
    """A class that one modality's batch lacks is compared as A = 0, instead of left out (the paper: undefined, 0/0)."""
    return _with_method(mscmrseg_csa(), "absent as zero", absent="zero")


def lambda_05() -> Recipe:
    """lambda = 0.5 on MS-CMRSeg, as the implementation section has it, instead of 0.1."""
    return _with_method(mscmrseg_csa(), "lambda 0.5", weight=0.5)


def mmwhs_lambda_01() -> Recipe:
    """lambda = 0.1 on MM-WHS, where the paper says that it "increased to 0.5"."""
    return _with_method(mmwhs_csa(), "lambda 0.1", weight=0.1)


def drop_075() -> Recipe:
    """The "drop rate of 0.75" taken as the share that is dropped, instead of kept."""
    return replace(mscmrseg_csa(), network=FCNConfig(dropout=0.75), paper_row="CSA (drop rate 0.75)")


def three_slices() -> Recipe:
    """Three slices in on MS-CMRSeg, as UMMKD has on MM-WHS (not stated; slices here are 5 to 13 mm apart)."""
    return replace(mscmrseg_csa(), context_slices=3, paper_row="CSA (three slices)")


def mmwhs_one_slice() -> Recipe:
    """One slice in on MM-WHS, instead of UMMKD's three."""
    return replace(mmwhs_csa(), context_slices=1, paper_row="CSA (one slice)")


def mmwhs_stack_normalized() -> Recipe:
    """MM-WHS's three slices brought to mean 0 and deviation 1 together, instead of each alone."""
    start = mmwhs_csa()
    return replace(
        start,
        network=FCNConfig(zscore_input=True),
        preprocessing=replace(start.preprocessing, normalization="zscore"),
        paper_row="CSA (one mean for a stack)",
    )


def unclipped() -> Recipe:
    """The cross-entropy without UMMKD's clip: pixels whose class has a probability below 0.005 keep their gradient."""
    return _with_method(mscmrseg_csa(), "unclipped", clip=None)


def ummkd_absent_skipped() -> Recipe:
    """Row UMMKD with absent classes left out, instead of pulling the other modality toward a uniform row."""
    return _with_method(mscmrseg_ummkd(), "absent skipped", absent="skip")


def small_unet_finer_layers() -> Recipe:
    """On the small U-Net the third and fourth stage, with cells of 5 and 10 mm; the default has 10 and 21."""
    return _with_method(small_unet_csa(), "layers 3-4", layer_pairs=(("encoder3", "encoder4"),))


def small_unet_center_masks() -> Recipe:
    """On the small U-Net M^c from the pixel in the middle of each block, instead of its first."""
    return _with_method(small_unet_csa(), "center masks", mask_resizing="center")


def small_unet_cross_fitted() -> Recipe:
    """On the small U-Net an estimate of Eq. 4 whose mean is 0 where the modalities agree, instead of the plain form."""
    return _with_method(small_unet_csa(), "cross-fitted", estimate="cross_fitted")
