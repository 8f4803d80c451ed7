"""Follow a run that another process trains, in a terminal: steps, loss, Dice of every class, time left."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from unpaired.errors import InputError
from unpaired.runs.model_file import require_no_model, single_run
from unpaired.runs.progress import RunProgress, read_progress

if TYPE_CHECKING:
    from rich.console import Group


def watch(run: str | Path, *, every: float = 5.0, once: bool = False) -> RunProgress:
    """Show where a run stands, anew every so many seconds until nobody trains it any more; `once`: and no longer.

    Nothing but the run's folder is read, so it may be on a shared disk and the training on another machine (where the
    lock doesn't reach, it is taken for stopped and shown once). Returns what was shown last. Raises InputError for a
    folder that is no run, or holds several (folds), or for a time of 0 and below.
    """
    from rich.console import Console
    from rich.live import Live

    if every <= 0:
        raise InputError(f"expected a time above 0 s between two looks, got {every:g}")
    require_no_model(run, "follow the run folder that `unpaired train` writes")
    run = single_run(run)
    progress = read_progress(run)
    console = Console(highlight=False)
    with Live(_shown(progress), console=console, auto_refresh=False, transient=True) as live:
        while progress.state == "training" and not once:
            time.sleep(every)
            progress = read_progress(run)
            live.update(_shown(progress), refresh=True)
    console.print(_shown(progress))
    return progress


def _shown(progress: RunProgress) -> "Group":
    from rich.console import Group
    from rich.text import Text

    dice = progress.table() if progress.dice else Text("no validation yet")
    return Group(Text(progress.headline(), style="bold"), dice)
