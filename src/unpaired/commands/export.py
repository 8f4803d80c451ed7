"""The commands that write for other programs: export, nnunet-splits."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

import unpaired
from unpaired.commands.arguments import Data, Out, RunFolder, Trusted, Weights, print_lines

Folds = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FOLDS")]
Names = Annotated[tuple[str, ...], tyro.conf.arg(metavar="MODALITY")]


def export(
    run: RunFolder,
    out: Out,
    /,
    *,
    format: Literal["onnx", "torch", "openvino", "monai-bundle"] = "onnx",
    modalities: Names = (),
    any_size: bool = False,
    weights: Weights = "best",
    trust: Trusted = (),
) -> int:
    """Write a run's network for programs that lack this package: a graph per modality, and how scans are prepared.

    ONNX comes with a script that segments NIfTI files by numpy and ONNX Runtime alone. Each graph is computed once and
    compared with torch. Extras: `onnx`, `openvino`.

    Args:
        run: A trained run.
        out: A new folder.
        format: onnx; torch, a program of torch.export; openvino; or monai-bundle, which needs MONAI where it is used.
        modalities: Only these of the run's modalities.
        any_size: Leave the image's size open, where the network allows that; else it is the run's patch size.
    """
    written = unpaired.export_run(
        run, out, format, weights=weights, modalities=modalities, any_size=any_size, trust=trust
    )
    print_lines(f"{modality}: {graph}" for modality, graph in written.graphs.items())
    print(f"what is in {written.folder}: {written.folder / 'README.txt'}")
    return 0


def nnunet_splits(data: Data, folds: Folds, out: Out, /, *, with_validation: bool = False) -> int:
    """Write folds for nnU-Net: OUT/DatasetXXX_NAME/splits_final.json, for a comparison on the same patients.

    A fold's val cases are those that it tests (of nnU-Net's own folds those that it validates); train cases are the
    labeled ones that it trains.

    Args:
        data: The manifest that `unpaired import` wrote of nnU-Net's folders.
        folds: A folder of folds (`unpaired split --folds`), of runs (`unpaired train --folds`), a run or a split file.
        out: nnUNet_preprocessed. A file with other folds is never replaced.
        with_validation: Let nnU-Net train with the cases that choose the weights here.
    """
    unpaired.nnunet_splits(data, folds, out, with_validation=with_validation, say=print)
    return 0
