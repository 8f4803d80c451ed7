"""SSC (Yang et al., MIDL 2023): the rows of its tables on MM-WHS (CT + MR, 2D, Swin-Unet) and on the abdomen
(BTCV CT + CHAOS T2-SPIR MR, 3D, nnFormer). `structured_consistency_mscmrseg` has them on another heart, and for CPUs.

    unpaired import mmwhs FOLDER data/mmwhs.json
    unpaired train structured_consistency/mmwhs_v3_cr data/mmwhs.json runs/ssc
    unpaired few-shot data/mmwhs.json data/one_mr.json mr 1
    unpaired train structured_consistency/mmwhs_v3_cr data/mmwhs.json runs/ssc_one_mr --split data/one_mr.json

The paper's mean Dice (CT / MR) on the heart: Backbone 90.6 / 85.5, Baseline 91.3 / 86.5, V1 91.9 / 86.8,
V2 91.5 / 86.2, V3 92.8 / 87.4, V1 + CR 93.2 / 88.0, V2 + CR 93.0 / 87.8, V3 + CR (Ours) 94.0 / 88.7.

Rows. Backbone: a network per modality. Baseline: with its EAM's auxiliary predictions. V1: an encoder per modality, one
decoder. V2: everything shared ("Joint Training"). V3: V2 with the channel scale of Eq. 13-15 ("Ours w/o CR"). V1 to V3
have an EAM per modality. "+ CR" adds both consistency terms; `_mod` and `_img` add one of them.

Stated by the paper: three neighboring slices in, image embedding per modality, both networks with two blocks in each
stage, 1 mm voxels and UMMKD's preparation for the heart, z-score, ImageNet weights at the start. Lost or open, and
chosen here: everything about the optimization, all weights (1), tau (0.1), and what docs/methods names. The 256x256
slices go through Swin-Unet at 224x224, where the window of 7 of the ImageNet weights fits. Those weights are a file of
yours: `--set network.pretrained=swin_tiny_patch4_window7_224.pth`; without it a Transformer starts far behind.
`small_abdomen_...`: rows on the abdomen for two CPU cores, without ImageNet weights, 400 steps.
The sweep of tau: `mmwhs_v3_img --set method.temperature=0.05`, 0.1, 0.2, 0.5, 1, 2, 4 (the paper sweeps without L_mod).
"""

from dataclasses import replace
from typing import Any

from unpaired.data.augment import Augmentation
from unpaired.data.preprocess import Preprocessing
from unpaired.methods.structured_consistency import SSCConfig
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.independent import IndependentNetworksConfig
from unpaired.networks.nnformer import NNFormerConfig
from unpaired.networks.swin_unet import SwinUNetConfig
from unpaired.recipe import Optimization, Recipe

SMALL_ABDOMEN = Preprocessing(plane="axial", spacing_mm=(8.0, 2.5, 2.5), roi="body", normalization="zscore")
"""What the small rows on the abdomen see: the body, in voxels that two CPU cores can train on."""
AUXILIARY = SSCConfig(modality_weight=0.0, image_weight=0.0)
"""L_seg + L_aux, without the consistency terms ("w/o CR")."""


def with_network(recipe: Recipe, **fields: Any) -> Recipe:
    """The recipe with fields of its network changed."""
    return replace(recipe, network=replace(recipe.network, **fields))


def with_method(recipe: Recipe, **fields: Any) -> Recipe:
    """The recipe with fields of its method changed."""
    return replace(recipe, method=replace(recipe.method, **fields))


def backbone(v2: Recipe) -> Recipe:
    """Row Backbone from row V2: a network for each modality, without an EAM."""
    return replace(baseline(v2), method=SupervisedConfig(), paper_row="Backbone")


def baseline(v2: Recipe) -> Recipe:
    """Row Baseline from row V2: a network and an EAM for each modality."""
    return replace(v2, network=IndependentNetworksConfig(v2.network), paper_row="Baseline")


def v1(v2: Recipe) -> Recipe:
    """Row V1 from row V2: an encoder for each modality."""
    return replace(with_network(v2, specific_encoders=True), paper_row="V1")


def v3(v2: Recipe) -> Recipe:
    """Row V3 from row V2: a channel scale for each modality in every block."""
    return replace(with_network(v2, modality_scale=True), paper_row="V3")


def with_consistency(recipe: Recipe, *levels: str) -> Recipe:
    """The recipe with the consistency terms of `levels` at the weight of 1; of both levels ("+ CR") by default."""
    changed = with_method(recipe, **{f"{level}_weight": 1.0 for level in levels or ("modality", "image")})
    row = recipe.paper_row and f"{recipe.paper_row} + {' + '.join(levels) or 'CR'}"
    return replace(changed, paper_row=row)


def mmwhs_v2() -> Recipe:
    """Row Joint V2 (Joint Training) on MM-WHS: one Swin-Unet for CT and MR, an EAM for each, auxiliary loss."""
    return Recipe(
        network=SwinUNetConfig(resize_to=(224, 224), image_embedding=True),
        method=AUXILIARY,
        preprocessing=Preprocessing(
            plane="coronal", spacing_mm=(1.0, 1.0, 1.0), roi="center", size=(None, 256, 256), normalization="zscore"
        ),
        augmentation=Augmentation(noise=0, blur=0, brightness=0, contrast=0, gamma=0, low_resolution=0),
        optimization=Optimization(
            optimizer="adamw", learning_rate=1e-4, schedule="polynomial", decay=0.9, weight_decay=0.01
        ),
        patch_size=(256, 256),
        context_slices=3,
        batch_size=8,
        steps=75_000,
        validate_every=2500,
        paper_row="V2",
    )


def mmwhs_backbone() -> Recipe:
    """Row Backbone on MM-WHS: a Swin-Unet for each modality."""
    return backbone(mmwhs_v2())


def mmwhs_baseline() -> Recipe:
    """Row Baseline on MM-WHS: Backbone with the auxiliary loss of an EAM."""
    return baseline(mmwhs_v2())


def mmwhs_v1() -> Recipe:
    """Row Joint V1 on MM-WHS: an encoder for each modality, one decoder."""
    return v1(mmwhs_v2())


def mmwhs_v3() -> Recipe:
    """Row Joint V3 (Ours w/o CR) on MM-WHS: V2 and a channel scale per modality in every block."""
    return v3(mmwhs_v2())


def mmwhs_v1_cr() -> Recipe:
    """Row Joint V1 (w/ CR) on MM-WHS."""
    return with_consistency(mmwhs_v1())


def mmwhs_v2_cr() -> Recipe:
    """Row Joint V2 (w/ CR) on MM-WHS."""
    return with_consistency(mmwhs_v2())


def mmwhs_v3_cr() -> Recipe:
    """Row Ours (w/ CR) on MM-WHS: V3 and both consistency terms, the whole of SSC."""
    return with_consistency(mmwhs_v3())


def mmwhs_v3_mod() -> Recipe:
    """V3 and the modality-level consistency alone, on MM-WHS (the paper has this row on the abdomen)."""
    return with_consistency(mmwhs_v3(), "modality")


def mmwhs_v3_img() -> Recipe:
    """V3 and the image-level consistency alone, on MM-WHS: where the temperature is swept."""
    return with_consistency(mmwhs_v3(), "image")


def mmwhs_v3_cr_literal() -> Recipe:
    """Ours on MM-WHS with Eq. 6 and 9 as the prose has them: unscaled attention filtered, by unnormalized kernels."""
    recipe = mmwhs_v3_cr()
    literal = replace(SSCConfig().attention, filtered="attention", kernel_norm=False, auxiliary="attention")
    return replace(with_method(recipe, attention=literal), paper_row="V3 + CR (literal)")


def abdomen_v2() -> Recipe:
    """Row Joint V2 (Joint Training) on the abdomen: one nnFormer for CT and MR, in 3D."""
    return Recipe(
        network=replace(NNFormerConfig.acdc(), image_embedding=True),
        method=AUXILIARY,
        preprocessing=Preprocessing(
            plane="axial", spacing_mm=(8.0, 1.5, 1.5), roi="center", size=(None, 256, 256), normalization="zscore"
        ),
        augmentation=Augmentation(in_plane_only=True),
        optimization=Optimization(
            optimizer="sgd",
            learning_rate=0.01,
            schedule="polynomial",
            decay=0.9,
            weight_decay=3e-5,
            momentum=0.99,
            gradient_clip=12.0,
        ),
        patch_size=(14, 160, 160),
        batch_size=2,
        steps=50_000,
        validate_every=2500,
        paper_row="V2",
    )


def abdomen_backbone() -> Recipe:
    """Row Backbone on the abdomen: an nnFormer for each modality."""
    return backbone(abdomen_v2())


def abdomen_baseline() -> Recipe:
    """Row Baseline on the abdomen: Backbone with the auxiliary loss of an EAM."""
    return baseline(abdomen_v2())


def abdomen_v1() -> Recipe:
    """Row Joint V1 on the abdomen: an encoder for each modality, one decoder."""
    return v1(abdomen_v2())


def abdomen_v3() -> Recipe:
    """Row Joint V3 (Ours w/o CR) on the abdomen: V2 and a channel scale per modality in every block."""
    return v3(abdomen_v2())


def abdomen_v1_cr() -> Recipe:
    """Row Joint V1 (w/ CR) on the abdomen."""
    return with_consistency(abdomen_v1())


def abdomen_v2_cr() -> Recipe:
    """Row Joint V2 (w/ CR) on the abdomen."""
    return with_consistency(abdomen_v2())


def abdomen_v3_cr() -> Recipe:
    """Row Ours (w/ CR) on the abdomen: V3 and both consistency terms, the whole of SSC."""
    return with_consistency(abdomen_v3())


def abdomen_v3_mod() -> Recipe:
    """Row Joint V3 + L_mod on the abdomen."""
    return with_consistency(abdomen_v3(), "modality")


def abdomen_v3_img() -> Recipe:
    """Row Joint V3 + L_img on the abdomen: where the paper sweeps the temperature."""
    return with_consistency(abdomen_v3(), "image")


def small_abdomen_v2() -> Recipe:
    """Row Joint V2 on the abdomen for two CPU cores: an nnFormer a third as wide on voxels of 8 x 2.5 x 2.5 mm."""
    return replace(
        abdomen_v2(),
        network=NNFormerConfig(
            width=32,
            heads=(1, 2, 4, 8),
            windows=((4, 6, 6), (4, 6, 6), (4, 6, 6), (2, 3, 3)),
            patch_strides=((1, 2, 2), (1, 2, 2)),
            strides=((1, 2, 2), (2, 2, 2), (2, 2, 2)),
            drop_path=0.1,
            deep_supervision=False,
            image_embedding=True,
        ),
        preprocessing=SMALL_ABDOMEN,
        optimization=Optimization(
            optimizer="adamw", learning_rate=1e-3, schedule="cosine", warmup_steps=50, weight_decay=0.01
        ),
        patch_size=(8, 96, 96),
        steps=400,
        validate_every=200,
        save_every=100,
        window_overlap=0.25,
    )


def small_abdomen_backbone() -> Recipe:
    """Row Backbone on the abdomen for two CPU cores: a small nnFormer for each modality."""
    return backbone(small_abdomen_v2())


def small_abdomen_v3() -> Recipe:
    """Row Joint V3 (Ours w/o CR) on the abdomen for two CPU cores, small nnFormer."""
    return v3(small_abdomen_v2())


def small_abdomen_v3_cr() -> Recipe:
    """Row Ours (w/ CR) on the abdomen for two CPU cores, small nnFormer."""
    return with_consistency(small_abdomen_v3())
