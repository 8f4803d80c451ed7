"""UMMKD's own experiments (Dou et al., IEEE TMI 2020): MM-WHS in 2D, and the abdomen in 3D with five methods.

    unpaired train knowledge_distillation/mmwhs data/mmwhs.json runs/ummkd
    unpaired train knowledge_distillation/abdomen_ummkd data/abdomen.json runs/ummkd_3d --split data/split.json

"Released" is the public code. In 2D: the nine-group network, three coronal slices of 1 mm, z-score per volume, Adam at
1e-3 (CSA's table has 1e-4) times 0.95 every 1000 steps, 8 images per modality, 150,000 steps, weight decay 1e-4 on
kernels. Its records were turned, zoomed and sheared beforehand; here samples are turned and zoomed, and sheared with
`--set augmentation.shear=0.1`: by how much theirs were is not published.

Abdomen: CT (BTCV) and T2-SPIR MR (CHAOS), liver, both kidneys, spleen. Released: a U-Net of its own
(`networks.ummkd_unet`) on patches of 8x256x256, half of them around the foreground, 2 per modality, no augmentation, no
dropout, Adam at 1e-4 times 0.95 every 500 steps, 50,000 steps. Its L2 term of 1e-4 is in the loss of each modality, so
the decay is 2e-4, and covers norms and biases too. Its preparation is not in the code: by works after it, both sets
were resampled to one voxel size; 8 x 1.5 x 1.5 mm and axial slices of 256x256 are inferred. As released the
distillation has weight 0 and is commented out, which is `abdomen_msbn`; the paper's method is `abdomen_ummkd`. CSA has
no abdomen experiment: `abdomen_csa` is its future work ("spatially 3D cases") on the same network, between the two
lowest levels of the encoder, whose channels (128, 256) are those of its groups 4 and 5.
"""

from dataclasses import replace

from unpaired.data.augment import NO_AUGMENTATION
from unpaired.data.preprocess import Preprocessing
from unpaired.methods.class_specific_affinity import CSAConfig
from unpaired.methods.knowledge_distillation import KnowledgeDistillationConfig
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.independent import IndependentNetworksConfig
from unpaired.networks.ummkd_unet import UMMKDUNetConfig
from unpaired.recipe import Optimization, Recipe
from unpaired.recipes.class_specific_affinity import UMMKD_LOSSES, mmwhs_ummkd


def mmwhs() -> Recipe:
    """UMMKD on MM-WHS with the settings of its own released code: learning rate 1e-3, z-score per volume."""
    start = mmwhs_ummkd()
    return replace(
        start,
        preprocessing=replace(start.preprocessing, normalization="zscore"),
        optimization=replace(start.optimization, learning_rate=1e-3),
    )


def abdomen_msbn() -> Recipe:
    """Abdomen in 3D, a norm per modality and nothing else: what the released 3D code trains (distillation at 0)."""
    return Recipe(
        network=UMMKDUNetConfig(),
        method=SupervisedConfig(**UMMKD_LOSSES),
        preprocessing=Preprocessing(
            plane="axial", spacing_mm=(8.0, 1.5, 1.5), roi="center", size=(None, 256, 256), normalization="zscore"
        ),
        augmentation=NO_AUGMENTATION,
        optimization=Optimization(learning_rate=1e-4, decay=0.95, decay_every=500, weight_decay=2e-4, decayed="all"),
        patch_size=(8, 256, 256),
        batch_size=2,
        steps=50_000,
        validate_every=2500,
    )


def abdomen_ummkd() -> Recipe:
    """Abdomen in 3D with the distillation switched on at 0.5, as the paper describes the method."""
    return replace(
        abdomen_msbn(), method=KnowledgeDistillationConfig(**UMMKD_LOSSES, absent="uniform"), paper_row="UMMKD"
    )


def abdomen_single() -> Recipe:
    """Abdomen in 3D, one network per modality."""
    return replace(abdomen_msbn(), network=IndependentNetworksConfig(UMMKDUNetConfig()))


def abdomen_joint() -> Recipe:
    """Abdomen in 3D, everything shared, batch norm too."""
    return replace(abdomen_msbn(), network=UMMKDUNetConfig(modality_norm=False))


def abdomen_csa() -> Recipe:
    """Abdomen in 3D with class-specific affinity, lambda = 0.5, between the encoder's two lowest levels."""
    return replace(abdomen_msbn(), method=CSAConfig(**UMMKD_LOSSES, layer_pairs=(("encoder3", "encoder4"),)))
