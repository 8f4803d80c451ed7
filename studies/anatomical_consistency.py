"""Which form of CMC's anatomical consistency (CAC) tells right from wrong when the scans are of different people?

    python studies/anatomical_consistency.py                                       heart phantom, slices
    python studies/anatomical_consistency.py --volumes                             heart phantom, 3D patches
    python studies/anatomical_consistency.py --manifest data/mscmrseg.json --patch 112 112 --spacing 1.3

Batches are drawn as in training (augmented, from random places, of different patients); reference label maps take the
part of perfect predictions. For each form: its value when both modalities are right (its floor), and when the first is
degraded; how often the degraded batch has the larger value ("wrong > right", what a gradient step sees), and how often
any degraded batch has a larger value than any right one (AUC, 0.5 is chance).

Then the gradient: steps down each form on the degraded logits alone, each as long that no logit moves by more than a
half; the mean change of their soft Dice against their own reference, and how often it rose; and the gradient's length
before the first of them, relative to that of right predictions. What happens to right predictions is the harm. "voxels"
is judged as if image i and image i were a pair, which they are not.

Last, both modalities are degraded alike, as a network of shared kernels does it: the value, and how often it is below
that of right predictions, so that to degrade both is downhill.
"""

import argparse
import datetime
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from unpaired.data.augment import Augmentation
from unpaired.data.dataset import Dataset
from unpaired.data.manifest import read_dataset
from unpaired.data.prepare import prepare
from unpaired.data.preprocess import Preprocessing
from unpaired.data.sampling import Sampling, UnpairedSteps
from unpaired.methods.anatomy import AnatomyConfig, anatomical_consistency
from unpaired.phantom.write import write_phantom

FORMS = {
    "voxels": AnatomyConfig("voxels"),
    "frame, means": AnatomyConfig("frame"),
    "frame, pairs": AnatomyConfig("frame", "pairs"),
    "shape": AnatomyConfig("shape"),
}
CONFIDENCE = 6.0
"""The logit of the class that a prediction means, the others' are 0: a probability of 0.99."""

LARGEST_STEP = 0.5
"""Of any logit."""


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """(batch, class, *spatial)."""
    return F.one_hot(labels.long(), classes).movedim(-1, 1).float()


def grown(mask: Tensor, voxels: int) -> Tensor:
    """A mask (batch, *spatial) with a rim of so many voxels."""
    pool = F.max_pool3d if mask.ndim == 4 else F.max_pool2d
    return pool(mask.float().unsqueeze(1), 2 * voxels + 1, 1, voxels).squeeze(1) > 0


def part_shifted(labels: Tensor, c: int) -> Tensor:
    """Class c lies elsewhere, by a tenth of the image."""
    step = labels.shape[-1] // 10
    moved = torch.roll(labels == c, (step, step), (-1, -2))
    return torch.where(moved, c, labels.masked_fill(labels == c, 0))


def leaked(labels: Tensor, c: int) -> Tensor:
    """Class c has grown into what lies around it, by three voxels."""
    return torch.where(grown(labels == c, 3), c, labels)


def swapped(labels: Tensor, c: int) -> Tensor:
    """Class c is taken for the next one, and that one for c."""
    classes = int(labels.max())
    other = c % classes + 1
    return torch.where(labels == c, other, torch.where(labels == other, c, labels))


def noisy(labels: Tensor, c: int) -> Tensor:
    """A fifth of the voxels are of a random class."""
    generator = torch.Generator().manual_seed(c)
    random = torch.randint(0, int(labels.max()) + 1, labels.shape, generator=generator)
    return torch.where(torch.rand(labels.shape, generator=generator) < 0.2, random, labels)


DEGRADED: dict[str, Callable[[Tensor, int], Tensor]] = {
    "all shifted": lambda labels, c: torch.roll(labels, labels.shape[-1] // 10, -1),
    "a class shifted": part_shifted,
    "a class grown": leaked,
    "all grown": lambda labels, c: torch.where(
        (labels == 0) & grown(labels == c, 3) | grown(labels == c, 1) & (labels == 0), c, labels
    ),
    "a class missing": lambda labels, c: labels.masked_fill(labels == c, 0),
    "two classes swapped": swapped,
    "left/right mirrored": lambda labels, c: labels.flip(-1),
    "a fifth is noise": noisy,
    "nothing found": lambda labels, c: torch.zeros_like(labels),
}


def batches(arguments: argparse.Namespace, folder: Path) -> tuple[list[tuple[Tensor, Tensor]], int, str]:
    """Label maps of the first two modalities for each trial, the number of classes, and what they are."""
    if arguments.manifest:
        dataset: Dataset = read_dataset(arguments.manifest)
    else:
        dataset = write_phantom(
            folder / "phantom",
            modalities=("bssfp", "lge"),
            patients={"train": 8, "validation": 0, "test": 0},
            size="tiny",
        )
    names = tuple(dataset.modalities)[:2]
    labeled = {name: [case for case in dataset.of(name) if case.label is not None] for name in names}
    spacing = (None, arguments.spacing, arguments.spacing) if arguments.spacing else None
    wanted = {case.id for cases in labeled.values() for case in cases}
    prepared = prepare(dataset, Preprocessing(spacing_mm=spacing), folder / "prepared", only=wanted, workers=0)
    cases = {name: [prepared.cases[case.id] for case in labeled[name]] for name in names}
    patch = tuple(arguments.patch or ((16, 48, 48) if arguments.volumes else (48, 48)))
    augmentation = Augmentation(noise=0, blur=0, brightness=0, contrast=0, gamma=0, low_resolution=0)
    sampling = Sampling(patch, arguments.batch, foreground_share=0.0, augmentation=augmentation)
    classes = len(dataset.classes)
    steps = UnpairedSteps(cases, dataset.label_sets(), classes, sampling, steps=arguments.trials)
    drawn = [steps[step] for step in range(arguments.trials)]
    what = f"{dataset.name}: {names[0]} against {names[1]}, {arguments.batch} + {arguments.batch} patches of {patch}"
    return [(trial[names[0]].label_map, trial[names[1]].label_map) for trial in drawn], classes, what


def area(wrong: np.ndarray, right: np.ndarray) -> float:
    """The share of (wrong, right) with wrong above right, ties by half: the area under the ROC curve."""
    return float(np.mean((wrong[:, None] > right) + 0.5 * (wrong[:, None] == right)))


def soft_dice(logits: Tensor, labels: Tensor, classes: int) -> float:
    """Mean soft Dice (squares below) of the foreground classes that are there, the whole batch at once."""
    found, true = logits.softmax(1)[:, 1:].transpose(0, 1).flatten(1), one_hot(labels, classes)[:, 1:]
    true = true.transpose(0, 1).flatten(1)
    scores = 2 * (found * true).sum(1) / (found.square().sum(1) + true.sum(1))
    return scores[true.sum(1) > 0].mean().item()


def ranking(trials: list[tuple[Tensor, Tensor]], classes: int) -> None:
    """Print each form's values on right and degraded predictions, and how well they tell them apart."""
    print(f"\n{'':22}" + "".join(f"{name:>26}" for name in FORMS))
    print(f"{'':22}" + "   value wrong>right   AUC" * len(FORMS))
    right = {name: np.array([compare(a, b, classes, form) for a, b in trials]) for name, form in FORMS.items()}
    print(f"{'right':22}" + "".join(f"{values.mean():8.3f}{'':18}" for values in right.values()))
    overall: dict[str, list[float]] = {name: [] for name in FORMS}
    for degradation, degrade in DEGRADED.items():
        cells = ""
        for name, form in FORMS.items():
            wrong = np.array(
                [
                    compare(degrade(a, 1 + trial % (classes - 1)), b, classes, form)
                    for trial, (a, b) in enumerate(trials)
                ]
            )
            above = np.mean(wrong > right[name] + 1e-6)
            overall[name].append(area(wrong, right[name]))
            cells += f"{wrong.mean():8.3f}{above:12.2f}{overall[name][-1]:6.2f}"
        print(f"{degradation:22}{cells}")
    print(f"{'mean AUC':22}" + "".join(f"{np.mean(values):26.2f}" for values in overall.values()))


def compare(a: Tensor, b: Tensor, classes: int, form: AnatomyConfig) -> float:
    """CAC of two batches of label maps taken as predictions."""
    logits = {"a": CONFIDENCE * one_hot(a, classes), "b": CONFIDENCE * one_hot(b, classes)}
    return anatomical_consistency(logits, form).item()


def descent(trials: list[tuple[Tensor, Tensor]], classes: int, steps: int) -> None:
    """Print what steps down each form's gradient do to the Dice of degraded predictions, and of right ones."""
    print(
        f"\nsoft Dice after {steps} steps on the logits of the first modality, minus before; share that rose; gradient"
    )
    print(f"{'':22}{'before':>8}" + "".join(f"{name:>26}" for name in FORMS))
    of_right: dict[str, float] = {}
    for degradation, degrade in {"right": lambda labels, c: labels, **DEGRADED}.items():
        before, change, lengths = [], {name: [] for name in FORMS}, {name: list[float]() for name in FORMS}
        for trial, (a, b) in enumerate(trials):
            start = CONFIDENCE / 2 * one_hot(degrade(a, 1 + trial % (classes - 1)), classes)
            before.append(soft_dice(start, a, classes))
            for name, form in FORMS.items():
                logits = start.clone().requires_grad_()
                for step in range(steps):
                    loss = anatomical_consistency({"a": logits, "b": CONFIDENCE * one_hot(b, classes)}, form)
                    (gradient,) = torch.autograd.grad(loss, logits)
                    lengths[name] += [gradient.norm().item()] if step == 0 else []
                    with torch.no_grad():
                        logits -= LARGEST_STEP * gradient / gradient.abs().max().clamp(min=1e-12)
                change[name].append(soft_dice(logits.detach(), a, classes) - before[-1])
        mean = {name: float(np.mean(values)) for name, values in lengths.items()}
        of_right = of_right or mean
        cells = "".join(
            f"{np.nanmean(values):+12.3f}{np.mean(np.array(values) > 1e-6):8.2f}{mean[name] / of_right[name]:6.2f}"
            for name, values in change.items()
        )
        print(f"{degradation:22}{np.nanmean(before):8.3f}{cells}", flush=True)


def together(trials: list[tuple[Tensor, Tensor]], classes: int) -> None:
    """Print the values where both modalities are degraded alike, and how often they are below those of right ones."""

    def values(degrade: Callable[[Tensor, int], Tensor], form: AnatomyConfig) -> np.ndarray:
        places = [1 + trial % (classes - 1) for trial in range(len(trials))]
        return np.array(
            [compare(degrade(a, c), degrade(b, c), classes, form) for c, (a, b) in zip(places, trials, strict=True)]
        )

    print("\nboth modalities degraded alike: value, and in how many trials it is below that of right predictions")
    print(f"{'':22}" + "".join(f"{name:>20}" for name in FORMS))
    right = {name: values(lambda labels, c: labels, form) for name, form in FORMS.items()}
    for degradation, degrade in {"right": lambda labels, c: labels, **DEGRADED}.items():
        wrong = {name: values(degrade, form) for name, form in FORMS.items()}
        cells = (f"{wrong[name].mean():12.3f}{np.mean(wrong[name] < right[name] - 1e-6):8.2f}" for name in FORMS)
        print(f"{degradation:22}" + "".join(cells))


def main() -> None:
    """Draw batches, degrade them, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", help="a dataset of yours; its first two modalities are compared")
    parser.add_argument("--volumes", action="store_true", help="3D patches instead of slices")
    parser.add_argument("--patch", type=int, nargs="+")
    parser.add_argument("--spacing", type=float, help="mm in plane; default: that of the files")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--steps", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        trials, classes, what = batches(arguments, Path(folder))
    print(f"{datetime.date.today()}, torch {torch.__version__}, one thread; {arguments.trials} trials\n{what}")
    ranking(trials, classes)
    descent(trials, classes, arguments.steps)
    together(trials, classes)


if __name__ == "__main__":
    main()
