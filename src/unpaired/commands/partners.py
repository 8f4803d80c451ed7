"""The commands about prediction beside partners: partners, misalignment."""

from typing import Annotated, Literal

import tyro

import unpaired
from unpaired.commands.arguments import (
    Data,
    Device,
    OptionalPath,
    Out,
    RunFolder,
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

Amounts = Annotated[tuple[float, ...], tyro.conf.arg(metavar="AMOUNT")]


def partners(
    run: RunFolder,
    data: Data,
    out: Out,
    /,
    *,
    split: Side = "test",
    partners: int = 5,
    seed: int = 0,
    weights: Weights = "best",
    device: Device = "auto",
    trust: Trusted = (),
    json: bool = False,
) -> int:
    """Predict each case alone and beside scans of other modalities: how much does the answer depend on the partner?

    Beside: the same patient's scans where there are any, those of equal place in the sorted list (CMC's released
    pairing), random training patients'. Writes partners.csv, partners.json and a figure.

    Args:
        run: A trained run of two modalities or more.
        data: The dataset with labels; its cases are on the sides that the run was trained with.
        out: Folder for tables and figure.
        split: The side whose labeled cases are predicted.
        partners: How many random partners each case gets; all there are if there are fewer.
        seed: Draws them; the same seed draws the same.
        json: Print the summary as JSON for programs.
    """
    with status("predicting") as say:
        study = unpaired.partners(
            run,
            data,
            out,
            split=split,
            partners=partners,
            seed=seed,
            weights=weights,
            device=device,
            trust=trust,
            say=say,
        )
    if json:
        print_json(study.to_json())
    else:
        print_table(study.table())
        print(study.conclusion())
        print(f"tables, figure: {out}")
    return list_failures(study.failures)


def misalignment(
    runs: Runs,
    /,
    *,
    data: OptionalPath = None,
    out: OptionalPath = None,
    shifts: Amounts = (0, 5, 10, 20, 40),
    rotations: Amounts = (0, 5, 10, 20, 40),
    missing: Amounts = (0, 25, 50, 75),
    fill: Literal["nearest", "blank"] = "nearest",
    split: Side = "test",
    seed: int = 0,
    weights: Weights = "best",
    device: Device = "auto",
    trust: Trusted = (),
    json: bool = False,
) -> int:
    """Predict each case beside a partner that is shifted, turned or short of slices: how fast does Dice fall?

    The partner is the same patient's scan of the other modality where there is one, else another patient's. Several
    runs come into one figure; one that uses no partner is a flat line. Writes misalignment.csv, misalignment.json and
    a figure.

    Args:
        runs: Trained runs of two modalities or more, as PATH or NAME=PATH.
        data: The manifest, if images have moved since training.
        out: Folder for tables and figure (default: `misalignment` in the run; of several runs or a model file, in this
            folder).
        shifts: How far partners are shifted, in mm; the direction is drawn for each case.
        rotations: How far partners are turned, in degrees; the axis is drawn for each case, in 2D the slice's.
        missing: How many of the partner's slices are missing, in percent; which, is drawn for each case.
        fill: What stands in for a missing slice: the nearest one that is there, or a blank one.
        split: The side whose labeled cases are predicted.
        seed: Draws directions, axes and slices.
        json: Print the curves as JSON for programs.
    """
    with status("predicting") as say:
        study = unpaired.misalignment(
            runs,
            data=data,
            out=out,
            shifts=shifts,
            rotations=rotations,
            missing=missing,
            fill=fill,
            split=split,
            seed=seed,
            weights=weights,
            device=device,
            trust=trust,
            say=say,
        )
    if json:
        print_json(study.to_json())
    else:
        print_table(study.table())
        print_lines(study.conclusions())
        print(f"tables, figure: {study.folder}")
    return list_failures(study.failures)
