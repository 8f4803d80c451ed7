"""What lies in a run folder, by name: the one place that spells these names. Imports nothing that takes time.

    RUN/
      recipe.json  dataset.json  split.json  versions.json  README.txt     what was trained, on what, with what
      fingerprint.json                                                     what the scans held when training began
      log.csv  validation.csv  tensorboard/  progress.png                  how it went
      weights_best.safetensors  weights_last.safetensors  resume.pt        what was learned
      postprocessing.json                                                  what helped on validation cases
      predictions/  evaluation/  features/  misalignment/  report.html     what was made of it since
    RUN/predictions/
      <case>.nii.gz  <case>.prediction.json  probabilities/<case>.nii.gz  uncertainty.csv  uncertainty.json

An evaluation's files are named in `scores.files`, a comparison's in `comparison.files`, the record beside a label map
in `data.prediction_record`.
"""

from dataclasses import dataclass
from pathlib import Path

from unpaired.data.dataset import MANIFEST
from unpaired.errors import InputError, nearest

RECIPE = "recipe.json"
SPLIT = "split.json"
VERSIONS = "versions.json"
FINGERPRINT = "fingerprint.json"
POSTPROCESSING = "postprocessing.json"
README = "README.txt"
LOG = "log.csv"
VALIDATION = "validation.csv"
TENSORBOARD = "tensorboard"
PICTURE = "progress.png"
LOCK = "lock"
STATE = "resume.pt"
WEIGHTS = ("best", "last")
"""Which weights a run keeps: the best by validation Dice, and those of the last saved step."""

PREDICTIONS = "predictions"
EVALUATION = "evaluation"
FEATURES = "features"
FEATURES_PAGE = "features.html"
"""The page in the folder of features."""
MISALIGNMENT = "misalignment"
REPORT = "report.html"
FOLD = "fold"
"""How runs of a cross-validation begin: fold0, fold1, ... in one folder."""
PREPARED = "prepared"
"""The folder beside runs that holds the prepared volumes that they share."""

PROBABILITIES = "probabilities"
UNCERTAINTY = "uncertainty.json"
UNCERTAINTY_TABLE = "uncertainty.csv"


@dataclass(frozen=True)
class RunFolder:
    """Where things are in a run folder, whether or not they are there."""

    folder: Path

    @property
    def recipe_file(self) -> Path:
        """Every setting, resolved; what makes a folder a run folder."""
        return self.folder / RECIPE

    @property
    def dataset_file(self) -> Path:
        """The manifest of the dataset that the run was trained on."""
        return self.folder / MANIFEST

    @property
    def split_file(self) -> Path:
        """Which case was used for training, validation and test."""
        return self.folder / SPLIT

    @property
    def versions_file(self) -> Path:
        """Versions, hardware, the command, and the weights that training began with."""
        return self.folder / VERSIONS

    @property
    def fingerprint_file(self) -> Path:
        """The hashes of the files that it is trained and validated with, and how the scans' values lie."""
        return self.folder / FINGERPRINT

    @property
    def readme_file(self) -> Path:
        """What is what, for a person who opens the folder."""
        return self.folder / README

    @property
    def log_file(self) -> Path:
        """The loss and its terms by step."""
        return self.folder / LOG

    @property
    def validation_file(self) -> Path:
        """Dice of whole validation cases by step."""
        return self.folder / VALIDATION

    @property
    def tensorboard(self) -> Path:
        """Folder of TensorBoard events."""
        return self.folder / TENSORBOARD

    @property
    def picture(self) -> Path:
        """Curves and a validation case of each modality, as of the last validation that was drawn."""
        return self.folder / PICTURE

    @property
    def lock(self) -> Path:
        """The file that a process locks while it trains."""
        return self.folder / LOCK

    @property
    def state_file(self) -> Path:
        """Optimizer, step and all parts of the method: what going on with training needs."""
        return self.folder / STATE

    @property
    def predictions(self) -> Path:
        """Where `predict` writes when it is not told."""
        return self.folder / PREDICTIONS

    @property
    def evaluation(self) -> Path:
        """Where `evaluate` writes when it is not told."""
        return self.folder / EVALUATION

    @property
    def features(self) -> Path:
        """Where `features` writes when it is not told."""
        return self.folder / FEATURES

    @property
    def misalignment(self) -> Path:
        """Where `misalignment` writes when it is not told."""
        return self.folder / MISALIGNMENT

    @property
    def report(self) -> Path:
        """Where `report` writes when it is not told."""
        return self.folder / REPORT

    def weights(self, which: str = "best") -> Path:
        """The weight file "best" or "last". Raises InputError for another word."""
        if which not in WEIGHTS:
            raise InputError(f"weights are {' or '.join(WEIGHTS)}, got {which!r}; {nearest(which, list(WEIGHTS))}")
        return self.folder / f"weights_{which}.safetensors"

    def weights_there(self, which: str = "best") -> Path:
        """The same, of a run that has it. Raises InputError for one that lacks it, and says which weights it has."""
        path = self.weights(which)
        if path.is_file():
            return path
        advice = "has the run been trained? `unpaired train` writes them"
        if which == "best" and self.weights("last").is_file():
            advice = (
                "training stopped before it chose the best: the same `unpaired train` goes on, and "
                "`unpaired predict --weights last` takes what it has"
            )
        raise InputError(f"found no weights at {path}; {advice}")


def place_of(run: "RunFolder | str | Path") -> str:
    """Where a run lies: its folder as text; text stays as it is, be it a path or "NAME=PATH"."""
    return str(run.folder if isinstance(run, RunFolder) else run)


def is_run(folder: Path) -> bool:
    """Whether a folder is a run's: it holds a recipe."""
    return RunFolder(folder).recipe_file.is_file()


def runs_in(folder: Path) -> list[Path]:
    """The run folders that lie directly in a folder, by name; none where it is no folder."""
    return sorted(each for each in folder.iterdir() if is_run(each)) if folder.is_dir() else []


def no_run(folder: Path, called: str, lacks: str = RECIPE) -> InputError:
    """The error for a path that is no run folder, or one that lacks the file `lacks`; `called` is what was given.

    It names the runs that lie in the folder, as whoever means one of them writes them.
    """
    expected = "expected a run folder (written by `unpaired train`)"
    if not folder.is_dir():
        return InputError(f"{expected}, found none at {called}; check the path")
    inside = [f"{called}/{each.name}" for each in runs_in(folder)]
    if inside:
        return InputError(f"{expected}, found a folder of runs at {called}; name one, such as {inside[0]}")
    advice = "copy the whole folder again" if is_run(folder) else "check the path"
    return InputError(f"{expected}, found no {lacks} in {called}; {advice}")


def probabilities_of(predictions: Path, case: str) -> Path:
    """The class probabilities of a case in a folder of predictions."""
    return predictions / PROBABILITIES / f"{case}.nii.gz"
