"""SpatialConfiguration-Net (Payer et al., STACOM 2017), the winner of MM-WHS, which SSC's table has as its first row.

    unpaired train spatial_configuration/mmwhs_single data/mmwhs.json runs/scn

Published: a first network regresses a heat map whose peak is the heart's middle, from the whole scan at 10 mm; 64^3
voxels of 3 mm (CT) or 4 mm (MR) around it go through the second one, for each modality its own, seven structures;
cross-entropy, Adam at 1e-5 and 1e-6 after 20,000 of 40,000 steps, one image a step, weight decay 1e-4, shifts, turns,
scales, deformations and changes of intensity.

The first network is not here: it has one task, to place the box, and windows over the whole scan need none. So patches
of 64^3 are drawn all over, half of them around structures, in training, and windows overlap in prediction; both
modalities have 3 mm and z-scores, and the structures are those of the dataset. SSC's row Payer is a hidden test set's
(see `unpaired compare --paper ssc-cardiac`), so no row here is compared with it.
"""

from dataclasses import replace

from unpaired.data.augment import Augmentation
from unpaired.data.preprocess import Preprocessing
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.independent import IndependentNetworksConfig
from unpaired.networks.spatial_configuration import SpatialConfigurationConfig
from unpaired.recipe import Optimization, Recipe
from unpaired.recipes.semi_supervised import small_abdomen_labeled_only


def mmwhs_msbn() -> Recipe:
    """One SpatialConfiguration-Net for both modalities, with an instance norm of each."""
    return Recipe(
        network=SpatialConfigurationConfig(norm="instance"),
        method=SupervisedConfig(dice_weight=0.0, class_weighting="none"),
        preprocessing=Preprocessing(plane="axial", spacing_mm=(3.0, 3.0, 3.0), normalization="zscore"),
        augmentation=Augmentation(),
        optimization=Optimization(
            learning_rate=1e-5, schedule="step_decay", decay=0.1, decay_every=20_000, weight_decay=1e-4
        ),
        patch_size=(64, 64, 64),
        batch_size=1,
        foreground_share=0.5,
        steps=40_000,
        validate_every=2000,
    )


def mmwhs_joint() -> Recipe:
    """One SpatialConfiguration-Net for both modalities as it is, without norms: nothing is a modality's own."""
    return replace(mmwhs_msbn(), network=SpatialConfigurationConfig())


def mmwhs_single() -> Recipe:
    """A SpatialConfiguration-Net for each modality, as published, but for the heat map that places its box."""
    return replace(mmwhs_msbn(), network=IndependentNetworksConfig(SpatialConfigurationConfig()))


def small_abdomen() -> Recipe:
    """SpatialConfiguration-Net on the abdomen in 3D with an instance norm per modality, for two CPU cores."""
    network = SpatialConfigurationConfig(width=8, spatial_width=16, norm="instance")
    return replace(small_abdomen_labeled_only(), network=network)
