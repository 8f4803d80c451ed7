"""The commands that train: demo, recipes, train, self-train, watch, find-postprocessing."""

from pathlib import Path
from typing import Any

import unpaired
from unpaired.commands.arguments import (
    Changes,
    Data,
    Device,
    OptionalCount,
    OptionalNumber,
    OptionalOut,
    OptionalPath,
    OptionalRecipeName,
    OptionalText,
    RecipeName,
    RunFolder,
    RunsFolder,
    Trusted,
    Weights,
    list_failures,
    print_columns,
    print_json,
    print_lines,
    print_table,
    stopwatch,
)


def demo(
    out: OptionalOut = Path("demo"),
    /,
    *,
    recipe: str = "phantom/csa",
    seed: int = 0,
    device: Device = "auto",
    workers: int = 2,
) -> int:
    """Everything once, on a phantom: make scans, train, predict, evaluate, write a report. A few minutes on two cores.

    Args:
        out: Folder for data, run, predictions and report. What is there already is not done again.
        recipe: The recipe to train; see `unpaired recipes`.
        seed: Seed of the phantom's patients.
        workers: Processes that prepare and augment.
    """
    with stopwatch() as say:
        shown = unpaired.run_demo(out, recipe=recipe, seed=seed, device=device, workers=workers, say=say)
        print_table(shown.table())
        print_lines(shown.summary())
        list_failures(shown.failures)
        say("done")
    print(f"\nOpen the report: {shown.page.resolve()}")
    print('Next, on your own scans: README.md, section "Your data"; all recipes: unpaired recipes')
    return 1 if shown.failures else 0


def recipes(name: OptionalRecipeName = "", /) -> int:
    """List the recipes, or print one with every setting.

    Args:
        name: The recipe to print as JSON, else all are listed: its name, file.py:function, a model file, or a run's
            folder or recipe.json.
    """
    from unpaired.recipe import to_json

    if name:
        print_json(to_json(unpaired.find_recipe(name)))
    else:
        print_columns(unpaired.list_recipes())
    return 0


def train(
    recipe: RecipeName,
    data: Data,
    run: RunFolder,
    /,
    *,
    split: OptionalPath = None,
    changes: Changes = (),
    cache: OptionalPath = None,
    device: Device = "auto",
    devices: int = 1,
    nodes: int = 1,
    workers: int = 1,
    trust: Trusted = (),
    hours: OptionalNumber = None,
    folds: OptionalCount = None,
) -> int:
    """Train a recipe into a run folder. Ctrl-C saves and stops; the same command goes on from the last saved step.

    Args:
        recipe: Its name (`unpaired recipes`), file.py:function for one of your own (which needs no --trust), a run's
            folder or recipe.json, or auto: planned for this dataset and machine (`unpaired plan`).
        data: The manifest (dataset.json or a table), or the folder that holds dataset.json.
        run: The run folder, new or to be resumed.
        split: A split file (`unpaired split`; of nnU-Net's: splits_final.json:0); without it the manifest's own split
            is used. With --folds a folder of such files, or splits_final.json.
        changes: Change fields of the recipe, such as steps=500 network.width=8.
        cache: Folder for prepared volumes (default: `prepared` beside the run folder).
        devices: Processes on this node, one device each (DDP).
        nodes: Nodes; Slurm, torchrun or you start the command on each (MASTER_ADDR, MASTER_PORT, NODE_RANK).
        workers: Processes per device that cut and augment batches.
        hours: Of auto: how long training may take, each fold (default: 1).
        folds: Cross-validation: runs RUN/fold0, RUN/fold1, ..., every patient tested in one; predict averages them. The
            same command, started for a second GPU, trains the folds that the first one does not.
    """
    from unpaired.training.processes import is_first_process

    options: dict[str, Any] = {
        "changes": changes,
        "cache": cache,
        "device": device,
        "devices": devices,
        "nodes": nodes,
        "workers": workers,
        "trust": trust,
        "hours": hours,
    }
    if folds is not None:
        done = len(unpaired.train_folds(recipe, data, run, folds=folds, split=split, **options))
        trained = f"{done} folds" if done == folds else f"{done} of {folds} folds"
        told = f"trained {trained}; next: unpaired predict {run} {data} {run / 'predictions'} --split validation"
    else:
        single = unpaired.train(recipe, data, run, split=split, **options)
        told = f"trained: {single.folder}; next: {_prediction(single, data)}"
    if is_first_process():
        print(told)
    return 0


def find_postprocessing(
    run: RunFolder,
    /,
    *,
    weights: Weights = "best",
    device: Device = "auto",
    trust: Trusted = (),
) -> int:
    """Try on validation cases what may be done to label maps after the network; `predict` does what helped.

    First background gets likelier (0.5 or 1 more in its log odds), as networks draw organs too large, then
    probabilities are smoothed by 2, 3 or 4 mm: what has the best mean Dice and costs no class half a point. Then, as in
    nnU-Net, only the largest connected part is kept, of all foreground together, then of each class, if its Dice rises
    and nothing falls. Test cases are not looked at. What is found holds for the weights it was found with. Predict says
    what it applies, and leaves it out with `--largest-component none`.

    Args:
        run: A run, or a folder of folds: each fold gets its own, and the folds together what the cases of all say.
    """
    with stopwatch() as say:
        choice = unpaired.find_postprocessing(run, weights=weights, device=device, trust=trust, say=say)
        print_table(choice.table())
    print(f"{choice.said()}; `unpaired predict` does so from now on")
    return 0


def self_train(
    recipe: RecipeName,
    data: Data,
    runs: RunsFolder,
    /,
    *,
    rounds: int = 2,
    confidence: float = 0.9,
    tolerance: float = 0.01,
    teacher: OptionalPath = None,
    norms_of: OptionalText = None,
    split: OptionalPath = None,
    changes: Changes = (),
    device: Device = "auto",
    workers: int = 1,
    trust: Trusted = (),
) -> int:
    """Train, label the unlabeled scans with that network, train on these too; kept if better, and worse for none.

    Args:
        recipe: Its name (`unpaired recipes`), file.py:function for one of your own, a run's folder or recipe.json.
        data: The manifest; scans without a label have "label": null.
        runs: Folder for the rounds: round0, round1, ..., and what they learned from, labels1, ...
        rounds: Rounds on pseudo-labels, at most; the first that isn't kept is the last.
        confidence: How probable a class has to be to become a voxel's label; where two classes are together, the label
            is "one of these two", and where not even they are, there is none.
        tolerance: Validation Dice (0 to 1) that any modality may lose in a round that is kept, against round 0 and the
            best round so far.
        teacher: A finished run in place of round 0.
        norms_of: Label scans of a modality that round 0 was not trained on as if they were of this one (with its
            normalization layers).
        split: A split file (`unpaired split`); without it the manifest's own split is used.
        changes: Change fields of the recipe, such as steps=500 network.width=8.
        workers: Processes that cut and augment batches.
    """
    with stopwatch() as say:
        trained = unpaired.self_train(
            recipe,
            data,
            runs,
            rounds=rounds,
            confidence=confidence,
            tolerance=tolerance,
            teacher=teacher,
            norms_of=norms_of,
            split=split,
            changes=changes,
            device=device,
            workers=workers,
            trust=trust,
            say=say,
        )
        print_table(trained.table())
    print(f"best: {trained.run.folder}; next: {_prediction(trained.run, data)}")
    return 0


def _prediction(run: "unpaired.Run", data: Path) -> str:
    """The command that predicts a run's test cases; where it has none, all of the dataset."""
    tested = " --split test" if run.dataset.of(split="test") else ""
    return f"unpaired predict {run.folder} {data} {run.predictions}{tested}"


def watch(run: RunFolder, /, *, every: float = 5.0, once: bool = False) -> int:
    """Follow a run that another process trains: steps, loss, validation Dice of every class, time left.

    Ends when nobody trains it any more; Ctrl-C ends it too, and leaves the training alone. `progress.png` in the run's
    folder shows curves and validation cases.

    Args:
        run: The run folder.
        every: Seconds between two looks at it.
        once: Look once and end.
    """
    unpaired.watch(run, every=every, once=once)
    return 0
