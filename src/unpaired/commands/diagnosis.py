"""The command that asks what a method does: diagnose."""

import unpaired
from unpaired.commands.arguments import (
    Device,
    OptionalNumber,
    OptionalPath,
    RunFolder,
    Trusted,
    print_json,
    print_lines,
    print_table,
)


def diagnose(
    run: RunFolder,
    /,
    *,
    batches: int = 8,
    fresh: bool = False,
    progress: OptionalNumber = None,
    device: Device = "auto",
    cache: OptionalPath = None,
    trust: Trusted = (),
    json: bool = False,
) -> int:
    """Ask what each term of a run's loss does: does it pull with the labels or against them, how hard, is it noise?

    Says in a line which terms do next to nothing (inert), measure which cases were drawn (noise), go against the
    labels, or may help, and what to do. Takes seconds.

    Args:
        run: A run in training, stopped or finished; its saved state is looked at.
        batches: Batches of its training to look at, spread over it, each once; at least 2, and as many as modalities.
            More make intervals narrower, and fewer verdicts unclear.
        fresh: Look at untrained weights instead, as training begins with.
        progress: The share of training done, from 0 to below 1, for weights of terms that rise as it goes on (default:
            where the saved state is).
        cache: Folder of prepared volumes (default: `prepared` beside the run).
        json: Print the diagnosis as JSON for programs.
    """
    diagnosis = unpaired.diagnose(
        run, batches=batches, fresh=fresh, progress=progress, device=device, cache=cache, trust=trust
    )
    if json:
        print_json(diagnosis.to_json())
        return 0
    print(f"{diagnosis.run}: after {diagnosis.step} of {diagnosis.steps} steps, {diagnosis.batches} batches")
    print_table(diagnosis.table())
    print_lines(diagnosis.conclusions())
    return 0
