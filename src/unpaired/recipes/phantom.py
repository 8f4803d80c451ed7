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


def msbn() -> Recipe:
    """Shared kernels, a norm per modality: heart phantom, 2D slices of all its modalities."""
    return Recipe(
        network=FCNConfig(width=4, dropout=0.05, initialization="he"),
        method=SupervisedConfig(),
        preprocessing=Preprocessing(),
        augmentation=Augmentation(blur=0, low_resolution=0),
        optimization=Optimization(learning_rate=3e-3, schedule="cosine", warmup_steps=20),
        patch_size=(96, 96),
        batch_size=6,
        steps=400,
        validate_every=200,
        save_every=100,
        window_overlap=0.25,
    )


def csa() -> Recipe:
    """Class-specific affinity on top of MSBN: the recipe of `make demo`."""
    return replace(msbn(), method=CSAConfig(weight=0.5))


def joint() -> Recipe:
    """Everything shared, the norms too."""
    base = msbn()
    return replace(base, network=FCNConfig(width=4, dropout=0.05, initialization="he", modality_norm=False))


def single() -> Recipe:
    """One network per modality."""
    return replace(msbn(), network=IndependentNetworksConfig(msbn().network))


def csa_3d() -> Recipe:
    """The same in 3D: patches instead of slices, nothing else changes."""
    return replace(
        csa(),
        network=FCNConfig(width=4, dropout=0.05, initialization="he", pool_strides=((1, 2, 2),) * 3),
        patch_size=(8, 64, 64),
        augmentation=Augmentation(blur=0, low_resolution=0, in_plane_only=True),
        batch_size=2,
    )
