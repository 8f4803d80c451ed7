"""Whom the rows of a study see: drawn by the run's seed as numpy draws them, and no test case is touched."""

from pathlib import Path

import numpy as np
import pytest

from unpaired.data.dataset import CaseEntry, Dataset, Modality
from unpaired.data.split import SPLITS
from unpaired.errors import InputError
from unpaired.experiments.labels import FewPatients, LabeledShare, ScarceLabels


def hearts() -> Dataset:
    """Eight patients who train, two who validate and two who test; of each a CT and an LGE, labeled."""
    sides = ["train"] * 8 + ["validation"] * 2 + ["test"] * 2
    cases = tuple(
        CaseEntry(f"p{number}_{name}", f"p{number}", name, Path("i"), Path("l"), split=side)
        for number, side in enumerate(sides)
        for name in ("ct", "lge")
    )
    return Dataset("hearts", ("background", "LV"), {"ct": Modality(), "lge": Modality()}, cases)


TRAINING = [f"p{number}" for number in range(8)]


def labeled(dataset: Dataset, modality: str, side: str) -> list[str]:
    return [case.patient for case in dataset.of(modality, side, labeled=True)]


@pytest.mark.parametrize("seed", [0, 6])
def test_labels_of_one_modality_are_left_to_so_many_training_patients_alone(seed: int) -> None:
    before, kept = hearts(), set(np.random.default_rng(seed).permutation(TRAINING)[:3].tolist())
    after = ScarceLabels("lge", 3)(before, seed)
    assert set(labeled(after, "lge", "train")) == kept
    assert (labeled(after, "lge", "validation"), labeled(after, "lge", "test")) == ([], ["p10", "p11"])
    assert [(case.id, case.split) for case in after.cases] == [(case.id, case.split) for case in before.cases]
    for side in SPLITS:
        assert after.of("ct", side) == before.of("ct", side)
    assert labeled(ScarceLabels("lge")(before, seed), "lge", "train") == []
    with pytest.raises(InputError, match="has 8 labeled training patients of lge, expected 9"):
        ScarceLabels("lge", 9)(before, seed)


@pytest.mark.parametrize("seed", [0, 6])
def test_few_patients_and_shares_are_drawn_by_the_seed_of_the_run(seed: int) -> None:
    before = hearts()

    def drawn(group: str, count: int) -> set[str]:
        order = np.random.default_rng([seed, *map(ord, group)]).permutation(8)
        return {TRAINING[place] for place in order[:count].tolist()}

    few = FewPatients("lge", 3)(before, seed)
    assert set(labeled(few, "lge", "train")) == drawn("lge", 3)
    assert len(few.of("lge", "train")) == 3
    share = LabeledShare(0.25)(before, seed)
    assert set(labeled(share, "lge", "train")) == set(labeled(share, "ct", "train")) == drawn("ct+lge", 2)
    assert len(share.of("lge", "train")) == 8
    for after in (few, share):
        assert after.of(split="test") == before.of(split="test")
        assert after.of(split="validation") == before.of(split="validation")
