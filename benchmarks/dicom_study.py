"""A study of five CT series from DICOM files to DICOM SEG: what of it isn't the network?

`unpaired.predict` of the whole study, against the same volumes, read already, through the same network. The network is
a small one with fresh weights, so that the rest weighs much. Processor time, warm page cache, one process for all.

    python benchmarks/dicom_study.py [--small]
"""

import argparse
import datetime
import os
import platform
import tempfile
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

import unpaired
from dicom import processor_seconds, write_series
from unpaired.data.manifest import read_dataset
from unpaired.dicom.tree import list_dicom
from unpaired.dicom.volume import read_volume
from unpaired.networks.fcn import FCNConfig
from unpaired.phantom.write import write_phantom
from unpaired.recipe import build_method
from unpaired.recipes.phantom import csa
from unpaired.runs.run import Run

SERIES = 5


def fresh_run(folder: Path) -> Run:
    """A run of 2D windows with fresh weights."""
    write_phantom(folder / "phantom", anatomy="heart", size="tiny", seed=0)
    dataset = read_dataset(folder / "phantom")
    network = FCNConfig(width=4, dropout=0.0, initialization="he")
    recipe = replace(csa(), network=network, patch_size=(128, 128), window_overlap=0.0)
    run = Run.create(folder / "run", recipe, dataset)
    run.save_weights(build_method(recipe, run.modalities, len(dataset.classes)).network, "best")
    return run


def main() -> None:
    """Parse the command line, write the study, predict it both ways."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--small", action="store_true", help="64 x 64 x 8, for a smoke run: its ratios mean little")
    shape = (64, 64, 8) if parser.parse_args().small else (256, 256, 80)
    print(f"{datetime.date.today()}  {platform.platform()}  {platform.processor() or platform.machine()}")
    print(f"Python {platform.python_version()}, highdicom {version('highdicom')}, torch {version('torch')}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = fresh_run(folder)
        for number in range(SERIES):
            (folder / "study" / str(number)).mkdir(parents=True)
            volume = np.random.default_rng(number).integers(-1000, 2000, shape).astype(np.int16)
            write_series(folder / "study" / str(number), volume)
        predictor = unpaired.Predictor(run, device="cpu")
        images = [read_volume(series) for series in list_dicom(folder / "study").volumes()]
        predictor.segment(images[0], "ct")
        began = processor_seconds()
        for image in images:
            predictor.segment(image, "ct")
        alone = processor_seconds() - began
        began = processor_seconds()
        unpaired.predict(run.folder, folder / "study", folder / "out", device="cpu")
        whole = processor_seconds() - began
        written = sorted((folder / "out").rglob("*.dcm"))
        size = sum(path.stat().st_size for path in written)
    assert len(written) == SERIES
    print(f"{SERIES} series of {' x '.join(map(str, shape))}, {size / 1e6:.1f} MB of DICOM SEG")
    print(
        f"load {os.getloadavg()[0]:.1f}; the network {alone:.2f} s, all of it {whole:.2f} s: {whole / alone:.2f} times"
    )


if __name__ == "__main__":
    main()
