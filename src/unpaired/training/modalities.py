"""Which modalities a run is trained on: none of those that take part is dropped without being told."""

from collections.abc import Iterator
from dataclasses import asdict

from unpaired.configs import code_of, to_json
from unpaired.data.dataset import SPLITS, Dataset
from unpaired.data.prepared import Prepared
from unpaired.data.simulated import idle_simulated
from unpaired.errors import InputError
from unpaired.recipe import Recipe
from unpaired.runs.difference import first_difference
from unpaired.runs.run import Run, training_modalities


def modalities_to_train(recipe: Recipe, dataset: Dataset, begun: bool = False) -> tuple[str, ...]:
    """The recipe's modalities, or all that have labeled training cases, in the manifest's order.

    Raises InputError if a modality has cases on some side but no labeled one in training, unless the recipe names the
    modalities to train. A run that was `begun` keeps those it has.
    """
    trained = training_modalities(recipe, dataset)
    if recipe.modalities is None and not begun:
        for modality in dataset.modalities:
            sides = {
                side: (len(dataset.of(modality, side)), len(dataset.of(modality, side, labeled=True)))
                for side in SPLITS
            }
            if modality not in trained and any(count for count, _ in sides.values()):
                there = ", ".join(
                    f"{count} in {side} ({labeled} labeled)" for side, (count, labeled) in sides.items() if count
                )
                names = ",".join(f'"{name}"' for name in trained)
                idle = f"; {said}" if (said := idle_simulated(dataset)) else ""
                raise InputError(
                    f"dataset {dataset.name} has no labeled training case of modality {modality!r}: {there}. Split "
                    f"anew with `unpaired split`, train without it: --set 'modalities=[{names}]', or let it borrow "
                    f"from the others: --set randomization.borrowed=0.75{idle}"
                )
    return trained


def require_labels_to_join(joining: tuple[str, ...], recipe: Recipe, dataset: Dataset) -> None:
    """Raise InputError for a modality that joins a run and has nothing to learn from."""
    for modality in joining:
        if not recipe.randomization.borrowed and not dataset.of(modality, "train", labeled=True):
            raise InputError(
                f"dataset {dataset.name} has no labeled training case of modality {modality!r}, which is to join "
                f"{recipe.init_from}; label some, or name the modalities without it in recipe.modalities"
            )


def require_as_before(recipe: Recipe, dataset: Dataset) -> None:
    """Raise InputError where what modalities join would get other scans, or say other classes, than it has learned.

    Its weights are frozen: they can't adapt, and its own modalities would be segmented otherwise than by it.
    """
    before = Run(recipe.init_from or "", code_of(recipe))
    known = [name for name in before.modalities if name in dataset.modalities]
    there, here = (
        {
            "classes": list(data.classes),
            "modalities": {name: asdict(data.modalities[name]) for name in known},
            "recipe": {"preprocessing": to_json(its.preprocessing), "context_slices": its.context_slices},
        }
        for its, data in ((before.recipe, before.dataset), (recipe, dataset))
    )
    for what in there:
        if difference := first_difference(there[what], here[what], what):
            raise InputError(
                f"recipe.trained is new_modalities, but {difference}; what {recipe.init_from} has learned is frozen, "
                "so classes, modalities' options and preprocessing have to be as they were"
            )


def left_out(dataset: Dataset, trained: tuple[str, ...]) -> str | None:
    """One line about the modalities that are not trained; None if all are."""
    others = [modality for modality in dataset.modalities if modality not in trained]
    return f"not trained: {', '.join(others)}; predict will refuse their scans" if others else None


def not_validated(dataset: Dataset, trained: tuple[str, ...]) -> str | None:
    """One line about which weights will predict where nothing is validated; None if something is."""
    validated = any(dataset.of(modality, "validation", labeled=True) for modality in trained)
    return None if validated else "no labeled validation case: no weights are chosen as the best, the last ones predict"


def not_taught(dataset: Dataset, trained: tuple[str, ...], prepared: Prepared) -> Iterator[str]:
    """A line for every class that no labeled training case shows, of a modality or at all, and for a modality that
    takes no part in choosing the best weights."""
    shown = {
        modality: {
            number
            for case in dataset.of(modality, "train", labeled=True)
            for label in prepared.labels[case.id]
            if 0 not in prepared.label_sets[label]
            for number in prepared.label_sets[label]
        }
        for modality in trained
        if dataset.of(modality, "train", labeled=True)
    }
    everywhere = {number for numbers in shown.values() for number in numbers}
    for number, name in enumerate(dataset.classes[1:], start=1):
        if number not in everywhere:
            yield f"no labeled training case shows {name}, in no modality: the network can't learn it"
    for modality, numbers in shown.items():
        if lacking := [dataset.classes[number] for number in sorted(everywhere - numbers)]:
            yield f"no labeled training case of {modality} shows {', '.join(lacking)}"
    validated = [modality for modality in trained if dataset.of(modality, "validation", labeled=True)]
    others = [modality for modality in trained if modality not in validated]
    if validated and others:
        yield f"no labeled validation case of {', '.join(others)}: the best weights are chosen without"
