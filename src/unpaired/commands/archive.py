"""The command that prepares the prediction of an archive on a cluster: cluster-script."""

from pathlib import Path
from typing import Annotated, Literal

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
)

Script = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="[SCRIPT]")]


def cluster_script(
    run: RunFolder,
    images: Images,
    out: Out,
    script: Script = Path("predict.sbatch"),
    /,
    *,
    shards: int = 20,
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
    series: SeriesNames = (),
    modality_from: OptionalText = None,
    objects: tuple[Literal["seg", "rtstruct", "sc", "pdf"], ...] = ("seg",),
    dicom_seg: Literal["binary", "labelmap"] = "binary",
    deidentify: bool = False,
    trust: Trusted = (),
    cpus: int = 4,
    memory: str = "16G",
    time: str = "04:00:00",
    gpus: int = 0,
    partition: OptionalText = None,
    at_once: OptionalCount = None,
) -> int:
    """Write a Slurm script that segments an archive: an array of tasks, each of which predicts one shard of the images.

    Submit it with `sbatch`; submitted again it goes on, since what is done is skipped. Any other scheduler, or a loop
    over machines, does the same with `unpaired predict ... --shard 3/20`.

    Args:
        run: A trained run.
        images: A folder of images, a folder of DICOM files, or a manifest.
        out: Folder for the label maps; all tasks write there.
        script: The file to write.
        shards: How many tasks; each gets as many voxels as the others.
        modality: As of `unpaired predict`, which each task runs; so are the next ones.
        split: Only this side of a manifest's cases.
        backend: What computes the network.
        precision: bf16 where it is faster.
        engine: How windows go through torch.
        overlap: The share that neighboring windows have in common.
        largest_component: Keep only the largest connected part of these classes.
        smoothing_mm: Smooth probabilities by a Gaussian of so many mm.
        background_log_odds: Add so much to the log odds of background.
        mirror: Average the predictions of all mirrored forms.
        turned: Average those of the scan turned by so many degrees, too.
        mirror_anyway: Mirror although a run was trained without.
        modality_anyway: Segment scans too whose values contradict their modality.
        norms_of: Segment scans of a modality that the run was not trained on as this one.
        norms: Statistics of batch norms: those of training, or those of each scan itself.
        also: Another run that segments too.
        probabilities: Save class probabilities too.
        series: Of a study, segment these series alone.
        modality_from: Of a study, a regular expression that finds the modality in a series' description.
        objects: What is written of each series of a study.
        dicom_seg: The kind of DICOM SEG.
        deidentify: Leave out of these objects who the patient is.
        cpus: Cores of each task.
        memory: Memory of each task, as Slurm writes it.
        time: Time limit of each task, as hours:minutes:seconds.
        gpus: GPUs of each task.
        partition: Slurm's partition; without it the cluster's own choice.
        at_once: How many tasks may run together.
    """
    written = unpaired.cluster_script(
        run,
        images,
        out,
        script,
        shards=shards,
        modality=modality,
        split=split,
        weights=weights,
        device=device,
        backend=backend,
        precision=precision,
        engine=engine,
        overlap=overlap,
        largest_component=largest_component,
        smoothing_mm=smoothing_mm,
        background_log_odds=background_log_odds,
        mirror=mirror,
        turned=turned,
        mirror_anyway=mirror_anyway,
        modality_anyway=modality_anyway,
        norms_of=norms_of,
        norms=norms,
        also=also,
        probabilities=probabilities,
        series=series,
        modality_from=modality_from,
        objects=objects,
        dicom_seg=dicom_seg,
        deidentify=deidentify,
        trust=trust,
        cpus=cpus,
        memory=memory,
        time=time,
        gpus=gpus,
        partition=partition,
        at_once=at_once,
    )
    print(f"submit it: sbatch {written}")
    return 0
