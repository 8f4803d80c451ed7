"""Randomized intensities: training images as a scanner that nobody has seen might have made them.

GIN, global intensity non-linear augmentation (Ouyang et al., "Causality-inspired single-source domain generalization
for medical image segmentation", IEEE TMI 2022; its released code where the text is silent). An image x of C channels
goes through a network of random weights, new ones for every sample, and is mixed with itself:

    g(x) = c_L( a( c_{L-1}( ... a( c_1(x) ) ) ) ),   c_l: convolution of kernel 1 or 3, a: leaky ReLU
    y = alpha x + (1 - alpha) g(x),   alpha ~ U(0, 1)
    x' = y brought to the mean and deviation that x has, per channel (or to its Frobenius norm, as released)

Weights and biases are N(0, 1); L = 4, two channels in between, C in and out. Anatomy stays, contrast doesn't.

Which samples: a share of a modality's own (`share`), and those that a modality with few labels or none *borrows* from
the labeled cases of the modalities with more (`borrowed`): they are trained under its name, so through its own norms,
and are always randomized. The norms of the modality that has labels see only scans as they are.
"""

import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from msgspec import Meta
from torch import Tensor
from torch.nn import functional as F

from unpaired.configs import Config, Count, Depth, Names, NotNegative, Share, Width
from unpaired.data.altered_tissue import altered_tissue
from unpaired.data.intensity_curves import region_curves
from unpaired.errors import InputError
from unpaired.shapes import Images, LabelMap

CONVOLVE = {2: F.conv2d, 3: F.conv3d}
GAIN_AND_PRICE = (
    "on hearts it gave a modality without labels 29 to 33 Dice, and took 2 to 3 from the labeled one "
    "(docs/results/scarce-labels.md)"
)
"""Of `share`, for people who train with it: 70 % of one modality's samples, 1,500 steps, two folds."""
BORROWED_GAIN_AND_PRICE = (
    "on hearts it gave a modality with one labeled patient 10 Dice, and took up to 1 from the other "
    "(docs/results/scarce-labels.md)"
)
"""Of `borrowed`: 800 and 1,500 steps, two folds."""
BORROWED_ALL_GAIN_AND_PRICE = (
    "on hearts it gave a modality without labels 31 Dice, and took 2.5 from the labeled one "
    "(docs/results/scarce-labels.md)"
)
"""Of `borrowed` where nothing of a modality is labeled: 1,500 steps, one fold."""
AS_IT_IS = -1
"""The random number of a sample that is left as it is."""


@dataclass(frozen=True)
class Randomization(Config):
    """Which samples get random intensities, and of what kind. By default none."""

    share: Share = 0.0
    """The share of a modality's own labeled samples that are randomized."""
    modalities: Names | None = None
    """The modalities that `share` is for; None: all."""
    borrowed: Share = 0.0
    """The largest share of its labeled samples that a modality takes from those with more labeled training cases. With
    n of them itself, and N in the modality that has most, it is `borrowed` (1 - n / min(N, `enough`)), or 0. Without
    any label it is 1: then above 0 says that such a modality is trained at all. Pseudo-labels of self-training don't
    count: what a network says of scans is no reason to trust it with less help. Scans that are simulated beside those
    of patients count in n, since they show their modality's contrast, and not in N: they are not lent."""
    enough: Count = 10
    """Labeled training cases from which on a modality borrows nothing, whatever the others have."""
    layers: Depth = 4
    """L, how many convolutions g has."""
    hidden: Width = 2
    """Channels between two convolutions."""
    kernels: Annotated[tuple[Annotated[int, Meta(ge=1, le=31)], ...], Meta(min_length=1)] = (1, 3)
    """Sizes that each convolution's kernel is drawn from, alike along all axes."""
    curves: Share = 0.0
    """The share of randomized samples whose label regions each get a curve of their own before g (SLAug's local part,
    `data.intensity_curves`): random convolutions treat a tissue as its gray value says, whatever it is."""
    altered: Share = 0.0
    """The share of randomized samples in which parts of tissues look like another before g (`data.altered_tissue`):
    for a modality that shows within a tissue what the others don't, as a scar."""
    strength: Share = 1.0
    """alpha is drawn from 1 - `strength` to 1."""
    slope: NotNegative = 0.01
    """The leaky ReLU's slope below 0."""
    keep: Literal["moments", "frobenius"] = "moments"
    """What a randomized image has in common with its original: mean and deviation of each channel, so that a z-scored
    image stays one, or the Frobenius norm of all channels, as in the released code."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if any(size % 2 == 0 for size in self.kernels):
            raise InputError(f"randomization.kernels: expected odd sizes such as (1, 3), got {self.kernels}")

    def share_of(self, modality: str) -> float:
        """The share of a modality's own labeled samples that are randomized."""
        return self.share if self.modalities is None or modality in self.modalities else 0.0

    def borrowed_share(self, labeled: int, most: int, pseudo: int = 0) -> float:
        """The share of its samples that a modality with so many labeled training cases borrows, if `most` is the number
        of the modality with most of them; `pseudo` cases besides have a network's labels, which only keep it from
        borrowing everything."""
        if labeled == 0 and pseudo == 0:
            return 1.0
        return self.borrowed * max(0.0, 1 - labeled / min(most, self.enough))

    def borrowing(self, labels: Mapping[str, "Labels"]) -> dict[str, "Borrowing"]:
        """{modality: what it borrows}. Where no patient is labeled simulated scans lend, and where nothing else is
        labeled a network's labels count as any."""
        own = {name: of.patients + of.simulated for name, of in labels.items()}
        if not any(own.values()):
            own = {name: of.pseudo for name, of in labels.items()}
        lent = {name: of.patients for name, of in labels.items()}
        if not any(lent.values()):
            lent = own
        return {
            name: Borrowing(
                self.borrowed_share(count, max(lent.values()), labels[name].pseudo),
                tuple(lender for lender in labels if lent[lender] > count),
            )
            for name, count in own.items()
        }


@dataclass(frozen=True)
class Labels:
    """How many training cases of a modality are labeled by people, simulated beside those of patients, and labeled by
    a network."""

    patients: int = 0
    simulated: int = 0
    pseudo: int = 0


@dataclass(frozen=True)
class Borrowing:
    """The share of its labeled samples that a modality borrows, and the modalities that lend them."""

    share: float
    lenders: tuple[str, ...]


def count_labels(
    labeled: Mapping[str, Iterable[str]], simulated: Collection[str], pseudo: Collection[str]
) -> dict[str, Labels]:
    """{modality: its `Labels`} of {modality: ids of its labeled training cases}."""
    counts: dict[str, Labels] = {}
    for name, ids in labeled.items():
        kinds = ["pseudo" if case in pseudo else "simulated" if case in simulated else "patients" for case in ids]
        counts[name] = Labels(kinds.count("patients"), kinds.count("simulated"), kinds.count("pseudo"))
    return counts


NO_RANDOMIZATION = Randomization()


def randomize(images: Images, label_map: LabelMap, numbers: Sequence[int], config: Randomization) -> Images:
    """The images with random intensities where their number isn't `AS_IT_IS`; the same number, the same result.

    On the images' device, in one pass over all of them. Random states are left alone.
    """
    chosen = [index for index, number in enumerate(numbers) if number != AS_IT_IS]
    if not chosen:
        return images
    result = images.clone()
    for name, share, change in (
        ("curves", config.curves, region_curves),
        ("altered", config.altered, altered_tissue),
    ):
        some = [index for index in chosen if _is_drawn(numbers[index], name, share)]
        if some:
            result[some] = change(result[some], label_map[some], [numbers[index] for index in some])
    mixed = random_convolutions(result[chosen], [numbers[index] for index in chosen], config)
    result[chosen] = brought_back(mixed, images[chosen], config.keep)
    return result


def _is_drawn(number: int, change: str, share: float) -> bool:
    """Drawn from a sample's number, for each change by another generator, which isn't that of its network either."""
    return random.Random(number if change == "curves" else f"{number} {change}").random() < share


def random_convolutions(images: Images, numbers: Sequence[int], config: Randomization) -> Images:
    """GIN: image i through the random network of `numbers[i]`, mixed with itself, brought to its own scale.

    All images at once, as groups of one convolution; in the images' own precision under autocast too.
    """
    batch, channels, *spatial = images.shape
    networks = [draw_network(number, channels, len(spatial), config) for number in numbers]
    x = images.reshape(1, batch * channels, *spatial)
    for layer in range(config.layers):
        kernel = torch.cat([network.kernels[layer] for network in networks]).to(images)
        bias = torch.cat([network.biases[layer] for network in networks]).to(images)
        with torch.autocast(images.device.type, enabled=False):
            x = CONVOLVE[len(spatial)](x, kernel, bias, padding=max(config.kernels) // 2, groups=batch)
        if layer < config.layers - 1:
            x = F.leaky_relu(x, config.slope)
    alpha = torch.tensor([network.alpha for network in networks]).to(images).reshape(-1, *[1] * (images.ndim - 1))
    return brought_back(alpha * images + (1 - alpha) * x.reshape(images.shape), images, config.keep)


@dataclass(frozen=True)
class RandomNetwork:
    """The weights of g for one sample: a kernel (out, in, *size) and a bias (out) per layer, and alpha."""

    kernels: list[Tensor]
    biases: list[Tensor]
    alpha: float


def draw_network(number: int, channels: int, dims: int, config: Randomization) -> RandomNetwork:
    """The random network of a number, on the CPU, for images of so many channels and spatial axes.

    Smaller kernels stand in the middle of zeros, so that all samples have kernels of one size.
    """
    generator = torch.Generator().manual_seed(number)
    largest = max(config.kernels)
    kernels: list[Tensor] = []
    biases: list[Tensor] = []
    before = channels
    for layer in range(config.layers):
        after = channels if layer == config.layers - 1 else config.hidden
        size = config.kernels[int(torch.randint(len(config.kernels), (1,), generator=generator))]
        kernel = torch.randn(after, before, *[size] * dims, generator=generator)
        kernels.append(F.pad(kernel, [(largest - size) // 2] * (2 * dims)))
        biases.append(torch.randn(after, generator=generator))
        before = after
    drawn = float(torch.rand(1, generator=generator))
    return RandomNetwork(kernels, biases, 1 - config.strength * drawn)


def brought_back(images: Images, originals: Images, keep: str) -> Images:
    """Each image on the scale of its original, see `Randomization.keep`; a constant image gets its original's mean."""
    axes = tuple(range(2, images.ndim))
    if keep == "frobenius":
        norm, wanted = (x.square().sum(dim=(1, *axes), keepdim=True).sqrt() for x in (images, originals))
        return images * (wanted / (norm + 1e-5))
    mean, wanted = (x.mean(dim=axes, keepdim=True) for x in (images, originals))
    deviation, wanted_deviation = (x.std(dim=axes, keepdim=True, correction=0) for x in (images, originals))
    return (images - mean) * (wanted_deviation / (deviation + 1e-5)) + wanted
