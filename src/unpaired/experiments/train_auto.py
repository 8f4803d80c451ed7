"""`unpaired train auto` as a row of a study: planned for what the row may see, trained for as many minutes.

    python -m unpaired.experiments.train_auto DATA OUT --seed 0 --device cpu --minutes 10

It keeps what `experiments.program` asks of a program. The plan looks at the row's own labels, so that rows that may see
other labels get other recipes. OUT/run is the run, of which `unpaired predict` and `report` take more. Minutes are by
the clock, as `train auto` times a step, where those of recipes are a processor's own: on a busy machine fewer steps fit
here. Validation comes on top.
"""

import argparse
import sys
from pathlib import Path

from unpaired import __version__
from unpaired.errors import InputError, Stopped
from unpaired.experiments.program import Program
from unpaired.files import write_json
from unpaired.inference.predict import predict
from unpaired.runs.budget import training_seconds
from unpaired.runs.facts import read_run_facts
from unpaired.runs.folder import RunFolder
from unpaired.runs.versions import describe_versions
from unpaired.training.train import train

AUTO = Program((sys.executable, "-m", "unpaired.experiments.train_auto"))
"""A row's program: the plan in a recipe's place."""


def train_auto(data: Path, out: Path, seed: int, device: str, minutes: float | None) -> None:
    """Plan and train into OUT/run, or go on there, and predict the test cases into OUT/predictions.

    `minutes` is how long training may take (None: as long as `train auto` takes by itself). Raises InputError for data
    that can't be planned for or predicted.
    """
    folder = RunFolder(out)
    hours = None if minutes is None else minutes / 60
    run = train("auto", data, out / "run", changes=(f"seed={seed}",), device=device, hours=hours)
    outcome = predict(run, data, folder.predictions, split="test", device=device)
    if outcome.failures:
        case, why = outcome.failures[0]
        raise InputError(f"{len(outcome.failures)} test cases can't be predicted: {case}: {why}")
    trained = {"steps": run.recipe.steps, "seconds": training_seconds(read_run_facts(run.folder))}
    made_by = {"program": f"unpaired train auto {__version__}", "trained": trained}
    write_json(folder.versions_file, {**describe_versions(None), **made_by})


def main() -> int:
    """Called with the words of `Program.words`; exit code 2 and one line where the data doesn't fit, 130 if stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--minutes", type=float)
    try:
        train_auto(**vars(parser.parse_args()))
    except InputError as error:
        print(f"train auto: {error}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, Stopped):
        print("train auto: stopped; the same command goes on where it can", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
