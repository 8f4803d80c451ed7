"""SSC's rows on MS-CMRSeg (LGE + bSSFP), which the paper does not have: at full size, and small ones for two CPU cores.

    unpaired import mscmrseg FOLDER data/mscmrseg.json
    unpaired split data/mscmrseg.json data/split.json --test 0.2 --validation 0.1
    unpaired train structured_consistency_mscmrseg/small_unet_v2_cr data/mscmrseg.json runs/ssc --split data/split.json

The rows are those of `structured_consistency`, which says what they are. `swin_...`: the Swin-Unet of the paper on
224x224 slices with their two neighbors, GPU work. `small_swin_...`: a third of its width, no ImageNet weights, 1500
steps. `small_unet_...`: a residual-encoder U-Net, which needs no pre-training; the EAM reads it at H/16, H/8 and H/4
as it reads Swin-Unet. A U-Net has norms instead of scaled blocks: V2 shares them, `own_norms` has one per modality (in
V3's place), and there is no V1.
"""

from dataclasses import replace

from unpaired.data.augment import Augmentation
from unpaired.data.preprocess import Preprocessing
from unpaired.networks.swin_unet import SwinUNetConfig
from unpaired.networks.unet import UNetConfig
from unpaired.recipe import Optimization, Recipe
from unpaired.recipes.structured_consistency import (
    AUXILIARY,
    backbone,
    baseline,
    mmwhs_v2,
    v1,
    v3,
    with_consistency,
    with_network,
)


def swin_v2() -> Recipe:
    """Row Joint V2 on MS-CMRSeg: one Swin-Unet for LGE and bSSFP."""
    return replace(
        mmwhs_v2(),
        network=SwinUNetConfig(image_embedding=True),
        preprocessing=Preprocessing(roi="center", size=(None, 224, 224), normalization="zscore"),
        patch_size=(224, 224),
        steps=30_000,
        validate_every=1000,
    )


def swin_backbone() -> Recipe:
    """Row Backbone on MS-CMRSeg: a Swin-Unet for each modality."""
    return backbone(swin_v2())


def swin_baseline() -> Recipe:
    """Row Baseline on MS-CMRSeg: Backbone with the auxiliary loss of an EAM."""
    return baseline(swin_v2())


def swin_v1() -> Recipe:
    """Row Joint V1 on MS-CMRSeg: an encoder for each modality, one decoder."""
    return v1(swin_v2())


def swin_v3() -> Recipe:
    """Row Joint V3 (Ours w/o CR) on MS-CMRSeg."""
    return v3(swin_v2())


def swin_v1_cr() -> Recipe:
    """Row Joint V1 (w/ CR) on MS-CMRSeg."""
    return with_consistency(swin_v1())


def swin_v2_cr() -> Recipe:
    """Row Joint V2 (w/ CR) on MS-CMRSeg."""
    return with_consistency(swin_v2())


def swin_v3_cr() -> Recipe:
    """Row Ours (w/ CR) on MS-CMRSeg: the whole of SSC."""
    return with_consistency(swin_v3())


def swin_v3_mod() -> Recipe:
    """V3 and the modality-level consistency alone, on MS-CMRSeg."""
    return with_consistency(swin_v3(), "modality")


def swin_v3_img() -> Recipe:
    """V3 and the image-level consistency alone, on MS-CMRSeg."""
    return with_consistency(swin_v3(), "image")


def small_swin_v2() -> Recipe:
    """Row Joint V2 for two CPU cores: a Swin-Unet a third as wide, windows of 5 on 160x160 patches, 1500 steps."""
    return replace(
        swin_v2(),
        network=SwinUNetConfig(width=32, heads=(1, 2, 4, 8), window=5, drop_path=0.1, image_embedding=True),
        preprocessing=Preprocessing(normalization="zscore_slice"),
        optimization=Optimization(
            optimizer="adamw", learning_rate=1e-3, schedule="cosine", warmup_steps=100, weight_decay=0.01
        ),
        patch_size=(160, 160),
        batch_size=4,
        steps=1500,
        validate_every=500,
        save_every=250,
        window_overlap=0.25,
    )


def small_swin_backbone() -> Recipe:
    """Row Backbone for two CPU cores: a small Swin-Unet for each modality."""
    return backbone(small_swin_v2())


def small_swin_baseline() -> Recipe:
    """Row Baseline for two CPU cores: a small Swin-Unet and an EAM for each modality."""
    return baseline(small_swin_v2())


def small_swin_v1() -> Recipe:
    """Row Joint V1 for two CPU cores, small Swin-Unet."""
    return v1(small_swin_v2())


def small_swin_v3() -> Recipe:
    """Row Joint V3 (Ours w/o CR) for two CPU cores, small Swin-Unet."""
    return v3(small_swin_v2())


def small_swin_v1_cr() -> Recipe:
    """Row Joint V1 (w/ CR) for two CPU cores, small Swin-Unet."""
    return with_consistency(small_swin_v1())


def small_swin_v2_cr() -> Recipe:
    """Row Joint V2 (w/ CR) for two CPU cores, small Swin-Unet."""
    return with_consistency(small_swin_v2())


def small_swin_v3_cr() -> Recipe:
    """Row Ours (w/ CR) for two CPU cores, small Swin-Unet."""
    return with_consistency(small_swin_v3())


def small_unet_v2() -> Recipe:
    """Row Joint V2 for two CPU cores on a small U-Net: everything shared, an EAM and auxiliary loss per modality."""
    return replace(
        small_swin_v2(),
        network=UNetConfig(width=8, widest=128, blocks=(1, 1, 1, 1, 1), modality_norm=False),
        method=replace(AUXILIARY, scales=("encoder5", "decoder4", "decoder3")),
        augmentation=Augmentation(noise=0, blur=0, brightness=0, contrast=0, gamma=0, low_resolution=0),
        optimization=Optimization(learning_rate=2e-3, schedule="cosine", warmup_steps=50),
        patch_size=(144, 144),
        context_slices=1,
    )


def small_unet_backbone() -> Recipe:
    """Row Backbone for two CPU cores: a small U-Net for each modality."""
    return backbone(small_unet_v2())


def small_unet_baseline() -> Recipe:
    """Row Baseline for two CPU cores: a small U-Net and an EAM for each modality."""
    return baseline(small_unet_v2())


def small_unet_v2_cr() -> Recipe:
    """Row Joint V2 (w/ CR) for two CPU cores, small U-Net."""
    return with_consistency(small_unet_v2())


def small_unet_own_norms() -> Recipe:
    """A small U-Net for two CPU cores, a norm per modality where V3 has scaled blocks; auxiliary loss."""
    return replace(with_network(small_unet_v2(), modality_norm=True), paper_row=None)


def small_unet_own_norms_cr() -> Recipe:
    """The small U-Net with a norm per modality and both consistency terms, for two CPU cores."""
    return with_consistency(small_unet_own_norms())
