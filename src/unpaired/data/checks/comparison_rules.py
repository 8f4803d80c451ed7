"""The rules that only show when cases are compared: patients, duplicates, spacings, organ sizes, labels per class."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from unpaired.data.checks.case_rules import CT_AIR, Facts
from unpaired.data.checks.findings import Finding, case_error, case_warning
from unpaired.data.checks.modality import KnownModality, doubt, most_alike
from unpaired.data.checks.spelling import similar_classes, similar_patients
from unpaired.data.dataset import CaseEntry, Dataset
from unpaired.data.file_names import refused_by_windows
from unpaired.errors import told_apart

SPACING_FACTOR = 2.0
SIZE_FACTOR = 2.0
"""Typical organs of two groups of adults differ by less in volume; a stale spacing was seen to make 2.9."""
SIZE_CASES = 3
"""Fewer cases per modality say nothing about what is typical."""
LABELED_CASES = 2
"""One patient more than the one who might be odd."""


def comparison_findings(dataset: Dataset, facts: Sequence[Facts]) -> Iterator[Finding]:
    """Every rule that a dataset breaks as a whole, from the facts of all its cases in manifest order."""
    rules = (
        _file_names,
        _patients,
        _simulated,
        _similar_patients,
        _similar_classes,
        _duplicates,
        _duplicate_labels,
        _modalities,
        _spacings,
        _organ_sizes,
        _label_values,
        _labeled,
    )
    for rule in rules:
        yield from rule(dataset, facts)


def _file_names(dataset: Dataset, facts: Sequence[Facts]) -> Iterator[Finding]:
    for entry in dataset.cases:
        if signs := refused_by_windows(entry.id):
            text = f"the id holds {' '.join(signs)}, which no file can be called on Windows; rename the case"
            yield case_warning("file-name", entry, entry.image, text)


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
            yield case_error("patient-split", entry, entry.image, text)


def _simulated(dataset: Dataset, facts: Sequence[Facts]) -> Iterator[Finding]:
    """Simulated cases beside those of patients that are called like one of these, or choose weights or test."""
    patients = {entry.patient: entry for entry in reversed(dataset.cases) if not entry.simulated}
    for entry in dataset.cases:
        if not (entry.simulated and patients):
            continue
        if other := patients.get(entry.patient):
            text = (
                f"simulated, but patient {entry.patient} was scanned in case {other.id}; give the simulated patient "
                "another name, or take the mark from the case"
            )
            yield case_error("simulated", entry, entry.image, text)
        elif entry.split in ("validation", "test"):
            text = (
                f"simulated, but in {entry.split}, where it says nothing of patients; put it on the training side, as "
                "`unpaired split` does"
            )
            yield case_warning("simulated", entry, entry.image, text)


def _of_people(facts: Sequence[Facts]) -> Sequence[Facts]:
    """The facts of cases that aren't simulated; of all where all are."""
    return [fact for fact in facts if not fact.entry.simulated] or facts


def _similar_patients(dataset: Dataset, facts: Sequence[Facts]) -> Iterator[Finding]:
    """One person under two spellings would be trained on and tested."""
    for entry, first in similar_patients(dataset):
        here, there = told_apart(entry.patient, first.patient)
        text = f"patient {here} here, {there} in case {first.id}: give one person one name"
        if None not in (first.split, entry.split) and first.split != entry.split:
            text += f"; these two are in {entry.split} and in {first.split}"
        yield case_warning("similar-patients", entry, entry.image, text)


def _similar_classes(dataset: Dataset, facts: Sequence[Facts]) -> Iterator[Finding]:
    """One structure under two spellings would be two classes, each labeled in a part of the cases."""
    for name, first in similar_classes(dataset):
        text = f"classes {' and '.join(told_apart(first, name))} differ in spelling alone: give one structure one name"
        yield Finding("warning", "similar-classes", None, None, text)


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
                yield case_error("duplicate", other, other.image, text)
            elif first.patient != other.patient:
                text += f"but patients {first.patient} and {other.patient}: drop one or correct the patient"
                yield case_warning("duplicate", other, other.image, text)


def _duplicate_labels(dataset: Dataset, facts: Sequence[Facts]) -> Iterator[Finding]:
    """Two patients are never labeled alike to the voxel: one's label map stands in the other's place.

    Scans that are one to the voxel, which the rule "duplicate" tells, may be, and so may simulated ones.
    """
    first: dict[str, Facts] = {}
    for fact in facts:
        if fact.label_digest is None or fact.entry.simulated:
            continue
        other = first.setdefault(fact.label_digest, fact)
        if other.entry.patient != fact.entry.patient and other.digest != fact.digest and fact.entry.label is not None:
            text = (
                f"the same label map as case {other.entry.id} ({other.entry.label}), voxel by voxel; but patients "
                f"{other.entry.patient} and {fact.entry.patient}: name each scan's own"
            )
            yield case_warning("duplicate-label", fact.entry, fact.entry.label, text)


def _modalities(dataset: Dataset, facts: Sequence[Facts]) -> Iterator[Finding]:
    """A CT listed as MR, or the reverse: against the kind that most cases of its modality are of, else by its name."""
    values = {
        name: [fact.values for fact in facts if fact.entry.modality == name and fact.values is not None]
        for name in dataset.modalities
    }
    known = {
        name: KnownModality(name, dataset.modalities[name], most_alike(scans), "beside it")
        for name, scans in values.items()
    }
    for fact in facts:
        entry, scan = fact.entry, fact.values
        if scan is None or (entry.modality.startswith("ct") and scan.lowest >= CT_AIR):
            continue  # the rule "ct-values" has told
        own = known[entry.modality]
        others = [each for each in own.scans if each is not scan]
        why = doubt(scan, entry.modality, {**known, entry.modality: replace(own, scans=others)})
        if why is not None:
            text = f"listed as {entry.modality}, but {why}; correct the modality, or the file"
            yield case_warning("modality", entry, entry.image, text)


def _spacings(dataset: Dataset, facts: Sequence[Facts]) -> Iterator[Finding]:
    for modality in dataset.modalities:
        of_modality = [fact for fact in _of_people(facts) if fact.entry.modality == modality]
        known = [fact for fact in of_modality if fact.spacing_mm is not None]
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
                yield case_warning("spacing", fact.entry, fact.entry.image, text)


def _mm(spacing: Sequence[float] | np.ndarray | None) -> str:
    return " x ".join(f"{float(size):.3g}" for size in (() if spacing is None else spacing)) + " mm"


def _organ_sizes(dataset: Dataset, facts: Sequence[Facts]) -> Iterator[Finding]:
    """The volumes of whole organs in two modalities: of the same patients where there are enough, else of all."""
    for first, second in combinations(dataset.modalities, 2):
        of = {
            modality: [fact for fact in _of_people(facts) if fact.entry.modality == modality and fact.voxels]
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
    logs: list[float] = []
    for name in classes:
        medians: list[float] = []
        for group in (first, second):
            sizes = [fact.voxels[name] * fact.voxel_mm3 for fact in group if fact.voxels.get(name)]
            medians.append(float(np.median(sizes)) if len(sizes) >= SIZE_CASES else 0.0)
        if min(medians) > 0:
            logs.append(np.log(medians[0] / medians[1]))
    return float(np.exp(np.mean(logs))) if logs else None


def _label_values(dataset: Dataset, facts: Sequence[Facts]) -> Iterator[Finding]:
    """Two readers of one modality whose numbers mean different organs: read rightly, but nobody's eye would see it."""
    for modality in dataset.modalities:
        clash = dataset.value_clash(modality)
        if clash is not None:
            text = f"{clash}; make sure that each case names its own, and expect class numbers in predictions"
            yield Finding("warning", "label-values", None, None, text)


def _labeled(dataset: Dataset, facts: Sequence[Facts]) -> Iterator[Finding]:
    """A class that training meets in fewer than two labeled cases of a modality can't be learned there.

    A label map that is broken, which is said of it, may hold any class.
    """
    split = "train" if any(entry.split is not None for entry in dataset.cases) else None
    for modality in dataset.modalities:
        entries = {entry.id for entry in dataset.of(modality, split, labeled=True)}
        known = [fact for fact in facts if fact.entry.id in entries]
        annotated = [fact.entry.annotated for fact in known]
        broken = sum(fact.is_label_broken for fact in known)
        rare: dict[int, list[str]] = defaultdict(list)
        for name in dataset.classes[1:]:
            if known and all(names is not None and name not in names for names in annotated):
                continue  # nobody looked for it in this modality, which the manifest says
            count = sum(bool(fact.voxels.get(name)) for fact in known)
            if count + broken < LABELED_CASES:
                rare[count].append(name)
        for count, names in sorted(rare.items()):
            text = (
                f"{modality}: {count or 'no'} labeled {'training ' if split else ''}case{'s' * (count != 1)} "
                f"with {', '.join(names)}, expected {LABELED_CASES} or more of each; label more or drop the class"
            )
            yield Finding("warning", "few-labeled", None, None, text)
