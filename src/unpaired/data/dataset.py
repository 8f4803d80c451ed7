"""A dataset: its classes, its modalities and what each case's label values stand for. Files are read elsewhere."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Literal, get_args

from unpaired.choices import counted
from unpaired.data.class_codes import ClassCode
from unpaired.data.demographics import DEMOGRAPHIC_FIELDS, UNSTATED, Demographics
from unpaired.errors import InputError, nearest

MANIFEST = "dataset.json"
"""What a manifest in a folder of its own is called."""
Side = Literal["train", "validation", "test"]
SPLITS = get_args(Side)
UNLABELED = "unlabeled"
"""The key of a split file, beside the sides, that lists training cases whose labels must not be read."""
Normalization = Literal["zscore", "zscore_slice", "zscore_nonzero", "minmax", "none"]
NORMALIZATIONS = get_args(Normalization)


@dataclass(frozen=True)
class Modality:
    """How the values of one modality are brought to a common scale: clip first, then normalize.

    `clip` is a fixed window in the file's own values (HU for CT); `clip_percentiles` one from each volume.
    """

    normalization: Normalization = "zscore"
    clip: tuple[float, float] | None = None
    clip_percentiles: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for name in ("clip", "clip_percentiles"):
            window = getattr(self, name)
            if window is not None and not window[0] < window[1]:
                raise InputError(f"{name}: expected [low, high] with low < high, got {list(window)}")
        if self.clip_percentiles is not None and not 0 <= self.clip_percentiles[0] < self.clip_percentiles[1] <= 100:
            raise InputError(f"clip_percentiles: expected numbers between 0 and 100, got {list(self.clip_percentiles)}")


@dataclass(frozen=True)
class CaseEntry:
    """One volume of one patient in one modality, as the manifest lists it. `label=None` is an unlabeled case."""

    id: str
    patient: str
    modality: str
    image: Path
    label: Path | None = None
    label_map: str = "identity"
    annotated: tuple[str, ...] | None = None
    """The classes that were looked for in this case; None means all."""
    split: str | None = None
    fold: int | None = None
    simulated: bool = False
    """Whether no person was scanned (`data.simulated`)."""
    demographics: Demographics = UNSTATED


CASE_FIELDS = tuple(attribute.name for attribute in fields(CaseEntry) if attribute.name != "demographics")
"""What a manifest's case entry and a table's header may name, besides `DEMOGRAPHIC_FIELDS`."""
COLUMNS = (*CASE_FIELDS, *DEMOGRAPHIC_FIELDS)


@dataclass(frozen=True)
class Dataset:
    """A manifest with its paths resolved. `classes[0]` is background; `label_maps` turn file values into classes.

    `codes` are coded terms for DICOM of classes that the table in `unpaired.dicom.structures` lacks, or has otherwise:
    the terms, or the name of a structure of that table.
    """

    name: str
    classes: tuple[str, ...]
    modalities: Mapping[str, Modality]
    cases: tuple[CaseEntry, ...]
    label_maps: Mapping[str, Mapping[int, tuple[str, ...]]] = field(default_factory=dict)
    about: str = ""
    codes: Mapping[str, ClassCode | str] = field(default_factory=dict)

    def __str__(self) -> str:
        """What it holds, on one line: cases, patients, labels by modality, classes."""
        simulated = {case.patient for case in self.cases if case.simulated}
        patients = len(set(self.patients) - simulated) or len(simulated)
        counts = [f"{name} {len(self.of(name))} ({self._kinds(name)})" for name in self.modalities]
        classes = ", ".join(self.classes[1:])
        whole = f"{counted(len(self.cases), 'case')} of {counted(patients, 'patient')}"
        return f"{self.name}: {whole}; {', '.join(counts)}; {classes}"

    def _kinds(self, modality: str) -> str:
        """ "28 labeled", and where there are scans of patients too how many of these are simulated."""
        labeled = f"{len(self.of(modality, labeled=True))} labeled"
        simulated = sum(case.simulated for case in self.of(modality))
        return (
            labeled
            if not simulated or all(case.simulated for case in self.cases)
            else f"{labeled}, {simulated} simulated"
        )

    @property
    def patients(self) -> tuple[str, ...]:
        """Everybody who has a case, in manifest order."""
        return tuple(dict.fromkeys(case.patient for case in self.cases))

    def of(self, modality: str | None = None, split: str | None = None, labeled: bool | None = None) -> list[CaseEntry]:
        """The cases of a modality and split, labeled or not (None: any), in manifest order."""
        return [
            case
            for case in self.cases
            if (modality is None or case.modality == modality)
            and (split is None or case.split == split)
            and (labeled is None or (case.label is not None) == labeled)
        ]

    def case(self, case_id: str) -> CaseEntry:
        """The case with this id."""
        for case in self.cases:
            if case.id == case_id:
                return case
        raise InputError(
            f"dataset {self.name}: there is no case {case_id!r}; {nearest(case_id, [c.id for c in self.cases])}"
        )

    def label_map_of(self, case: CaseEntry) -> Mapping[int, tuple[str, ...]]:
        """{file value: classes it may stand for} of one case; "identity" is value i = class i."""
        if case.label_map == "identity" and "identity" not in self.label_maps:
            return {value: (name,) for value, name in enumerate(self.classes)}
        return self.label_maps[case.label_map]

    def annotated_classes(self, case: CaseEntry) -> frozenset[str]:
        """The foreground classes that a case's labels may show: they have a value, and they were looked for."""
        names = {name for several in self.label_map_of(case).values() for name in several} - {self.classes[0]}
        return frozenset(names if case.annotated is None else names & set(case.annotated))

    def label_sets(self) -> tuple[tuple[int, ...], ...]:
        """Every set of class numbers that a prepared label value can stand for.

        The first C are the classes themselves; then each distinct larger set that merged values and partly annotated
        cases bring, in a fixed order. Prepared label maps hold indices into this tuple.
        """
        sets = {
            tuple(members) for case in self.cases for members in encode_values(self, case).values() if len(members) > 1
        }
        return (*((number,) for number in range(len(self.classes))), *sorted(sets))

    def source_values(self, modality: str) -> list[int]:
        """For each class, the value that predictions of this modality are written with: its label files' own.

        The label maps of all the modality's labeled cases decide together, whichever comes first: a class has the value
        that the map of most cases gives it (a tie: the map whose name comes first in the alphabet). A class without a
        value of its own is written as its class number, or as the next free value if that number is taken. Where one
        value stands for different things in two of the maps (`value_clash`), predictions carry class numbers.
        """
        if self.value_clash(modality) is not None:
            return list(range(len(self.classes)))
        own: dict[str, int] = {}
        taken: set[int] = set()
        for table in self._tables(modality).values():
            taken |= set(table)
            for value, names in table.items():
                if len(names) == 1:
                    own.setdefault(names[0], value)
        values: list[int] = []
        for number, name in enumerate(self.classes):
            value = own.get(name, number)
            while name not in own and (value in taken or value in values):
                value += 1
            values.append(value)
        return values

    def value_clash(self, modality: str) -> str | None:
        """Which value means different things in two label maps of a modality's labeled cases: one line, or None."""
        meanings: dict[int, tuple[str, tuple[str, ...]]] = {}
        for label_map, table in self._tables(modality).items():
            for value, names in table.items():
                other, known = meanings.setdefault(value, (label_map, names))
                if set(known) != set(names):
                    return (
                        f"label maps of {modality} disagree: {value} is {' or '.join(known)} in {other} and "
                        f"{' or '.join(names)} in {label_map}"
                    )
        return None

    def _tables(self, modality: str) -> dict[str, Mapping[int, tuple[str, ...]]]:
        """The label maps of a modality's labeled cases, those of more cases first, then by name."""
        labeled = self.of(modality, labeled=True)
        count = Counter(case.label_map for case in labeled)
        tables = {case.label_map: self.label_map_of(case) for case in labeled}
        return {name: tables[name] for name in sorted(tables, key=lambda name: (-count[name], name))}


def encode_values(dataset: Dataset, case: CaseEntry) -> dict[int, tuple[int, ...]]:
    """{file value: class numbers it may be} of one case, with partial annotation taken into account.

    What was not looked for is not background: in a case where only some classes were annotated, a background voxel
    may be background or any class that was not annotated.
    """
    number = {name: index for index, name in enumerate(dataset.classes)}
    unseen = set() if case.annotated is None else set(dataset.classes[1:]) - set(case.annotated)
    encoded: dict[int, tuple[int, ...]] = {}
    for value, names in dataset.label_map_of(case).items():
        members = {number[name] for name in names}
        if 0 in members:
            members |= {number[name] for name in unseen}
        encoded[value] = tuple(sorted(members))
    return encoded


def without_labels(dataset: Dataset, cases: Collection[str]) -> Dataset:
    """The dataset with the cases of these ids unlabeled, whether they had a label or not."""
    return replace(
        dataset, cases=tuple(replace(case, label=None) if case.id in cases else case for case in dataset.cases)
    )


def with_splits(dataset: Dataset, splits: Mapping[str, str]) -> Dataset:
    """The dataset with each case's split taken from {case id: split}; cases that are not named keep theirs."""
    return replace(dataset, cases=tuple(replace(case, split=splits.get(case.id, case.split)) for case in dataset.cases))
