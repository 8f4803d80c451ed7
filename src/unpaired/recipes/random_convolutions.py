"""One modality has few labels, or none: rows on MS-CMRSeg (LGE + bSSFP) for two CPU cores, and starts for your data.

    unpaired train random_convolutions/small_unet_borrowed data/mscmrseg.json runs/borrowed --split data/no_lge.json
    unpaired predict runs/borrowed data/mscmrseg.json runs/borrowed/predictions --split test

All small rows have one network, optimizer and number of steps: the small U-Net of `semi_supervised` with 16 channels
for 12, which costs hardly any time in bf16 (0.24 against 0.23 s for a step of 8 slices on one core), and an instance
norm per modality; one for all in `small_unet_scarce`, which did best on LGE patients whose unlabeled scans it saw, on
the fold that it was chosen by.
What is randomized, and what is borrowed: `data.randomization` and docs/methods/random_convolutions.md. The study
`unpaired study scarce_labels` takes the labels away and scores these rows (docs/results/scarce-labels.md).
"""

from dataclasses import replace

from unpaired.data.postprocess import Postprocessing
from unpaired.data.randomization import Randomization
from unpaired.methods.norm_shrinkage import NormShrinkageConfig
from unpaired.methods.pseudo_correlation import PseudoCorrelationConfig
from unpaired.methods.weak_to_strong import WeakToStrongConfig
from unpaired.networks.unet import UNetConfig
from unpaired.recipe import Recipe
from unpaired.recipes.semi_supervised import small_unet_labeled_only
from unpaired.recipes.your_data import msbn_2d

BORROWED = Randomization(borrowed=0.75)
"""A modality with few labels takes up to three quarters of its samples from the others; one without any takes all."""


SMOOTHED = Postprocessing(smoothing_mm=3.0)
"""What minutes of training leave ragged (docs/results/scarce-labels.md)."""


def small_unet_plain() -> Recipe:
    """The labels that there are, nothing randomized: 4 slices of each modality, 2,000 steps."""
    recipe = small_unet_labeled_only()
    assert isinstance(recipe.network, UNetConfig)
    return replace(recipe, network=replace(recipe.network, width=16), steps=2000, validate_every=500, save_every=500)


def small_unet_borrowed() -> Recipe:
    """A modality with few labels or none borrows labeled slices of the others, their intensities randomized."""
    return replace(small_unet_plain(), randomization=BORROWED)


def small_unet_own() -> Recipe:
    """Random convolutions on 70 % of every modality's own samples, as published for one modality."""
    return replace(small_unet_plain(), randomization=Randomization(share=0.7))


def small_unet_simulated() -> Recipe:
    """Random convolutions, elastic deformation, one norm for all, smoothed: simulated scans beside real ones, or alone.

    It has the contrast of a modality without labels from the phantom's (docs/how-to/few-or-no-labels.md). The weights
    `unpaired://phantom_heart` were trained by it on the phantom alone.
    """
    return _simulated(small_unet_plain())


def small_unet_begun() -> Recipe:
    """Begun on simulated hearts, at a low rate and with elastic deformation: for one to a few labeled patients."""
    recipe = small_unet_plain()
    return replace(
        recipe,
        augmentation=replace(recipe.augmentation, elastic=0.7, elastic_strain=0.9),
        optimization=replace(recipe.optimization, learning_rate=3e-4),
        init_from="unpaired://phantom_heart",
        steps=800,
        validate_every=400,
        save_every=400,
    )


def small_unet_begun_taught() -> Recipe:
    """Begun on simulated hearts, slices turned by 60 degrees, and a teacher on unlabeled scans: for a tenth labeled."""
    recipe = small_unet_begun()
    return replace(
        recipe,
        augmentation=replace(recipe.augmentation, rotation_degrees=60.0),
        method=WeakToStrongConfig(recipe.method),
        unlabeled_batch_size=recipe.batch_size,
    )


def small_unet_views() -> Recipe:
    """GIN and IPA: each of 4 slices in three contrasts, on which the network has to agree. Three passes a step."""
    return replace(small_unet_plain(), method=PseudoCorrelationConfig())


def small_unet_borrowed_weak_to_strong() -> Recipe:
    """Borrowed slices, and a teacher's labels on disturbed unlabeled ones of every modality that has some."""
    recipe = small_unet_borrowed()
    return replace(recipe, method=WeakToStrongConfig(recipe.method), unlabeled_batch_size=recipe.batch_size)


def small_unet_shrunk() -> Recipe:
    """Borrowed slices, and norms of modalities that are drawn toward each other."""
    recipe = small_unet_borrowed()
    return replace(recipe, method=NormShrinkageConfig(recipe.method))


def small_unet_scarce() -> Recipe:
    """To begin with where labels are scarce: borrowed slices, altered tissue, a teacher's labels, norms that all share.

    A modality without labels learns from borrowed slices, and from what a teacher is sure of in its own unlabeled ones.
    Elastic deformation makes up for what altered tissue costs the modality that has labels, and minutes of training
    leave answers that smoothing mends (docs/results).
    """
    return replace(_scarce(small_unet_borrowed()), postprocessing=SMOOTHED)


def unet_borrowed() -> Recipe:
    """Your data in 2D on the strong CNN, where a modality with few labels or none borrows. GPU work."""
    return replace(msbn_2d(), randomization=BORROWED)


def unet_simulated() -> Recipe:
    """Your data in 2D on the strong CNN, as `small_unet_simulated`. GPU work; not measured at this size."""
    return _simulated(msbn_2d())


def unet_scarce() -> Recipe:
    """Your data in 2D on the strong CNN, as `small_unet_scarce`. GPU work; not measured at this size."""
    return _scarce(unet_borrowed())


def _simulated(recipe: Recipe) -> Recipe:
    """What `small_unet_simulated` has besides labels."""
    assert isinstance(recipe.network, UNetConfig)
    return replace(
        recipe,
        network=replace(recipe.network, modality_norm=False),
        randomization=Randomization(share=0.7),
        augmentation=replace(recipe.augmentation, elastic=0.7, elastic_strain=0.9),
        postprocessing=SMOOTHED,
    )


def _scarce(recipe: Recipe) -> Recipe:
    """What `small_unet_scarce` adds to borrowed samples."""
    assert isinstance(recipe.network, UNetConfig)
    return replace(
        recipe,
        network=replace(recipe.network, modality_norm=False),
        augmentation=replace(recipe.augmentation, elastic=0.7, elastic_strain=0.9),
        randomization=replace(recipe.randomization, altered=0.7),
        method=WeakToStrongConfig(recipe.method, convolutions=0.25),
        unlabeled_batch_size=recipe.batch_size,
    )
