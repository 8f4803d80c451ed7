"""Who trains, validates and tests: a split by case id, its file, and the rule that a patient is on one side only."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from unpaired.data.dataset import SPLITS, UNLABELED, Dataset, with_splits, without_labels
from unpaired.documents import read
from unpaired.errors import InputError
from unpaired.files import write_json


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

        Raises InputError for a case that the dataset doesn't have, and for a patient on two sides.
        """
        sides = self.sides
        for case in sides:
            dataset.case(case)
        cleared = replace(dataset, cases=tuple(replace(case, split=None) for case in dataset.cases))
        result = without_labels(with_splits(cleared, sides), set(self.unlabeled))
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


def write_split(split: Split, path: str | Path) -> Path:
    """Write {side: [case ids]} as JSON, atomically; under "unlabeled", if there are any, those without their label."""
    path = Path(path)
    document = {name: list(cases) for name, cases in asdict(split).items() if cases or name != UNLABELED}
    write_json(path, document)
    return path


def read_split(path: str | Path) -> Split:
    """The split that a file holds, as `unpaired split` writes it; `Split.apply` gives it to a dataset.

    Raises InputError for a file that is none, a case on two sides, or an unlabeled case that is not in train.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            f"expected a split file (JSON with {', '.join(SPLITS)}), found no file at {path}; write one with "
            "`unpaired split`"
        )
    names = f"{', '.join(SPLITS)} (and {UNLABELED})"
    split = read(path, Split, f"expected lists of case ids under {names}, as `unpaired split` writes them")
    return Split.from_sides(split.sides, dict.fromkeys(split.unlabeled))


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
