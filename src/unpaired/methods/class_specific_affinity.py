"""CSA: class-specific affinity-guided training (Chen, Li, Li, Zhang; MICCAI 2020), and its class-free row "Affinity".

One network segments all modalities; its kernels are shared, its norms are not. What the modalities must agree on is how
features of one layer relate to features of the next, class by class. The equations as printed:

    x* = gamma (x - E(x)) / sqrt(Var(x) + eps) + beta                                                  (CSA Eq. 1)
    F^c(l) = F(l) ⊙ M^c                                                                                (CSA Eq. 2)
    a^c_{m,n} = (1 / S_c) * cos(F^c_m(l), F^c_n(k))                                                    (CSA Eq. 3)
    L_CSA = (1 / C) sum_c || (1 / P) sum_{i=1..P} (A_i^{c,1} - A_i^{c,2}) ||_2^2                       (CSA Eq. 4)
    L = alpha (L_dice^1 + L_dice^2) + beta (L_ce^1 + L_ce^2) + lambda L_CSA                            (CSA Eq. 5)

Eq. 1 is `networks.modality_layers.ModalityNorm`; Eq. 5 without its last term is `methods.supervised`. The paper leaves
much of Eq. 2-4 open and has no public code; each choice is a field of `CSAConfig`, where the alternatives are said.

Speed. Only the voxels of a class are multiplied, not masked maps (`benchmarks/affinity.py`); nothing larger than a
feature map or the label map is ever allocated, in 3D neither. For more than two modalities the mean over all pairs is
taken at linear cost: sum_{i<j} |a_i - a_j|^2 = N sum_i |a_i - mean|^2.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import torch
from jaxtyping import Float
from msgspec import Meta
from torch import Tensor
from torch.nn import functional as F

from unpaired.configs import Name, NotNegative
from unpaired.data.batch import Batch
from unpaired.errors import InputError
from unpaired.methods.losses import in_full_precision
from unpaired.methods.method import Method, Objective
from unpaired.methods.supervised import SegmentationTerms, labeled_outputs, supervised_terms
from unpaired.networks.network import Network
from unpaired.shapes import Features, Scalar

Consistency = Literal["elementwise", "literal", "frobenius"]
SMALLEST_NORM = 1e-6
"""Feature channels shorter than this over a region count as this long, so that an empty channel has affinity 0."""


@dataclass(frozen=True)
class CSAConfig(SegmentationTerms):
    """CSA with the recommended reading of what the paper leaves open; `class_specific=False` is row Affinity."""

    weight: NotNegative = 0.5
    """lambda of CSA Eq. 5. The paper says 0.5, and that MM-WHS "increased" it to 0.5: MS-CMRSeg had less, unnamed."""
    layer_pairs: Annotated[tuple[tuple[Name, Name], ...], Meta(min_length=1)] = (("group4", "group5"),)
    """The layers (l, k), averaged over pairs. The paper: intermediate layers, close to each other."""
    class_specific: bool = True
    """False: one affinity over the whole image, without masks and with S = 1 (row Affinity)."""
    background: bool = True
    """Whether background is one of the C classes; Fig. 2 lists it as one."""
    consistency: Consistency = "elementwise"
    """Eq. 4: "elementwise" is the mean over entries of the squared difference, what the prose says; "literal" is the
    squared difference of the mean entries, what is printed; "frobenius" is the squared norm of (A^1 - A^2) / P."""
    roi_size: Literal["one", "pixels"] = "one"
    """S_c of Eq. 3. "pixels", the printed one, counts the mask's pixels on the feature grid: the cosine is already free
    of the region's size, so this brings a size dependence back and shrinks the loss to nothing (1e-8 and below)."""
    pooling: Literal["batch", "image"] = "batch"
    """Cosines over the region in the whole batch, or in each image and then averaged over the images that have it."""
    mask_resizing: Literal["nearest", "center", "area"] = "nearest"
    """Masks on the feature grid: of each block the first voxel ("nearest"), the one in its middle ("center", where deep
    layers have cells of a centimeter: more of what is called a class is of it), or the block's mean ("area", soft)."""
    estimate: Literal["plain", "cross_fitted"] = "plain"
    """Eq. 4 between batches is mostly what their sampling makes of it: its mean is above 0 where modalities agree.
    "cross_fitted" multiplies the difference in one half of the images by that in the other, <A_a^1 - A_a^2, A_b^1 -
    A_b^2> / P, whose mean is 0 then; it can be below 0. Needs two images of each modality in a batch."""
    absent: Literal["skip", "zero"] = "skip"
    """A class that a modality's batch lacks: not compared and not counted ("skip"), or compared as A = 0 ("zero")."""

    def build(self, network: Network, classes: int) -> "CSA":
        """Raises InputError if `layer_pairs` names a feature map that `network` lacks."""
        network.require_features([name for pair in self.layer_pairs for name in pair], "layer_pairs")
        return CSA(network, self)


class CSA(Method):
    """Supervised terms, plus the affinity consistency of all pairs of modalities."""

    def __init__(self, network: Network, config: CSAConfig) -> None:
        super().__init__()
        self.network = network
        self.config = config

    def forward(self, batches: Mapping[str, Batch], progress: float) -> Objective:
        """CSA Eq. 5; the terms are those of `supervised_terms` and "csa" (row Affinity: "affinity")."""
        outputs = labeled_outputs(self.network, batches)
        supervised = supervised_terms(outputs, batches, self.config)
        features = {modality: output.features for modality, output in outputs.items()}
        consistency = affinity_consistency(features, batches, self.config)
        name = "csa" if self.config.class_specific else "affinity"
        return supervised.plus(name, self.config.weight, consistency)


def affinity_consistency(
    features: Mapping[str, Mapping[str, Features]], batches: Mapping[str, Batch], config: CSAConfig
) -> Scalar:
    """L_CSA (CSA Eq. 4): the mean over layer pairs of `disagreement`; `features` is {modality: {layer: feature map}}.

    Zero, without gradient, if no class is present in two modalities.
    """
    some_features = next(iter(features.values()))[config.layer_pairs[0][0]]
    with torch.autocast(some_features.device.type, enabled=False):
        total = in_full_precision(some_features.new_zeros(()))
        for layer_l, layer_k in config.layer_pairs:
            halves = [[], []] if config.estimate == "cross_fitted" else [[]]
            for modality, batch in batches.items():
                F_l, F_k = on_one_grid(features[modality][layer_l], features[modality][layer_k])
                for half, images in zip(halves, parts(len(F_l), len(halves), modality), strict=True):
                    part = batch._replace(label_map=batch.label_map[images])
                    places = regions(part, F_l.shape[2:], config)
                    half.append(class_affinities(F_l[images], F_k[images], places, config))
            total = total + disagreement(halves[0], halves[-1], config)
        return total / len(config.layer_pairs)


def parts(images: int, count: int, modality: str) -> list[slice]:
    """Which images of a modality's batch are in each of `count` parts. Raises InputError if there are fewer images."""
    if images < count:
        raise InputError(
            f"estimate 'cross_fitted' needs {count} images of {modality} in a batch, got {images}; raise "
            "recipe.batch_size, or take estimate 'plain'"
        )
    return [slice(images * part // count, images * (part + 1) // count) for part in range(count)]


def disagreement(
    affinities: Sequence[Sequence[Tensor | None]], others: Sequence[Sequence[Tensor | None]], config: CSAConfig
) -> Scalar:
    """CSA Eq. 4 for N modalities: the mean over all (pair of modalities, class) of the distance between affinities.

    `affinities[modality][class]` is from `class_affinities`; None is a class that is not compared. With two modalities
    the mean over pairs is Eq. 4 itself, where C counts the classes that both have. `others` are the affinities again,
    whose difference is squared then, or those of other images, whose difference it is multiplied by.
    """
    total = next((a for of in affinities for a in of if a is not None), torch.zeros(())).new_zeros(())
    comparisons = 0
    for of_class in zip(zip(*affinities, strict=True), zip(*others, strict=True), strict=True):
        present = [(a, b) for a, b in zip(*of_class, strict=True) if a is not None and b is not None]
        if len(present) < 2:
            continue
        A, B = (torch.stack(matrices) for matrices in zip(*present, strict=True))
        products = len(present) * ((A - A.mean(dim=0)) * (B - B.mean(dim=0))).sum()
        entries = A[0].numel()
        total = total + products / (entries**2 if config.consistency == "frobenius" else entries)
        comparisons += len(present) * (len(present) - 1) // 2
    return total / max(comparisons, 1)


class Region(NamedTuple):
    """Where a class is: positions in the flattened (batch, *spatial) grid (None: everywhere) and its mask there.

    `weight` is None where the mask is 1.
    """

    positions: Tensor | None
    weight: Tensor | None = None


def regions(batch: Batch, grid: Sequence[int], config: CSAConfig) -> list[list[Region]]:
    """M^c of CSA Eq. 2 on a feature grid: for each class its non-empty regions, one per batch or one per image.

    A voxel whose label stands for several classes is in no region. Row Affinity has one "class", everywhere.
    """
    images = len(batch.label_map) if config.pooling == "image" else 1
    if not config.class_specific:
        if images == 1:
            return [[Region(None)]]
        positions = torch.arange(len(batch.label_map) * _count(grid), device=batch.label_map.device)
        return [[Region(index) for index in positions.chunk(images)]]
    classes = range(0 if config.background else 1, batch.label_sets.shape[1])
    if config.mask_resizing == "area":
        return [_soft_regions(batch.label_map == c, grid, images) for c in classes]
    return _hard_regions(batch, grid, classes, images, config.mask_resizing == "center")


def _hard_regions(batch: Batch, grid: Sequence[int], classes: range, images: int, center: bool) -> list[list[Region]]:
    """One sort of the label map gives the regions of all classes and images."""
    C = batch.label_sets.shape[1]
    labels = nearest_on_grid(batch.label_map, 1, grid, center).reshape(images, -1).long().clamp(max=C)
    key = (labels + (C + 1) * torch.arange(images, device=labels.device).unsqueeze(1)).flatten()
    counts = torch.bincount(key, minlength=images * (C + 1)).tolist()
    chunks = key.argsort(stable=True).split(counts)
    return [[Region(chunk) for chunk in chunks[c :: C + 1] if len(chunk)] for c in classes]


def _soft_regions(mask: Tensor, grid: Sequence[int], images: int) -> list[Region]:
    """One class at a time: all masks of a 3D patch at once would be larger than its feature maps."""
    shares = F.interpolate(mask.unsqueeze(1).to(torch.float32), size=list(grid), mode="area").reshape(images, -1)
    size = shares.shape[1]
    per_image = [(row.nonzero().squeeze(1), row) for row in shares]
    return [Region(index + i * size, row[index]) for i, (index, row) in enumerate(per_image) if len(index)]


def class_affinities(
    F_l: Float[Tensor, "batch M *grid"],
    F_k: Float[Tensor, "batch N *grid"],
    regions_by_class: Sequence[Sequence[Region]],
    config: CSAConfig,
) -> list[Tensor | None]:
    """A^c of CSA Eq. 2-3 for every class: (M, N), or its mean entry (a scalar) for the literal Eq. 4.

    `F_l` and `F_k` are of one modality. None: the class is absent, to be skipped.
    """
    everywhere = [region for of_class in regions_by_class for region in of_class]
    pairs = zip(masked(F_l, everywhere), masked(F_k, everywhere), everywhere, strict=True)
    affinities: list[Tensor | None] = []
    for of_class in regions_by_class:
        if of_class:
            A = [_affinity(*next(pairs), config) for _ in of_class]
            affinities.append(A[0] if len(A) == 1 else torch.stack(A).mean(dim=0))
        elif config.absent == "zero":
            shape = () if config.consistency == "literal" else (F_l.shape[1], F_k.shape[1])
            affinities.append(in_full_precision(F_l.new_zeros(shape)))
        else:
            affinities.append(None)
    return affinities


def masked(maps: Features, places: Sequence[Region]) -> list[Float[Tensor, "_ channel"]]:
    """CSA Eq. 2 without its zeros: for each region the rows (voxels) inside it, times the mask.

    Voxels are gathered once, region after region, so that the rows of a region are a view: a gather for each region
    would, in the backward pass, write a gradient of the whole map for each.
    """
    rows = in_full_precision(maps).movedim(1, -1).flatten(0, -2)
    positions = [region.positions for region in places if region.positions is not None]
    if len(positions) < len(places):
        return [rows for _ in places]
    if not positions:
        return []
    gathered = rows.index_select(0, torch.cat(positions)).split([len(index) for index in positions])
    return [
        inside if region.weight is None else inside * region.weight.to(rows.dtype).unsqueeze(1)
        for inside, region in zip(gathered, places, strict=True)
    ]


def _affinity(rows_l: Tensor, rows_k: Tensor, region: Region, config: CSAConfig) -> Tensor:
    """CSA Eq. 3 over one region; rows are voxels, columns are channels.

    Lengths divide the (M, N) products rather than the rows, which spares a copy of all rows. The mean of all cosines,
    for the literal Eq. 4, is the product of two mean unit vectors and needs no matrix.
    """
    length_l, length_k = (_lengths(rows) for rows in (rows_l, rows_k))
    if config.consistency == "literal":
        A = (rows_l @ (1 / length_l)) @ (rows_k @ (1 / length_k)) / (len(length_l) * len(length_k))
    else:
        A = rows_l.T @ rows_k / torch.outer(length_l, length_k)
    if config.roi_size == "pixels" and region.positions is not None and config.class_specific:
        return A / (len(region.positions) if region.weight is None else region.weight.sum())
    return A


def _lengths(rows: Tensor) -> Tensor:
    """The length of each column, at least SMALLEST_NORM; a third of the time of torch's norm along this axis."""
    return rows.square().sum(dim=0).clamp(min=SMALLEST_NORM**2).sqrt()


def on_one_grid(
    F_l: Float[Tensor, "batch M *grid_l"], F_k: Float[Tensor, "batch N *grid_k"]
) -> tuple[Float[Tensor, "batch M *grid"], Float[Tensor, "batch N *grid"]]:
    """Feature maps of two layers on the finer grid of both; the coarser one is repeated, so no value is invented."""
    grid = [max(sizes) for sizes in zip(F_l.shape[2:], F_k.shape[2:], strict=True)]
    return nearest_on_grid(F_l, 2, grid), nearest_on_grid(F_k, 2, grid)


def nearest_on_grid(values: Tensor, first_axis: int, grid: Sequence[int], center: bool = False) -> Tensor:
    """Resample the axes from `first_axis` on: cell i of n takes voxel floor(i * size / n), the first of its block, or
    with `center` floor((i + 1/2) * size / n)."""
    for axis, cells in enumerate(grid, start=first_axis):
        size = values.shape[axis]
        if size != cells:
            index = torch.arange(cells, device=values.device)
            values = values.index_select(axis, (2 * index + center) * size // (2 * cells))
    return values


def _count(grid: Sequence[int]) -> int:
    return int(torch.Size(grid).numel())
