"""The command that segments images: predict."""

import sys
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

import unpaired
from unpaired.commands.arguments import (
    AlsoRuns,
    Angles,
    Device,
    Images,
    OptionalCount,
    OptionalNumber,
    OptionalText,
    Out,
    RunFolder,
    SeriesNames,
    Trusted,
    Weights,
    failed,
    list_failures,
    print_lines,
)

if TYPE_CHECKING:
    from unpaired.inference.jobs import Event


def predict(
    run: RunFolder,
    images: Images,
    out: Out,
    /,
    *,
    modality: OptionalText = None,
    split: OptionalText = None,
    weights: Weights = "best",
    device: Device = "auto",
    backend: Literal["torch", "onnxruntime", "openvino"] = "torch",
    precision: Literal["float32", "bf16"] = "float32",
    engine: Literal["auto", "plain", "compiled"] = "auto",
    overlap: OptionalNumber = None,
    largest_component: OptionalText = None,
    smoothing_mm: OptionalNumber = None,
    background_log_odds: OptionalNumber = None,
    mirror: bool = False,
    turned: Angles = (),
    mirror_anyway: bool = False,
    modality_anyway: bool = False,
    norms_of: OptionalText = None,
    norms: Literal["trained", "adaptive"] = "trained",
    also: AlsoRuns = (),
    probabilities: bool = False,
    overwrite: bool = False,
    shard: Annotated[str | None, tyro.conf.arg(metavar="NUMBER/COUNT")] = None,
    series: SeriesNames = (),
    modality_from: OptionalText = None,
    objects: tuple[Literal["seg", "rtstruct", "sc", "pdf"], ...] = ("seg",),
    dicom_seg: Literal["binary", "labelmap"] = "binary",
    deidentify: bool = False,
    trust: Trusted = (),
    worker: bool = True,
    on: Literal["here", "ray"] = "here",
    actors: OptionalCount = None,
) -> int:
    """Segment images: label maps with the source's own label values, on each image's own grid. Skips what is done.

    Of a folder of DICOM files the series of the run's modalities are segmented; DICOM objects stand beside each label
    map (extra `dicom`).

    With --mirror, --turned or --also several predictions are averaged, and uncertainty.csv says how far they agree
    per case.

    Args:
        run: A trained run.
        images: An image, a folder of images, a study (a folder of DICOM files), or a manifest (.json, .csv, .tsv, or a
            folder with dataset.json), or a text file (.txt) with the path of an image or a DICOM folder on each line.
        out: Folder for the label maps (or, for one image, a file name).
        modality: What the images are. A manifest says so itself; without either, values and voxel sizes decide where
            they allow one modality of the run alone.
        split: Only this side of a manifest's cases; "test" uses the side stored in the run. Of a folder of folds:
            "validation" predicts each case by the fold that was not trained with it, "test" those kept out of all.
        backend: What computes the network: torch, or on a processor onnxruntime or openvino (extras `onnx`,
            `openvino`). Where one of these doesn't say the same as torch on the first window, torch goes on.
        precision: bf16 computes in bfloat16 where that is measured to be faster (processors with avx512_bf16 or AMX,
            GPUs), by openvino where the processor has it; some voxels at edges change class.
        engine: How windows go through torch: auto measures once what is fastest on this machine and keeps it in the
            cache folder (same labels up to rounding); plain measures nothing; compiled takes what torch.compile makes
            of the network, on a GPU as a CUDA graph, which takes a minute or more to make.
        overlap: The share that neighboring windows have in common; the recipe says 0.5 if it says nothing else. 0.25
            takes about a third of the time in 3D, with more to be seen of the seams.
        largest_component: Keep only the largest connected part of "all" classes, of some ("LV,myo") or of "none";
            without it what find-postprocessing found decides, or else the recipe. Removes islands, but also the
            second of two parts that belong there.
        smoothing_mm: Smooth probabilities by a Gaussian of so many mm before the likeliest class is taken; 0 for none.
            This, --background-log-odds and --largest-component take the place of all that was found or stands in the
            recipe.
        background_log_odds: Add so much to the log odds of background: 0.5 where organs come out too large, less than
            0 where they come out too small.
        mirror: Average the predictions of all mirrored forms, along the axes that training mirrored
            (augmentation.mirror). Takes two to eight times as long. Refused for a run that never saw mirrored scans.
        turned: Average the predictions of the scan as it is and turned in its slices by so many degrees, both ways: 30,
            or up to four angles; 0 for none, in place of the recipe's turned_degrees. One angle takes three times as
            long. At most what training turned slices by (augmentation.rotation_degrees).
        mirror_anyway: Mirror along height and width although a run was trained without: as a rule that costs many
            points of Dice. Compare on validation cases first.
        modality_anyway: Segment scans too whose values contradict the modality that they are given as, such as a CT
            given as mr. Else each is a failed case.
        norms_of: Segment scans of a modality that the run was not trained on as this one, with its norms and
            preparation; without it they are refused.
        norms: Statistics of batch norms: those of training, or those of each scan itself (adaptive).
        also: Another run that segments too, probabilities averaged; may be given several times. Networks and
            preparation may differ, classes may not.
        probabilities: Save class probabilities too, as 4-D NIfTI in the folder `probabilities` of the label maps.
        overwrite: Redo what is there.
        shard: Do one part of an archive, such as 3/20: parts of equal work, one for each process or machine, into
            the same folder. See `unpaired cluster-script`.
        series: Of a study, segment these series alone: UIDs, their ends or series numbers, as `unpaired dicom list`
            shows them.
        modality_from: Of a study, a regular expression that finds the modality in a series' description, protocol or
            sequence name: the first group, or the match.
        objects: What is written of each series of a study: seg (DICOM SEG), rtstruct (contours), sc (pictures of slices
            with overlays, as secondary captures), pdf (a report with volumes); several, or none for NIfTI alone.
        dicom_seg: The kind of DICOM SEG: binary, which most viewers read, or labelmap, of the standard since 2024.
        deidentify: Leave out of these objects who the patient is, by the standard's basic profile (UIDs stay).
        worker: Keep the networks in a process of their own: what kills it (memory, a crash) costs one case, not all.
            --no-worker does everything in this process, as debuggers and profilers want it.
        on: Where cases are done: here, one after the other, or by Ray, several at a time (extra `ray`), on this machine
            or on the cluster that the variable RAY_ADDRESS names.
        actors: How many processes Ray starts, each with the networks loaded once; by default one per GPU, or one per
            four cores.
    """
    outcome = unpaired.predict(
        run,
        images,
        out,
        modality=modality,
        split=split,
        weights=weights,
        device=device,
        backend=backend,
        precision=precision,
        engine=engine,
        overlap=overlap,
        postprocessing=largest_component,
        smoothing_mm=smoothing_mm,
        background_log_odds=background_log_odds,
        mirror=mirror,
        turned=turned,
        mirror_anyway=mirror_anyway,
        modality_anyway=modality_anyway,
        norms_of=norms_of,
        adaptive_norms=norms == "adaptive",
        also=also,
        probabilities=probabilities,
        overwrite=overwrite,
        shard=shard,
        series=series,
        modality_from=modality_from,
        objects=objects,
        dicom_seg=dicom_seg,
        deidentify=deidentify,
        trust=trust,
        worker=worker,
        on=on,
        actors=actors,
        tell=_print,
    )
    print(f"{len(outcome.written)} written, {len(outcome.skipped)} skipped, {failed(outcome.failures)}")
    print_lines(f"the cases to look at first: {table}" for table in outcome.agreement)
    return 1 if outcome.failures else 0


def _print(event: "Event") -> None:
    """What to know and what failed goes to standard error, what became of other cases to standard output."""
    from unpaired.inference.jobs import CaseResult, Remark

    if isinstance(event, CaseResult) and event.result == "failed":
        list_failures([(event.name, event.text)])
    elif isinstance(event, CaseResult | Remark):
        print(*event.lines(), sep="\n", file=sys.stderr if isinstance(event, Remark) else sys.stdout, flush=True)
