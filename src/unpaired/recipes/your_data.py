"""Starting points for data of your own: any number of modalities, 2D or 3D. Copy a function into a file of yours and
change it there; `unpaired train my_file.py:my_recipe DATA RUN` takes it from there.

The network is the strong CNN: a residual-encoder U-Net with nnU-Net's sizes, trained as nnU-Net is (SGD with Nesterov
momentum 0.99, from 0.01 down by a polynomial, gradients clipped at 12). Each modality has its own instance norms: they
have no running statistics, so what is trained is what predicts, whatever the batch size (3D leaves room for two) and
however short the run. CSA compares the encoder's fourth and fifth stages, at an eighth of the patch (where the paper's
groups 4 and 5 are) and at a sixteenth. This is work for a GPU; on a CPU take less of it:
`--set network.width=8 'network.blocks=[1,1,1,1,1,1]'` (csa_3d has five stages).

2D is for thick slices (cardiac short axis, 5-13 mm); 3D for volumes whose slices are close (CT, isotropic MR).
The `fcn_` recipes are the same with the network of the CSA paper, without its dropout: batch norm's running statistics,
taken while it drops, don't fit the network that predicts. The paper's rate is 0.25: --set network.dropout=0.25.

`resenc_3d` begins with self-supervised weights (docs/how-to/networks.md says where to get them, and their license):

    unpaired train your_data/resenc_3d DATA RUN --set network.pretrained=checkpoint_final.pth
"""

from dataclasses import replace

from unpaired.data.augment import Augmentation
from unpaired.data.preprocess import Preprocessing
from unpaired.methods.class_specific_affinity import CSAConfig
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.fcn import FCNConfig
from unpaired.networks.unet import UNetConfig
from unpaired.recipe import Optimization, Recipe


def csa_2d() -> Recipe:
    """Class-specific affinity on 2D slices: U-Net, full intensity augmentation, slices turned by up to 60 degrees."""
    return Recipe(
        network=UNetConfig(),
        method=CSAConfig(weight=0.1, layer_pairs=(("encoder4", "encoder5"),), mask_resizing="center"),
        preprocessing=Preprocessing(),
        augmentation=Augmentation(rotation_degrees=60.0),
        optimization=Optimization(
            optimizer="sgd",
            learning_rate=1e-2,
            schedule="polynomial",
            decay=0.9,
            weight_decay=3e-5,
            gradient_clip=12.0,
        ),
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
        augmentation=Augmentation(),
        network=UNetConfig(widest=320, blocks=(1, 3, 4, 6, 6)),
        patch_size=(64, 96, 96),
        batch_size=2,
    )


def csa_3d_thick() -> Recipe:
    """3D for scans with thick slices (abdominal MR, about 8 mm): pooled in plane until voxels are cubes."""
    in_plane, everywhere = (1, 2, 2), (2, 2, 2)
    return replace(
        csa_3d(),
        preprocessing=Preprocessing(plane="axial", spacing_mm=(8.0, 1.5, 1.5), roi="body"),
        network=UNetConfig(widest=320, strides=(in_plane, in_plane, everywhere, in_plane, in_plane)),
        augmentation=Augmentation(in_plane_only=True),
        patch_size=(8, 160, 160),
    )


def resenc_3d() -> Recipe:
    """3D from the self-supervised ResEnc-L of nnssl, fine-tuned as its authors do: 1 mm, patches of 160, warm-up.

    Stated (trainer "PretrainedTrainer_150ep"): the network, 150 epochs of 250 steps of which 15 warm up, SGD from 1e-3,
    decoder and output drawn anew. Chosen: one patch of each modality a step, a norm per modality that begins as the
    checkpoint's. Without `network.pretrained` everything begins at random numbers: then the rate should be 1e-2.
    """
    start = csa_2d()
    return replace(
        start,
        network=UNetConfig(widest=320),
        method=SupervisedConfig(),
        preprocessing=Preprocessing(plane="axial", spacing_mm=(1.0, 1.0, 1.0), normalization="zscore", roi="body"),
        augmentation=Augmentation(),
        optimization=replace(start.optimization, learning_rate=1e-3, warmup_steps=3750),
        patch_size=(160, 160, 160),
        batch_size=1,
        steps=37_500,
        validate_every=2500,
    )


def small_resenc_3d() -> Recipe:
    """The same for a CPU: the checkpoint's first four stages, patches of 48 at 3 mm, half an hour of one core.

    A step takes 5.5 seconds of one core for two modalities. An adaptation to the machine, not the authors' setting.
    """
    start = resenc_3d()
    return replace(
        start,
        network=UNetConfig(widest=320, blocks=(1, 3, 4, 6)),
        preprocessing=replace(start.preprocessing, spacing_mm=(3.0, 3.0, 3.0)),
        optimization=replace(start.optimization, warmup_steps=30),
        patch_size=(48, 48, 48),
        steps=300,
        validate_every=100,
    )


def fcn_csa_2d() -> Recipe:
    """Class-specific affinity on 2D slices with the nine-group network of the paper, Adam."""
    return replace(
        csa_2d(),
        network=FCNConfig(dropout=0.0, initialization="he"),
        method=CSAConfig(weight=0.1),
        optimization=Optimization(learning_rate=1e-3, schedule="cosine", warmup_steps=200),
    )


def fcn_csa_3d_thick() -> Recipe:
    """3D for thick slices with the nine-group network of the paper: pooled and turned in plane only."""
    start = fcn_csa_2d()
    return replace(
        csa_3d_thick(),
        network=FCNConfig(width=8, dropout=0.0, initialization="he", pool_strides=((1, 2, 2), (1, 2, 2), (1, 2, 2))),
        method=start.method,
        optimization=start.optimization,
    )
