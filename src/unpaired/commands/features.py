"""The command about what networks have learned: features."""

from typing import Annotated, Literal

import tyro

import unpaired
from unpaired.commands.arguments import (
    Device,
    OptionalPath,
    OptionalText,
    Runs,
    Side,
    Trusted,
    Weights,
    list_failures,
    print_json,
    print_lines,
    print_table,
    status,
)

Layers = Annotated[tuple[str, ...], tyro.conf.arg(metavar="LAYER")]
Pair = Annotated[tuple[str, str] | None, tyro.conf.arg(metavar="LAYER LAYER")]


def features(
    runs: Runs,
    /,
    *,
    data: OptionalPath = None,
    out: OptionalPath = None,
    layers: Layers = (),
    pair: Pair = None,
    layer: OptionalText = None,
    baseline: OptionalText = None,
    split: Side = "test",
    choose_on: Literal["validation", "train"] | None = None,
    weights: Weights = "best",
    device: Device = "auto",
    trust: Trusted = (),
    json: bool = False,
) -> int:
    """Look into networks: how well feature maps localize classes, affinities across modalities, predictions in a grid.

    Args:
        runs: Run folders, as PATH or NAME=PATH; a folder of predictions joins the grid of segmentations alone.
        data: The manifest, if images have moved since training, or for bare predictions.
        out: Folder for page, tables and figures (default: `features` in the run; of several runs or a model file, in
            this folder).
        layers: Layers to look at (default: all that the runs share).
        pair: The two layers of the affinity matrices (default: the first pair that a run's method compares).
        layer: The layer whose feature maps are drawn (default: the first of the pair).
        baseline: The run that the others are compared with (default: the first).
        split: The side of the split to report.
        choose_on: The side whose patients choose each class's channel (default: validation, or train if it is empty).
        json: Print the localization as JSON for programs.
    """
    with status("looking") as say:
        studied = unpaired.features(
            runs,
            data=data,
            out=out,
            layers=layers,
            pair=pair,
            layer=layer,
            baseline=baseline,
            split=split,
            choose_on=choose_on,
            weights=weights,
            device=device,
            trust=trust,
            say=say,
        )
    if json:
        print_json(studied.to_json())
        return list_failures(studied.failures)
    if (table := studied.table()) is not None:
        print_table(table)
    print_lines(studied.notes)
    print(f"tables, figures, page: {studied.page}")
    return list_failures(studied.failures)
