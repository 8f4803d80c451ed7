"""Who trains, validates and tests: a split by case id, its file, and the rule that a patient is on one side only."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from unpaired.data.dataset import SPLITS, UNLABELED, Dataset, with_splits, without_labels
from unpaired.documents import read
from unpaired.errors import InputError
from unpaired.files import read_json, require_replaceable, write_json

_FOLD = re.compile(r"(.+\.json):(\d+)")
_EXPECTED = 'expected a list of folds as in nnU-Net\'s splits_final.json: [{"train": [names], "val": [names]}, ...]'


@dataclass(frozen=True)
class NNUNetFold:
    """A fold as nnU-Net's splits_final.json has it: names of scans."""

    train: tuple[str, ...]
    val: tuple[str, ...] = ()


@dataclass(frozen=True)
class Split:
    """The ids of the cases that train, validate and test; a case that is in none of these takes no part.

    `unlabeled` are training cases whose labels must not be read. Raises InputError for a case on two sides, and for an
    unlabeled one that doesn't train.
    """

    train: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    unlabeled: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        sides: dict[str, str] = {}
        for side in SPLITS:
            for case in getattr(self, side):
                if sides.setdefault(case, side) != side:
                    raise InputError(f"case {case!r} is both in {sides[case]} and in {side}")
        for case in self.unlabeled:
            if sides.get(case) != "train":
                raise InputError(f"{UNLABELED} case {case!r} is not in train; labels are left out of training only")

    @classmethod
    def from_sides(cls, sides: Mapping[str, str], unlabeled: Collection[str] = ()) -> "Split":
        """The split of {case id: "train" | "validation" | "test"}, in that order."""
        cases = {side: tuple(case for case, of_case in sides.items() if of_case == side) for side in SPLITS}
        return cls(**cases, unlabeled=tuple(unlabeled))

    @classmethod
    def of(cls, dataset: Dataset) -> "Split":
        """The split that a dataset has: its manifest's own, or the one that was applied to it."""
        unlabeled = [case.id for case in dataset.of(split="train", labeled=False)]
        return cls.from_sides({case.id: case.split for case in dataset.cases if case.split is not None}, unlabeled)

    @property
    def sides(self) -> dict[str, str]:
        """{case id: "train" | "validation" | "test"}."""
        return {case: side for side in SPLITS for case in getattr(self, side)}

    def apply(self, dataset: Dataset) -> Dataset:
        """The dataset with these sides in place of its own, and without the labels of `unlabeled`.

        A name that is no case's id may be that of an image file without suffix and nnU-Net's channel: it stands for the
        cases of that scan. Raises InputError for a case that the dataset doesn't have, and for a patient on two sides.
        """
        scans: dict[str, list[str]] = {}
        for case in dataset.cases:
            scans.setdefault(scan_name(case.image.name), []).append(case.id)
        ids = {case.id for case in dataset.cases}

        def cases_of(name: str) -> list[str]:
            return scans[name] if name not in ids and name in scans else [dataset.case(name).id]

        sides = {case: side for name, side in self.sides.items() for case in cases_of(name)}
        unlabeled = {case for name in self.unlabeled for case in cases_of(name)}
        cleared = replace(dataset, cases=tuple(replace(case, split=None) for case in dataset.cases))
        result = without_labels(with_splits(cleared, sides), unlabeled)
        check_patients(result)
        return result

    def counts(self, dataset: Dataset) -> dict[str, dict[str, int]]:
        """{side: {modality: number of cases}}."""
        sides = self.sides
        count = Counter((sides.get(case.id), case.modality) for case in dataset.cases)
        return {side: {modality: count[side, modality] for modality in dataset.modalities} for side in SPLITS}

    def missing_labels(self, dataset: Dataset, sides: Collection[str] = SPLITS) -> list[str]:
        """A line for each modality without a labeled case on a side: "ct: no labeled case in train (1 in test)"."""
        of_case, unlabeled = self.sides, set(self.unlabeled)
        lines: list[str] = []
        for modality in dataset.modalities:
            labeled = [case.id for case in dataset.of(modality, labeled=True) if case.id not in unlabeled]
            count = Counter(map(of_case.get, labeled))
            there = ", ".join(f"{count[side]} in {side}" for side in SPLITS if count[side]) or "none anywhere"
            lines += [f"{modality}: no labeled case in {side} ({there})" for side in sides if not count[side]]
        return lines

    def missing_classes(self, dataset: Dataset) -> list[str]:
        """A line for what training can't learn, by the manifest: a class that no training case is labeled with, and
        those that a modality has in other cases alone.

        What was looked for counts, not what there is: label maps are not read.
        """
        trains, unlabeled = set(self.train), set(self.unlabeled)
        everywhere: dict[str, set[str]] = {}
        training: dict[str, set[str]] = {}
        for case in dataset.of(labeled=True):
            everywhere.setdefault(case.modality, set()).update(dataset.annotated_classes(case))
            if case.id in trains and case.id not in unlabeled:
                training.setdefault(case.modality, set()).update(dataset.annotated_classes(case))
        known = set().union(*training.values())
        lines = [
            f"{name}: no training case is labeled with it, in no modality"
            for name in dataset.classes[1:]
            if training and name not in known
        ]
        for modality, classes in training.items():
            lost = [name for name in dataset.classes[1:] if name in (everywhere[modality] - classes) & known]
            lines += [f"{modality}: no training case is labeled with {', '.join(lost)}"] if lost else []
        return lines


def scan_name(file: str) -> str:
    """A scan's name as nnU-Net has it in its splits: "p1" of "p1_0000.nii.gz"."""
    return re.sub(r"_\d{4}$", "", re.sub(r"(\.nii|\.mha|\.mhd|\.nrrd|\.nhdr|\.png)?(\.gz)?$", "", file))


def write_split(split: Split, path: str | Path) -> Path:
    """Write {side: [case ids]} as JSON, atomically; under "unlabeled", if there are any, those without their label.

    Raises InputError where something else than a split is at `path`.
    """
    path = Path(path)
    require_replaceable(path, "split file", lambda there: there.keys() <= {*SPLITS, UNLABELED})
    document = {name: list(cases) for name, cases in asdict(split).items() if cases or name != UNLABELED}
    write_json(path, document)
    return path


def read_split(path: str | Path) -> Split:
    """The split that a file holds, as `unpaired split` writes it; `Split.apply` gives it to a dataset.

    A fold of nnU-Net's splits_final.json is named by its number: "splits_final.json:0". Raises InputError for a file
    that is none, a case on two sides, or an unlabeled case that is not in train.
    """
    path = Path(path)
    file, number = (Path(match[1]), int(match[2])) if (match := _FOLD.fullmatch(str(path))) else (path, None)
    if not file.is_file():
        raise InputError(
            f"expected a split file (JSON with {', '.join(SPLITS)}), found no file at {file}; write one with "
            "`unpaired split`"
        )
    if number is not None or is_list_of_folds(file):
        folds = read_folds(file)
        if number is None or number >= len(folds):
            raise InputError(f"{file} holds {len(folds)} folds; name one of them by its number from 0: {file}:0")
        return folds[number]
    names = f"{', '.join(SPLITS)} (and {UNLABELED})"
    split = read(path, Split, f"expected lists of case ids under {names}, as `unpaired split` writes them")
    return Split.from_sides(split.sides, dict.fromkeys(split.unlabeled))


def is_list_of_folds(path: Path) -> bool:
    """Whether a file holds a list, as nnU-Net's splits_final.json does."""
    return isinstance(read_json(path, f"write a split with `unpaired split`, or {_EXPECTED}"), list)


def read_folds(path: str | Path) -> list[Split]:
    """The splits of a cross-validation: a folder of `unpaired split --folds`, or nnU-Net's splits_final.json.

    nnU-Net's `val` cases validate. Raises InputError where there are none.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(path.glob("fold*.json"), key=lambda file: (len(file.name), file.name))
        if not files:
            raise InputError(f"{path}: expected fold0.json, fold1.json, ..., as `unpaired split --folds` writes them")
        return [read_split(file) for file in files]
    folds = read(path, list[NNUNetFold], _EXPECTED)
    if not folds:
        raise InputError(f"{path}: expected a fold or more, found an empty list")
    return [Split(fold.train, fold.val) for fold in folds]


def as_split(split: Split | str | Path) -> Split:
    """A split as it is, or the one in a file."""
    return split if isinstance(split, Split) else read_split(split)


def check_patients(dataset: Dataset) -> None:
    """Raise InputError if a patient has cases in more than one of train, validation and test."""
    sides: dict[str, dict[str, str]] = defaultdict(dict)
    for case in dataset.cases:
        if case.split is not None:
            sides[case.patient][case.split] = case.id
    for patient, cases in sides.items():
        if len(cases) > 1:
            where = ", ".join(f"{case} in {side}" for side, case in cases.items())
            raise InputError(
                f"patient {patient!r} is on {len(cases)} sides of the split ({where}); "
                "split by patient with `unpaired split`"
            )
