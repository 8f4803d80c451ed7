"""How a study is made at one budget, into one folder: timed, or its missing cells run, and what there is compared."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic

from unpaired.comparison.papers.tables import paper_table
from unpaired.data.dataset import Dataset
from unpaired.data.split import Split
from unpaired.experiments.cells import Cell, Planned, chains, is_done, plan_cells
from unpaired.experiments.energy import energy_noted
from unpaired.experiments.estimate import estimate_study
from unpaired.experiments.misalignments import look_at_misalignment
from unpaired.experiments.processes import Places
from unpaired.experiments.results import StudyResults, results_of
from unpaired.experiments.speeds import Speeds
from unpaired.experiments.status import row_statuses
from unpaired.experiments.study import Study
from unpaired.experiments.work import Work, of_shard
from unpaired.inference.shards import Shard
from unpaired.overrides import Changes


@dataclass(frozen=True)
class TableRun:
    """What all budgets of a study share: data, splits, prepared volumes, speeds, and how work is done.

    The fields are what `unpaired.study` was asked for.
    """

    folder: Path
    dataset: Dataset
    splits: Mapping[str, Split]
    prepared: Path
    speeds: Speeds
    changes: Changes
    places: Places
    part: Shard | None
    device: str
    workers: int
    hours: float | None
    viewer_mb: float
    worker: bool
    say: Callable[[str], None]
    began: float = field(default_factory=monotonic)
    """The hours are those of all budgets together."""

    def planned(self, study: Study, folder: Path) -> Planned:
        """The cells of a study in a folder; a budget's takes up what was run when it was the only one."""
        also = () if folder == self.folder else (self.folder,)
        planned = plan_cells(study, self.dataset, self.splits, folder, self.prepared, self.speeds, self.changes, also)
        for name, why in planned.failures.items():
            self.say(f"{name}: failed: {why}")
        return planned

    def estimated(self, study: Study, folder: Path) -> StudyResults:
        """How long the study takes, or its part."""
        planned = self.planned(study, folder)
        part = [cell for group in of_shard(chains(planned.cells), self.part) for cell in group]
        planned = replace(planned, cells=tuple(part))
        done = list(filter(is_done, planned.cells))
        timed = estimate_study(study, planned, done, self.speeds, self.places.jobs, self.hours)
        rows = tuple(row_statuses(study, planned, done, planned.failures))
        return StudyResults(folder, rows, (), None, list(planned.failures.items()), timed)

    def made(self, study: Study, folder: Path, run: bool) -> StudyResults:
        """Run what is missing, if that is asked for, and compare what there is; of a shard nothing is compared."""
        planned = self.planned(study, folder)
        failures = planned.failures
        if run:
            presets = tuple(dict.fromkeys(paper_table(name).preset for name in study.papers))
            left = None if self.hours is None else self.hours - (monotonic() - self.began) / 3600
            here = self.device if self.places.are_here else "auto"
            work = Work(planned, self.prepared, self.device, self.workers, presets, left, self.say)
            # counters are this machine's: of others' work nothing is said
            with energy_noted(folder, self.places.gpus) if self.places.are_here else nullcontext():
                failures |= work.do(self.part, self.places, self.worker)
                if self.part is None and study.misaligned:
                    done = list(filter(is_done, planned.cells))
                    failures |= look_at_misalignment(study, done, here, self.say)
        done = list(filter(is_done, planned.cells))
        before = _failed_before(planned, done, failures)
        for name, why in before.items():
            self.say(f"{name}: failed in an earlier call: {why}")
        failures |= before
        if self.part is None:
            return results_of(study, planned, done, failures, folder, self.viewer_mb)
        rows = tuple(row_statuses(study, planned, done, failures))
        note = f"Shard {self.part.number}/{self.part.count} is done; the tables are made by the same call without it."
        return StudyResults(folder, rows, (note,), None, list(failures.items()))


def _failed_before(planned: Planned, done: Sequence[Cell], failures: Mapping[str, str]) -> dict[str, str]:
    """{cell's name: reason} of those that failed in another call and were not tried in this one."""
    known = {cell.name for cell in done} | failures.keys()
    records = {cell.name: cell.record() for cell in planned.cells if cell.name not in known}
    return {name: record.reason for name, record in records.items() if record is not None and record.state == "failed"}
