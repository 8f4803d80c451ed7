"""The rules that one case can break by itself. Each file is read once; what comparisons need is kept as `Facts`."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from unpaired.data.checks.findings import Finding, case_error, case_warning
from unpaired.data.dataset import CaseEntry
from unpaired.data.images import Image, ImageError, grid_problem, read_image, read_label_map
from unpaired.data.label_map import count_labels, encode_label_map
from unpaired.data.scan_values import ScanValues, scan_values
from unpaired.data.sides import side_pairs
from unpaired.errors import InputError

CT_AIR = -200.0
CHANCE_VOXELS = 27
"""So few voxels of a small structure may well have one value."""


@dataclass
class Facts:
    """What comparing cases needs to know of one case."""

    entry: CaseEntry
    digest: str | None = None
    label_digest: str | None = None
    """Only of a label map that can be trusted, and where enough is labeled."""
    spacing_mm: tuple[float, ...] | None = None
    """Ascending, so that the files' axis order doesn't matter."""
    values: ScanValues | None = None
    voxels: dict[str, int] = field(default_factory=dict)
    """Foreground class: number of voxels; only of a label map that can be trusted."""
    voxel_mm3: float = 0.0
    is_label_broken: bool = False
    """A label map is named that can't be read, or holds values without a meaning: what it labels is not known."""


@dataclass(frozen=True)
class CaseJob:
    entry: CaseEntry
    classes: tuple[str, ...]
    encoding: Mapping[int, int]
    """File value: index of a label set; the first ones are the classes."""
    background: frozenset[int]
    """The label sets that may be background."""
    window: tuple[float, float] | None = None
    """What the modality's values are clipped to."""


def case_findings(job: CaseJob) -> tuple[list[Finding], Facts]:
    """The rules that one case can break by itself, and the facts for comparing it with others."""
    facts = Facts(job.entry)
    findings: list[Finding] = []
    image = _read(job.entry, job.entry.image, read_image, findings)
    label = None if job.entry.label is None else _read(job.entry, job.entry.label, read_label_map, findings)
    facts.is_label_broken = job.entry.label is not None and label is None
    if image is not None:
        facts.digest = _digest(image.array)
        values = scan_values(image)
        constant = list(_constant_findings(job.entry, image.array, values, job.window))
        findings += constant or _value_findings(job.entry, values)
        facts.spacing_mm = tuple(sorted(image.spacing_mm))
        facts.values = None if constant else values  # it doesn't speak for its modality
    if label is not None and job.entry.label is not None:
        if image is not None:
            problem = grid_problem(image, label)
            if problem is not None:
                findings.append(case_error(problem[0], job.entry, job.entry.label, problem[1]))
            elif facts.values is not None:
                findings += _labeled_value_findings(job, image.array, label.array)
        findings += _label_findings(job, label, job.entry.label, facts)
    return findings, facts


def _read(entry: CaseEntry, file: Path, reader: Callable[[Path], Image], findings: list[Finding]) -> Image | None:
    try:
        image = reader(file)
    except InputError as error:
        rule = error.rule if isinstance(error, ImageError) else "unreadable"
        findings.append(case_error(rule, entry, file, str(error)))
        return None
    findings += [case_warning("header", entry, file, note) for note in image.notes]
    return image


def _digest(array: np.ndarray) -> str:
    """Of shape and values, whatever the container: the same image saved again, or compressed, is found."""
    content = array if array.flags.f_contiguous else np.asfortranarray(array)
    return hashlib.blake2b(
        repr((array.shape, array.dtype.str)).encode() + content.tobytes("F"), digest_size=16
    ).hexdigest()


def _constant_findings(
    entry: CaseEntry, array: np.ndarray, values: ScanValues, window: tuple[float, float] | None
) -> Iterator[Finding]:
    low, high = values.lowest, values.highest
    if low == high:
        text = f"every voxel is {low:g}: a blank scan; export it again, or leave the case out"
        yield case_error("constant", entry, entry.image, text)
    elif not ((array != low) & (array != high)).any():
        text = f"every voxel is {low:g} or {high:g}: a mask, no scan; name the file that it was drawn on"
        yield case_error("constant", entry, entry.image, text)
    elif window is not None and (high <= window[0] or low >= window[1]):
        text = f"its values lie in {low:g}..{high:g}, {_clipped(entry, window)} makes all of them one"
        yield case_error("constant", entry, entry.image, f"{text}; correct the window, or the file's slope")


def _clipped(entry: CaseEntry, window: tuple[float, float]) -> str:
    return f"and the window {window[0]:g}..{window[1]:g} of {entry.modality} (clip in the manifest)"


def _labeled_value_findings(job: CaseJob, array: np.ndarray, label: np.ndarray) -> Iterator[Finding]:
    background = [value for value, index in job.encoding.items() if index in job.background]
    labeled = array[~np.isin(label, background)]
    if len(labeled) > CHANCE_VOXELS and labeled.min() == labeled.max():
        text = (
            f"all {len(labeled)} labeled voxels are {labeled[0]:g}: nothing is seen of what is labeled; check that "
            "the label map is this scan's, or export the scan again"
        )
        yield case_warning("constant", job.entry, job.entry.image, text)
    elif len(labeled) > CHANCE_VOXELS and job.window is not None:
        low, high = labeled.min(), labeled.max()
        if high <= job.window[0] or low >= job.window[1]:
            text = f"all {len(labeled)} labeled voxels lie in {low:g}..{high:g}, {_clipped(job.entry, job.window)}"
            text += " makes them one value: nothing is seen of what is labeled; correct the window, or the file's slope"
            yield case_warning("constant", job.entry, job.entry.image, text)


def _value_findings(entry: CaseEntry, values: ScanValues) -> Iterator[Finding]:
    if not entry.modality.startswith("ct"):
        return
    low, high = values.lowest, values.highest
    if low >= 0 and high <= 255:
        text = f"CT values lie in {low:g}..{high:g}: a picture's gray levels, not HU; export the original values"
        yield case_warning("ct-values", entry, entry.image, text)
    elif low >= CT_AIR:
        text = (
            f"CT without air: the lowest value is {low:g}, expected below {CT_AIR:g} HU; check slope, intercept and "
            "window, or correct the modality"
        )
        yield case_warning("ct-values", entry, entry.image, text)


def _label_findings(job: CaseJob, label: Image, file: Path, facts: Facts) -> Iterator[Finding]:
    try:
        encoded = encode_label_map(label.array, job.encoding, file)
    except InputError as error:
        facts.is_label_broken = True
        yield case_error("label-value", job.entry, file, str(error))
        return
    counts = count_labels(encoded)
    if not any(count for index, count in enumerate(counts) if index not in job.background):
        looked_for = job.entry.annotated or job.classes[1:]
        text = (
            f"no voxel of {', '.join(looked_for)}; set the case's label to null, or 'annotated' to what was looked for"
        )
        yield case_error("empty-label", job.entry, file, text)
        return
    facts.voxels = {name: int(count) for name, count in zip(job.classes[1:], counts[1:], strict=False)}
    facts.label_digest = _digest(encoded) if sum(facts.voxels.values()) > CHANCE_VOXELS else None
    facts.voxel_mm3 = float(np.prod(label.spacing_mm))
    for left, right in side_pairs(job.classes):
        masks = [encoded == job.classes.index(name) for name in (left, right)]
        if all(mask.any() for mask in masks):
            left_x, right_x = (_center_mm(mask, label.affine)[0] for mask in masks)
            if left_x > right_x:
                text = (
                    f"{left} lies {left_x - right_x:.0f} mm to the patient's right of {right}; "
                    "the image is mirrored or the two values are swapped"
                )
                yield case_warning("sides", job.entry, file, text)


def _center_mm(mask: np.ndarray, affine: np.ndarray) -> np.ndarray:
    profiles = [mask.sum(axis=tuple(other for other in range(3) if other != axis)) for axis in range(3)]
    center = [float(profile @ np.arange(len(profile)) / profile.sum()) for profile in profiles]
    return (affine @ np.array([*center, 1.0]))[:3]
