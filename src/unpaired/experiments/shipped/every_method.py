"""What is each method worth? One network and as many steps, with all labels, a tenth of them, or one patient's.

On any data: all labels (`all_labels`). On MS-CMRSeg: a tenth of the labels of LGE and bSSFP (`tenth_of_labels`), or
labels of one LGE patient beside all of bSSFP (`one_labeled_patient`); the other scans train unlabeled where a method
takes them. The terms of CSA, UMMKD, SSC and CAC stand in the form of their papers, and in forms that measure less of
the sampling (docs/how-to/diagnose.md).
"""

from dataclasses import replace

from unpaired.experiments.labels import LabeledShare, ScarceLabels
from unpaired.experiments.splits import Folds
from unpaired.experiments.study import Row, Size, Study
from unpaired.methods.anatomical_consistency import AnatomicalConsistencyConfig
from unpaired.methods.anatomy import AnatomyConfig
from unpaired.methods.class_specific_affinity import CSAConfig
from unpaired.methods.cross_modality_collaboration import CMCConfig
from unpaired.methods.cross_pseudo_supervision import CrossPseudoSupervisionConfig
from unpaired.methods.knowledge_distillation import KnowledgeDistillationConfig
from unpaired.methods.mean_teacher import MeanTeacherConfig
from unpaired.methods.method import MethodConfig
from unpaired.methods.ramp import Ramp
from unpaired.methods.structured_consistency import SSCConfig
from unpaired.methods.weak_to_strong import WeakToStrongConfig
from unpaired.networks.independent import IndependentNetworksConfig
from unpaired.networks.unet import UNetConfig
from unpaired.recipe import Recipe
from unpaired.recipes import random_convolutions as random
from unpaired.recipes.your_data import msbn_2d

RAMP = Ramp(begin=0.1, length=0.2)
"""Of terms that need predictions worth comparing: as in `recipes.cross_modality_collaboration`."""


def all_labels(size: Size = "small") -> Study:
    """Labels of all patients: a network each, joint, MSBN, and MSBN with each term that compares modalities."""
    recipes = _recipes(size)
    names = ("a network each", "joint", "MSBN", *_of_labeled_scans())
    return _study("Every method with all labels", tuple(Row(name, recipes[name]) for name in names))


def tenth_of_labels(size: Size = "small") -> Study:
    """Labels of a tenth of LGE's and bSSFP's patients: every method, and what all labels give."""
    recipes = _recipes(size)
    rows = [Row(name, recipe, LabeledShare(0.1)) for name, recipe in recipes.items()]
    return _study("Every method with a tenth of the labels", (*rows, Row("all labels", recipes["MSBN"])))


def one_labeled_patient(size: Size = "small", scarce: str = "lge") -> Study:
    """Labels of one LGE patient and of all bSSFP ones: every method, and what all labels give."""
    recipes = _recipes(size)
    rows = [Row(name, recipe, ScarceLabels(scarce, 1)) for name, recipe in recipes.items()]
    return _study(f"Every method with one labeled patient of {scarce}", (*rows, Row("all labels", recipes["MSBN"])))


def _study(title: str, rows: tuple[Row, ...]) -> Study:
    return Study(title, rows, Folds(), baseline="MSBN")


def _recipes(size: Size) -> dict[str, Recipe]:
    """{row: recipe}; MSBN is the others' network without their method.

    The phantom's weights are those of the small U-Net, which has this row in both sizes.
    """
    plain = random.small_unet_plain() if size == "small" else msbn_2d()
    network, augmentation = plain.network, plain.augmentation
    assert isinstance(network, UNetConfig)
    cmc = replace(plain, network=replace(network, fusion="paired"))
    borrowed = replace(plain, randomization=random.BORROWED)
    begun = random.small_unet_begun()
    turned = replace(begun, augmentation=replace(begun.augmentation, rotation_degrees=60.0))
    deformed = replace(
        plain, augmentation=replace(augmentation, rotation_degrees=60.0, elastic=0.7, elastic_strain=0.9)
    )
    randomized = replace(deformed, randomization=random.small_unet_own().randomization)
    return {
        "a network each": replace(plain, network=IndependentNetworksConfig(network)),
        "joint": replace(plain, network=replace(network, modality_norm=False)),
        "MSBN": plain,
        **{name: replace(plain, method=method) for name, method in _of_labeled_scans().items()},
        **{name: _with_unlabeled(plain, method) for name, method in _of_unlabeled_scans(plain.method).items()},
        "CMC": _with_unlabeled(cmc, CMCConfig(layer="encoder5", ramp=RAMP)),
        "turned by 60": replace(plain, augmentation=replace(augmentation, rotation_degrees=60.0)),
        "elastic": replace(plain, augmentation=replace(augmentation, elastic=0.7, elastic_strain=0.9)),
        "turned, elastic": deformed,
        "turned, elastic, random convolutions": randomized,
        "turned, elastic, random convolutions, weak to strong": _with_unlabeled(
            randomized, WeakToStrongConfig(plain.method)
        ),
        "random convolutions": replace(plain, randomization=random.small_unet_own().randomization),
        "borrowed": borrowed,
        "borrowed, weak to strong": _with_unlabeled(borrowed, WeakToStrongConfig(plain.method)),
        "phantom start": begun,
        "phantom start, turned": turned,
        "phantom start, turned, random convolutions": replace(turned, randomization=randomized.randomization),
        "phantom start, turned, weak to strong": random.small_unet_begun_taught(),
    }


def _of_labeled_scans() -> dict[str, MethodConfig]:
    """{row: method} of those that learn from labeled scans alone."""
    csa = CSAConfig(layer_pairs=(("encoder4", "encoder5"),))
    ssc = SSCConfig(scales=("encoder5", "decoder4", "decoder3"))
    return {
        "CSA": csa,
        "CSA, cross-fitted": replace(csa, estimate="cross_fitted"),
        "CSA, center masks": replace(csa, mask_resizing="center"),
        "CSA, finer layers": replace(csa, layer_pairs=(("encoder3", "encoder4"),)),
        "UMMKD": KnowledgeDistillationConfig(),
        "SSC": ssc,
        "SSC, absent skipped": replace(ssc, absent="skip"),
    }


def _of_unlabeled_scans(plain: MethodConfig) -> dict[str, MethodConfig]:
    """{row: method} of those that learn from unlabeled scans too; labeled ones as `plain` does."""
    cac = AnatomicalConsistencyConfig(plain, ramp=RAMP)
    return {
        "CAC": cac,
        "CAC, running maps": replace(cac, anatomy=AnatomyConfig(momentum=0.9)),
        "mean teacher": MeanTeacherConfig(plain),
        "cross pseudo": CrossPseudoSupervisionConfig(plain),
        "weak to strong": WeakToStrongConfig(plain),
    }


def _with_unlabeled(recipe: Recipe, method: MethodConfig) -> Recipe:
    """The recipe with another method, and as many unlabeled images in a step as labeled ones."""
    return replace(recipe, method=method, unlabeled_batch_size=recipe.batch_size)
