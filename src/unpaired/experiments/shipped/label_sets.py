"""Do labels that stand for several classes help, against leaving their cases out? On abdomens, CT and another modality.

Of each modality's training patients only a few keep all labels. In the other CT cases nobody looked for the spleen; in
the others both kidneys are one label. Test cases have all labels. Rows differ in nothing but their training labels.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from unpaired.data.dataset import CaseEntry, Dataset
from unpaired.data.simulated import of_patients
from unpaired.errors import InputError
from unpaired.experiments.splits import Folds
from unpaired.experiments.study import Row, Size, Study
from unpaired.recipes.semi_supervised import small_abdomen_labeled_only
from unpaired.recipes.structured_consistency import abdomen_v2, with_consistency

KIDNEYS = ("left kidney", "right kidney")
SPLEEN = "spleen"
Kind = Literal["sets", "left out", "naive"]


@dataclass(frozen=True)
class IncompleteLabels:
    """Labels as they are where nobody looked for the spleen in CT and kidneys were one structure elsewhere.

    `kind`: "sets" says so (a label is the set of classes it may be), "left out" drops these cases, "naive" takes the
    missing spleen for background and the merged kidneys for the left one. So many training patients of each modality as
    `complete` says keep all labels, drawn by the seed, the same for every kind; scans that are simulated beside those
    of patients keep theirs.
    """

    kind: Kind
    complete: int = 2

    def __call__(self, dataset: Dataset, seed: int) -> Dataset:
        """Raises InputError for a dataset without these organs, and where no patient is left to lose a label."""
        if missing := {SPLEEN, *KIDNEYS} - set(dataset.classes):
            raise InputError(
                f"dataset {dataset.name} has no class {', '.join(sorted(missing))}; these rows are on abdomens"
            )
        incomplete = [case for name in dataset.modalities for case in self._incomplete(dataset, name, seed)]
        if not incomplete:
            raise InputError(
                f"dataset {dataset.name} has no modality with more than {self.complete} labeled training patients, all "
                "of whom keep their labels; name fewer (complete) or train with more"
            )
        ids = {case.id for case in incomplete}
        maps = {**dataset.label_maps, **{_name(case): self._label_map(dataset, case) for case in incomplete}}
        changed = tuple(self._changed(case, dataset) if case.id in ids else case for case in dataset.cases)
        return replace(dataset, label_maps=maps, cases=changed)

    def _incomplete(self, dataset: Dataset, modality: str, seed: int) -> list[CaseEntry]:
        cases = of_patients(dataset, modality, "train", labeled=True)
        patients = sorted({case.patient for case in cases})
        kept = set(np.random.default_rng(seed).permutation(patients)[: self.complete])
        return [case for case in cases if case.patient not in kept]

    def _label_map(self, dataset: Dataset, case: CaseEntry) -> dict[int, tuple[str, ...]]:
        table = dataset.label_map_of(case)
        if case.modality == "ct":
            return {value: ("background",) if names == (SPLEEN,) else names for value, names in table.items()}
        kidneys = KIDNEYS if self.kind == "sets" else KIDNEYS[:1]
        return {value: kidneys if set(names) & set(KIDNEYS) else names for value, names in table.items()}

    def _changed(self, case: CaseEntry, dataset: Dataset) -> CaseEntry:
        if self.kind == "left out":
            return replace(case, split=None)
        annotated = case.annotated
        if case.modality == "ct" and self.kind == "sets":
            annotated = tuple(name for name in annotated or dataset.classes[1:] if name != SPLEEN)
        return replace(case, label_map=_name(case), annotated=annotated)


def _name(case: CaseEntry) -> str:
    return f"{case.modality}, {case.label_map}, incomplete"


def label_sets(size: Size = "small", complete: int = 2) -> Study:
    """Labels that stand for several classes, on abdomens: all labels, said so, left out, taken at face value."""
    recipe = replace(
        small_abdomen_labeled_only() if size == "small" else with_consistency(abdomen_v2()), paper_row=None
    )
    rows = (
        Row("left out", recipe, IncompleteLabels("left out", complete)),
        Row("naive", recipe, IncompleteLabels("naive", complete)),
        Row("sets", recipe, IncompleteLabels("sets", complete)),
        Row("complete", recipe),
    )
    return Study("Labels that stand for several classes", rows, Folds(), baseline="left out")
