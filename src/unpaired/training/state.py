"""What a training that was stopped or killed goes on from: saved weights, optimizer, and the best score so far."""

from collections.abc import Mapping
from typing import Any

from lightning_fabric import Fabric

from unpaired.methods.method import Method
from unpaired.runs.run import Run
from unpaired.runs.saved_state import saved_progress
from unpaired.training.layout import MemoryFormat
from unpaired.training.validate import mean_dice


class TrainingState:
    """The state of a run in training, in memory and in its folder. The first process alone writes."""

    def __init__(
        self, run: Run, method: Method, optimizer: Any, fabric: Fabric, memory_format: MemoryFormat = "contiguous"
    ) -> None:
        self.run, self.method, self.optimizer, self.fabric = run, method, optimizer, fabric
        self.memory_format = memory_format
        self.best = -1.0
        """The highest mean Dice of a validation; below 0 before the first."""

    def restore(self) -> int:
        """Load what was saved last, and return the number of the first step to do: 0 where nothing was saved.

        Rows that the log has of later steps are removed. Raises InputError for the state of another training.
        """
        saved = self.run.load_state()
        if saved is None:
            if self.fabric.is_global_zero:
                self.run.forget_rows_from(-1)
            return 0
        step, self.best = saved_progress(saved, self.run.recipe.steps, self.run.of_another_training)
        try:
            self.method.load_state_dict(saved["method"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.fabric.strategy.precision.load_state_dict(saved["precision"])
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, IndexError) as error:
            raise self.run.of_another_training(error) from error
        if self.fabric.is_global_zero:
            self.run.forget_rows_from(step)
        return step

    def save(self, step: int) -> None:
        """Save weights ("last") and all that going on after `step` steps needs; the other processes wait for it."""
        if self.fabric.is_global_zero:
            self.run.save_weights(self.method.network, "last")
            self.run.save_state(
                {
                    "step": step,
                    "best": self.best,
                    "method": self.method.state_dict(),
                    "optimizer": self.optimizer.state_dict(),
                    "precision": self.fabric.strategy.precision.state_dict(),
                    "memory_format": self.memory_format,
                }
            )
        self.fabric.barrier()

    def keep_if_best(self, scores: Mapping[tuple[str, str], float], validated: bool) -> None:
        """Save weights as "best" if the mean of `scores` is the highest so far, or where nothing was `validated`."""
        score = mean_dice(scores)
        if score > self.best or not validated:
            self.best = score
            self.run.save_weights(self.method.network, "best")
