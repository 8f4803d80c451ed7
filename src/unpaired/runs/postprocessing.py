"""What `unpaired find-postprocessing` found on validation cases: `postprocessing.json` of a run, or of folds.

    RUN/postprocessing.json          for this run alone, by its own validation cases
    RUNS/postprocessing.json         for the folds together (`predict RUNS`), by the validation cases of all

It holds for the weights that it was found with, and for no others: a run that trained on goes back to its recipe.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from unpaired.configs import LogOdds, NotNegative, named
from unpaired.data.postprocess import Postprocessing
from unpaired.documents import read
from unpaired.files import write_json
from unpaired.runs.folder import POSTPROCESSING
from unpaired.runs.model_file import as_written, by_its_name
from unpaired.runs.run import Run
from unpaired.tables import Table, percent

SCHEMA = 1
_ADVICE = "find it anew with `unpaired find-postprocessing`, or delete it"


@dataclass(frozen=True)
class Trial:
    """Something that was tried, in words; Dice 0 to 1 over validation cases, the mean over modalities; None where no
    case shows it."""

    what: str
    before: float | None
    after: float | None
    kept: bool


@dataclass(frozen=True)
class FoundPostprocessing:
    """What helped on validation cases, and by how much. `weights` are those of `weights_hash`, a run each."""

    largest_foreground: bool
    largest_component: tuple[str, ...]
    weights: tuple[str, ...]
    validation_cases: int
    trials: tuple[Trial, ...]
    smoothing_mm: NotNegative = 0.0
    background_log_odds: LogOdds = 0.0

    @property
    def postprocessing(self) -> Postprocessing:
        """What was chosen, in the form that recipes have."""
        kept = self.largest_component, self.largest_foreground
        return Postprocessing(*kept, self.smoothing_mm, self.background_log_odds)

    def table(self) -> Table:
        """A row for each thing that was tried."""
        rows = [
            [trial.what, percent(trial.before), percent(trial.after), "yes" if trial.kept else "no"]
            for trial in self.trials
        ]
        notes = [
            f"Dice in percent over {self.validation_cases} predictions of validation cases, none of a test case.",
            "Kept: of odds and smoothing the best that costs no class of a modality more than half a point, a largest "
            "part if it costs none anything; each gains 0.01 or more.",
        ]
        return Table(["tried", "Dice before", "after", "kept"], rows, "lrrl", notes=notes)

    def said(self) -> str:
        """What is done to the network's answers, in a line."""
        parts = [*(["all foreground"] if self.largest_foreground else []), *self.largest_component]
        odds = self.background_log_odds
        done = [f"adds {odds:g} to the log odds of background"] if odds else []
        done += [f"smooths probabilities by {self.smoothing_mm:g} mm"] if self.smoothing_mm else []
        done += [f"keeps the largest part of {', '.join(parts)}"] if parts else []
        told = " and ".join(done) or "leaves label maps as they are"
        return f"post-processing found on {self.validation_cases} validation cases {told}"


def weights_hash(file: Path) -> str:
    """The first sixteen hexadecimal digits of a weight file's SHA-256: which network it is."""
    return sha256(file.read_bytes()).hexdigest()[:16]


def write_found(choice: FoundPostprocessing, folder: Path) -> Path:
    """Write it into the folder of a run, or of folds, atomically."""
    path = folder / POSTPROCESSING
    write_json(path, {"schema": SCHEMA, **asdict(choice)})
    return path


def read_found(folder: Path) -> FoundPostprocessing | None:
    """What was found for the run or the folds in a folder; None if nobody looked. Raises InputError if damaged."""
    path = folder / POSTPROCESSING
    return read(path, FoundPostprocessing, _ADVICE, schema=SCHEMA) if path.is_file() else None


def left_out_of_several(runs: Sequence[Run]) -> str:
    """A line on what was found for some of these runs, from several places, and says nothing of all together ("": none
    of them has such a file)."""
    beside = Counter(run.folder.parent for run in runs)
    names = {run.folder: run.called for run in runs}
    names |= {run.folder.parent: as_written(Path(run.called).parent) for run in runs if beside[run.folder.parent] > 1}
    left_out = [name for folder, name in names.items() if (folder / POSTPROCESSING).is_file()]
    if not left_out:
        return ""
    return (
        f"post-processing is that of {runs[0].called}'s recipe: what was found for {' and '.join(left_out)} says "
        "nothing of these runs together; --background-log-odds, --smoothing-mm and --largest-component choose otherwise"
    )


def postprocessing_of(runs: Run | Sequence[Run], weights: str) -> tuple[Postprocessing, str]:
    """What is done to the label maps of a run, or of the folds of one folder together, and a line to say ("": nothing).

    What was found on validation cases with these very weights, else what the (first) run's recipe says. Raises
    InputError for a file that is damaged or names a class that the run lacks.
    """
    several = [runs] if isinstance(runs, Run) else list(runs)
    folder, called = several[0].folder, several[0].called
    if len(several) > 1:
        folder, called = folder.parent, as_written(Path(called).parent)
    with by_its_name(folder, called):
        choice, asked = read_found(folder), several[0].recipe.postprocessing
        if choice is None or not all(run.weights(weights).is_file() for run in several):
            return asked, ""
        if choice.weights != tuple(weights_hash(run.weights(weights)) for run in several):
            return asked, f"{called}/{POSTPROCESSING} was found for other weights and is left out; {_ADVICE}"
        with named(str(folder / POSTPROCESSING)):
            choice.postprocessing.class_numbers(several[0].dataset.classes)
    return choice.postprocessing, f"{choice.said()} ({called}/{POSTPROCESSING}); --largest-component none leaves it out"
