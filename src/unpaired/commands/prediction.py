"""The command that segments images: predict."""

from typing import Literal

from unpaired.commands.arguments import Images, OptionalText, Out, RunFolder, list_failures


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
    largest_component: OptionalText = None,
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
        largest_component: Keep only the largest connected part of "all" classes, of some ("LV,myo") or of "none";
            without it the recipe decides. Removes islands, but also the second of two parts that belong there.
        overwrite: Redo what is there.
    """
    from unpaired.data.dataset import with_splits
    from unpaired.data.manifest import read_dataset
    from unpaired.inference.postprocess import parse_largest_component
    from unpaired.inference.predict import Predictor, plan, predict_files
    from unpaired.run import Run

    trained = Run.open(run)
    source = images
    if images.suffix == ".json" or (images / "dataset.json").is_file():
        sides = {case.id: case.split for case in trained.dataset.cases if case.split}
        source = with_splits(read_dataset(images), sides)
    jobs = plan(source, out, modality, split)
    postprocessing = None if largest_component is None else parse_largest_component(largest_component)
    predictor = Predictor(trained, weights, device, postprocessing)
    outcome = predict_files(predictor, jobs, overwrite=overwrite, report=print)
    print(f"{len(outcome.written)} written, {len(outcome.skipped)} skipped, {len(outcome.failures)} failed")
    return list_failures(outcome.failures)
