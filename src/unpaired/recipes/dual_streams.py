"""Dual streams (Valindria et al., "Multi-modal learning from unpaired images", WACV 2018): which stages of an
encoder-decoder do the modalities share? Four designs on the small U-Net and on the small network of nine groups, on
MS-CMRSeg (LGE + bSSFP) for two CPU cores.

    unpaired train dual_streams/small_unet_x data/mscmrseg.json runs/x --split data/split.json
    unpaired train dual_streams/small_fcn_x data/mscmrseg.json runs/x --split data/split.json

"Y" and "X" are as UMMKD (Dou et al., IEEE TMI 2020), which compares with them, draws them. The two others are our
reading: the paper has four designs. Norms are each modality's own in all of them, as in the networks that share every
kernel, `class_specific_affinity/small_unet_msbn` and `small_msbn`; `small_unet_single` and `small_single` share none.

The nine groups have no decoder that mirrors an encoder: what lies before the widest groups (1 to 6, where maps get
smaller) stands for the encoder here, the rest (7 to 10 and the output) for the decoder.
"""

from dataclasses import replace

from unpaired.networks.fcn import FCNConfig
from unpaired.networks.unet import UNetConfig
from unpaired.recipe import Recipe
from unpaired.recipes.class_specific_affinity import small_msbn
from unpaired.recipes.semi_supervised import small_unet_labeled_only

ENCODER = ("encoder1", "encoder2", "encoder3", "encoder4", "encoder5")
DECODER = ("decoder4", "decoder3", "decoder2", "decoder1", "output")
FIRST_GROUPS = ("group1", "group2", "group3", "group4", "group5", "group6")
LAST_GROUPS = ("group7", "group8", "group9", "group10", "output")


def _with_own(*stages: str) -> Recipe:
    recipe = small_unet_labeled_only()
    assert isinstance(recipe.network, UNetConfig)
    return replace(recipe, network=replace(recipe.network, own=stages))


def _fcn_with_own(*stages: str) -> Recipe:
    recipe = small_msbn()
    assert isinstance(recipe.network, FCNConfig)
    return replace(recipe, network=replace(recipe.network, own=stages), paper_row=None)


def small_unet_y() -> Recipe:
    """Design "Y": an encoder for each modality, one decoder."""
    return _with_own(*ENCODER)


def small_unet_split() -> Recipe:
    """The reverse: one encoder, a decoder for each modality."""
    return _with_own(*DECODER)


def small_unet_x() -> Recipe:
    """Design "X": own first two and last two stages, what lies between is shared."""
    return _with_own("encoder1", "encoder2", "decoder2", "decoder1", "output")


def small_unet_bottleneck() -> Recipe:
    """Only the deepest stage is shared."""
    return _with_own(*ENCODER[:-1], *DECODER)


def small_fcn_y() -> Recipe:
    """Design "Y" on nine groups: the first six for each modality, what follows is shared."""
    return _fcn_with_own(*FIRST_GROUPS)


def small_fcn_split() -> Recipe:
    """The reverse on nine groups: the first six are shared."""
    return _fcn_with_own(*LAST_GROUPS)


def small_fcn_x() -> Recipe:
    """Design "X" on nine groups: own first two groups, deconvolution and output, what lies between is shared."""
    return _fcn_with_own("group1", "group2", "group10", "output")


def small_fcn_bottleneck() -> Recipe:
    """On nine groups only the three widest, 7 to 9, are shared."""
    return _fcn_with_own(*FIRST_GROUPS, "group10", "output")
