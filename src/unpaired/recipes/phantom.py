"""Small recipes for the phantom: what `make demo` trains, and the same rows to compare. Minutes on two CPU cores.

unpaired phantom data/phantom
unpaired train phantom/csa data/phantom/dataset.json runs/csa
"""

from dataclasses import replace

from unpaired.data.augment import Augmentation
from unpaired.data.preprocess import Preprocessing
from unpaired.methods.class_specific_affinity import CSAConfig
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.fcn import FCNConfig
from unpaired.networks.independent import IndependentNetworksConfig
from unpaired.recipe import Optimization, Recipe

_NETWORK = FCNConfig(width=3, dropout=0.0, initialization="he", maps_per_class=2, concatenate=True)
"""Small. Pooled by 8 it sees more of the slice than by 4, where it left islands and took twice as long."""


def msbn() -> Recipe:
    """Shared kernels, a norm per modality: heart phantom, 2D slices of all its modalities."""
    return Recipe(
        network=_NETWORK,
        method=SupervisedConfig(),
        preprocessing=Preprocessing(),
        augmentation=Augmentation(
            spatial=0.5, noise=0.0, blur=0.0, brightness=0.1, contrast=0.1, gamma=0.15, low_resolution=0.0
        ),
        optimization=Optimization(learning_rate=1e-2, schedule="cosine", warmup_steps=20),
        patch_size=(96, 96),
        batch_size=4,
        context_slices=3,
        foreground_share=0.6,
        steps=690,
        validate_every=345,
        save_every=100,
        window_overlap=0.25,
        paper_row="MSBN",
    )


def csa() -> Recipe:
    """Class-specific affinity on top of MSBN: the recipe of `make demo`."""
    return replace(msbn(), method=CSAConfig(weight=0.5), paper_row="CSA")


def joint() -> Recipe:
    """Everything shared, the norms too."""
    return replace(msbn(), network=replace(_NETWORK, modality_norm=False), paper_row="Joint")


def single() -> Recipe:
    """One network per modality."""
    return replace(msbn(), network=IndependentNetworksConfig(_NETWORK), paper_row="Single")


def csa_3d() -> Recipe:
    """The same in 3D: patches instead of slices, nothing else changes."""
    return replace(
        csa(),
        network=replace(_NETWORK, pool_strides=((1, 2, 2),) * 3),
        optimization=replace(csa().optimization, learning_rate=4e-3),
        augmentation=replace(csa().augmentation, in_plane_only=True),
        patch_size=(8, 64, 64),
        context_slices=1,
        batch_size=2,
        paper_row="CSA (3D)",
    )
