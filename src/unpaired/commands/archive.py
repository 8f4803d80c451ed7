"""The command that prepares the prediction of an archive on a cluster: cluster-script."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

import unpaired
from unpaired.commands.arguments import (
    AlsoRuns,
    Angles,
    Images,
    OptionalCount,
    OptionalNumber,
    OptionalText,
    Out,
    RunFolder,
    Trusted,
)

Script = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="SCRIPT")]


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
    backend: Literal["torch", "onnxruntime", "openvino"] = "torch",
    precision: Literal["float32", "bf16"] = "float32",
    overlap: OptionalNumber = None,
    largest_component: OptionalText = None,
    mirror: bool = False,
    turned: Angles = (),
    also: AlsoRuns = (),
    probabilities: bool = False,
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
        images: A folder of images, or a manifest.
        out: Folder for the label maps; all tasks write there.
        script: The file to write.
        shards: How many tasks; each gets as many voxels as the others.
        modality: As of `unpaired predict`, which each task runs; so are the next ones.
        split: Only this side of a manifest's cases.
        backend: What computes the network.
        precision: bf16 where it is faster.
        overlap: The share that neighboring windows have in common.
        largest_component: Keep only the largest connected part of these classes.
        mirror: Average the predictions of all mirrored forms.
        turned: Average those of the scan turned by so many degrees, too.
        also: Another run that segments too.
        probabilities: Save class probabilities too.
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
        backend=backend,
        precision=precision,
        overlap=overlap,
        largest_component=largest_component,
        mirror=mirror,
        turned=turned,
        also=also,
        probabilities=probabilities,
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
