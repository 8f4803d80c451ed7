"""What a study has to do now: its missing cells, run in processes or here, each noted as it begins and ends."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from time import monotonic

from unpaired.experiments.cells import Cell, Planned, chains, is_done
from unpaired.experiments.processes import Answer, Begun, Places, in_process, in_processes
from unpaired.experiments.program import Program, RunProgram
from unpaired.experiments.tasks import RunCell, StoredRecipe, Task
from unpaired.inference.shards import Shard, dealt
from unpaired.recipe import Recipe
from unpaired.runs.lock import is_held
from unpaired.runs.progress import duration

ELSEWHERE = "another call is at work on it; call again when that has ended"
TAKEN = "another call has put a run of another content in its folder; call again, and it gets one of its own"


@dataclass(frozen=True)
class Work:
    """The cells of a study that are to be run now, and how."""

    planned: Planned
    cache: Path
    device: str
    workers: int
    presets: tuple[str, ...]
    hours: float | None
    say: Callable[[str], None]

    def do(self, shard: Shard | None, places: Places, worker: bool) -> dict[str, str]:
        """Run the cells that are missing; {cell's name: why it failed}."""
        chosen = of_shard(chains(self.planned.cells), shard)
        missing = [left for chain in chosen if (left := [cell for cell in chain if not _was_done(cell)])]
        total, began = sum(map(len, missing)), monotonic()
        skipped = sum(map(len, chosen)) - total
        self.say(f"{total} runs to do" + (f", {skipped} are done" if skipped else ""))
        failures: dict[str, str] = {}
        numbers = iter(range(1, total + 1))

        def begin(chain: int, position: int) -> Begun:
            cell, number = missing[chain][position], next(numbers)
            if self._no_time_for(began) or self._elsewhere(cell, failures) or self._taken(cell, failures):
                return "stop"
            if is_done(cell):  # by another call, since this one began
                self.say(f"{cell.name}: done by another call ({number} of {total})")
                return "skip"
            differing = "" if cell.record() else cell.difference()
            cell.note("begun")
            self.say(f"{cell.name}: begins ({number} of {total})" + (differing and f"; {differing}"))
            return "begin"

        def end(chain: int, position: int, answer: Answer) -> None:
            cell = missing[chain][position]
            if answer.result is not None:
                cell.note("done", seconds=answer.result)
                self.say(f"{cell.name}: done")
            elif answer.failure is not None and not self._elsewhere(cell, failures):
                cell.note("failed", answer.failure)
                self._fails(cell, answer.failure, failures)
                for later in missing[chain][position + 1 :]:
                    self._fails(later, f"begins with {cell.name}, which failed", failures)

        work = [[(self._task(cell, worker), cell.log_file) for cell in chain] for chain in missing]
        if worker:
            in_processes(work, places, begin, end)
        else:
            _one_after_the_other(work, begin, end)
        if monotonic() - began > 1:
            self.say(f"{total} runs took {duration(monotonic() - began)}")
        return failures

    def _fails(self, cell: Cell, why: str, failures: dict[str, str]) -> None:
        """Note that a cell failed, and tell it."""
        failures[cell.name] = why
        self.say(f"{cell.name}: failed: {why}")

    def _no_time_for(self, began: float) -> bool:
        """Whether the hours that there are, since `began`, are over."""
        return self.hours is not None and monotonic() - began > self.hours * 3600

    def _elsewhere(self, cell: Cell, failures: dict[str, str]) -> bool:
        """Whether another call is at work on a cell; then that is its failure here, and nothing is noted of it."""
        if not is_held(cell.lock_file):
            return False
        failures[cell.name] = ELSEWHERE
        self.say(f"{cell.name}: {ELSEWHERE}")
        return True

    def _taken(self, cell: Cell, failures: dict[str, str]) -> bool:
        """Whether another call has given the folder to another content since this one looked, as where a row is edited
        while a study runs; then nothing is noted, as the record is that one's."""
        record = cell.record()
        if record is None or record.key == cell.key:
            return False
        self._fails(cell, TAKEN, failures)
        return True

    def _task(self, cell: Cell, worker: bool) -> Task:
        if isinstance(cell.recipe, Program):
            folder = cell.run.folder
            return RunProgram(cell.row.name, cell.recipe, cell.dataset, folder, self.device, self.presets, self.workers)
        return RunCell(
            cell.row.name,
            StoredRecipe.of(cell.recipe),
            cell.dataset,
            cell.run.folder,
            self.cache,
            self.device,
            self.workers,
            cell.row.norms_of,
            self.presets,
            worker,
        )


def _was_done(cell: Cell) -> bool:
    """Whether a cell is done; then its record says of which content, for versions to come."""
    done = is_done(cell)
    if done:
        cell.note_content()
    return done


def _one_after_the_other(
    chains: Sequence[Sequence[tuple[Task, Path]]],
    begin: Callable[[int, int], Begun],
    end: Callable[[int, int, Answer], None],
) -> None:
    for number, chain in enumerate(chains):
        for position, (task, _) in enumerate(chain):
            said = begin(number, position)
            if said == "stop":
                break
            if said == "skip":
                continue
            answer = in_process(task)
            end(number, position, answer)
            if answer.result is None:
                break


def of_shard(groups: list[list[Cell]], shard: Shard | None) -> list[list[Cell]]:
    """The chains of one shard, dealt out by the voxels that they train on; which are done plays no part in it.

    A program counts as much as the largest recipe.
    """
    if shard is None:
        return groups
    recipes = [[cell.recipe for cell in chain if isinstance(cell.recipe, Recipe)] for chain in groups]
    sizes = [sum(map(_voxels, of_chain)) for of_chain in recipes]
    sizes = [size or max(*sizes, 1) for size in sizes]
    return [groups[index] for index in dealt(sizes, [chain[0].name for chain in groups], shard)]


def _voxels(recipe: Recipe) -> int:
    return recipe.steps * (recipe.batch_size + recipe.unlabeled_batch_size) * prod(recipe.patch_size)
