"""Few labels, many scans: semi-supervised rows on MS-CMRSeg (LGE + bSSFP) for two CPU cores, and a pair in 3D.

    unpaired import mscmrseg FOLDER data/mscmrseg.json
    unpaired split data/mscmrseg.json data/split.json --test 0.2 --validation 0.1
    unpaired labeled-fraction data/mscmrseg.json data/10_percent.json --fraction 0.1 --split data/split.json
    unpaired train semi_supervised/small_unet_mean_teacher data/mscmrseg.json runs/mt --split data/10_percent.json
    unpaired train semi_supervised/small_unet_labeled_only data/mscmrseg.json runs/lower --split data/10_percent.json
    unpaired train semi_supervised/small_unet_labeled_only data/mscmrseg.json runs/upper --split data/split.json

All rows have one network, optimizer, number of steps and batch of labeled images; those that use unlabeled images get
as many of them beside. It is the small U-Net of `class_specific_affinity`, with instance norm: batch norm's running
statistics would come from labeled images in some rows and from both kinds in others, and rows would differ in what
predicts, not only in what they learned. Trained on few labels `small_unet_labeled_only` is the lower bound, on all
labels the upper one. No paper has this table; CMC's rows are in `cross_modality_collaboration`.

In 3D, on CT and T2: `abdomen_...` at full size, where `knowledge_distillation/abdomen_msbn` is the row without
unlabeled images, and `small_abdomen_...` on a small 3D U-Net for two CPU cores, with CMC's row among those of CMC.
"""

from dataclasses import replace

from unpaired.data.augment import Augmentation
from unpaired.methods.cross_pseudo_supervision import CrossPseudoSupervisionConfig
from unpaired.methods.mean_teacher import MeanTeacherConfig
from unpaired.methods.method import MethodConfig
from unpaired.methods.supervised import SupervisedConfig
from unpaired.methods.weak_to_strong import WeakToStrongConfig
from unpaired.networks.unet import UNetConfig
from unpaired.recipe import Optimization, Recipe
from unpaired.recipes.class_specific_affinity import small_unet_csa, small_unet_msbn, small_unet_ummkd
from unpaired.recipes.knowledge_distillation import abdomen_msbn
from unpaired.recipes.structured_consistency import SMALL_ABDOMEN
from unpaired.recipes.structured_consistency_mscmrseg import small_unet_own_norms_cr


def _semi_supervised(recipe: Recipe, method: MethodConfig) -> Recipe:
    """The recipe with another method and, beside its labeled images, as many unlabeled ones."""
    return replace(recipe, method=method, unlabeled_batch_size=recipe.batch_size)


def small_unet_labeled_only() -> Recipe:
    """Labeled images alone, small U-Net: the lower bound on few labels, the upper bound on all."""
    recipe = small_unet_msbn()
    return replace(recipe, network=replace(recipe.network, norm="instance"), paper_row=None)


def small_unet_mean_teacher() -> Recipe:
    """Mean teacher on the small U-Net with a norm per modality."""
    recipe = small_unet_labeled_only()
    return _semi_supervised(recipe, MeanTeacherConfig(recipe.method))


def small_unet_cross_pseudo() -> Recipe:
    """Cross pseudo supervision of two small U-Nets with a norm per modality; the first predicts."""
    recipe = small_unet_labeled_only()
    return _semi_supervised(recipe, CrossPseudoSupervisionConfig(recipe.method))


def small_unet_weak_to_strong() -> Recipe:
    """Weak to strong on the small U-Net with a norm per modality: a teacher's labels on disturbed images."""
    recipe = small_unet_labeled_only()
    return _semi_supervised(recipe, WeakToStrongConfig(recipe.method))


def small_unet_csa_mean_teacher() -> Recipe:
    """CSA on labeled images inside a mean teacher, small U-Net."""
    return _semi_supervised(small_unet_labeled_only(), MeanTeacherConfig(small_unet_csa().method))


def small_unet_ummkd_mean_teacher() -> Recipe:
    """UMMKD on labeled images inside a mean teacher, small U-Net."""
    return _semi_supervised(small_unet_labeled_only(), MeanTeacherConfig(small_unet_ummkd().method))


def small_unet_ssc_mean_teacher() -> Recipe:
    """SSC with both consistency terms on labeled images inside a mean teacher, small U-Net."""
    return _semi_supervised(small_unet_labeled_only(), MeanTeacherConfig(small_unet_own_norms_cr().method))


def abdomen_mean_teacher() -> Recipe:
    """Mean teacher on the abdomen in 3D, on UMMKD's 3D U-Net with a norm per modality."""
    recipe = abdomen_msbn()
    return _semi_supervised(recipe, MeanTeacherConfig(recipe.method))


def abdomen_cross_pseudo() -> Recipe:
    """Cross pseudo supervision on the abdomen in 3D, of two of UMMKD's 3D U-Nets."""
    recipe = abdomen_msbn()
    return _semi_supervised(recipe, CrossPseudoSupervisionConfig(recipe.method))


def abdomen_weak_to_strong() -> Recipe:
    """Weak to strong on the abdomen in 3D, on UMMKD's 3D U-Net with a norm per modality."""
    recipe = abdomen_msbn()
    return _semi_supervised(recipe, WeakToStrongConfig(recipe.method))


def small_abdomen_labeled_only() -> Recipe:
    """Labeled images alone on the abdomen in 3D: a small U-Net with a norm per modality, for two CPU cores."""
    return Recipe(
        network=UNetConfig(
            width=8, widest=128, blocks=(1, 1, 1, 1, 1), strides=((1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2))
        ),
        method=SupervisedConfig(),
        preprocessing=SMALL_ABDOMEN,
        augmentation=Augmentation(in_plane_only=True),
        optimization=Optimization(learning_rate=2e-3, schedule="cosine", warmup_steps=50),
        patch_size=(8, 96, 96),
        batch_size=2,
        steps=400,
        validate_every=200,
        save_every=100,
        window_overlap=0.25,
    )


def small_abdomen_mean_teacher() -> Recipe:
    """Mean teacher on the abdomen in 3D, small U-Net, for two CPU cores."""
    recipe = small_abdomen_labeled_only()
    return _semi_supervised(recipe, MeanTeacherConfig(recipe.method))


def small_abdomen_cross_pseudo() -> Recipe:
    """Cross pseudo supervision on the abdomen in 3D, of two small U-Nets, for two CPU cores."""
    recipe = small_abdomen_labeled_only()
    return _semi_supervised(recipe, CrossPseudoSupervisionConfig(recipe.method))


def small_abdomen_weak_to_strong() -> Recipe:
    """Weak to strong on the abdomen in 3D, small U-Net, for two CPU cores."""
    recipe = small_abdomen_labeled_only()
    return _semi_supervised(recipe, WeakToStrongConfig(recipe.method))
