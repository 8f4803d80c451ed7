"""A run with fresh weights whose answers are no constants: what leaves the package does not depend on training."""

from dataclasses import replace
from pathlib import Path

from unpaired.data.dataset import Dataset
from unpaired.data.postprocess import Postprocessing
from unpaired.data.preprocess import Preprocessing
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.unet import UNetConfig
from unpaired.recipe import Recipe, build_method
from unpaired.recipes.phantom import csa
from unpaired.runs.run import Run

RECIPE = replace(
    csa(),
    network=UNetConfig(width=4, widest=8, blocks=(1, 1)),
    method=SupervisedConfig(),
    preprocessing=Preprocessing(plane="axial", spacing_mm=(None, 2.0, 2.0), roi="body", roi_margin_mm=5),
    postprocessing=Postprocessing(("LV", "myo")),
    patch_size=(32, 32),
    turned_degrees=(10.0,),
)


def fresh_run(folder: Path, dataset: Dataset, recipe: Recipe = RECIPE) -> Run:
    """A run of the recipe, untrained."""
    run = Run.create(folder, recipe, dataset)
    run.save_weights(build_method(recipe, run.modalities, len(dataset.classes)).network, "best")
    return run
