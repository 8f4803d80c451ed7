"""The fingerprint of a dataset: what its scans are like, by case and by modality. A plan reads nothing else."""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from unpaired.configs import Share, Whole
from unpaired.data.dataset import Dataset, encode_values
from unpaired.data.importers.options import is_ct
from unpaired.data.manifest import as_dataset
from unpaired.data.parallel import for_each
from unpaired.data.simulated import simulated_beside
from unpaired.documents import read
from unpaired.errors import InputError
from unpaired.files import write_json
from unpaired.planning.case_facts import PERCENTILES, CaseFacts, CaseJob, CasePicture, Percentiles, Sizes, look_at
from unpaired.planning.near_duplicates import Alike, near_duplicates

Triple = tuple[float, float, float]
SCHEMA = 1


@dataclass(frozen=True)
class ModalityFacts:
    """Medians over a modality's cases; triples are (depth, height, width), depth across the slices as acquired.

    Where a dataset has scans of patients, those that are simulated beside them count in `simulated_patients` alone. Of
    a modality that has no others, sizes, values and organs are theirs, and `patients` is 0.
    """

    name: str
    cases: Whole
    patients: Whole
    labeled_patients: Whole
    is_ct: bool
    """Whether its name says that values are Hounsfield units."""
    shape: Sizes
    spacing_mm: Sizes
    spacing_range: tuple[Sizes, Sizes]
    """The smallest and the largest spacing of each axis."""
    planes: Mapping[str, int]
    """{axial, coronal or sagittal: cases}."""
    body_share: Share
    body_mm: Sizes
    percentiles: Percentiles
    """At `case_facts.PERCENTILES`, medians over the cases' own, inside organs (or the body)."""
    labeled_with: Mapping[str, int]
    """{class: patients whose label map shows it}, every class of the dataset."""
    volumes_ml: Mapping[str, float]
    """{class: median volume where it is shown}."""
    simulated_patients: Whole = 0
    """Labeled, beside those who were scanned."""


@dataclass(frozen=True)
class Fingerprint:
    """What a dataset is like. `failures` are (case, why) of scans that could not be read; they count nowhere else."""

    dataset: str
    classes: tuple[str, ...]
    modalities: Annotated[tuple[ModalityFacts, ...], Meta(min_length=1)]
    cases: Annotated[tuple[CaseFacts, ...], Meta(min_length=1)]
    failures: tuple[tuple[str, str], ...] = ()
    alike: tuple[Alike, ...] = ()
    """Cases of different patients that look like one scan."""

    def of(self, modality: str) -> ModalityFacts:
        """The facts of one modality."""
        return next(facts for facts in self.modalities if facts.name == modality)

    def of_cases(self, ids: Collection[str], simulated: Collection[str]) -> "Fingerprint":
        """What it would be if it had been taken of these cases alone; `simulated` as in `take_fingerprint`.

        Raises InputError if it knows none of them.
        """
        cases = tuple(case for case in self.cases if case.id in ids)
        if len(cases) == len(self.cases):
            return self
        if not cases:
            raise InputError(f"the fingerprint of dataset {self.dataset} has facts of no case that would train")
        failures = tuple(failure for failure in self.failures if failure[0] in ids)
        alike = tuple(pair for pair in self.alike if pair.first in ids and pair.second in ids)
        names = [facts.name for facts in self.modalities]
        modalities = _facts_of_modalities(names, cases, simulated, self.classes)
        return Fingerprint(self.dataset, self.classes, modalities, cases, failures, alike)

    def taught_by(self, ids: Collection[str], simulated: Collection[str]) -> "Fingerprint":
        """The same with these cases alone, those that train, and their labels counted; sizes and values stay those of
        all."""
        names = [facts.name for facts in self.modalities]
        training = [case for case in self.cases if case.id in ids]
        counted = {facts.name: facts for facts in _facts_of_modalities(names, training, simulated, self.classes)}
        unlabeled = [replace(facts, labeled_patients=0, labeled_with={}) for facts in self.modalities]
        modalities = tuple(
            replace(facts, labeled_patients=of.labeled_patients, labeled_with=of.labeled_with)
            if (of := counted.get(facts.name))
            else facts
            for facts in unlabeled
        )
        return replace(self, modalities=modalities, cases=tuple(training))

    def warnings(self) -> list[str]:
        """A line for each pair of cases that look like one scan."""
        patients = {case.id: case.patient for case in self.cases}
        return [
            f"{pair.first} (patient {patients[pair.first]}) and {pair.second} (patient {patients[pair.second]}) look "
            f"like one scan (correlation {pair.correlation:.3f}); if they are, drop one or give both the same patient"
            for pair in self.alike
        ]

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {"schema": SCHEMA, **asdict(self)}


def take_fingerprint(
    data: Dataset | str | Path,
    workers: int = 1,
    progress: Callable[[int, int, str], None] | None = None,
    simulated: Collection[str] | None = None,
) -> tuple[Fingerprint, dict[str, CasePicture]]:
    """The fingerprint of a dataset (or its manifest), and {case: picture} for a page. Every file is read once.

    `workers` above 1 are processes; `progress` is called with (cases done, cases in all, case id). `simulated` are the
    ids of cases that stand beside those of patients, who may be left out here; None: as `dataset` says itself. A scan
    that can't be read is among the failures. Raises InputError if no scan can be read.
    """
    dataset = as_dataset(data)
    jobs = [CaseJob(entry, dataset.classes, encode_values(dataset, entry)) for entry in dataset.cases]
    facts: dict[str, CaseFacts] = {}
    pictures: dict[str, CasePicture] = {}
    failures: dict[str, str] = {}
    for done, (position, result, failure) in enumerate(for_each(look_at, jobs, workers), start=1):
        name = jobs[position].entry.id
        if failure is None:
            facts[name], pictures[name] = result
        else:
            failures[name] = failure
        if progress is not None:
            progress(done, len(jobs), name)
    if not facts:
        first = next(iter(failures.items()), ("", "it lists none"))
        raise InputError(f"dataset {dataset.name}: no scan can be read; {': '.join(part for part in first if part)}")
    ordered = tuple(facts[entry.id] for entry in dataset.cases if entry.id in facts)
    beside = simulated_beside(dataset) if simulated is None else simulated
    modalities = _facts_of_modalities(dataset.modalities, ordered, beside, dataset.classes)
    failed = tuple((entry.id, failures[entry.id]) for entry in dataset.cases if entry.id in failures)
    alike = near_duplicates(ordered, pictures)
    return Fingerprint(dataset.name, dataset.classes, modalities, ordered, failed, alike), pictures


def write_fingerprint(fingerprint: Fingerprint, path: str | Path, mark: str = "") -> None:
    """Write a fingerprint as JSON, atomically; `mark` stands for the dataset's place (`data.overwriting.Subject`)."""
    write_json(Path(path), {"schema": SCHEMA, "about": mark, **fingerprint.to_json()})


def read_fingerprint(path: str | Path) -> Fingerprint:
    """The fingerprint in a JSON file of `write_fingerprint`. Raises InputError for anything else."""
    return read(Path(path), Fingerprint, "write it with `unpaired inspect`", schema=SCHEMA)


def _facts_of_modalities(
    names: Iterable[str], cases: Sequence[CaseFacts], beside: Collection[str], classes: Sequence[str]
) -> tuple[ModalityFacts, ...]:
    """The facts of each modality that has cases."""
    by_name = {name: [case for case in cases if case.modality == name] for name in names}
    return tuple(_modality_facts(name, cases, beside, classes) for name, cases in by_name.items() if cases)


def _modality_facts(
    name: str, of_modality: Sequence[CaseFacts], beside: Collection[str], classes: Sequence[str]
) -> ModalityFacts:
    of_people = [case for case in of_modality if case.id not in beside]
    cases = of_people or of_modality
    spacing = np.array([case.spacing_mm for case in cases])
    planes = [case.plane for case in cases]
    return ModalityFacts(
        name,
        len(cases),
        len({case.patient for case in of_people}),
        len({case.patient for case in of_people if case.labeled}),
        is_ct(name),
        _median([case.shape for case in cases]),
        _median(spacing),
        (_triple(spacing.min(axis=0)), _triple(spacing.max(axis=0))),
        {plane: planes.count(plane) for plane in sorted(set(planes))},
        float(np.median([case.body_share for case in cases])),
        _median([case.body_mm for case in cases]),
        tuple(np.median([case.percentiles for case in cases], axis=0).round(4).tolist()),
        {organ: len({case.patient for case in cases if organ in case.volumes_ml}) for organ in classes[1:]},
        {
            organ: float(np.median(volumes))
            for organ in classes[1:]
            if (volumes := [case.volumes_ml[organ] for case in cases if organ in case.volumes_ml])
        },
        len({case.patient for case in of_modality if case.labeled and case.id in beside}),
    )


def foreground_window(fingerprint: Fingerprint, modality: str) -> tuple[float, float]:
    """The values between which 99 % of a modality's organs lie, in the median case: what a CT is clipped to.

    To tenths of HU, or to a hundredth of the window's width where that is less: values may be in another unit.
    """
    facts = fingerprint.of(modality)
    low, high = facts.percentiles[0], facts.percentiles[len(PERCENTILES) - 1]
    digits = max(1, 2 - math.floor(math.log10(high - low))) if low < high else 1
    return round(low, digits), round(high, digits)


def _median(values: Any) -> Triple:
    return _triple(np.median(np.array(values), axis=0))


def _triple(values: np.ndarray) -> Triple:
    depth, height, width = np.asarray(values, float).round(4).tolist()
    return depth, height, width
