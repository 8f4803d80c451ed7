"""Dual streams (Valindria et al., "Multi-modal learning from unpaired images", WACV 2018): which stages of an
encoder-decoder do the modalities share? Four designs on the small U-Net, on MS-CMRSeg (LGE + bSSFP) for two CPU cores.

    unpaired train dual_streams/small_unet_x data/mscmrseg.json runs/x --split data/split.json

"Y" and "X" are as UMMKD (Dou et al., IEEE TMI 2020), which compares with them, draws them. The two others are our
reading: the paper has four designs. Norms are each modality's own in all of them, as in the small U-Net that shares
every kernel, `class_specific_affinity/small_unet_msbn`; `small_unet_single` shares none.
"""

from dataclasses import replace

from unpaired.networks.unet import UNetConfig
from unpaired.recipe import Recipe
from unpaired.recipes.semi_supervised import small_unet_labeled_only

ENCODER = ("encoder1", "encoder2", "encoder3", "encoder4", "encoder5")
DECODER = ("decoder4", "decoder3", "decoder2", "decoder1", "output")


def _with_own(*stages: str) -> Recipe:
    recipe = small_unet_labeled_only()
    assert isinstance(recipe.network, UNetConfig)
    return replace(recipe, network=replace(recipe.network, own=stages))


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
