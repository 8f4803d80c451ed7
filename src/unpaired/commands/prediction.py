"""The command that segments images: predict."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from unpaired.commands.arguments import AlsoRuns, Images, OptionalText, Out, RunFolder, Trusted, list_failures
from unpaired.runs.folder import UNCERTAINTY_TABLE


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
    backend: Literal["torch", "onnxruntime", "openvino"] = "torch",
    largest_component: OptionalText = None,
    mirror: bool = False,
    mirror_anyway: bool = False,
    also: AlsoRuns = (),
    probabilities: bool = False,
    overwrite: bool = False,
    trust: Trusted = (),
) -> int:
    """Segment images: label maps with the source's own label values, on each image's own grid. Skips what is done.

    With --mirror or --also several predictions are averaged, and uncertainty.csv says how far they agree per case.

    Args:
        run: A trained run.
        images: An image, a folder of images, or a manifest (.json, .csv, .tsv, or a folder with dataset.json).
        out: Folder for the label maps (or, for one image, a file name).
        modality: What the images are; a manifest says so itself.
        split: Only this side of a manifest's cases; "test" uses the side stored in the run.
        weights: The best by validation, or the last.
        device: auto, cpu, cuda or mps.
        backend: What computes the network: torch, or on a processor onnxruntime or openvino (extras `onnx`,
            `openvino`). Where one of these doesn't say the same as torch on the first window, torch goes on.
        largest_component: Keep only the largest connected part of "all" classes, of some ("LV,myo") or of "none";
            without it the recipe decides. Removes islands, but also the second of two parts that belong there.
        mirror: Average the predictions of all mirrored forms, along the axes that training mirrored
            (augmentation.mirror). Takes two to eight times as long. Refused for a run that never saw mirrored scans.
        mirror_anyway: Mirror along height and width although a run was trained without: as a rule that costs many
            points of Dice. Compare on validation cases first.
        also: Another run that segments too, probabilities averaged; may be given several times. Networks and
            preparation may differ, classes may not.
        probabilities: Save class probabilities too, as 4-D NIfTI in the folder `probabilities` of the label maps.
        overwrite: Redo what is there.
        trust: Modules or .py files of your own that the runs may use; else their code is refused. See `unpaired trust`.
    """
    from unpaired.data.manifest import is_manifest, read_dataset
    from unpaired.data.postprocess import parse_largest_component
    from unpaired.inference.predict import plan, predict_files, remarks, seen_in_training, with_sides_of
    from unpaired.inference.predictor import Ensemble, Predictor
    from unpaired.runs.run import Run

    runs = [Run.open(each, trust) for each in (run, *also)]
    dataset = with_sides_of(runs[0], read_dataset(images)) if is_manifest(images) else None
    jobs = plan(dataset or images, out, modality, split)
    postprocessing = None if largest_component is None else parse_largest_component(largest_component)
    how = weights, device, postprocessing, mirror, mirror_anyway, trust, backend, _note
    ensemble = Ensemble([Predictor(each, *how) for each in runs])
    for remark in remarks(ensemble, jobs, dataset):
        _note(remark)
    for folder, names in seen_in_training(ensemble, jobs) if also else ():
        _warn_of_seen(folder, names)
    outcome = predict_files(ensemble, jobs, probabilities=probabilities, overwrite=overwrite, report=print)
    print(f"{len(outcome.written)} written, {len(outcome.skipped)} skipped, {len(outcome.failures)} failed")
    if ensemble.size > 1:
        print(f"the cases to look at first: {jobs[0].output.parent / UNCERTAINTY_TABLE}")
    return list_failures(outcome.failures)


def _note(line: str) -> None:
    print(f"note: {line}", file=sys.stderr)


def _warn_of_seen(folder: Path, names: Sequence[str]) -> None:
    listed = ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")
    print(f"warning: {folder} was trained on {listed}: agreement and scores flatter there", file=sys.stderr)
