"""`diagnose`: what each term of a run's objective does to it, on its own training cases."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from unpaired.analyses.diagnosis.computation import TermDiagnosis, diagnose_terms
from unpaired.analyses.diagnosis.scores import advice, verdict
from unpaired.analyses.diagnosis.tables import diagnosis_table, to_json
from unpaired.choices import counted
from unpaired.consent.modules import Trust
from unpaired.errors import InputError
from unpaired.recipe import build_method
from unpaired.runs.folder import PREPARED
from unpaired.runs.model_file import require_no_model
from unpaired.runs.run import Run
from unpaired.runs.saved_state import saved_progress
from unpaired.tables import Table
from unpaired.training.batches import on_device, unpaired_steps
from unpaired.training.cases import prepared_cases
from unpaired.training.processes import build_fabric


@dataclass(frozen=True)
class Diagnosis:
    """The terms of a run's objective, and at which point of training they were looked at."""

    run: Path
    step: int
    """Steps that the looked-at weights were trained for; 0: fresh ones."""
    steps: int
    batches: int
    terms: list[TermDiagnosis]

    def table(self) -> Table:
        """A row per term."""
        return diagnosis_table(self.terms)

    def conclusions(self) -> list[str]:
        """A sentence on each term that is not a supervised one: what it does, and what to do about it."""
        others = [term for term in self.terms if verdict(term) != "supervised"]
        if not others:
            return ["the labels alone train this run: there is no other term to diagnose"]
        return [f"{term.name}: {verdict(term)}. {_sentence(advice(term))}" for term in others]

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values."""
        about = {"run": str(self.run), "step": self.step, "steps": self.steps, "batches": self.batches}
        return to_json(self.terms, about)


def diagnose(
    run: Run | str | Path,
    *,
    batches: int = 8,
    fresh: bool = False,
    progress: float | None = None,
    device: str = "auto",
    cache: str | Path | None = None,
    trust: Trust = (),
) -> Diagnosis:
    """Each term's size, its share of sampling noise, and its gradient beside the supervised one.

    Of the weights that were saved last, with all that only training needs (a teacher, say); or of `fresh` ones. The
    batches are those of the run's training, spread over it. `progress` in [0, 1) is what ramps go by (None: where the
    weights are in training). Prepared volumes are read from, or made in, `cache` (default: beside the run).

    No batch is looked at twice: of a run with fewer batches all of them are.

    Raises InputError for fewer than two batches, or fewer than modalities, and for a run that was not saved.
    """
    if progress is not None and not 0 <= progress < 1:
        raise InputError(f"progress: expected a share of training from 0 to below 1, got {progress}")
    if not isinstance(run, Run):
        require_no_model(run, "diagnose the run folder that it was packed from: it has resume.pt and the scans")
    run = run if isinstance(run, Run) else Run.open(run, trust)
    recipe = run.recipe
    batches = _distinct(batches, run)
    fabric = build_fabric(device, 1, 1, recipe.precision)
    state = None if fresh else run.load_state()
    step = 0 if state is None else saved_progress(state, recipe.steps, run.of_another_training)[0]
    method = build_method(recipe, run.modalities, len(run.dataset.classes)) if fresh else run.load_whole_method()
    prepared = Path(cache or run.folder.parent / PREPARED)
    cases = prepared_cases(run, prepared, run.modalities, fabric, 1, Console(quiet=True))
    steps = unpaired_steps(run, cases["train"], fabric)
    given = [on_device(steps[index * len(steps) // batches], recipe.randomization, fabric) for index in range(batches)]
    at = min(step, recipe.steps - 1) / recipe.steps if progress is None else progress
    with fabric.autocast():
        terms = diagnose_terms(method.to(fabric.device), given, at, recipe.seed)
    return Diagnosis(run.folder, step, recipe.steps, batches, terms)


def _distinct(batches: int, run: Run) -> int:
    """How many batches are looked at: no more than there are. Raises InputError for too few to tell noise by.

    A batch beside itself has no noise, so each modality is given another one where all are to be one modality.
    """
    least = max(2, len(run.joined or run.modalities))
    there = run.recipe.steps * run.recipe.accumulate
    if batches < least:
        raise InputError(
            f"batches: expected at least {least}, as noise is what batches of one modality differ by, a batch for each "
            f"that the run has; got {batches}"
        )
    if there < least:
        raise InputError(
            f"run {run.called} has {counted(there, 'batch', 'batches')}, and a diagnosis needs {least}, one for each "
            "modality; train it for more steps"
        )
    return min(batches, there)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
