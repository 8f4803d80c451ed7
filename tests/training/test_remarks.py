"""What training says before it begins: borrowed, randomized and simulated samples, and what these gave and cost."""

from dataclasses import replace
from pathlib import Path

from unpaired.data.dataset import CaseEntry, Dataset, Modality
from unpaired.data.randomization import BORROWED_ALL_GAIN_AND_PRICE, BORROWED_GAIN_AND_PRICE, GAIN_AND_PRICE
from unpaired.recipe import Recipe
from unpaired.recipes import random_convolutions as recipes
from unpaired.runs.run import Run
from unpaired.training.cases import remarks


def heard(recipe: Recipe, dataset: Dataset, folder: Path) -> list[str]:
    said = remarks(Run.create(folder, recipe, dataset, "hearts"), tuple(dataset.modalities))
    return [line for line in said if "validat" not in line]


def hearts(patients: int, simulated: int, side: str | None = "train") -> Dataset:
    """Twelve labeled bSSFP patients; so many labeled LGE patients, and simulated LGE scans beside them."""
    sizes = (("b", "bssfp", 12, "train"), ("p", "lge", patients, "train"), ("s", "lge", simulated, side))
    cases = tuple(
        CaseEntry(f"{letter}{n}", f"{letter}{n}", name, Path("i.nii"), Path("l.nii"), split=on, simulated=letter == "s")
        for letter, name, count, on in sizes
        for n in range(count)
    )
    return Dataset("hearts", ("background", "LV"), {"bssfp": Modality(), "lge": Modality()}, cases)


def test_random_intensities_are_named_with_their_gain_and_price(tmp_path: Path) -> None:
    own = recipes.small_unet_own()
    both = hearts(12, 0)
    assert heard(own, both, tmp_path / "own") == [
        f"70% of the samples of bssfp, lge in random intensities: {GAIN_AND_PRICE}"
    ]
    of_lge = replace(own, randomization=replace(own.randomization, modalities=("lge",)))
    assert heard(of_lge, both, tmp_path / "lge")[0].startswith("70% of the samples of lge in random")
    assert heard(recipes.small_unet_plain(), both, tmp_path / "plain") == []


def test_simulated_cases_are_counted_beside_those_of_patients(tmp_path: Path) -> None:
    plain = recipes.small_unet_plain()
    for patients, share in ((0, 100), (1, 50), (12, 29)):
        assert heard(plain, hearts(patients, 5), tmp_path / str(patients)) == [
            f"lge has 5 simulated training cases beside {patients} labeled ones of patients: {share}% of its own "
            "samples are simulated"
        ]
    without = replace(plain, simulated_share=0.0)
    assert heard(without, hearts(1, 5), tmp_path / "without")[0].endswith(
        "beside 1 labeled ones of patients: 0% of its own samples are simulated"
    )
    assert heard(plain, hearts(2, 3, side=None), tmp_path / "idle") == [
        "warning: 3 simulated cases are on no side of the split, so they take no part; to train with them, split "
        "dataset hearts anew with `unpaired split`"
    ]


def test_simulated_scans_are_told_from_labels_of_patients_where_modalities_borrow(tmp_path: Path) -> None:
    borrowed = recipes.small_unet_borrowed()
    assert heard(borrowed, hearts(1, 3), tmp_path / "few")[0] == (
        "lge has 1 labeled training case (3 simulated): 45% of its samples are borrowed from modalities with more, "
        f"their intensities randomized: {BORROWED_GAIN_AND_PRICE}"
    )
    assert heard(borrowed, hearts(0, 0), tmp_path / "none")[0] == (
        "lge has 0 labeled training cases: 100% of its samples are borrowed from modalities with more, "
        f"their intensities randomized: {BORROWED_ALL_GAIN_AND_PRICE}"
    ), "what one label and borrowed slices gave says nothing of this"
    many = heard(borrowed, hearts(1, 30), tmp_path / "many")
    assert not any("borrowed" in line for line in many), "neither lge, nor bssfp from simulated scans"
