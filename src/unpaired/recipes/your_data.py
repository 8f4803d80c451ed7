"""Starting points for data of your own: any number of modalities, 2D or 3D. Copy a function into a file of yours and
change it there; `unpaired train my_file.py:my_recipe DATA RUN` takes it from there.

Dropout is off: batch norm's running statistics, taken while it drops, don't fit the network that predicts, and in
short runs that can cost the whole result. The paper's rate is 0.25: --set network.dropout=0.25.

2D is for thick slices (cardiac short axis, 5-13 mm); 3D for volumes whose slices are close (CT, isotropic MR).
"""

from dataclasses import replace

from unpaired.data.augment import Augmentation
from unpaired.data.preprocess import Preprocessing
from unpaired.methods.class_specific_affinity import CSAConfig
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.fcn import FCNConfig
from unpaired.recipe import Optimization, Recipe


def csa_2d() -> Recipe:
    """Class-specific affinity on 2D slices, full intensity augmentation, native resolution."""
    return Recipe(
        network=FCNConfig(dropout=0.0, initialization="he"),
        method=CSAConfig(weight=0.1),
        preprocessing=Preprocessing(),
        optimization=Optimization(learning_rate=1e-3, schedule="cosine", warmup_steps=200),
        patch_size=(224, 224),
        batch_size=8,
        steps=20_000,
        validate_every=1000,
    )


def msbn_2d() -> Recipe:
    """The same without the affinity term: the baseline to beat."""
    return replace(csa_2d(), method=SupervisedConfig())


def csa_3d() -> Recipe:
    """Class-specific affinity on 3D patches of volumes resampled to 2 mm."""
    return replace(
        csa_2d(),
        preprocessing=Preprocessing(plane="axial", spacing_mm=(2.0, 2.0, 2.0), roi="body"),
        network=FCNConfig(width=8, dropout=0.0, initialization="he"),
        patch_size=(64, 96, 96),
        batch_size=2,
    )


def csa_3d_thick() -> Recipe:
    """3D for scans with thick slices (abdominal MR, about 8 mm): pooled and turned in plane only."""
    return replace(
        csa_3d(),
        preprocessing=Preprocessing(plane="axial", spacing_mm=(8.0, 1.5, 1.5), roi="body"),
        network=FCNConfig(width=8, dropout=0.0, initialization="he", pool_strides=((1, 2, 2),) * 3),
        augmentation=Augmentation(in_plane_only=True),
        patch_size=(8, 160, 160),
    )
