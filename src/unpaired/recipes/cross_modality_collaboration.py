"""CMC (Zhou et al., MICCAI 2024) in its two stages: heart (MS-CMRSeg), abdomen (AMOS), orbit (TAO, a private study).

    unpaired import amos FOLDER data/amos.json
    unpaired labeled-fraction data/amos.json data/10_percent.json --fraction 0.1
    unpaired train cross_modality_collaboration/amos_separate data/amos.json runs/cmc_separate \\
        --split data/10_percent.json --set network.pretrained=sam_med3d_turbo.pth
    unpaired train cross_modality_collaboration/amos_together data/amos.json runs/cmc_together \\
        --split data/10_percent.json

`..._separate`: encoders and decoders are trained by the labels of their own modality; no fusion, no consistency.
`..._together`: begins with that run (`init_from`, here runs/cmc_separate; `--set init_from=...` names another); the
fusion begins fresh, and CSC and CAC join in, with unlabeled scans. AMOS is in the training set of SAM-Med3D: its scores
are not clean.

Stated by the paper: two encoders of SAM-Med3D with adapters, the stages, the three terms, Dice and cross-entropy.
From the released code, which is another method: AdamW at 1e-4, decay 1e-5, batch 4, 500 epochs of 40 scans (350 + 150;
10 steps each), 50 of warm-up and cosine, 128x128x128 patches, AMOS at 1.5x1.5x2 mm. Open, and chosen here: everything
about the other two tasks; no flips, as anatomy has a left and a right; the whole weights of both terms after 40 % of
the second stage. Full size is GPU work.

`small_sam_...`: 64x64x64 patches at 3 mm through a small encoder trained from scratch, to try it on two cores.
`small_unet_...`: network, data and budget of `semi_supervised` (the small U-Net with instance norm, 800 steps).
`small_abdomen_cmc`: of the rows `semi_supervised/small_abdomen_...`, in 3D.
`small_unet_cmc` is one run with shared kernels, comparable to the rows there; `_separate` and `_together` are the
paper's stages with a U-Net per modality, half of the steps each. The `_without_` rows and forms differ from
`small_unet_cmc` in one thing each.
"""

from dataclasses import replace
from typing import Any

from unpaired.data.augment import Augmentation
from unpaired.data.preprocess import Preprocessing
from unpaired.methods.anatomical_consistency import AnatomicalConsistencyConfig
from unpaired.methods.anatomy import AnatomyConfig
from unpaired.methods.cross_modality_collaboration import CMCConfig
from unpaired.methods.ramp import Ramp
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.independent import IndependentNetworksConfig
from unpaired.networks.sam_med3d import SAMMed3DConfig
from unpaired.networks.specific_unets import SpecificUNetsConfig
from unpaired.networks.unet import UNetConfig
from unpaired.recipe import Optimization, Recipe
from unpaired.recipes.class_specific_affinity import small_unet_csa, small_unet_msbn
from unpaired.recipes.semi_supervised import small_abdomen_labeled_only

SEPARATE = "runs/cmc_separate"
"""Where the commands above put the first stage."""
_SUPERVISED = SupervisedConfig(class_weighting="none")
_COLLABORATION = CMCConfig(class_weighting="none")
_SMALL_UNET = UNetConfig(width=12, blocks=(1, 1, 1, 1, 1))
_ON_UNET = CMCConfig(layer="encoder5", ramp=Ramp(begin=0.1, length=0.2))
"""Under a cosine schedule a ramp that ends at 70 % of training leaves 4 % of all steps' learning rate to the whole
weight; one that ends at 30 % leaves 44 %."""


def together(separate: Recipe, **network: Any) -> Recipe:
    """The second stage of a first one on SAM-Med3D: fused, collaborating, with as many unlabeled scans as labeled."""
    return replace(
        separate,
        network=replace(separate.network, fusion="paired", **network),
        method=_COLLABORATION,
        unlabeled_batch_size=separate.batch_size,
        steps=separate.steps * 3 // 7,
        optimization=replace(separate.optimization, warmup_steps=0),
        init_from=SEPARATE,
    )


def amos_separate() -> Recipe:
    """First stage on AMOS, CT and MR: SAM-Med3D with adapters and a decoder for each. Needs network.pretrained."""
    return Recipe(
        network=replace(SAMMed3DConfig.cmc(), fusion=None),
        method=_SUPERVISED,
        preprocessing=Preprocessing(plane="axial", spacing_mm=(2.0, 1.5, 1.5)),
        augmentation=Augmentation(),
        optimization=Optimization(
            optimizer="adamw", learning_rate=1e-4, schedule="cosine", warmup_steps=500, weight_decay=1e-5
        ),
        patch_size=(128, 128, 128),
        batch_size=4,
        steps=3500,
        validate_every=500,
    )


def amos_together() -> Recipe:
    """Second stage on AMOS: the whole of CMC, with unlabeled scans."""
    return together(amos_separate())


def mscmrseg_separate() -> Recipe:
    """First stage on MS-CMRSeg, LGE and bSSFP as volumes of 1.5 mm: the whole heart in one patch."""
    return replace(
        amos_separate(),
        preprocessing=Preprocessing(spacing_mm=(1.5, 1.5, 1.5), normalization="zscore"),
        augmentation=Augmentation(in_plane_only=True),
    )


def mscmrseg_together() -> Recipe:
    """Second stage on MS-CMRSeg: the whole of CMC, with unlabeled scans."""
    return together(mscmrseg_separate())


def tao_separate() -> Recipe:
    """First stage on orbits of a private study (docs: how-to/private-study), 1 mm: both orbits in one patch."""
    return replace(amos_separate(), preprocessing=Preprocessing(plane="axial", spacing_mm=(1.0, 1.0, 1.0)))


def tao_together() -> Recipe:
    """Second stage on orbits: the whole of CMC, with unlabeled scans."""
    return together(tao_separate())


def small_sam_separate() -> Recipe:
    """First stage for two CPU cores, in 3D: a small SAM-Med3D per modality from scratch, abdomen at 3 mm."""
    return replace(
        amos_separate(),
        network=replace(SAMMed3DConfig.small(), specific_encoders=True, specific_decoders=True),
        preprocessing=Preprocessing(plane="axial", spacing_mm=(3.0, 3.0, 3.0)),
        optimization=Optimization(optimizer="adamw", learning_rate=1e-3, schedule="cosine", warmup_steps=50),
        patch_size=(64, 64, 64),
        batch_size=2,
        steps=700,
        validate_every=350,
        save_every=350,
    )


def small_sam_together() -> Recipe:
    """Second stage for two CPU cores, in 3D."""
    return together(small_sam_separate())


def _labeled_only() -> Recipe:
    """What the small rows have in common."""
    return replace(small_unet_msbn(), network=_SMALL_UNET, paper_row=None)


def _on_unet(recipe: Recipe) -> Recipe:
    """A recipe of a U-Net without unlabeled images as CMC in one run: fused, with as many unlabeled as labeled."""
    return replace(
        recipe,
        network=replace(recipe.network, fusion="paired"),
        method=_ON_UNET,
        unlabeled_batch_size=recipe.batch_size,
    )


def small_unet_cmc() -> Recipe:
    """CMC on the small U-Net of the other methods, in one run: it collaborates from a tenth of it on. Two CPU cores."""
    return _on_unet(_labeled_only())


def small_abdomen_cmc() -> Recipe:
    """CMC on the abdomen in 3D, on the small U-Net of the other rows, in one run, for two CPU cores."""
    return _on_unet(small_abdomen_labeled_only())


def small_unet_separate() -> Recipe:
    """First stage on small U-Nets, one per modality (row Single), half of the steps."""
    return replace(
        _labeled_only(), network=IndependentNetworksConfig(_SMALL_UNET), steps=400, validate_every=200, save_every=200
    )


def small_unet_together() -> Recipe:
    """Second stage on small U-Nets: a fusion between them, the other half of the steps."""
    first = small_unet_separate()
    return replace(
        first,
        network=SpecificUNetsConfig(_SMALL_UNET),
        method=replace(_ON_UNET, ramp=Ramp(0.0, 0.4)),
        unlabeled_batch_size=first.batch_size,
        optimization=replace(first.optimization, warmup_steps=0),
        init_from=SEPARATE,
    )


def small_unet_without_csc() -> Recipe:
    """CMC on the small U-Net without the channel consistency."""
    return replace(small_unet_cmc(), method=replace(_ON_UNET, csc_weight=0.0))


def small_unet_without_cac() -> Recipe:
    """CMC on the small U-Net without the anatomical consistency; unlabeled images still count in CSC."""
    return replace(small_unet_cmc(), method=replace(_ON_UNET, cac_weight=0.0))


def small_unet_without_fusion() -> Recipe:
    """CMC on the small U-Net without awareness and fusion."""
    return replace(small_unet_cmc(), network=_SMALL_UNET)


def small_unet_fused_alone() -> Recipe:
    """CMC on the small U-Net whose fusion has no partner in training either, as at prediction."""
    return replace(small_unet_cmc(), network=replace(_SMALL_UNET, fusion="alone"))


def small_unet_csc_gap() -> Recipe:
    """CMC on the small U-Net with pooled channels (gap) in CSC."""
    return replace(small_unet_cmc(), method=replace(_ON_UNET, csc="gap"))


def small_unet_csc_vec() -> Recipe:
    """CMC on the small U-Net with CSC place by place (vec), as if the scans were registered: they are not."""
    return replace(small_unet_cmc(), method=replace(_ON_UNET, csc="vec"))


def small_unet_cac_shape() -> Recipe:
    """CMC on the small U-Net with shape statistics in CAC."""
    return replace(small_unet_cmc(), method=replace(_ON_UNET, anatomy=AnatomyConfig(form="shape")))


def small_unet_cac_voxels() -> Recipe:
    """CMC on the small U-Net with CAC voxel by voxel, as if the scans were registered: they are not."""
    return replace(small_unet_cmc(), method=replace(_ON_UNET, anatomy=AnatomyConfig(form="voxels")))


def small_unet_msbn_cac() -> Recipe:
    """Row MSBN on the small U-Net, semi-supervised by CAC alone: no fusion, no CSC."""
    recipe = _labeled_only()
    return replace(
        recipe,
        method=AnatomicalConsistencyConfig(recipe.method, ramp=_ON_UNET.ramp),
        unlabeled_batch_size=recipe.batch_size,
    )


def small_unet_csa_cac() -> Recipe:
    """CSA on the small U-Net, semi-supervised by CAC."""
    return replace(
        small_unet_msbn_cac(), method=AnatomicalConsistencyConfig(small_unet_csa().method, ramp=_ON_UNET.ramp)
    )
