"""What nnU-Net v2 plans for the public datasets of tests/public_fingerprints.json, beside what we plan for them.

    python studies/nnunet_plans.py        prints the table of docs/reference/planning.md; seconds, no data needed

nnU-Net itself needs its preprocessed folders to plan, so its rules are computed here from their description (Isensee et
al. 2021, and the code of release 2: default planner, 8 GB, plain U-Net, one channel): target spacing, initial patch,
pooling by spacing, the estimate of feature maps that stands for memory, and the batch. It plans each modality by
itself, since a dataset of its has one kind of scan; we plan one grid for all modalities of a dataset.

The rules were checked on plans that are known of nnU-Net itself: hippocampus 40 x 56 x 40 with batch 9, liver and BraTS
128 x 128 x 128 with batch 2, MSD's heart 80 x 192 x 160 and 320 x 256 with batch 40, ACDC 20 x 256 x 224.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unpaired.networks.unet import UNetConfig
from unpaired.planning.plan import plan_recipe
from unpaired.recipe import Recipe

sys.path.append(str(Path(__file__).parent.parent / "tests"))
from public_fingerprints import ALL as FINGERPRINTS
from public_fingerprints import read_datasets

ANISOTROPY = 3
SMALLEST = 4
CONVOLUTIONS = 2
"""Of each stage, in encoder and decoder."""
BUDGET = {2: (85_000_000, 12, 512), 3: (560_000_000, 2, 320)}
"""{axes: feature maps in 8 GB, of a batch of so many, and the most channels}."""


@dataclass(frozen=True)
class NNUNetPlan:
    """One configuration: patch, spacing in mm, stages and batch size."""

    patch: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    stages: int
    batch: int


def target_spacing(facts: dict[str, Any]) -> list[float]:
    """The medians; of an axis with far longer voxels and far fewer of them the 10th percentile."""
    spacing, shape = list(facts["spacing_mm"]), facts["shape"]
    worst = int(np.argmax(spacing))
    others = [axis for axis in range(3) if axis != worst]
    longest = max(spacing[axis] for axis in others)
    if spacing[worst] > ANISOTROPY * longest and shape[worst] * ANISOTROPY < min(shape[axis] for axis in others):
        spacing[worst] = max(facts["thin_mm"], longest)
    return spacing


def topology(spacing: Sequence[float], size: Sequence[int]) -> tuple[list[tuple[int, ...]], list[int], tuple[int, ...]]:
    """Strides of each stage (the first has none), what sizes must divide by, and the size padded to that."""
    steps, sizes, pools = list(spacing), [float(length) for length in size], [0] * len(size)
    strides = [(1,) * len(size)]
    while able := [axis for axis in range(len(size)) if sizes[axis] >= 2 * SMALLEST]:
        finest = min(steps[axis] for axis in able)
        able = [axis for axis in able if steps[axis] / finest < 2]
        if len(able) == 1 and sizes[able[0]] < 3 * SMALLEST:
            break
        strides.append(tuple(2 if axis in able else 1 for axis in range(len(size))))
        for axis in able:
            steps[axis], sizes[axis], pools[axis] = 2 * steps[axis], math.ceil(sizes[axis] / 2), pools[axis] + 1
    multiples = [2**count for count in pools]
    padded = tuple(math.ceil(length / multiple) * multiple for length, multiple in zip(size, multiples, strict=True))
    return strides, multiples, padded


def feature_maps(patch: Sequence[int], strides: Sequence[Sequence[int]], classes: int) -> int:
    """The values of all convolutions' outputs: encoder, decoder, transposed convolutions, and the last logits."""
    widest = BUDGET[len(patch)][2]
    channels = [min(32 * 2**stage, widest) for stage in range(len(strides))]
    sizes, size = [], list(patch)
    for stride in strides:
        size = [length // step for length, step in zip(size, stride, strict=True)]
        sizes.append(math.prod(size))
    encoder = sum(CONVOLUTIONS * width * voxels for width, voxels in zip(channels, sizes, strict=True))
    decoder = sum((CONVOLUTIONS + 1) * width * voxels for width, voxels in zip(channels[:-1], sizes[:-1], strict=True))
    return encoder + decoder + classes * sizes[0]


def plan(spacing: Sequence[float], shape: Sequence[float], classes: int, cases: int) -> NNUNetPlan:
    """A configuration for scans of this median shape at this spacing (2 or 3 axes); `shape` has all its axes."""
    axes = len(spacing)
    reference, batch, _ = BUDGET[axes]
    aspect = 1 / np.array(spacing)
    edge = (256**3 / np.prod(aspect)) ** (1 / 3) if axes == 3 else (2048**2 / np.prod(aspect)) ** (1 / 2)
    patch = tuple(int(min(round(length), size)) for length, size in zip(aspect * edge, shape[-axes:], strict=True))
    strides, multiples, patch = topology(spacing, patch)
    while feature_maps(patch, strides, classes) / batch * 2 > reference:
        axis = int(np.argsort([length / size for length, size in zip(patch, shape[-axes:], strict=True)])[-1])
        smaller = list(patch)
        smaller[axis] -= multiples[axis]
        step = topology(spacing, smaller)[1][axis]
        strides, multiples, patch = topology(
            spacing, [length - step if number == axis else length for number, length in enumerate(patch)]
        )
    maps = feature_maps(patch, strides, classes)
    share = round(math.prod(shape) * cases * 0.05 / math.prod(patch))
    return NNUNetPlan(patch, tuple(spacing), len(strides), max(min(round(reference / maps * batch), share), 2))


def plans(facts: dict[str, Any]) -> dict[str, NNUNetPlan]:
    """The configurations of a modality: "2d", "3d_fullres", and "3d_lowres" where a patch sees too little."""
    spacing = target_spacing(facts)
    order = [int(np.argmax(spacing)), *(axis for axis in range(3) if axis != int(np.argmax(spacing)))]
    shape = [
        round(old / new * size) for old, new, size in zip(facts["spacing_mm"], spacing, facts["shape"], strict=True)
    ]
    spacing, shape = [spacing[axis] for axis in order], [shape[axis] for axis in order]
    classes, cases = facts["classes"] + 1, facts["cases"]
    result = {"2d": plan(spacing[1:], shape, classes, cases)}
    if shape[0] == 1:
        return result
    result["3d_fullres"] = full = plan(spacing, shape, classes, cases)
    coarse, lowres, voxels = np.array(spacing), None, float(math.prod(shape))
    patch = full.patch
    while math.prod(patch) / voxels < 0.25:
        long = coarse.max() / coarse > 2
        coarse[long if long.any() else slice(None)] *= 1.03
        smaller = np.array(spacing) / coarse * np.array(shape)
        voxels = float(np.prod(smaller))
        lowres = plan(coarse.tolist(), [round(size) for size in smaller], classes, cases)
        patch = lowres.patch
    if lowres is not None and math.prod(shape) / voxels >= 2:
        result["3d_lowres"] = lowres
    return result


def numbers(values: Sequence[float]) -> str:
    """Such as 128 x 128 x 128 or 1 x 0.77 x 0.77."""
    return " x ".join(f"{value:.2f}".rstrip("0").rstrip(".") for value in values)


def table() -> str:
    """The table of docs/reference/planning.md: each configuration of nnU-Net, and ours of the whole dataset."""
    lines = ["| dataset | planned for | by | patch | voxels, mm | stages | batch |", "|---|---|---|---|---|---:|---:|"]
    for dataset in read_datasets():
        for facts in dataset["modalities"]:
            for name, made in plans(facts).items():
                shown = f"{numbers(made.patch)} | {numbers(made.spacing_mm)} | {made.stages} | {made.batch}"
                lines.append(f"| {dataset['name']} | {facts['name']} | nnU-Net {name} | {shown} |")
        recipe = plan_recipe(FINGERPRINTS[dataset["name"]], "cuda", 8.0).recipe
        assert isinstance(recipe.network, UNetConfig)
        names = " and ".join(facts["name"] for facts in dataset["modalities"])
        shown = f"{spacing_of(recipe)} | {len(recipe.network.blocks)} | {recipe.batch_size} of each"
        lines.append(f"| {dataset['name']} | {names} | **ours** | {numbers(recipe.patch_size)} | {shown} |")
    return "\n".join(lines) + "\n"


def spacing_of(recipe: Recipe) -> str:
    """The voxels of a recipe's grid in mm; "own" along an axis that isn't resampled."""
    spacing = recipe.preprocessing.spacing_mm
    steps = (None, None, None) if spacing is None else spacing
    return " x ".join("own" if step is None else f"{step:g}" for step in steps[-recipe.spatial_dims :])


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print(table(), end="")


if __name__ == "__main__":
    main()
