"""The commands. Each imports what it needs when it runs, so that `unpaired --help` answers at once.

Exit codes: 0 done; 1 done but some cases failed or a check found errors; 2 bad input, one line says which; 130 stopped.
"""

import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from unpaired.errors import InputError, Stopped

Data = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DATA")]
Images = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="IMAGES")]
Out = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT")]
Predictions = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="PREDICTIONS")]
RecipeName = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RECIPE")]
Reference = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="REFERENCE")]
RunFolder = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
Source = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="SOURCE")]
Format = tyro.conf.Positional[Literal["mscmrseg", "table"]]
Assignments = Annotated[tuple[str, ...], tyro.conf.arg(name="set", metavar="FIELD=VALUE")]
OptionalPath = Annotated[Path | None, tyro.conf.arg(metavar="PATH")]
OptionalText = Annotated[str | None, tyro.conf.arg(metavar="TEXT")]
OptionalCount = Annotated[int | None, tyro.conf.arg(metavar="INT")]


def demo(
    out: Out = Path("demo"),
    /,
    *,
    recipe: str = "phantom/csa",
    seed: int = 0,
    device: str = "auto",
    workers: int = 2,
) -> int:
    """Everything once, on a phantom: make scans, train, predict, evaluate, write a report. A few minutes on two cores.

    Args:
        out: Folder for data, run, predictions and report. What is there already is not done again.
        recipe: The recipe to train; see `unpaired recipes`.
        seed: Seed of the phantom's patients.
        device: auto, cpu, cuda or mps.
        workers: Processes that prepare and augment.
    """
    from unpaired.demo import run_demo

    return run_demo(out, recipe=recipe, seed=seed, device=device, workers=workers)


def phantom(
    out: Out,
    /,
    *,
    anatomy: Literal["heart", "abdomen"] = "heart",
    size: Literal["tiny", "demo", "realistic"] = "demo",
    seed: int = 0,
    workers: int = 1,
) -> int:
    """Write a phantom dataset: simulated scans of different patients in each modality, with a manifest.

    Args:
        out: Folder to write to.
        anatomy: heart (ct, bssfp, lge) or abdomen (ct, t2).
        size: tiny (tests), demo (minutes to train), realistic (0.8 to 1.5 mm).
        seed: Other seeds give other patients.
        workers: Processes.
    """
    from unpaired.data.importers.phantom import write_phantom

    if out.exists() and not out.is_dir():
        raise InputError(f"expected a folder to write the phantom to, but {out} is a file; name another place")
    dataset = write_phantom(out, anatomy=anatomy, size=size, seed=seed, workers=workers)
    print(f"{len(dataset.cases)} cases of {', '.join(dataset.modalities)}: {out / 'dataset.json'}")
    return 0


def import_(source_format: Format, source: Source, out: Out, /) -> int:
    """Write a manifest for a dataset that you have. Files stay where they are.

    Args:
        source_format: mscmrseg (the challenge's folders) or table (a CSV with patient, modality, image, label).
        source: Its folder or file.
        out: The manifest to write, such as data/mscmrseg.json.
    """
    from unpaired.data.manifest import read_dataset, write_dataset

    if source_format == "mscmrseg":
        from unpaired.data.importers.mscmrseg import import_mscmrseg

        dataset = import_mscmrseg(source)
    else:
        dataset = read_dataset(source)
    path = write_dataset(dataset, out)
    for modality in dataset.modalities:
        cases = dataset.of(modality)
        labeled = sum(case.label is not None for case in cases)
        print(f"{modality}: {len(cases)} cases, {labeled} labeled, {len({c.patient for c in cases})} patients")
    print(f"wrote {path}; check it with: unpaired verify {path}")
    return 0


def verify(data: Data, /, *, json: bool = False, workers: int = 2) -> int:
    """Check every file of a dataset: geometry, values, labels, splits. Exit code 1 if there are errors.

    Args:
        data: The manifest.
        json: Print findings as JSON for programs.
        workers: Processes.
    """
    from rich.console import Console
    from rich.progress import Progress

    from unpaired.data.findings import findings_as_json, print_findings
    from unpaired.data.manifest import read_dataset
    from unpaired.data.verify import verify as verify_dataset

    dataset = read_dataset(data)
    with Progress(console=Console(stderr=True), transient=True) as bar:  # shows nothing where stderr is no terminal
        task = bar.add_task("verify", total=len(dataset.cases))
        findings = verify_dataset(dataset, workers, lambda done, total, case: bar.update(task, completed=done))
    if json:
        print(findings_as_json(findings))
    else:
        print_findings(dataset, findings, Console(width=_table_width(), highlight=False))
    return 1 if any(finding.severity == "error" for finding in findings) else 0


def split(
    data: Data,
    out: Out,
    /,
    *,
    test: float = 0.2,
    validation: float = 0.1,
    folds: OptionalCount = None,
    seed: int = 0,
) -> int:
    """Draw a split by patient, the same patient never on two sides, and store it in a file.

    Args:
        data: The manifest.
        out: The split file to write (JSON); with --folds a folder that gets fold0.json, fold1.json, ...
        test: Share of patients for testing (without --folds).
        validation: Share of patients for choosing the best weights.
        folds: Cross-validation: every patient is tested in exactly one of so many splits.
        seed: Other seeds draw other patients.
    """
    from unpaired.data.manifest import read_dataset
    from unpaired.data.splits import folds_by_patient, split_by_patient, write_split

    dataset = read_dataset(data)
    if out.resolve() in (data.resolve(), (data / "dataset.json").resolve()):
        raise InputError(f"the split would overwrite the manifest {out}; name another file")
    if folds is None:
        splits = {out: split_by_patient(dataset, test=test, validation=validation, seed=seed)}
    else:
        drawn = folds_by_patient(dataset, folds=folds, validation=validation, seed=seed)
        splits = {out / f"fold{number}.json": one for number, one in enumerate(drawn)}
    for path, one in splits.items():
        write_split(one, path)
        counts = {
            side: {m: sum(one[c.id] == side for c in dataset.of(m)) for m in dataset.modalities}
            for side in ("train", "validation", "test")
        }
        print(f"{path}: " + "; ".join(f"{side} {numbers}" for side, numbers in counts.items()))
    return 0


def prepare(
    recipe: RecipeName,
    data: Data,
    out: Out,
    /,
    *,
    assign: Assignments = (),
    workers: int = 2,
) -> int:
    """Prepare a dataset as a recipe wants it (training does this by itself). Finished cases are never redone.

    Args:
        recipe: Its name, or file.py:function.
        data: The manifest.
        out: Cache folder.
        assign: Change fields of the recipe, such as preprocessing.plane=axial.
        workers: Processes.
    """
    from unpaired.data.manifest import read_dataset
    from unpaired.data.prepare import prepare as prepare_dataset
    from unpaired.recipe import override
    from unpaired.recipes import find_recipe

    chosen = override(find_recipe(recipe), assign)
    prepared = prepare_dataset(read_dataset(data), chosen.preprocessing, out, workers=workers)
    print(f"{len(prepared.cases)} prepared cases in {out}")
    for case, message in prepared.warnings:
        print(f"warning: {case}: {message}", file=sys.stderr)
    return _list_failures(prepared.failures)


def recipes(name: RecipeName = "", /) -> int:
    """List the recipes, or print one with every setting.

    Args:
        name: The recipe to print as JSON.
    """
    from unpaired.recipe import dumps
    from unpaired.recipes import all_recipes, find_recipe

    if name:
        print(dumps(find_recipe(name)), end="")
        return 0
    found = all_recipes()
    width = max(map(len, found))
    for key, function in found.items():
        print(f"{key:{width}}  {(function.__doc__ or '').strip().splitlines()[0]}")
    return 0


def train(
    recipe: RecipeName,
    data: Data,
    run: RunFolder,
    /,
    *,
    split: OptionalPath = None,
    assign: Assignments = (),
    cache: OptionalPath = None,
    device: str = "auto",
    devices: int = 1,
    nodes: int = 1,
    workers: int = 1,
) -> int:
    """Train a recipe into a run folder. Ctrl-C saves and stops; the same command goes on from the last saved step.

    Args:
        recipe: Its name (`unpaired recipes`), or file.py:function for one of your own.
        data: The manifest.
        run: The run folder, new or to be resumed.
        split: A split file (`unpaired split`); without it the manifest's own split is used.
        assign: Change fields of the recipe, such as steps=500 network.width=8.
        cache: Folder for prepared volumes (default: `prepared` beside the run folder).
        device: auto, cpu, cuda or mps.
        devices: Processes on this node, one device each (DDP).
        nodes: Nodes, when Slurm or torchrun starts them.
        workers: Processes per device that cut and augment batches.
    """
    from unpaired.data.manifest import read_dataset
    from unpaired.data.splits import read_split
    from unpaired.recipe import override
    from unpaired.recipes import find_recipe
    from unpaired.training.loop import Hardware
    from unpaired.training.loop import train as train_recipe

    chosen = override(find_recipe(recipe), assign)
    dataset = read_dataset(data)
    dataset = read_split(split, dataset) if split else dataset
    hardware = Hardware(device, devices, nodes, workers)
    finished = train_recipe(chosen, dataset, run, name=recipe, hardware=hardware, cache=cache)
    print(f"trained: {finished.folder}; next: unpaired predict {finished.folder} {data} {finished.predictions}")
    return 0


def predict(
    run: RunFolder,
    images: Images,
    out: Out,
    /,
    *,
    modality: OptionalText = None,
    split: OptionalText = None,
    weights: Literal["best", "last"] = "best",
    device: str = "auto",
    overwrite: bool = False,
) -> int:
    """Segment images: label maps with the source's own label values, on each image's own grid. Skips what is done.

    Args:
        run: A trained run.
        images: An image, a folder of images, or a manifest (.json).
        out: Folder for the label maps (or, for one image, a file name).
        modality: What the images are; a manifest says so itself.
        split: Only this side of a manifest's cases; "test" uses the side stored in the run.
        weights: The best by validation, or the last.
        device: auto, cpu, cuda or mps.
        overwrite: Redo what is there.
    """
    from unpaired.data.dataset import with_splits
    from unpaired.data.manifest import read_dataset
    from unpaired.inference.predict import Predictor, plan, predict_files
    from unpaired.run import Run

    trained = Run.open(run)
    source = images
    if images.suffix == ".json" or (images / "dataset.json").is_file():
        sides = {case.id: case.split for case in trained.dataset.cases if case.split}
        source = with_splits(read_dataset(images), sides)
    jobs = plan(source, out, modality, split)
    outcome = predict_files(Predictor(trained, weights, device), jobs, overwrite=overwrite, report=print)
    print(f"{len(outcome.written)} written, {len(outcome.skipped)} skipped, {len(outcome.failures)} failed")
    return _list_failures(outcome.failures)


def evaluate(
    predictions: Predictions,
    reference: Reference,
    /,
    *,
    out: OptionalPath = None,
    classes: OptionalText = None,
    split: OptionalText = None,
    policy: Literal["diagonal", "excluded"] = "diagonal",
    workers: int = 2,
) -> int:
    """Score label maps against references: Dice, HD95, ASSD per case and class. Needs no torch, takes anybody's files.

    Args:
        predictions: Folder of label maps named like the case (or, for folders, like the reference).
        reference: A manifest, a run folder (its test cases), or a folder of label maps.
        out: Folder for scores.csv and scores.json (default: `evaluation` beside the predictions).
        classes: For a folder of references: "1:LV,2:myo".
        split: Only this side of a manifest's cases.
        policy: What a missed structure's distance is: the image's diagonal, or left out (always counted).
        workers: Processes.
    """
    from rich.console import Console

    from unpaired.data.manifest import read_dataset
    from unpaired.evaluation.evaluate import evaluate_dataset, evaluate_folders, parse_classes
    from unpaired.evaluation.tables import score_table, write_evaluation

    out = out or predictions.parent / "evaluation"
    if reference.suffix in (".json", ".csv", ".tsv") or (reference / "dataset.json").is_file():
        side = split or ("test" if (reference / "recipe.json").is_file() else None)
        evaluation = evaluate_dataset(read_dataset(reference), predictions, split=side, policy=policy, workers=workers)
    else:
        if classes is None:
            raise InputError('folders of label maps need their classes: --classes "1:LV,2:myo" (or give a manifest)')
        names = parse_classes(classes)
        evaluation = evaluate_folders(predictions, reference, names, policy=policy, workers=workers)
    write_evaluation(evaluation, out)
    Console(width=_table_width()).print(score_table(evaluation))
    print(f"scores by case and class: {out / 'scores.csv'}")
    return _list_failures([(failure.case, failure.message) for failure in evaluation.failures])


def report(run: RunFolder, /, *, predictions: OptionalPath = None, out: OptionalPath = None) -> int:
    """Write one HTML page about a run, from its predictions and scores: opens from disk, needs no network.

    Args:
        run: A run whose test cases were predicted and evaluated.
        predictions: Folder of its predictions (default: `predictions` in the run).
        out: The page (default: report.html in the run).
    """
    from unpaired.evaluation.tables import read_evaluation
    from unpaired.report.page import write_report
    from unpaired.run import Run

    trained = Run.open(run)
    evaluation = read_evaluation(trained.evaluation)
    page = write_report(run, trained.dataset, predictions or trained.predictions, evaluation, out or trained.report)
    print(page)
    return 0


COMMANDS = {
    "demo": demo,
    "phantom": phantom,
    "import": import_,
    "verify": verify,
    "split": split,
    "recipes": recipes,
    "prepare": prepare,
    "train": train,
    "predict": predict,
    "evaluate": evaluate,
    "report": report,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    # Threads that wait by spinning make a training step ten times slower as soon as another process wants the cores
    # (measured on two). Has to be set before torch is imported; a value of the user's own wins.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    ours = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, signal.default_int_handler) if ours else None  # Slurm's way to say Ctrl-C
    try:
        code = tyro.extras.subcommand_cli_from_dict(
            COMMANDS,
            prog="unpaired",
            description="One network that segments every modality you have, trained on scans of different patients.",
            args=arguments,
        )
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # whoever reads, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains on its way out
        return 0
    except InputError as error:
        print(f"unpaired: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # what the system refuses anywhere: permission, a name that is too long, no space
        print(
            f"unpaired: {error.filename or 'standard output or an open file'}: {error.strerror or error}",
            file=sys.stderr,
        )
        return 2
    except (KeyboardInterrupt, Stopped) as stopped:
        print(f"unpaired: {str(stopped) or 'stopped; the same command goes on where it can'}", file=sys.stderr)
        return 130
    finally:
        if ours:
            signal.signal(signal.SIGTERM, before)


def _table_width() -> int | None:
    """None, the terminal's own; in a pipe or file, where nothing says a width, enough that tables stay whole."""
    return None if sys.stdout.isatty() or "COLUMNS" in os.environ else 120


def _list_failures(failures: Sequence[tuple[str, str]]) -> int:
    for case, message in failures:
        print(f"failed: {case}: {message}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
