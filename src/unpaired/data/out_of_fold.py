"""Which folds may judge a case: those that were not trained with it. Needs no torch: prediction and scores ask it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from unpaired.data.dataset import Dataset


@dataclass(frozen=True)
class OutOfFold:
    """A dataset as its folds together see it.

    In `dataset` a case is for "test" if it is kept out of all folds, for "validation" if some folds were trained with
    it and others weren't (it is out of these folds), and in "train" if all were. `folds` are the numbers of those that
    may judge a case of "test" (all) or "validation": the folds that tested it, else those that it validated.
    """

    dataset: Dataset
    folds: Mapping[str, tuple[int, ...]]

    def chose_weights(self, sides: Sequence[Mapping[str, str]]) -> list[str]:
        """The cases that no fold tested: each chose the weights of the fold that judges it."""
        return [
            case
            for case, numbers in self.folds.items()
            if any(sides[number].get(case) == "validation" for number in numbers)
        ]


def out_of_fold(dataset: Dataset, sides: Sequence[Mapping[str, str]]) -> OutOfFold:
    """What the folds are to each case; `sides` are {case id: "train" | "validation" | "test"} of each fold.

    A case that no fold knows is kept out of all of them: it is for testing if the dataset says so.
    """
    together: dict[str, str] = {}
    folds: dict[str, tuple[int, ...]] = {}
    for case in dataset.cases:
        of_case = [fold.get(case.id) for fold in sides]
        tested, validated = (
            tuple(number for number, side in enumerate(of_case) if side == name) for name in ("test", "validation")
        )
        if "train" not in of_case and not validated:
            if tested or case.split == "test":
                together[case.id], folds[case.id] = "test", tuple(range(len(sides)))
        elif tested or validated:
            together[case.id], folds[case.id] = "validation", tested or validated
        else:
            together[case.id] = "train"  # in all of them
    cases = tuple(replace(case, split=together.get(case.id)) for case in dataset.cases)
    return OutOfFold(replace(dataset, cases=cases), folds)
