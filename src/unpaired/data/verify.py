"""Every integrity rule of a dataset, each with its message. Errors make scores wrong or training fail; warnings may.

Each file is read once, in `case_findings`; what only shows when cases are compared is judged from its `Facts`.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np

from unpaired.data.dataset import CaseEntry, Dataset, encode_values
from unpaired.data.images import Image, corner_shift, read_image, read_label_map
from unpaired.data.parallel import for_each
from unpaired.data.prepare import count_labels, encode_label_map
from unpaired.errors import InputError

CORNER_VOXELS = 0.5
SHEAR_COSINE = 0.01
"""Axes further than 0.6 degrees from perpendicular are no header's rounding; scanners with a tilted gantry do it."""
CT_AIR = -200.0
SPACING_FACTOR = 2.0
SIZE_FACTOR = 2.0
"""Typical organs of two groups of adults differ by less in volume; a stale spacing was seen to make 2.9."""
SIZE_CASES = 3
"""Fewer cases per modality say nothing about what is typical."""
LABELED_CASES = 2
"""One patient more than the one who might be odd."""


@dataclass(frozen=True)
class Finding:
    """One broken rule. `case` and `file` are None where the dataset as a whole is meant."""

    severity: Literal["error", "warning"]
    rule: str
    case: str | None
    file: Path | None
    message: str


@dataclass
class Facts:
    """What comparing cases needs to know of one case."""

    entry: CaseEntry
    digest: str | None = None
    spacing_mm: tuple[float, ...] | None = None
    """Ascending, so that the files' axis order doesn't matter."""
    voxels: dict[str, int] = field(default_factory=dict)
    """Foreground class: number of voxels; only of a label map that can be trusted."""
    voxel_mm3: float = 0.0


@dataclass(frozen=True)
class _Job:
    entry: CaseEntry
    classes: tuple[str, ...]
    encoding: Mapping[int, int]
    """File value: index of a label set; the first ones are the classes."""
    background: frozenset[int]
    """The label sets that may be background."""


def verify(
    dataset: Dataset, workers: int = 0, progress: Callable[[int, int, str], None] | None = None
) -> list[Finding]:
    """Every broken rule of a dataset: first case by case in manifest order, then what only a comparison shows.

    An empty list means nothing was found. `workers` above 1 are processes; `progress` is called with (cases done, cases
    in all, case id). A bad case never stops the others.
    """
    sets = {members: index for index, members in enumerate(dataset.label_sets())}
    background = frozenset(index for members, index in sets.items() if 0 in members)
    jobs = [
        _Job(
            entry,
            dataset.classes,
            {value: sets[members] for value, members in encode_values(dataset, entry).items()},
            background,
        )
        for entry in dataset.cases
    ]
    findings: list[list[Finding]] = [[] for _ in jobs]
    facts = [Facts(entry) for entry in dataset.cases]
    for done, (position, result, failure) in enumerate(for_each(case_findings, jobs, workers), start=1):
        entry = jobs[position].entry
        if failure is None:
            findings[position], facts[position] = result
        else:
            findings[position] = [Finding("error", "unreadable", entry.id, entry.image, failure)]
        if progress is not None:
            progress(done, len(jobs), entry.id)
    compared = (rule(dataset, facts) for rule in (_patients, _duplicates, _spacings, _organ_sizes, _labeled))
    return [finding for group in (*findings, *compared) for finding in group]


def case_findings(job: _Job) -> tuple[list[Finding], Facts]:
    """The rules that one case can break by itself, and the facts for comparing it with others."""
    facts = Facts(job.entry)
    findings: list[Finding] = []
    image = _read(job.entry, job.entry.image, read_image, findings)
    label = None if job.entry.label is None else _read(job.entry, job.entry.label, read_label_map, findings)
    usable = True
    if image is not None:
        facts.digest = _digest(image.array)
        findings += _value_findings(job.entry, image.array)
        broken = _affine_problem(image.affine)
        usable = broken is None
        if broken is not None:
            findings.append(_error("affine", job.entry, job.entry.image, broken))
        else:
            facts.spacing_mm = tuple(sorted(image.spacing_mm))
    if label is not None and job.entry.label is not None:
        if image is not None and usable:
            findings += _grid_findings(job.entry, image, label, job.entry.label)
        findings += _label_findings(job, label, job.entry.label, facts)
    return findings, facts


def _read(entry: CaseEntry, file: Path, reader: Callable[[Path], Image], findings: list[Finding]) -> Image | None:
    try:
        return reader(file)
    except InputError as error:
        findings.append(_error("unreadable" if file.is_file() else "missing", entry, file, str(error)))
        return None


def _error(rule: str, entry: CaseEntry, file: Path, message: str) -> Finding:
    return Finding("error", rule, entry.id, file, message)


def _warning(rule: str, entry: CaseEntry, file: Path, message: str) -> Finding:
    return Finding("warning", rule, entry.id, file, message)


def _digest(array: np.ndarray) -> str:
    """Of shape and values, whatever the container: the same image saved again, or compressed, is found."""
    content = array if array.flags.f_contiguous else np.asfortranarray(array)
    return hashlib.blake2b(
        repr((array.shape, array.dtype.str)).encode() + content.tobytes("F"), digest_size=16
    ).hexdigest()


def _affine_problem(affine: np.ndarray) -> str | None:
    matrix = affine[:3, :3]
    sizes = np.linalg.norm(matrix, axis=0)
    if not np.isfinite(affine).all() or (sizes == 0).any() or abs(np.linalg.det(matrix / sizes)) < 1e-3:
        return f"expected an invertible affine, got {matrix.round(4).tolist()}; repair the header from the original"
    cosines = np.abs((matrix / sizes).T @ (matrix / sizes) - np.eye(3))
    if cosines.max() > SHEAR_COSINE:
        angle = 90 - np.degrees(np.arccos(min(cosines.max(), 1.0)))
        return f"the axes are sheared by {angle:.1f} degrees (gantry tilt?); resample the scan to perpendicular axes"
    return None


def _value_findings(entry: CaseEntry, array: np.ndarray) -> Iterator[Finding]:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        count = int((~np.isfinite(array)).sum())
        yield _error("nan", entry, entry.image, f"{count} voxels are NaN or infinite; replace them by air's value")
        return
    if not entry.modality.startswith("ct"):
        return
    low, high = float(array.min()), float(array.max())
    if low >= 0 and high <= 255:
        text = f"CT values lie in {low:g}..{high:g}: a picture's gray levels, not HU; export the original values"
        yield _warning("ct-values", entry, entry.image, text)
    elif low >= CT_AIR:
        text = (
            f"CT without air: the lowest value is {low:g}, expected below {CT_AIR:g} HU; check slope, intercept, window"
        )
        yield _warning("ct-values", entry, entry.image, text)


def _grid_findings(entry: CaseEntry, image: Image, label: Image, file: Path) -> Iterator[Finding]:
    if image.array.shape != label.array.shape:
        text = f"shape {label.array.shape} isn't the image's {image.array.shape}; export the label on the image's grid"
        yield _error("shape", entry, file, text)
        return
    shift = corner_shift(image, label)
    if not shift <= CORNER_VOXELS:
        text = (
            f"a corner lies {shift:.1f} voxels away from the image's (allowed: {CORNER_VOXELS}); "
            "copy the affine of the one that is right"
        )
        yield _error("corners", entry, file, text)


def _label_findings(job: _Job, label: Image, file: Path, facts: Facts) -> Iterator[Finding]:
    try:
        encoded = encode_label_map(label.array, job.encoding, file)
    except InputError as error:
        yield _error("label-value", job.entry, file, str(error))
        return
    counts = count_labels(encoded)
    if not any(count for index, count in enumerate(counts) if index not in job.background):
        looked_for = job.entry.annotated or job.classes[1:]
        text = (
            f"no voxel of {', '.join(looked_for)}; set the case's label to null, or 'annotated' to what was looked for"
        )
        yield _error("empty-label", job.entry, file, text)
        return
    facts.voxels = {name: int(count) for name, count in zip(job.classes[1:], counts[1:], strict=False)}
    facts.voxel_mm3 = float(np.prod(label.spacing_mm))
    for left, right in _sides(job.classes):
        masks = [encoded == job.classes.index(name) for name in (left, right)]
        if all(mask.any() for mask in masks):
            left_x, right_x = (_center_mm(mask, label.affine)[0] for mask in masks)
            if left_x > right_x:
                text = (
                    f"{left} lies {left_x - right_x:.0f} mm to the patient's right of {right}; "
                    "the image is mirrored or the two values are swapped"
                )
                yield _warning("sides", job.entry, file, text)


def _sides(classes: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of class names that differ in the words left and right alone: "left kidney", "kidney_left"."""
    words = {name: tuple(name.lower().replace("_", " ").replace("-", " ").split()) for name in classes}
    by_words = {split: name for name, split in words.items()}
    swapped = {name: tuple("right" if word == "left" else word for word in split) for name, split in words.items()}
    return [(name, by_words[swapped[name]]) for name in classes if "left" in words[name] and swapped[name] in by_words]


def _center_mm(mask: np.ndarray, affine: np.ndarray) -> np.ndarray:
    profiles = [mask.sum(axis=tuple(other for other in range(3) if other != axis)) for axis in range(3)]
    center = [float(profile @ np.arange(len(profile)) / profile.sum()) for profile in profiles]
    return (affine @ np.array([*center, 1.0]))[:3]


def _patients(dataset: Dataset, facts: Sequence[Facts]) -> Iterator[Finding]:
    first: dict[str, CaseEntry] = {}
    for entry in dataset.cases:
        if entry.split is None:
            continue
        other = first.setdefault(entry.patient, entry)
        if other.split != entry.split:
            text = (
                f"patient {entry.patient} is in {entry.split} here and in {other.split} as case {other.id}; "
                "split by patient, across modalities"
            )
            yield _error("patient-split", entry, entry.image, text)


def _duplicates(dataset: Dataset, facts: Sequence[Facts]) -> Iterator[Finding]:
    groups: dict[str, list[CaseEntry]] = defaultdict(list)
    for fact in facts:
        if fact.digest is not None:
            groups[fact.digest].append(fact.entry)
    for first, *others in groups.values():
        for other in others:
            text = f"the same image as case {first.id} ({first.image}), voxel by voxel; "
            if None not in (first.split, other.split) and first.split != other.split:
                text += f"one is in {first.split}, one in {other.split}: drop one"
                yield _error("duplicate", other, other.image, text)
            elif first.patient != other.patient:
                text += f"but patients {first.patient} and {other.patient}: drop one or correct the patient"
                yield _warning("duplicate", other, other.image, text)


def _spacings(dataset: Dataset, facts: Sequence[Facts]) -> Iterator[Finding]:
    for modality in dataset.modalities:
        known = [fact for fact in facts if fact.entry.modality == modality and fact.spacing_mm is not None]
        if len(known) < SIZE_CASES:
            continue
        usual = np.median([fact.spacing_mm for fact in known if fact.spacing_mm is not None], axis=0)
        for fact in known:
            ratio = np.array(fact.spacing_mm) / usual
            if max(ratio.max(), 1 / ratio.min()) > SPACING_FACTOR:
                text = (
                    f"spacing {_mm(fact.spacing_mm)} is far from the {modality} cases' usual {_mm(usual)}; "
                    "check the header, or leave the case out"
                )
                yield _warning("spacing", fact.entry, fact.entry.image, text)


def _mm(spacing: Sequence[float] | np.ndarray | None) -> str:
    return " x ".join(f"{float(size):.3g}" for size in (() if spacing is None else spacing)) + " mm"


def _organ_sizes(dataset: Dataset, facts: Sequence[Facts]) -> Iterator[Finding]:
    """The volumes of whole organs in two modalities: of the same patients where there are enough, else of all."""
    for first, second in combinations(dataset.modalities, 2):
        of = {
            modality: [fact for fact in facts if fact.entry.modality == modality and fact.voxels]
            for modality in (first, second)
        }
        shared = {fact.entry.patient for fact in of[first]} & {fact.entry.patient for fact in of[second]}
        if len(shared) >= SIZE_CASES:
            of = {name: [fact for fact in group if fact.entry.patient in shared] for name, group in of.items()}
        if min(map(len, of.values())) < SIZE_CASES:
            continue
        mm3 = _size_ratio(dataset.classes[1:], of[first], of[second])
        if mm3 is None or 1 / SIZE_FACTOR <= mm3 <= SIZE_FACTOR:
            continue
        larger, smaller, factor = (first, second, mm3) if mm3 > 1 else (second, first, 1 / mm3)
        text = (
            f"organs are {factor:.1f} times larger in mm^3 in {larger} than in {smaller} (medians over cases, "
            f"{'the same patients' if len(shared) >= SIZE_CASES else 'all patients'}): more than anatomy allows; "
            "compare the spacing in both headers with the original scans"
        )
        yield Finding("warning", "organ-size", None, None, text)


def _size_ratio(classes: Sequence[str], first: Sequence[Facts], second: Sequence[Facts]) -> float | None:
    """Typical organ size of one group over that of another: median per class, geometric mean over classes."""
    logs = []
    for name in classes:
        medians = []
        for group in (first, second):
            sizes = [fact.voxels[name] * fact.voxel_mm3 for fact in group if fact.voxels.get(name)]
            medians.append(float(np.median(sizes)) if len(sizes) >= SIZE_CASES else 0.0)
        if min(medians) > 0:
            logs.append(np.log(medians[0] / medians[1]))
    return float(np.exp(np.mean(logs))) if logs else None


def _labeled(dataset: Dataset, facts: Sequence[Facts]) -> Iterator[Finding]:
    """A class that training meets in fewer than two labeled cases of a modality can't be learned there."""
    split = "train" if any(entry.split is not None for entry in dataset.cases) else None
    for modality in dataset.modalities:
        entries = {entry.id for entry in dataset.of(modality, split, labeled=True)}
        known = [fact for fact in facts if fact.entry.id in entries]
        annotated = [fact.entry.annotated for fact in known]
        for name in dataset.classes[1:]:
            if known and all(names is not None and name not in names for names in annotated):
                continue  # nobody looked for it in this modality, which the manifest says
            count = sum(bool(fact.voxels.get(name)) for fact in known)
            if count < LABELED_CASES:
                text = (
                    f"{modality}: {count} labeled {'training ' if split else ''}cases show {name}, "
                    f"expected {LABELED_CASES} or more; label more cases or drop the class"
                )
                yield Finding("warning", "few-labeled", None, None, text)
