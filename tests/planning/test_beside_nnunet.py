"""What nnU-Net plans and what we plan for public datasets: known plans of its own, and the table of the docs."""

import sys
from pathlib import Path

import pytest

from public_fingerprints import read_datasets

ROOT = Path(__file__).parent.parent.parent
sys.path.append(str(ROOT / "studies"))
import nnunet_plans  # noqa: E402

FACTS = {(dataset["name"], facts["name"]): facts for dataset in read_datasets() for facts in dataset["modalities"]}


@pytest.mark.parametrize(
    ("dataset", "modality", "configuration", "patch", "batch"),
    [
        ("MSD Hippocampus", "mr", "3d_fullres", (40, 56, 40), 9),
        ("MSD Hippocampus", "mr", "2d", (56, 40), 366),
        ("MSD Heart", "mr", "3d_fullres", (80, 192, 160), 2),
        ("MSD Heart", "mr", "2d", (320, 256), 40),
        ("MSD Liver", "ct", "3d_fullres", (128, 128, 128), 2),
        ("MSD Prostate", "t2", "2d", (320, 320), 32),
        ("BraTS", "t1w", "3d_fullres", (128, 128, 128), 2),
        ("ACDC", "cine", "3d_fullres", (20, 256, 224), None),
    ],
)
def test_its_rules_give_the_plans_that_it_is_known_for(
    dataset: str, modality: str, configuration: str, patch: tuple[int, ...], batch: int | None
) -> None:
    plan = nnunet_plans.plans(FACTS[dataset, modality])[configuration]
    assert plan.patch == patch
    assert batch is None or plan.batch == batch


def test_ten_public_datasets_are_planned() -> None:
    names = {dataset["name"] for dataset in read_datasets()}
    assert len(names) >= 11  # with the single slices
    assert all(len(facts["shape"]) == len(facts["spacing_mm"]) == 3 for facts in FACTS.values())


def test_the_table_of_the_docs_is_what_is_planned() -> None:
    page = (ROOT / "docs" / "reference" / "planning.md").read_text(encoding="utf-8")
    shown = [line for line in page.splitlines() if line.startswith("| ") and line.count("|") == 8]
    expected = [line for line in nnunet_plans.table().splitlines() if line.startswith("| ")]
    assert shown == expected
