"""How well feature maps localize their class: average precision of a channel's saliency against the class mask.

CSA's last sentence leaves "further quantitative analysis of the feature maps" to others; this is one. The *saliency* of
a channel is |activation|. A feature map is coarser than the image, so each of its *cells* stands for the image voxels
below it (the map repeated to the image's grid, nearest neighbor): voxels of a cell share its saliency. Ranking all
voxels of a case by saliency and walking down the ranks,

    AP = sum_k (R_k - R_{k-1}) P_k          P_k, R_k: precision and recall of the voxels at or above the k-th saliency

where voxels of equal saliency come in together, so that no order among ties is invented. It is computed from the counts
of each cell, which gives the same number as all voxels would.

A number chosen on the data it is reported for flatters itself. So the best channel of a class is chosen on other
patients (`choose_channels`), and reported on the test patients.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from unpaired.errors import InputError

KINDS = ("best", "shared", "mean", "map")
"""`best`: the channel chosen on other patients of the same modality. `shared`: the channel chosen on patients of the
other modalities. `mean`: the mean over channels of each channel's AP. `map`: the AP of one map, the channels' mean."""


@dataclass(frozen=True)
class Cells:
    """A layer's saliency over one case: (channel, cell); of each cell its voxels, and those of each class.

    `positives` (class, cell) and `voxels` (cell,) count image voxels whose class is certain.
    """

    saliency: np.ndarray
    positives: np.ndarray
    voxels: np.ndarray


@dataclass(frozen=True)
class CaseLocalization:
    """One layer in one case. `channels` (channel, class) is each channel's AP; `mean_map`, `chance` and `ceiling` have
    one entry per class. NaN: the class is not in the case.

    `chance` is the class's share of the voxels, what a map without any contrast scores. `ceiling` is the best that any
    map on this layer's grid can do: its cells are larger than the borders they have to draw.
    """

    case: str
    patient: str
    modality: str
    layer: str
    channels: np.ndarray
    mean_map: np.ndarray
    chance: np.ndarray
    ceiling: np.ndarray


@dataclass(frozen=True)
class Choice:
    """The channel of a class that was best on patients who are not reported: its mean AP there, on so many cases."""

    channel: int
    precision: float
    cases: int


@dataclass(frozen=True)
class Row:
    """One class in one layer of one test case; None where there is nothing to say (no channel could be chosen)."""

    case: str
    patient: str
    modality: str
    layer: str
    class_name: str
    channels: int
    chance: float
    ceiling: float
    best: float | None
    best_channel: int | None
    shared: float | None
    shared_channel: int | None
    mean: float
    map: float


def average_precision(saliency: np.ndarray, mask: np.ndarray) -> float:
    """The average precision of a saliency map against a mask of the same shape; NaN for an empty mask.

    Equal saliencies come in together. Raises InputError for other shapes, or a saliency that is not finite.
    """
    if saliency.shape != mask.shape:
        raise InputError(f"expected a mask of the saliency's shape {saliency.shape}, got {mask.shape}")
    positives = (np.asarray(mask) != 0).reshape(1, -1).astype(np.int64)
    return float(average_precisions(saliency.reshape(1, -1), positives, np.ones(saliency.size, np.int64))[0, 0])


def average_precisions(saliency: np.ndarray, positives: np.ndarray, voxels: np.ndarray) -> np.ndarray:
    """The average precision of each channel for each class, (channel, class), float64, from counts per cell.

    `saliency` (channel, cell), `positives` (class, cell) and `voxels` (cell,) as in `Cells`. A class without voxels is
    NaN. Raises InputError if a saliency is not finite (a network that diverged) or the numbers of cells differ.
    """
    if not saliency.shape[1:] == positives.shape[1:] == voxels.shape:
        raise InputError(
            f"expected equally many cells, got saliency {saliency.shape}, positives {positives.shape} and voxels "
            f"{voxels.shape}"
        )
    if not np.isfinite(saliency).all():
        raise InputError("the feature maps hold NaN or infinity; did the training diverge?")
    total = positives.sum(axis=1, dtype=np.int64)
    precisions = np.full((len(saliency), len(positives)), np.nan)
    present = np.flatnonzero(total)
    if not present.size:
        return precisions
    for channel, values in enumerate(saliency):
        order = np.argsort(-values)  # in any order among ties, which come in together
        ranked = values[order]
        last = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)  # of each group of ties
        seen = np.maximum(np.cumsum(voxels[order], dtype=np.int64)[last], 1)
        for number in present:
            hits = np.cumsum(positives[number][order], dtype=np.int64)[last]
            precisions[channel, number] = float((np.diff(hits, prepend=0) * (hits / seen)).sum() / total[number])
    return precisions


def ceilings(positives: np.ndarray, voxels: np.ndarray) -> np.ndarray:
    """For each class the highest AP that any map on these cells can have: the cells ranked by their share of it."""
    shares = positives / np.maximum(voxels, 1)
    pairs = zip(shares, positives, strict=True)
    return np.array([average_precisions(share[None], own[None], voxels)[0, 0] for share, own in pairs])


def localize(parts: Iterable[Cells], case: str, patient: str, modality: str, layer: str) -> CaseLocalization:
    """Everything about one layer in one case; `parts` are its channels, a few at a time, on the same cells.

    Raises InputError as `average_precisions`, and if there is no part.
    """
    precisions: list[np.ndarray] = []
    last: Cells | None = None
    total_saliency: np.ndarray | float = 0.0
    for last in parts:
        precisions.append(average_precisions(last.saliency, last.positives, last.voxels))
        total_saliency = total_saliency + last.saliency.sum(axis=0, dtype=np.float64)
    if last is None:
        raise InputError(f"layer {layer} of case {case}: expected at least one channel, got none")
    channels = np.concatenate(precisions)
    positives, voxels = last.positives, last.voxels
    mean_map = np.reshape(total_saliency, (1, -1)) / len(channels)
    in_class = positives.sum(axis=1, dtype=np.int64)
    return CaseLocalization(
        case,
        patient,
        modality,
        layer,
        channels,
        average_precisions(mean_map, positives, voxels)[0],
        np.where(in_class > 0, in_class / max(int(voxels.sum()), 1), np.nan),
        ceilings(positives, voxels),
    )


Key = tuple[str, str, int]
"""Modality, layer, class number."""


def choose_channels(localizations: Sequence[CaseLocalization]) -> dict[Key, list[Choice]]:
    """For each modality, layer and class all channels, the best first, by their mean AP over the cases given.

    A class that is in none of the cases has no entry; equal channels stay in their order.
    """
    groups: dict[tuple[str, str], list[CaseLocalization]] = {}
    for localization in localizations:
        groups.setdefault((localization.modality, localization.layer), []).append(localization)
    choices: dict[Key, list[Choice]] = {}
    for (modality, layer), members in groups.items():
        scores = np.stack([localization.channels for localization in members])
        for number in range(scores.shape[2]):
            known = scores[~np.isnan(scores[:, 0, number]), :, number]
            if len(known):
                means = known.mean(axis=0)
                order = np.argsort(-means, kind="stable")
                choices[modality, layer, number] = [Choice(int(c), float(means[c]), len(known)) for c in order]
    return choices


def shared_choice(choices: Mapping[Key, Sequence[Choice]], key: Key) -> Choice | None:
    """The channel with the best mean AP in the other modalities, each counting alike; None if there is none.

    It answers whether a channel means the same in every modality. Networks that share no kernels have no reason for it.
    """
    modality, layer, number = key
    others = [
        {choice.channel: choice for choice in ranked}
        for (other, name, c), ranked in choices.items()
        if other != modality and (name, c) == (layer, number)
    ]
    if not others:
        return None
    means = {channel: sum(of[channel].precision for of in others) / len(others) for channel in sorted(others[0])}
    channel = max(means, key=lambda c: means[c])
    return Choice(channel, means[channel], sum(of[channel].cases for of in others))


def localization_rows(
    localizations: Sequence[CaseLocalization], choices: Mapping[Key, Sequence[Choice]], classes: Sequence[str]
) -> Iterator[Row]:
    """A row for each test case, layer and class that the case has; `choices` were made on other patients."""
    for localization in localizations:
        for number, name in enumerate(classes):
            if math.isnan(localization.chance[number]):
                continue
            key = (localization.modality, localization.layer, number)
            own = choices[key][0] if key in choices else None
            shared = shared_choice(choices, key)
            precision = localization.channels[:, number]
            yield Row(
                localization.case,
                localization.patient,
                localization.modality,
                localization.layer,
                name,
                len(precision),
                float(localization.chance[number]),
                float(localization.ceiling[number]),
                None if own is None else float(precision[own.channel]),
                None if own is None else own.channel,
                None if shared is None else float(precision[shared.channel]),
                None if shared is None else shared.channel,
                float(precision.mean()),
                float(localization.mean_map[number]),
            )
