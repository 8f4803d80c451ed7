"""Two runs on the tiny phantom that were never trained, so that nothing has to wait: weights of two seeds."""

from dataclasses import replace
from pathlib import Path

import pytest

from small_network import LAYERS, SMALL
from unpaired.data.dataset import Dataset
from unpaired.inference.jobs import plan
from unpaired.inference.predict_files import predict_files
from unpaired.inference.predictor import Predictor
from unpaired.methods.class_specific_affinity import CSAConfig
from unpaired.methods.supervised import SupervisedConfig
from unpaired.recipe import Recipe, build_method
from unpaired.runs.run import Run

RECIPE = Recipe(SMALL, SupervisedConfig(), (32, 32), steps=1, modalities=("ct", "lge"), window_overlap=0.0)


def make_run(folder: Path, recipe: Recipe, dataset: Dataset, seed: int) -> Run:
    """A run that ended with the weights another seed would have begun with."""
    run = Run.create(folder, recipe, dataset)
    run.save_weights(build_method(replace(recipe, seed=seed), run.modalities, len(dataset.classes)).network, "best")
    return run


@pytest.fixture(scope="session")
def phantom(thin_phantom: Dataset) -> Dataset:
    return thin_phantom


@pytest.fixture(scope="session")
def runs(phantom: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """ "msbn" and "csa" with predictions of the test cases."""
    folder = tmp_path_factory.mktemp("runs")
    csa = replace(RECIPE, method=CSAConfig(layer_pairs=(LAYERS,)))
    found = {
        "msbn": make_run(folder / "msbn", RECIPE, phantom, 1),
        "csa": make_run(folder / "csa", csa, phantom, 2),
    }
    for run in found.values():
        predict_files(
            Predictor(run, device="cpu"),
            [job for job in plan(phantom, run.predictions, split="test") if job.modality in run.modalities],
        )
    return found
