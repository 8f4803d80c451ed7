"""Co-training after Zhu et al. (MICCAI 2021), without its adversarial translation: few labels, many scans of MS-CMRSeg.

    unpaired labeled-fraction data/mscmrseg.json data/10_percent.json --fraction 0.1 --split data/split.json
    unpaired train co_training/small_unet data/mscmrseg.json runs/co --split data/10_percent.json

The paper has MM-WHS and another task, with a few labeled patients of each modality; its numbers, split and network are
not at hand. So these are rows beside those of `semi_supervised`: same data, steps and small U-Net for two CPU cores.
"""

from dataclasses import replace

from unpaired.methods.co_training import CoTrainingConfig
from unpaired.networks.independent import IndependentNetworksConfig
from unpaired.recipe import Recipe
from unpaired.recipes.semi_supervised import small_unet_labeled_only


def small_unet() -> Recipe:
    """Co-training of two small U-Nets, one for each modality, as in the paper."""
    recipe = small_unet_shared()
    return replace(recipe, network=IndependentNetworksConfig(recipe.network))


def small_unet_shared() -> Recipe:
    """Co-training through one small U-Net with a norm per modality."""
    recipe = small_unet_labeled_only()
    return replace(recipe, method=CoTrainingConfig(), unlabeled_batch_size=recipe.batch_size)
