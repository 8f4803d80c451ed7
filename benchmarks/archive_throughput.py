"""How many scans does a core segment in an hour, and do several processes on one archive get in each other's way?

Copies of one scan, from file to file with `unpaired predict` and a residual U-Net with random weights: by one process,
then by as many as asked for at a time, each on a shard of its own (`--shard`), one thread each. What the engine
measures is done before. Wall time, start of the processes included and also shown alone, so the machine has to be idle.
"Efficiency" is a core's throughput with all processes beside that of one.

    python benchmarks/archive_throughput.py [--processes 1 2] [--scans 8] [--shape 192 192 96] [--width 8]
        [--backend torch] [--json numbers.json]
    python benchmarks/archive_throughput.py --small
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from side_by_side import print_versions
from unpaired.data.dataset import CaseEntry, Dataset, Modality
from unpaired.data.images import write_image
from unpaired.data.preprocess import Preprocessing
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.unet import UNetConfig
from unpaired.recipe import Recipe, build_method
from unpaired.runs.run import Run


def main() -> None:
    """A line for each number of processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--scans", type=int, default=8)
    parser.add_argument("--shape", type=int, nargs=3, default=(192, 192, 96))
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--backend", default="torch", choices=("torch", "openvino", "onnxruntime"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--small", action="store_true", help="a smoke run")
    given = parser.parse_args()
    shape, scans = ((48, 48, 24), 2) if given.small else (tuple(given.shape), given.scans)
    print_versions()
    print(f"{scans} scans of {shape}, {given.backend}, {os.cpu_count()} cores")
    numbers: dict[int, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        network = UNetConfig(width=4, blocks=(1, 1)) if given.small else UNetConfig(width=given.width)
        run = untrained_run(folder, shape, scans, network, (24, 48, 48) if given.small else (64, 96, 96))
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "UNPAIRED_CACHE": str(folder / "cache")}
        predict(run, folder, "first", 1, given.backend, environment, limit="1/" + str(scans))
        for processes in given.processes:
            seconds = predict(run, folder, str(processes), processes, given.backend, environment)
            start = predict(run, folder, str(processes), processes, given.backend, environment)  # all is done
            rate = 3600 * scans / seconds / processes
            numbers[processes] = {"seconds": seconds, "nothing_to_do_s": start, "scans_an_hour_and_core": rate}
            first = numbers[given.processes[0]]["scans_an_hour_and_core"]
            print(
                f"{processes} processes: {seconds:.1f} s, with nothing to do {start:.1f} s; {rate:.0f} scans an hour "
                f"and core, efficiency {rate / first:.2f}"
            )
    if given.json:
        given.json.write_text(json.dumps(numbers, indent=2))


def predict(
    run: Path,
    folder: Path,
    out: str,
    processes: int,
    backend: str,
    environment: dict[str, str],
    limit: str | None = None,
) -> float:
    """Wall seconds of all processes together, a shard each (`limit`: this shard alone)."""
    command = [sys.executable, "-m", "unpaired.cli", "predict", str(run), str(folder / "scans"), str(folder / out)]
    command += ["--modality", "ct", "--modality-anyway", "--device", "cpu", "--no-worker", "--backend", backend]
    shards = [limit] if limit else [f"{number}/{processes}" for number in range(1, processes + 1)]
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        started = [
            subprocess.Popen([*command, "--shard", shard], env=environment, stdout=said, stderr=said)
            for shard in shards
        ]
        codes = [process.wait() for process in started]
        seconds = time.perf_counter() - began
        if any(codes):
            said.seek(0)
            raise SystemExit(said.read()[-2000:])
    return seconds


def untrained_run(
    folder: Path, shape: tuple[int, ...], scans: int, network: UNetConfig, patch: tuple[int, ...]
) -> Path:
    """A run with random weights, and as many scans of noise as asked for."""
    (folder / "scans").mkdir()
    for number in range(scans):
        values = np.random.default_rng(number).integers(-200, 300, shape, np.int16)
        write_image(folder / "scans" / f"scan{number}.nii.gz", values, np.diag([1.0, 1.0, 1.0, 1.0]))
    file = folder / "scans" / "scan0.nii.gz"
    names = ("background", *(f"organ{number}" for number in range(1, 5)))
    case = CaseEntry("train", "train", "ct", file, file, split="train")  # a run has one; it is not looked at
    dataset = Dataset("benchmark", names, {"ct": Modality(clip=(-200.0, 300.0))}, (case,))
    recipe = Recipe(
        network,
        SupervisedConfig(),
        patch,
        steps=1,
        preprocessing=Preprocessing(plane="axial"),
        modalities=("ct",),
    )
    torch.manual_seed(0)
    run = Run.create(folder / "run", recipe, dataset)
    run.save_weights(build_method(recipe, run.modalities, len(names)).network, "best")
    return run.folder


if __name__ == "__main__":
    main()
