"""What folders of predictions are scored against: a dataset's labels or a folder of label maps, found once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from unpaired.data.dataset import Dataset
from unpaired.data.label_values import parse_classes
from unpaired.data.manifest import is_manifest, read_dataset
from unpaired.data.out_of_fold import out_of_fold
from unpaired.errors import InputError
from unpaired.files import resolved
from unpaired.runs.folder import RunFolder, is_run, no_run, place_of, runs_in
from unpaired.runs.model_file import require_no_model, run_folders
from unpaired.scores.evaluate import evaluate_dataset, evaluate_folders
from unpaired.scores.reading import Reading
from unpaired.scores.scores import Evaluation
from unpaired.scores.scoring import Scoring

AGAINST_ITSELF = "Predictions and references are the same folder: each label map was held against itself."


@dataclass(frozen=True)
class Scorer:
    """Scores folders of predictions against one reference, in one way."""

    reference: Dataset | Path
    """A dataset, or a folder of label maps."""
    classes: dict[int, str]
    """{value: class} of a folder of label maps; empty for a dataset, which says it itself."""
    side: str | None
    """The side of a dataset's cases that is scored; None: all."""
    scoring: Scoring
    reading: Reading
    workers: int

    @classmethod
    def of(
        cls,
        reference: Dataset | RunFolder | str | Path,
        classes: str | None,
        split: str | None,
        scoring: Scoring,
        reading: Reading,
        workers: int,
    ) -> "Scorer":
        """From what a person gives: a dataset, its manifest, a run (its test cases), a folder of folds (the cases that
        a fold was not trained with), or a folder of label maps.

        `classes` are those of a folder of label maps ("1:LV,2:myo"), `split` is a side of a dataset's cases. Raises
        InputError for a dataset with `classes`, and a folder without.
        """
        given = reference if isinstance(reference, Dataset) else Path(place_of(reference))
        if isinstance(given, Path):
            require_no_model(given, "name the manifest, the run or the folder that has the references")
        side = split or ("test" if isinstance(given, Path) and is_run(given) else None)
        if isinstance(given, Path) and is_manifest(given):
            given = read_dataset(given)
        elif isinstance(given, Path) and len(folds := run_folders(given)) > 1:
            side = split or "validation"
            given = _of_folds(folds, side)
        if isinstance(given, Path) and not given.is_dir():
            raise InputError(
                f"expected a manifest, a run or a folder of label maps to score against, found no folder at {given}; "
                "check the path"
            )
        if isinstance(given, Path) and classes is None and runs_in(given):
            raise no_run(given, str(given))
        if isinstance(given, Path) and classes is None:
            raise InputError('folders of label maps need their classes: --classes "1:LV,2:myo" (or give a manifest)')
        if isinstance(given, Path) and split is not None:
            raise InputError(
                f"a folder of label maps has no sides, got split {split!r}; give a manifest, or leave it out"
            )
        if isinstance(given, Dataset) and classes is not None:
            raise InputError(
                "a manifest says itself what its label values mean; --prediction-classes says it of predictions that "
                "have other values and no record"
            )
        return cls(given, {} if classes is None else parse_classes(classes), side, scoring, reading, workers)

    @property
    def dataset(self) -> Dataset | None:
        """The dataset whose labels are the reference; None for a folder of label maps."""
        return self.reference if isinstance(self.reference, Dataset) else None

    def score(self, predictions: Path) -> Evaluation:
        """The scores of a folder of predictions; a remark where it is the references' own. Raises what
        `evaluate_dataset` and `evaluate_folders` raise."""
        if isinstance(self.reference, Dataset):
            how = self.scoring, self.workers, self.reading
            return evaluate_dataset(self.reference, predictions, self.side, *how)
        evaluation = evaluate_folders(
            predictions, self.reference, self.classes, self.scoring, self.workers, reading=self.reading
        )
        if resolved(predictions) != resolved(self.reference):
            return evaluation
        return replace(evaluation, remarks=(*evaluation.remarks, AGAINST_ITSELF))


def _of_folds(folds: Sequence[Path], side: str) -> Dataset:
    """The dataset of a cross-validation, with the sides that its cases have over all folds.

    Raises InputError for the side "test" where the folds know nobody there, as those that a manifest keeps for testing.
    """
    datasets = [read_dataset(folder) for folder in folds]
    sides = [{case.id: case.split for case in dataset.cases if case.split} for dataset in datasets]
    together = out_of_fold(datasets[0], sides).dataset
    if side == "test" and not together.of(split=side):
        raise InputError(
            f"{folds[0].parent}: patients that a manifest keeps for testing are in no fold; name that manifest in its "
            "place: unpaired evaluate PREDICTIONS MANIFEST --split test"
        )
    return together
