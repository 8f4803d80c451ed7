"""What a run's files say of how far it was, and of what it began with: checked, as a damaged file may say anything."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unpaired.documents import decode, read
from unpaired.errors import InputError
from unpaired.recipe import DAMAGED

ROUNDING = 1e-6
"""A mean of Dice may be above 1 by so much."""


@dataclass(frozen=True)
class BeganWith:
    """What versions.json notes of the run that a run's weights began with: {modality that it lacked: what that began
    as}, and parts of the network that it lacked."""

    new_modalities: dict[str, str]
    fresh: tuple[str, ...]


def began_with(versions: Path) -> BeganWith | None:
    """What versions.json says of the run that weights began with; None if it names none. InputError if damaged."""
    record = read(versions, dict[str, Any], DAMAGED).get("init_from")
    return None if record is None else decode(record, BeganWith, f"{versions}: init_from", DAMAGED, others=True)


def saved_progress(
    state: Mapping[str, Any], steps: int, refusal: Callable[[Exception], InputError]
) -> tuple[int, float]:
    """(steps that were done, the best mean Dice until then: below 0 before the first) of the state of a run of `steps`.

    Raises the `refusal` of a state that doesn't say it, or says what can't be.
    """
    step, best = state.get("step"), state.get("best")
    if type(step) is not int or not 0 <= step <= steps:
        raise refusal(ValueError(f"step is {step!r} of {steps}"))
    if type(best) is not float or not -1 <= best <= 1 + ROUNDING:
        raise refusal(ValueError(f"the best mean Dice is {best!r}"))
    return step, best
