"""One modality has few labels, or none: what are its scans worth? Rows of `recipes.random_convolutions`.

On MS-CMRSeg: labels of bSSFP, and of LGE none or few; LGE's validation labels are gone too, its test labels are kept.
For scans of your own: a file with a function that returns `scarce_labels(size, scarce="t2", others=("ct",))`.
"""

from dataclasses import replace

from unpaired.experiments.labels import ScarceLabels, Simulated
from unpaired.experiments.splits import Folds
from unpaired.experiments.study import Row, Size, Study
from unpaired.methods.weak_to_strong import WeakToStrongConfig
from unpaired.recipe import Recipe
from unpaired.recipes import random_convolutions as random
from unpaired.recipes.your_data import msbn_2d

PATIENTS = (1, 2, 4, 8)
"""Of LGE with labels, in the rows of `few_labels`."""


def scarce_labels(
    size: Size = "small", scarce: str = "lge", others: tuple[str, ...] = ("bssfp",), patients: tuple[int, ...] = ()
) -> Study:
    """No label of LGE: bSSFP's network alone, with random convolutions, with borrowed slices, with all labels."""
    plain, borrowed = (random.small_unet_plain(), random.small_unet_borrowed()) if size == "small" else _full()
    own = replace(plain, randomization=random.small_unet_own().randomization)
    taught = replace(borrowed, method=random.small_unet_borrowed_weak_to_strong().method)
    taught = replace(taught, unlabeled_batch_size=taught.batch_size)
    everything = random.small_unet_scarce() if size == "small" else random.unet_scarce()
    none = ScarceLabels(scarce)
    rows = [
        Row("plain", _of(others, plain), none, norms_of=others[0]),
        Row("own", _of(others, own), none, norms_of=others[0]),
        Row("borrowed", borrowed, none),
        Row("taught", taught, none),
        Row("scarce", everything, none),
    ]
    for count in patients:
        said = f"{count} label" if count == 1 else f"{count} labels"
        rows += [
            Row(f"{scarce} alone, {said}", _of((scarce,), plain), ScarceLabels(scarce, count), None, scarce),
            Row(f"few, {said}", plain, ScarceLabels(scarce, count)),
            Row(f"borrowed, {said}", borrowed, ScarceLabels(scarce, count)),
            Row(f"scarce, {said}", everything, ScarceLabels(scarce, count)),
        ]
    rows += [Row("all", plain)]
    if patients:
        rows += [Row(f"{scarce} alone, all", _of((scarce,), plain), norms_of=scarce)]
    return Study(f"No label of {scarce}" if not patients else f"Few labels of {scarce}", tuple(rows), Folds())


def few_labels(size: Size = "small") -> Study:
    """Dice by the number of LGE patients with labels (0, 1, 2, 4, 8): LGE alone, both modalities, borrowed slices."""
    return scarce_labels(size, patients=PATIENTS)


def few_labels_simulated(
    size: Size = "small", scarce: str = "lge", others: tuple[str, ...] = ("bssfp",), patients: tuple[int, ...] = (1, 4)
) -> Study:
    """No label of LGE, one patient's, four patients', all: with simulated LGE beside them and without.

    `taught` rows learn from LGE's unlabeled scans too, by a teacher (weak to strong).
    For a dataset that was joined with `unpaired phantom --like`; rows without simulated scans leave them out. No row
    smooths what it predicts.
    """
    plain = random.small_unet_plain() if size == "small" else msbn_2d()
    simulated = random.small_unet_simulated() if size == "small" else random.unet_simulated()
    simulated = replace(simulated, postprocessing=plain.postprocessing)  # smoothing would count as the scans' gain
    own = replace(plain, randomization=random.small_unet_own().randomization)
    taught = replace(simulated, method=WeakToStrongConfig(simulated.method), unlabeled_batch_size=simulated.batch_size)
    none = ScarceLabels(scarce)
    rows = [
        Row("plain", _of(others, plain), none, norms_of=others[0]),
        Row("own", _of(others, own), none, norms_of=others[0]),
        Row("simulated", simulated, replace(none, simulated=True)),
        Row("simulated, taught", taught, replace(none, simulated=True)),
    ]
    for count in patients:
        said = f"{count} label" if count == 1 else f"{count} labels"
        seen = ScarceLabels(scarce, count)
        rows += [
            Row(f"few, {said}", plain, seen),
            Row(f"simulated, {said}", simulated, replace(seen, simulated=True)),
            Row(f"simulated, taught, {said}", taught, replace(seen, simulated=True)),
        ]
    rows += [Row("all", plain, Simulated()), Row("simulated, all", simulated, Simulated((scarce,)))]
    return Study(f"Few labels of {scarce}, simulated scans beside", tuple(rows), Folds())


def _full() -> tuple[Recipe, Recipe]:
    """(plain, borrowed) on the strong CNN."""
    return msbn_2d(), random.unet_borrowed()


def _of(modalities: tuple[str, ...], recipe: Recipe) -> Recipe:
    """The recipe on some modalities alone, with as many slices in a step as one on two modalities has."""
    return replace(recipe, modalities=modalities, batch_size=recipe.batch_size * 2)
