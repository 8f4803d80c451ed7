"""UnpairedSteps: step -> {modality: Batch}, a pure function of (seed, rank, step).

So resume means "start at step t", and a batch can be looked at without training up to it. Every modality has its own
endless stream of cases (one random order after another), so modalities of very different sizes are drawn equally often
and nothing is ever cut to the shorter one. Its unlabeled cases are a second such stream with random numbers of its own:
labeled samples are the same with it and without. What it borrows (`data.randomization`) is a third, of the labeled
cases of patients of the modalities that have more.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
import torch
from torch.utils.data import Dataset as TorchDataset

from unpaired.data.augment import NO_AUGMENTATION, Augmentation, augment, augment_image
from unpaired.data.batch import Batch
from unpaired.data.memory_maps import ask_for
from unpaired.data.prepared import PreparedCase
from unpaired.data.randomization import AS_IT_IS, NO_RANDOMIZATION, Randomization, count_labels
from unpaired.data.sides import MirrorSwap
from unpaired.errors import InputError
from unpaired.shapes import Images

LABELED, UNLABELED, BORROWED = (0, 1), (2, 3), (4, 5)
"""Of each stream: the number of the random order of its cases, and that of the place and augmentation of a sample."""
RANDOMIZED = 6
"""The number of the draws that say which samples are borrowed and randomized."""


@dataclass(frozen=True)
class Sampling:
    """What one sample is: `patch_size` with two numbers cuts slices, with three volumes."""

    patch_size: tuple[int, ...]
    batch_size: int
    context_slices: int = 1
    foreground_share: float = 0.5
    augmentation: Augmentation = NO_AUGMENTATION
    unlabeled_batch_size: int = 0
    randomization: Randomization = NO_RANDOMIZATION
    rare_classes: float = 0.0
    simulated_share: float = 0.5
    swap: MirrorSwap | None = None
    """What labels become where a sample is mirrored from left to right (`data.sides.label_swap`)."""


class UnpairedSteps(TorchDataset[dict[str, Batch]]):
    """The batches of a run by step. Indexing with any step from 0 up to `steps` works, in any order, in any process.

    A step has batches of the modalities `only` (None: all); the others' cases can be borrowed. `pseudo` are ids of
    cases whose labels a network made: they are drawn like the others, and are no reason to borrow less. `simulated` are
    ids of cases beside those of patients: they are about `sampling.simulated_share` of what is drawn, or less
    (`with_patients`), and aren't lent unless no patient is labeled.
    `cases` are labeled, `unlabeled` are further cases of these modalities: `Batch.unlabeled` has
    `sampling.unlabeled_batch_size` images of them, or is None where a modality has none. With W processes, rank r gets
    the r-th part of the batch that one process with W times the batch size would get. Raises InputError for a modality
    without labeled cases that can't borrow, and if unlabeled images are asked for where there is no unlabeled case.
    """

    def __init__(
        self,
        cases: Mapping[str, Sequence[PreparedCase]],
        label_sets: Sequence[Sequence[int]],
        classes: int,
        sampling: Sampling,
        *,
        steps: int,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        unlabeled: Mapping[str, Sequence[PreparedCase]] | None = None,
        only: Sequence[str] | None = None,
        pseudo: Collection[str] = (),
        simulated: Collection[str] = (),
    ) -> None:
        self.only = tuple(cases) if only is None else tuple(only)
        empty = [modality for modality in self.only if not cases[modality]]
        if (empty and not sampling.randomization.borrowed) or not any(cases.values()):
            raise InputError(
                f"there is no labeled training case of modality {', '.join(empty) or '(none given)'}; check the split"
            )
        if sampling.unlabeled_batch_size and not any((unlabeled or {}).values()):
            raise InputError("unlabeled images are asked for, but there is no unlabeled training case; check the split")
        self.cases = cases
        self.drawn = {
            name: with_patients(
                with_rare_classes(of, classes, sampling.rare_classes), simulated, sampling.simulated_share
            )
            for name, of in cases.items()
        }
        self.unlabeled = unlabeled or {}
        self.sampling = sampling
        ids = {name: [case.id for case in of] for name, of in cases.items()}
        labels = count_labels(ids, simulated, pseudo)
        aside = simulated if any(of.patients for of in labels.values()) else ()
        lent = {name: [case for case in of if case.id not in aside] for name, of in self.drawn.items()}
        self.borrowing = sampling.randomization.borrowing(labels)
        self.borrowed = {name: [case for of in it.lenders for case in lent[of]] for name, it in self.borrowing.items()}
        self.steps, self.seed, self.rank, self.world_size = steps, seed, rank, world_size
        self.label_sets = torch.zeros(len(label_sets), classes, dtype=torch.bool)
        for row, members in enumerate(label_sets):
            self.label_sets[row, list(members)] = True

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> dict[str, Batch]:
        if not 0 <= step < self.steps:
            raise IndexError(f"step {step} of {self.steps}")
        return {modality: self._batch(modality, step) for modality in self.only}

    def _batch(self, modality: str, step: int) -> Batch:
        positions = self._positions(step, self.sampling.batch_size)
        samples = [self._sample(modality, position) for position in positions]
        images, label_maps, numbers = zip(*samples, strict=True)
        unlabeled = self._unlabeled(modality, step)
        return Batch(torch.stack(images), torch.stack(label_maps), self.label_sets, unlabeled, torch.tensor(numbers))

    def _unlabeled(self, modality: str, step: int) -> Images | None:
        cases = self.unlabeled.get(modality, ())
        positions = self._positions(step, self.sampling.unlabeled_batch_size)
        if not cases or not positions:
            return None
        return torch.stack([draw_image(*self._draw(cases, modality, UNLABELED, position)) for position in positions])

    def _positions(self, step: int, count: int) -> range:
        """This process's part of a step in an endless stream of which a process takes `count` samples a step."""
        first = (step * self.world_size + self.rank) * count
        return range(first, first + count)

    def _sample(self, modality: str, position: int) -> tuple[torch.Tensor, torch.Tensor, int]:
        """The labeled sample at a position of the modality's endless stream, and the number to randomize it by.

        Its own or a borrowed one; own ones are the same wherever others are borrowed.
        """
        rng = np.random.default_rng([self.seed, crc32(modality.encode()), RANDOMIZED, position])
        borrowed = rng.random() < self.borrowing[modality].share
        randomized = borrowed or rng.random() < self.sampling.randomization.share_of(modality)
        number = int(rng.integers(2**31)) if randomized else AS_IT_IS
        cases = (self.borrowed if borrowed else self.drawn)[modality]
        numbers = BORROWED if borrowed else LABELED
        return (*draw_sample(*self._draw(cases, modality, numbers, position)), number)

    def _draw(
        self, cases: Sequence[PreparedCase], modality: str, numbers: tuple[int, int], position: int
    ) -> tuple[PreparedCase, Sampling, np.random.Generator]:
        """The case at a position of an endless stream, and the random numbers for what is cut out of it."""
        stream = crc32(modality.encode())
        epoch, index = divmod(position, len(cases))
        order = np.random.default_rng([self.seed, stream, numbers[0], epoch]).permutation(len(cases))
        return cases[order[index]], self.sampling, np.random.default_rng([self.seed, stream, numbers[1], position])


def with_rare_classes(cases: Sequence[PreparedCase], classes: int, strength: float) -> list[PreparedCase]:
    """The cases of a stream, each as often as it is drawn in a round: those that label what few label several times.

    A case comes round((N / n) ** strength) times, where n of the N cases label its rarest foreground class: at 0 every
    case once, at 1 cases with a class that only one labels N times, so that each class is seen about equally often.
    """
    if not strength:
        return list(cases)
    labeled = [{c for c, places in case.foreground.items() if 0 < c < classes and len(places)} for case in cases]
    count = Counter(c for of_case in labeled for c in of_case)
    rarest = [min((count[c] for c in of_case), default=len(cases)) for of_case in labeled]
    times = [round((len(cases) / n) ** strength) for n in rarest]
    return [case for case, often in zip(cases, times, strict=True) for _ in range(often)]


def with_patients(cases: Sequence[PreparedCase], simulated: Collection[str], share: float) -> list[PreparedCase]:
    """The cases of a stream, those of patients several times, so that about `share` of it are simulated, or less.

    Nothing is repeated where there are enough patients, and where there are none. A share of 0 leaves out what is
    simulated, 1 draws all cases alike.
    """
    invented = sum(case.id in simulated for case in cases)
    scanned = len(cases) - invented
    if share == 0 and scanned:
        return [case for case in cases if case.id not in simulated]
    often = times_of_patients(scanned, invented, share)
    return [case for case in cases for _ in range(1 if case.id in simulated else often)]


def times_of_patients(scanned: int, invented: int, share: float) -> int:
    """How often each of so many cases of patients comes, beside so many simulated ones that come once."""
    return max(1, round(invented * (1 - share) / (share * scanned))) if scanned and share else 1


def draw_sample(case: PreparedCase, sampling: Sampling, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """One augmented image (channel, *patch_size) and its label map (*patch_size) from a random place of a case."""
    label_map = case.label_map()
    if label_map is None:
        raise ValueError("a labeled sample was asked of a case without a label map")
    patch = sampling.patch_size
    image, start, grow = _draw_patch(case, sampling, rng)
    labels = torch.from_numpy(cut(label_map, start, grow, 1)[0].astype(np.int64))
    labels = labels[0] if len(patch) == 2 else labels
    return augment(image, labels, patch, sampling.augmentation, int(rng.integers(2**31)), sampling.swap)


def draw_image(case: PreparedCase, sampling: Sampling, rng: np.random.Generator) -> torch.Tensor:
    """One augmented image (channel, *patch_size) from a random place of a case that has no label map.

    The place is any, since where its foreground is nobody knows.
    """
    image, _, _ = _draw_patch(case, sampling, rng)
    return augment_image(image, sampling.patch_size, sampling.augmentation, int(rng.integers(2**31)))


def _draw_patch(
    case: PreparedCase, sampling: Sampling, rng: np.random.Generator
) -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    """The image (channel, *spatial) of a random place, with the margin that augmentation needs; its start and size."""
    volume = case.volume()
    patch = sampling.patch_size
    size = np.array([1, *patch] if len(patch) == 2 else patch)
    grow = size.copy()
    grow[-len(patch) :] = np.ceil(np.array(patch) * sampling.augmentation.margins(patch))
    start = _draw_center(case, np.array(volume.shape), size, sampling.foreground_share, rng) - grow // 2
    image = torch.from_numpy(cut(volume, start, grow, sampling.context_slices))
    return (image[:, 0] if len(patch) == 2 else image).float(), start, grow


def _draw_center(
    case: PreparedCase, shape: np.ndarray, size: np.ndarray, foreground_share: float, rng: np.random.Generator
) -> np.ndarray:
    """A patch center: near a foreground voxel, or anywhere; moved inside so that the patch leaves the volume least."""
    labels = sorted(label for label, places in case.foreground.items() if len(places))
    if labels and rng.random() < foreground_share:
        places = case.foreground[labels[rng.integers(len(labels))]]
        # the voxel lies anywhere in the middle half of the patch, so structures are not always seen at its center
        center = places[rng.integers(len(places))] + np.rint(rng.uniform(-0.25, 0.25, 3) * (size - 1)).astype(int)
    else:
        center = rng.integers(0, shape)
    low, high = size // 2, shape - (size - size // 2)
    return np.where(low <= high, np.clip(center, low, np.maximum(low, high)), shape // 2)


def cut(volume: np.ndarray, start: np.ndarray, size: np.ndarray, context_slices: int = 1) -> np.ndarray:
    """The box of `size` at `start` with its neighbor slices as channels: (context, depth, height, width).

    Outside the volume it is 0 (air of a label map, the mean of a z-scored volume), but a neighbor beyond the first or
    last slice repeats that slice.
    """
    reach = context_slices // 2
    result = np.zeros((context_slices, *size), dtype=volume.dtype)
    stop = np.minimum(start + size, volume.shape)
    inside = np.maximum(start, 0)
    if np.any(inside >= stop):
        return result
    target = (slice(inside[1] - start[1], stop[1] - start[1]), slice(inside[2] - start[2], stop[2] - start[2]))
    rows, columns = (slice(int(inside[axis]), int(stop[axis])) for axis in (1, 2))
    first, last = max(0, int(inside[0]) - reach), min(volume.shape[0], int(stop[0]) + reach)
    ask_for(volume, (slice(first, last), rows, columns))
    for channel in range(context_slices):
        depths = np.clip(np.arange(inside[0], stop[0]) + channel - reach, 0, volume.shape[0] - 1)
        block = volume[depths.min() : depths.max() + 1, rows, columns]
        result[channel, inside[0] - start[0] : stop[0] - start[0], target[0], target[1]] = block[depths - depths.min()]
    return result
