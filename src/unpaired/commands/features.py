"""The command about what networks have learned: features."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

from unpaired.commands.arguments import OptionalPath, OptionalText, Trusted, table_width

Runs = Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="RUN")]
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
    split: Literal["test", "validation", "train"] = "test",
    choose_on: Literal["validation", "train"] | None = None,
    weights: Literal["best", "last"] = "best",
    device: str = "auto",
    trust: Trusted = (),
    json: bool = False,
) -> int:
    """Look into networks: how well feature maps localize classes, affinities across modalities, predictions in a grid.

    Args:
        runs: Run folders, as PATH or NAME=PATH; a folder of predictions joins the grid of segmentations alone.
        data: The manifest, if images have moved since training, or for bare predictions.
        out: Folder for page, tables and figures (default: `features` in the run; of several runs, in this folder).
        layers: Layers to look at (default: all that the runs share).
        pair: The two layers of the affinity matrices (default: the first pair that a run's method compares).
        layer: The layer whose feature maps are drawn (default: the first of the pair).
        baseline: The run that the others are compared with (default: the first).
        split: The side of the split to report.
        choose_on: The side whose patients choose each class's channel (default: validation, or train if it is empty).
        weights: best (by validation Dice) or last.
        device: auto, cpu, cuda or mps.
        trust: Modules or .py files of your own that the runs may use; else their code is refused. See `unpaired trust`.
        json: Print the localization as JSON for programs.
    """
    from json import dumps

    from rich.console import Console

    from unpaired.data.manifest import read_dataset
    from unpaired.report.features_page import write_features
    from unpaired.studies.features import study
    from unpaired.studies.localization.tables import overview, to_json
    from unpaired.studies.plan import Options, read_members

    members = read_members(runs, trust)
    options = Options(layers or None, pair, layer, 3, choose_on, split, baseline, weights, device)
    only = members[0].run if len(members) == 1 else None
    out = out or (Path("features") if only is None else only.features)
    with Console(stderr=True).status("looking") as status:  # shows nothing where stderr is no terminal
        found = study(members, read_dataset(data) if data else None, options, status.update)
        page = write_features(
            out,
            found.comparison,
            found.choosing,
            found.maps,
            found.affinities,
            found.grid,
            found.notes,
            found.attention.correlations,
            found.attention.attention,
            found.attention.distances,
        )
    if json:
        document = {} if found.comparison is None else to_json(found.comparison, found.choosing)
        print(dumps({"folder": str(out), **document}, ensure_ascii=False))
        return 0
    if found.comparison is not None:
        Console(width=table_width(), highlight=False).print(overview(found.comparison, "best"))
    for note in found.notes:
        print(note)
    print(f"tables, figures, page: {page}")
    return 0
