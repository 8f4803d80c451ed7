"""Mirrored predictions lead back to the scan, classes that change sides too; training and prediction agree."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from lightning_fabric import Fabric

from unpaired.data.dataset import Dataset
from unpaired.data.prepare import prepare
from unpaired.data.sides import MirrorSwap
from unpaired.inference.mirroring import Mirroring, mirroring_of
from unpaired.recipe import Recipe, override
from unpaired.recipes.phantom import msbn
from unpaired.runs.run import Run
from unpaired.training.batches import unpaired_steps

AXES = ("depth", "height", "width")


def segmented(volume: np.ndarray) -> np.ndarray:
    """A perfect network: class 1 is bright left of the middle, class 2 right of it, each as likely as it is bright."""
    probabilities = np.zeros((3, *volume.shape))
    middle = volume.shape[2] // 2
    probabilities[1, :, :, :middle] = volume[:, :, :middle]
    probabilities[2, :, :, middle:] = volume[:, :, middle:]
    probabilities[0] = 1 - volume
    return probabilities


@pytest.mark.parametrize("shape", [(1, 6, 8), (4, 6, 8)])
def test_a_network_that_tells_sides_says_the_same_of_every_mirrored_scan(shape: tuple[int, ...]) -> None:
    volume = np.random.default_rng(0).random(shape)
    swapping = Mirroring(AXES, MirrorSwap(("width",), (0, 2, 1)))
    assert len(swapping.views) == 8
    for view in swapping.views:
        mirrored = segmented(np.flip(volume, view))
        np.testing.assert_array_equal(swapping.undone(mirrored, view), segmented(volume))
        as_it_is = Mirroring(AXES).undone(mirrored, view)
        assert np.array_equal(as_it_is, segmented(volume)) == (2 not in view), "without a swap sides are exchanged"


def recipe(swaps: str) -> Recipe:
    changes = [
        "preprocessing.plane=axial",
        'augmentation.mirror=["height","width"]',
        f"augmentation.mirror_swaps={swaps}",
    ]
    return override(msbn(), [*changes, "batch_size=2", "steps=6", "patch_size=[32,32]"])


def test_a_run_swaps_in_training_what_it_swaps_in_prediction(phantom: Dataset, tmp_path: Path) -> None:
    """Partly annotated: where LV alone was looked for, mirrored voxels may be background or RV, a set of its own."""
    partial = tuple(replace(case, annotated=("LV",)) if case.modality == "ct" else case for case in phantom.cases)
    dataset = replace(phantom, cases=partial)
    run = Run.create(tmp_path / "run", recipe('[["LV","RV"]]'), dataset)
    swap = mirroring_of(run).swap
    assert swap is not None
    prepared = prepare(dataset, run.recipe.preprocessing, tmp_path / "prepared")
    cases = {name: [prepared.cases[case.id] for case in dataset.of(name, "train")] for name in run.modalities}
    fabric = Fabric(accelerator="cpu", devices=1)
    steps = unpaired_steps(run, cases, fabric)
    label_swap = steps.sampling.swap
    assert label_swap is not None
    rows = steps.label_sets
    assert len(rows) > len(dataset.label_sets())
    for index, row in enumerate(rows):
        assert rows[label_swap.numbers[index]].tolist() == row[list(swap.numbers)].tolist()
    plain = unpaired_steps(Run.create(tmp_path / "plain", recipe("[]"), dataset), cases, fabric)
    changed = 0
    for step in range(6):
        for name, batch in steps[step].items():
            other = plain[step][name]
            assert (batch.images == other.images).all(), "images are drawn and mirrored alike"
            for mine, theirs in zip(batch.label_map, other.label_map, strict=True):
                swapped = np.array(label_swap.numbers)[theirs.numpy()]
                assert np.array_equal(mine, theirs) or np.array_equal(mine, swapped)
                changed += not np.array_equal(mine, theirs)
    assert 0 < changed < 36
