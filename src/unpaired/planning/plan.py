"""From the fingerprint of a dataset to a recipe: every number with the fact that decided it.

Rules read the fingerprint, the kind of device, its memory and hours, nothing else: the same ones get the same plan.
Steps come from the clock, and coarser slices where few fit (`training.planned`). Where nnU-Net (Isensee et al., Nature
Methods 2021) has a rule for one kind of image, it is used; what is new is one grid for several modalities (`_grid`).
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from unpaired.choices import in_hours, require_choice
from unpaired.data.orientation import Plane
from unpaired.data.preprocess import Preprocessing
from unpaired.errors import InputError
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.unet import UNetConfig
from unpaired.planning.budget import BUDGETS, Budget, Device
from unpaired.planning.fingerprint import Fingerprint, ModalityFacts, Triple, foreground_window
from unpaired.planning.labels import (
    begun_on_simulated_hearts,
    helped,
    method_reason,
    norms_by_labels,
    rare_classes,
    taught,
    varied,
)
from unpaired.planning.topology import patch_within
from unpaired.planning.turns import augmentation_of, turned_predictions
from unpaired.recipe import MemoryFormat, Optimization, Precision, Recipe

Dimensions = Literal["auto", "2", "3"]
ANISOTROPY = 3.0
"""Slices that are farther apart than so many pixels are segmented one by one (nnU-Net's threshold)."""
FEW_SLICES = 8
EQUAL = 0.05
"""Spacings that differ by less than this share aren't resampled."""
BODY = 0.7
"""A scan whose body fills less than this share is cropped to it."""
FEWEST_FOR_BATCH_NORM = 4
"""Images of a modality in a step; with so many it was measured."""
COVERED = 0.25
"""A 3D patch sees at least this share of the body (nnU-Net's limit for its low resolution), if coarser voxels allow."""


@dataclass(frozen=True)
class Plan:
    """A recipe, and {field, such as "patch_size" or "network.width": the fact that decided it}."""

    recipe: Recipe
    reasons: Mapping[str, str]
    summary: str

    def with_steps(self, steps: int, reason: str) -> "Plan":
        """The plan with a number of steps, and when they are validated and saved."""
        every = max(steps // 10, min(steps, 50))
        recipe = replace(
            self.recipe,
            steps=steps,
            validate_every=every,
            save_every=max(min(every, 500), 1),
            optimization=replace(self.recipe.optimization, warmup_steps=min(50, steps // 10)),
        )
        reasons = {**self.reasons, "steps": reason, "validate_every": "a tenth of the steps, but not below 50"}
        return Plan(recipe, reasons, self.summary)

    def with_step(self, precision: Precision, memory_format: MemoryFormat, reason: str) -> "Plan":
        """The plan with another way to compute a step."""
        recipe = replace(self.recipe, precision=precision, memory_format=memory_format)
        changed = {"precision": precision, "memory_format": memory_format}
        reasons = {name: reason for name, value in changed.items() if value != getattr(self.recipe, name)}
        return Plan(recipe, {**self.reasons, **reasons}, self.summary)

    def with_batch(self, batch_size: int, reason: str) -> "Plan":
        """The plan with another number of images per modality and step; of unlabeled ones at most as many.

        Where these are too few for batch norm, with instance norm throughout.
        """
        unlabeled = min(self.recipe.unlabeled_batch_size, batch_size)
        recipe = replace(self.recipe, batch_size=batch_size, unlabeled_batch_size=unlabeled)
        reasons = {**self.reasons, "batch_size": reason}
        if batch_size < FEWEST_FOR_BATCH_NORM and isinstance(recipe.network, UNetConfig):
            recipe = replace(recipe, network=replace(recipe.network, norm="instance", stage_norms=()))
            reasons = {
                name: why for name, why in reasons.items() if name not in ("network.norm", "network.stage_norms")
            }
        return Plan(recipe, reasons, self.summary)


def plan_recipe(
    fingerprint: Fingerprint,
    device: Device = "cpu",
    memory_gb: float = 8.0,
    hours: float = 1.0,
    dimensions: Dimensions = "auto",
    patch_voxels: int | None = None,
) -> Plan:
    """The recipe for a dataset, of 1,000 steps until somebody knows how long one takes.

    A GPU's memory limits the patch (`memory_gb`), or a processor's time (`hours`). `dimensions` asks for slices (2)
    or volumes (3) whatever the rule says. `patch_voxels` is a limit of the patch below that of the device: it sees as
    much of the body in coarser voxels. Raises InputError for a dataset without a labeled case.
    """
    require_choice(dimensions, Dimensions, "dimensions")
    if not any(facts.labeled_patients or facts.simulated_patients for facts in fingerprint.modalities):
        raise InputError(
            f"dataset {fingerprint.dataset}: no case has a label map that can be read; nothing to train on"
        )
    room = min(memory_gb / 8.0, 4.0) if device == "cuda" else min(max(hours, 1.0), 4.0)
    budget = BUDGETS[device].scaled(room).within(patch_voxels)
    reasons: dict[str, str] = {}
    volumes = _is_3d(fingerprint, dimensions, reasons)
    spacing, sizes = _grid(fingerprint, volumes, budget, reasons)
    axes, voxels = (slice(0, 3), budget.voxels_3d) if volumes else (slice(1, 3), budget.voxels_2d)
    patch, strides = patch_within(sizes[axes], spacing[axes], voxels, len(budget.blocks))
    reasons["patch_size"] = (
        f"the median body is {_numbers(sizes[axes], 0)} voxels of {_numbers(spacing[axes], 2)} mm; at most {voxels:,} "
        f"voxels for {f'{memory_gb:g} GB' if device == 'cuda' else in_hours(hours)} on {device}"
        f"{', so that more steps fit' if patch_voxels is not None else ''}"
    )
    recipe = Recipe(
        network=norms_by_labels(_network(budget, patch, strides, reasons), fingerprint, volumes, reasons),
        method=SupervisedConfig(),
        patch_size=patch,
        steps=1000,
        preprocessing=_preprocessing(fingerprint, spacing, volumes, reasons),
        augmentation=augmentation_of(volumes, spacing[0] / min(spacing[1:]) > ANISOTROPY, reasons),
        optimization=_optimization(device, reasons),
        batch_size=2 if volumes else budget.batch_2d,
        turned_degrees=turned_predictions(volumes, reasons),
        rare_classes=rare_classes(fingerprint, reasons),
    )
    recipe = helped(recipe, fingerprint, reasons)
    kind = "volumes" if volumes else "slices"
    reasons["batch_size"] = f"{kind} of each modality in every step, on {device}"
    reasons["method"] = method_reason(fingerprint)
    if not volumes:
        for step in (begun_on_simulated_hearts, varied, taught):
            recipe = step(recipe, fingerprint, reasons)
    names = ", ".join(facts.name for facts in fingerprint.modalities)
    return Plan(recipe, reasons, f"One network for {kind} of {names}: {', '.join(fingerprint.classes[1:])}.")


def anisotropy(facts: ModalityFacts) -> float:
    """How many pixels the slices of a modality are apart."""
    return facts.spacing_mm[0] / min(facts.spacing_mm[1:])


def _is_3d(fingerprint: Fingerprint, dimensions: Dimensions, reasons: dict[str, str]) -> bool:
    """Volumes where every modality has close slices, and enough of them; else slices."""
    thick = max(fingerprint.modalities, key=anisotropy)
    flat = min(fingerprint.modalities, key=lambda facts: facts.shape[0])
    if dimensions != "auto":
        reasons["dimensions"] = (
            f"{dimensions}D as you say; slices of {thick.name} are {anisotropy(thick):.1f} pixels apart"
        )
        if dimensions == "3" and flat.shape[0] < 2:
            raise InputError(
                f"modality {flat.name} has single slices; a 3D network needs volumes, plan with 2 dimensions"
            )
        return dimensions == "3"
    if anisotropy(thick) > ANISOTROPY:
        reasons["dimensions"] = (
            f"2D: slices of {thick.name} are {thick.spacing_mm[0]:g} mm and {anisotropy(thick):.1f} pixels apart, more "
            f"than {ANISOTROPY:g}; in plane all modalities share a grid, across their slices they needn't"
        )
        return False
    if flat.shape[0] < FEW_SLICES:
        reasons["dimensions"] = f"2D: a scan of {flat.name} has {flat.shape[0]:g} slices (3D from {FEW_SLICES})"
        return False
    reasons["dimensions"] = (
        f"3D: slices of every modality are close ({thick.name}'s at most {anisotropy(thick):.1f} pixels apart, limit "
        f"{ANISOTROPY:g})"
    )
    return True


def _grid(fingerprint: Fingerprint, volumes: bool, budget: Budget, reasons: dict[str, str]) -> tuple[Triple, Triple]:
    """The one grid of all modalities: voxels in mm, and the median body in such voxels; (depth, height, width).

    Each modality counts alike, however many scans it has: the voxel is the median of the modalities' medians. It gets
    coarser, up to the budget's limit, until a patch sees `COVERED` of the body (3D) or the whole slice (2D).
    """
    facts = fingerprint.modalities
    spacing = [_median([modality.spacing_mm[axis] for modality in facts]) for axis in range(3)]
    if volumes:
        finest = min(spacing[1:])
        spacing[1:] = [finest, finest] if max(spacing[1:]) / finest < 1 + EQUAL else spacing[1:]
    else:
        spacing[1:] = [_median(spacing[1:])] * 2
    body = [max(modality.body_mm[axis] for modality in facts) for axis in range(3)]
    axes = range(3) if volumes else range(1, 3)
    seen = (COVERED * body[0] * body[1] * body[2]) if volumes else body[1] * body[2]
    allowed = (budget.voxels_3d if volumes else budget.voxels_2d) * math.prod(spacing[axis] for axis in axes)
    factor = min(max((seen / allowed) ** (1 / len(axes)), 1.0), budget.coarsest)
    wanted = [math.ceil(size * factor * 100) / 100 if axis in axes else size for axis, size in enumerate(spacing)]
    fine = ", ".join(f"{modality.name} {_numbers(modality.spacing_mm, 2)}" for modality in facts)
    reasons["preprocessing.spacing_mm"] = f"medians (slices, rows, columns) in mm: {fine}" + (
        f"; {factor:.2f} times coarser, for a patch to see {'a quarter of the body' if volumes else 'the whole slice'}"
        if factor > 1
        else ""
    )
    sizes = tuple(extent / step for extent, step in zip(body, wanted, strict=True))
    return (wanted[0], wanted[1], wanted[2]), (sizes[0], sizes[1], sizes[2])


def _preprocessing(fingerprint: Fingerprint, spacing: Triple, volumes: bool, reasons: dict[str, str]) -> Preprocessing:
    facts = fingerprint.modalities
    target = tuple(
        None if (axis == 0 and not volumes) or _are_equal(facts, axis, spacing[axis]) else spacing[axis]
        for axis in range(3)
    )
    emptiest = min(facts, key=lambda modality: modality.body_share)
    crop = emptiest.body_share < BODY
    if crop:
        reasons["preprocessing.roi"] = f"the body fills {emptiest.body_share:.0%} of {emptiest.name}"
    planes = {plane for modality in facts for plane in modality.planes}
    plane: Plane = "axial" if len(planes) > 1 and "oblique" not in planes and volumes else "native"
    if plane == "axial":
        reasons["preprocessing.plane"] = f"scans were acquired in {', '.join(sorted(planes))} planes"
    clips = {facts.name: foreground_window(fingerprint, facts.name) for facts in fingerprint.modalities if facts.is_ct}
    windows = tuple((name, low, high) for name, (low, high) in clips.items() if low < high)
    if windows:
        reasons["preprocessing.windows"] = "HU between which 99 % of the organs lie, in the median CT"
    return Preprocessing(
        plane=plane,
        spacing_mm=None if target == (None, None, None) else (target[0], target[1], target[2]),
        roi="body" if crop else "none",
        windows=windows,
    )


def _network(
    budget: Budget, patch: tuple[int, ...], strides: tuple[tuple[int, ...], ...], reasons: dict[str, str]
) -> UNetConfig:
    volumes = len(patch) == 3
    if not strides:
        raise InputError(
            f"scans of {_numbers(patch, 0)} voxels are too small for a U-Net; give larger ones, or a recipe of your own"
        )
    reasons["network.blocks"] = f"as many stages as halve a patch of {_numbers(patch, 0)} down to four voxels"
    width = budget.width if not volumes or budget.width > 12 else 8
    even = all(stride == (2,) * len(patch) for stride in strides)
    if not even:
        reasons["network.strides"] = "long voxels are pooled later, until voxels are cubes"
    return UNetConfig(
        width=width,
        widest=320 if volumes else 512,
        blocks=budget.blocks[: len(strides) + 1],
        strides=None if even else strides,
    )


def _optimization(device: Device, reasons: dict[str, str]) -> Optimization:
    if device == "cpu":
        reasons["optimization"] = "Adam with a cosine, for the few thousand steps that a processor has time for"
        return Optimization(learning_rate=2e-3, schedule="cosine", warmup_steps=50)
    reasons["optimization"] = "nnU-Net's"
    return Optimization(
        optimizer="sgd",
        learning_rate=1e-2,
        schedule="polynomial",
        decay=0.9,
        weight_decay=3e-5,
        gradient_clip=12.0,
    )


def _are_equal(facts: tuple[ModalityFacts, ...], axis: int, target: float) -> bool:
    """Whether no scan needs resampling along an axis."""
    ranges = [value for modality in facts for value in (bound[axis] for bound in modality.spacing_range)]
    return max(ranges) <= target * (1 + EQUAL) and min(ranges) >= target * (1 - EQUAL)


def _median(values: list[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _numbers(values: Iterable[float], digits: int) -> str:
    """Numbers as text, such as 64 x 96 x 96, without zeros behind the point."""
    texts = (f"{value:.{digits}f}" for value in values)
    return " x ".join(text.rstrip("0").rstrip(".") if "." in text else text for text in texts)
