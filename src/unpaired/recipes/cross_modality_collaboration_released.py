"""CMC's released code as a baseline, "CMC-code" (`methods.cmc_released`): AMOS at its own size, MS-CMRSeg for two CPU
cores. The paper's method is in `cross_modality_collaboration`.

    unpaired import amos mm_amos data/amos_cmc.json --structures all
    unpaired labeled-fraction data/amos_cmc.json data/ten.json --fraction 0.1
    unpaired train cross_modality_collaboration_released/amos_10 data/amos_cmc.json runs/cmc_code --split data/ten.json

Printed in the repository's README (10 % of the labels; spleen, right and left kidney, liver, mean Dice): CT 72.36 78.04
78.36 85.10, mean 78.46; MR 79.86 81.94 80.64 86.10, mean 81.70, of which the four would be 82.14. A user's own training
came to 41.6 and 59.7 (its issue 16).

From the code: RAS, 1.5 x 1.5 x 2 mm, 128 x 128 x 128 crops with foreground in every other one, AdamW 1e-4 with decay
1e-5 on everything; half precision, which needs a GPU: `--set precision=16-mixed`. A step is 4 cases of 4 crops each in
each modality. Its loaders are zipped, so an epoch is as long as the shortest: with 4 labeled pairs (10 %) one step, and
its 500 epochs are 500 steps, the first 50 of them warming up; with 8 pairs two.

Not the code's: crops of a step come from 16 draws, not from 4 cases; flips are drawn for half of the samples, not for a
fifth along each axis, there are no turns by 90 degrees, and brightness and contrast are nnU-Net's; the encoder doesn't
start from a CLIP-driven universal model; validation and test are this package's, on the file's own grid, where the code
squeezes whole scans to 128 x 128 x 128.
"""

from dataclasses import replace

from unpaired.data.augment import Augmentation
from unpaired.data.preprocess import Preprocessing
from unpaired.methods.cmc_released import CMCReleasedConfig
from unpaired.networks.cmc_released import CMCReleasedNetworkConfig
from unpaired.recipe import Optimization, Recipe
from unpaired.recipes.class_specific_affinity import small_unet_msbn


def amos_10() -> Recipe:
    """CMC-code on AMOS with 10 % of the labels: 40 training pairs of which 4 are labeled, 500 steps. GPU work."""
    return Recipe(
        network=CMCReleasedNetworkConfig(),
        method=CMCReleasedConfig(),
        preprocessing=Preprocessing(plane="axial", spacing_mm=(2.0, 1.5, 1.5)),
        augmentation=Augmentation(
            spatial=0,
            noise=0,
            blur=0,
            brightness=0.1,
            contrast=0.1,
            gamma=0,
            low_resolution=0,
            mirror=("depth", "height", "width"),
        ),
        optimization=Optimization(
            optimizer="adamw",
            learning_rate=1e-4,
            schedule="cosine",
            warmup_steps=50,
            weight_decay=1e-5,
            decayed="all",
        ),
        patch_size=(128, 128, 128),
        batch_size=16,
        unlabeled_batch_size=16,
        foreground_share=0.5,
        steps=500,
        validate_every=30,
        save_every=30,
    )


def amos_20() -> Recipe:
    """CMC-code on AMOS with 20 % of the labels: 8 labeled pairs, so two steps in each of 500 epochs. GPU work."""
    recipe = amos_10()
    optimization = replace(recipe.optimization, warmup_steps=100)
    return replace(recipe, optimization=optimization, steps=1000, validate_every=60, save_every=60)


def amos_10_mended() -> Recipe:
    """CMC-code on AMOS, 10 %, with every defect mended: both terms train, norms of each modality, no partners."""
    network = CMCReleasedNetworkConfig(batch_statistics=False, fusion="alone", unequal_sizes="interpolated")
    return replace(amos_10(), network=network, method=CMCReleasedConfig.mended())


def small() -> Recipe:
    """CMC-code for two CPU cores, on slices of MS-CMRSeg: an eighth of the width, the budget of other small rows."""
    recipe = small_unet_msbn()
    return replace(
        recipe,
        network=CMCReleasedNetworkConfig(width=4),
        method=CMCReleasedConfig(),
        unlabeled_batch_size=recipe.batch_size,
        paper_row=None,
    )


def small_mended() -> Recipe:
    """CMC-code for two CPU cores with every defect mended."""
    network = replace(amos_10_mended().network, width=4)
    return replace(small(), network=network, method=CMCReleasedConfig.mended())
