"""MultiResUNet (Ibtehaz, Rahman; Neural Networks 121, 2020) with unpaired modalities: MS-CMRSeg (LGE, bSSFP) in 2D, and
the abdomen (CT + T2) in 3D.

    unpaired train multiresunet/mscmrseg_msbn data/mscmrseg.json runs/multires --split data/split.json
    unpaired train multiresunet/small_msbn data/mscmrseg.json runs/multires --split data/split.json

CSA names it among the networks for multi-modal images and has no row of it; the paper trains one modality a time, on
other data. So these are rows of ours: the data, samples and steps of `class_specific_affinity/unet_...`, the other
network. `mscmrseg_...` is GPU work, `small_...` for two CPU cores. Any method runs on it: CSA compares what
"encoder4" and "encoder5" return.
"""

from dataclasses import replace

from unpaired.networks.independent import IndependentNetworksConfig
from unpaired.networks.multiresunet import MultiResUNetConfig
from unpaired.recipe import Recipe
from unpaired.recipes.class_specific_affinity import small_unet_msbn, unet_msbn
from unpaired.recipes.semi_supervised import small_abdomen_labeled_only

_SMALL = MultiResUNetConfig(width=8)
_SMALL_3D = MultiResUNetConfig(width=8, stages=4, norm="instance")


def mscmrseg_msbn() -> Recipe:
    """MultiResUNet with shared kernels and batch norm per modality."""
    return replace(unet_msbn(), network=MultiResUNetConfig(), paper_row=None)


def mscmrseg_joint() -> Recipe:
    """MultiResUNet with everything shared, batch norm too."""
    return replace(mscmrseg_msbn(), network=MultiResUNetConfig(modality_norm=False))


def mscmrseg_single() -> Recipe:
    """A MultiResUNet for each modality, each trained as if alone: as the paper trains it."""
    return replace(mscmrseg_msbn(), network=IndependentNetworksConfig(MultiResUNetConfig()))


def small_msbn() -> Recipe:
    """MultiResUNet with batch norm per modality for two CPU cores: a sixteenth of the weights."""
    return replace(small_unet_msbn(), network=_SMALL, paper_row=None)


def small_abdomen_msbn() -> Recipe:
    """MultiResUNet in 3D on the abdomen with an instance norm per modality, for two CPU cores."""
    return replace(small_abdomen_labeled_only(), network=_SMALL_3D)
