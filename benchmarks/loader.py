"""What does a training sample cost, cut out of a prepared case and augmented, against MONAI's transforms?

The same kind of sample for both: half of them around foreground, turned by up to 15 degrees and zoomed by 0.8 to 1.2
(8 of 10), then noise, blur, brightness, contrast (15 of 100 each) and gamma (3 of 10). Ours reads the prepared case as
training does (`UnpairedSteps`); MONAI's dictionary transforms have the arrays in memory, as its CacheDataset has them.
Random numbers differ, so values aren't compared. Processor time of one thread, in turn, page cache warm.

    python benchmarks/loader.py [--dims 2 3] [--samples 20] [--repeats 3] [--json numbers.json]
    python benchmarks/loader.py --small
"""

import argparse
import json
import tempfile
import warnings
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch

from side_by_side import medians, print_versions
from unpaired.data.augment import Augmentation
from unpaired.data.dataset import CaseEntry, Dataset, Modality
from unpaired.data.images import write_image
from unpaired.data.prepare import prepare
from unpaired.data.prepared import PreparedCase
from unpaired.data.preprocess import Preprocessing
from unpaired.data.sampling import Sampling, UnpairedSteps

SHAPE = {2: (320, 320, 12), 3: (200, 200, 160)}
PATCH = {2: (192, 192), 3: (96, 96, 96)}
ANGLE, ZOOM = 15, (0.8, 1.2)
AUGMENTATION = Augmentation(low_resolution=0)  # MONAI's fails in 2D


def labeled_case(folder: Path, shape: tuple[int, ...]) -> PreparedCase:
    """A body of noise with an organ in it, prepared."""
    axes = np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij", sparse=True)
    organ = (sum(axis**2 for axis in axes) < 0.2).astype(np.uint8)
    values = np.random.default_rng(0).normal(40, 25, shape).astype(np.int16) + 100 * organ
    files = folder / "scan.nii.gz", folder / "labels.nii.gz"
    for file, array in zip(files, (values.astype(np.int16), organ), strict=True):
        write_image(file, array, np.diag([-1.0, -1.0, 1.0, 1.0]))
    entry = CaseEntry("scan", "patient", "ct", *files)
    dataset = Dataset("benchmark", ("background", "organ"), {"ct": Modality()}, (entry,))
    return prepare(dataset, Preprocessing(plane="axial"), folder / "prepared").cases["scan"]


def ours(case: PreparedCase, patch: tuple[int, ...], samples: int) -> Callable[[], object]:
    """So many samples, others in each call."""
    sampling = Sampling(patch, batch_size=1, augmentation=AUGMENTATION)
    steps = UnpairedSteps({"ct": [case]}, ((0,), (1,)), 2, sampling, steps=1 << 30)
    numbers = count()
    return lambda: [steps[next(numbers)] for _ in range(samples)]


def monais(case: PreparedCase, patch: tuple[int, ...], samples: int) -> Callable[[], object]:
    """So many samples by MONAI's transforms; of a volume's random slice in 2D."""
    transforms: Any = monai_transforms(patch)
    labels = case.label_map()
    assert labels is not None
    volume, labels = np.array(case.volume())[None], np.array(labels)[None]
    generator = np.random.default_rng(0)

    def sample() -> object:
        at = (slice(None), int(generator.integers(volume.shape[1]))) if len(patch) == 2 else slice(None)
        return transforms({"image": torch.from_numpy(volume[at]), "label": torch.from_numpy(labels[at])})

    return lambda: [sample() for _ in range(samples)]


def monai_transforms(patch: tuple[int, ...]) -> object:
    """A crop that is larger than the patch by what rotation and zoom need, and MONAI's counterparts of ours."""
    from monai.transforms.compose import Compose
    from monai.transforms.croppad.dictionary import RandCropByPosNegLabeld, ResizeWithPadOrCropd
    from monai.transforms.intensity.dictionary import (
        RandAdjustContrastd,
        RandGaussianNoised,
        RandGaussianSmoothd,
        RandScaleIntensityd,
        RandScaleIntensityFixedMeand,
    )
    from monai.transforms.spatial.dictionary import RandAffined

    keys, angle = ("image", "label"), np.deg2rad(ANGLE)
    larger = tuple(int(np.ceil(size * AUGMENTATION.margin)) for size in patch)
    zoom = (1 / ZOOM[1] - 1, 1 / ZOOM[0] - 1)
    crop: Any = RandCropByPosNegLabeld(keys, "label", larger, pos=1, neg=1, num_samples=1, allow_smaller=True)
    return Compose(
        [
            crop,
            ResizeWithPadOrCropd(keys, larger),
            RandAffined(
                keys,
                prob=0.8,
                rotate_range=[(-angle, angle)] * (1 if len(patch) == 2 else 3),
                scale_range=[zoom] * len(patch),
                spatial_size=patch,
                mode=("bilinear", "nearest"),
                padding_mode="zeros",
            ),
            RandGaussianNoised("image", prob=0.15, std=0.1),
            RandGaussianSmoothd("image", prob=0.15),
            RandScaleIntensityd("image", factors=0.25, prob=0.15),
            RandScaleIntensityFixedMeand("image", factors=0.25, prob=0.15),
            RandAdjustContrastd("image", prob=0.3, gamma=(0.7, 1.5)),
        ]
    )


def main() -> None:
    """A line for 2D and one for 3D."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dims", type=int, nargs="+", default=(2, 3), choices=(2, 3))
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--small", action="store_true", help="a smoke run")
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", "Num foregrounds 0")  # MONAI's, of slices without foreground
    print_versions("monai", "batchgeneratorsv2")
    numbers: dict[str, dict[str, float]] = {}
    for dims in given.dims:
        shape, patch = (SHAPE[dims], PATCH[dims]) if not given.small else ((60, 60, 20), (32, 32, 16)[:dims])
        samples, repeats = (2, 1) if given.small else (given.samples, given.repeats)
        with tempfile.TemporaryDirectory() as folder:
            case = labeled_case(Path(folder), shape)
            runs = {"unpaired": ours(case, patch, samples), "MONAI": monais(case, patch, samples)}
            taken = {name: 1000 * seconds / samples for name, seconds in medians(runs, repeats).items()}
        numbers[f"{dims}D"] = taken
        print(
            f"{dims}D, patch {patch}: {taken['unpaired']:.2f} ms a sample, MONAI {taken['MONAI']:.2f} ms, "
            f"{taken['MONAI'] / taken['unpaired']:.2f} times as long"
        )
    if given.json:
        given.json.write_text(json.dumps(numbers, indent=2))


if __name__ == "__main__":
    main()
