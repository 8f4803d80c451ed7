"""Scans of a few slices, for tests that train, predict and score: they pay for every window of every scan."""

from dataclasses import replace
from pathlib import Path

import nibabel

from unpaired.data.dataset import Dataset
from unpaired.data.manifest import read_dataset, write_dataset
from unpaired.phantom.write import SIZES

OF_FEW_SLICES = replace(SIZES["tiny"], ct_slice_mm=27.0, mr_slice_mm=24.0)
"""The tiny phantom in five slices, where a test has it simulated."""


def few_slices(dataset: Dataset, folder: Path, count: int = 4) -> Dataset:
    """The dataset in another folder, of each scan and label map the `count` slices in the middle."""
    root = dataset.cases[0].image.parent.parent

    def cut(file: Path | None) -> Path | None:
        if file is None:
            return None
        copy = folder / file.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        image = nibabel.Nifti1Image.load(file)
        first = (image.shape[2] - count) // 2
        nibabel.save(image.slicer[:, :, first : first + count], copy)
        return copy

    cases = tuple(replace(case, image=cut(case.image), label=cut(case.label)) for case in dataset.cases)
    write_dataset(replace(dataset, cases=cases), folder / "dataset.json")
    return read_dataset(folder)
