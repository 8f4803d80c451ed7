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

In 3D, on CT and T2: `knowledge_distillation/abdomen_msbn` is the row without unlabeled images, at both bounds.
"""

from dataclasses import replace

from unpaired.methods.cross_pseudo_supervision import CrossPseudoSupervisionConfig
from unpaired.methods.mean_teacher import MeanTeacherConfig
from unpaired.methods.method import MethodConfig
from unpaired.recipe import Recipe
from unpaired.recipes.class_specific_affinity import small_unet_csa, small_unet_msbn, small_unet_ummkd
from unpaired.recipes.knowledge_distillation import abdomen_msbn
from unpaired.recipes.structured_consistency_mscmrseg import small_unet_own_norms_cr


def _semi_supervised(recipe: Recipe, method: MethodConfig) -> Recipe:
    """The recipe with another method and, beside its labeled images, as many unlabeled ones."""
    return replace(recipe, method=method, unlabeled_batch_size=recipe.batch_size)


def small_unet_labeled_only() -> Recipe:
    """Labeled images alone, small U-Net: the lower bound on few labels, the upper bound on all."""
    recipe = small_unet_msbn()
    return replace(recipe, network=replace(recipe.network, norm="instance"))


def small_unet_mean_teacher() -> Recipe:
    """Mean teacher on the small U-Net with a norm per modality."""
    recipe = small_unet_labeled_only()
    return _semi_supervised(recipe, MeanTeacherConfig(recipe.method))


def small_unet_cross_pseudo() -> Recipe:
    """Cross pseudo supervision of two small U-Nets with a norm per modality; the first predicts."""
    recipe = small_unet_labeled_only()
    return _semi_supervised(recipe, CrossPseudoSupervisionConfig(recipe.method))


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
