"""What do backends and bfloat16 change on patients whom a run was not trained with: Dice by modality, and voxels.

The test cases of trained runs, or of a manifest, are segmented by torch in float32 (`--engine plain`) and by each other
way, then scored. Printed by modality: mean Dice (%) over cases and classes, how far it lies from torch's float32, the
largest difference of one structure, and the share of all voxels that are of another class. Goal: means no more than
0.05 points apart. A way that torch took over (a backend that is refused, a processor without bfloat16) says so.

    python benchmarks/precision_on_patients.py RUN [RUN ...] [--data study.json] [--split test]
        [--ways openvino "openvino bf16" bf16 onnxruntime] [--out FOLDER] [--json numbers.json]

With `--out` label maps stay there, and what is there already is not predicted again.
"""

import argparse
import json
import statistics
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import unpaired
from side_by_side import print_versions
from unpaired.data.images import read_label_map
from unpaired.files import read_json

GOAL = 0.05
"""Points of mean Dice, of 100."""
BASE = "float32"
WAYS: dict[str, dict[str, Any]] = {
    BASE: {},
    "bf16": {"precision": "bf16"},
    "openvino": {"backend": "openvino"},
    "openvino bf16": {"backend": "openvino", "precision": "bf16"},
    "onnxruntime": {"backend": "onnxruntime"},
}
Dice = dict[tuple[str, str, str], float]
"""{(modality, case, class): Dice in percent}, of what has one."""


@dataclass(frozen=True)
class Difference:
    """A way beside torch's float32, on one modality."""

    modality: str
    structures: int
    dice: float
    difference: float
    largest: float
    """Of the differences of one structure, in points either way."""
    voxels: float
    """Share of all voxels whose class is another."""


def main() -> None:
    """A line for each run, way and modality."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--data", type=Path, help="a manifest that says sides; without it each run's own cases")
    parser.add_argument("--split", default="test", help="the side of the cases that are looked at")
    parser.add_argument("--ways", nargs="+", choices=[*WAYS][1:], default=["openvino", "openvino bf16", "bf16"])
    parser.add_argument("--out", type=Path, help="where label maps are kept")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    print_versions()
    numbers: dict[str, dict[str, list[dict[str, Any]]]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        out = given.out or Path(temporary)
        for run in given.runs:
            data = given.data or unpaired.Run.open(run).dataset
            folders = {way: out / run.name / way.replace(" ", "-") for way in (BASE, *given.ways)}
            dice = {way: scored(run, data, given.split, folder, way) for way, folder in folders.items()}
            numbers[str(run)] = {}
            for way in given.ways:
                rows = differences(dice[BASE], dice[way], folders[BASE], folders[way])
                numbers[str(run)][way] = [asdict(row) for row in rows]
                for row in rows:
                    print(line(run.name, way, row))
    if given.json:
        given.json.write_text(json.dumps(numbers, indent=2))


def scored(run: Path, data: unpaired.Dataset | Path, split: str, folder: Path, way: str) -> Dice:
    """Segment the cases of a side in one way, and score them. Raises SystemExit if a case failed."""
    outcome = unpaired.predict(run, data, folder, split=split, device="cpu", engine="plain", worker=False, **WAYS[way])
    if outcome.failures:
        raise SystemExit(f"{way}: {outcome.failures}")
    instead = sorted({what for what in map(computed_by, folder.rglob("*.prediction.json")) if what != way})
    if instead:
        print(f"{run.name}, {way}: some cases were computed by {', '.join(instead)} instead")
    evaluation = unpaired.evaluate(folder, data, split=split, out=folder.with_name(f"{folder.name}-scores")).evaluation
    return {
        (score.modality, score.case, score.class_name): 100 * score.dice
        for score in evaluation.scores
        if score.dice is not None
    }


def computed_by(record: Path) -> str:
    """The way that the record beside a label map says it was computed in."""
    (run, *_) = read_json(record, "predict it anew")["runs"]
    parts = [part for part in (run["backend"], run["precision"]) if part not in ("torch", "float32")]
    return " ".join(parts) or BASE


def differences(base: Dice, other: Dice, base_folder: Path, folder: Path) -> list[Difference]:
    """A row for each modality. Structures that one of both has no Dice for, neither having a voxel, count as 100."""
    rows: list[Difference] = []
    for modality in dict.fromkeys(modality for modality, _, _ in base):
        keys = [key for key in {**base, **other} if key[0] == modality]
        pairs = [(base.get(key, 100.0), other.get(key, 100.0)) for key in keys]
        apart = [theirs - ours for ours, theirs in pairs]
        cases = sorted({case for _, case, _ in keys})
        voxels = [changed(base_folder / f"{case}.nii.gz", folder / f"{case}.nii.gz") for case in cases]
        share = sum(count for count, _ in voxels) / sum(size for _, size in voxels)
        mean = statistics.fmean(theirs for _, theirs in pairs)
        rows.append(Difference(modality, len(keys), mean, statistics.fmean(apart), max(map(abs, apart)), share))
    return rows


def changed(base: Path, other: Path) -> tuple[int, int]:
    """How many voxels of two label maps differ, and how many there are."""
    labels, others = (np.asarray(read_label_map(file).array) for file in (base, other))
    return int(np.count_nonzero(labels != others)), labels.size


def line(run: str, way: str, row: Difference) -> str:
    """What a person reads."""
    goal = "" if abs(row.difference) <= GOAL else f", above the goal of {GOAL}"
    return (
        f"{run:12} {way:14} {row.modality:8} Dice {row.dice:6.2f} ({row.structures} structures), {row.difference:+.3f} "
        f"to float32{goal}; one structure at most {row.largest:.2f}; {row.voxels:.3%} of voxels"
    )


if __name__ == "__main__":
    main()
