"""How far windows overlap, in what precision they are computed and by which engine may be said for a prediction."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from unpaired.cli import main
from unpaired.data.dataset import Dataset
from unpaired.data.images import read_image
from unpaired.data.prediction_record import read_record
from unpaired.data.preprocess import Preprocessing
from unpaired.errors import InputError
from unpaired.inference.cluster import cluster_script
from unpaired.inference.predictor import Predictor
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.unet import UNetConfig
from unpaired.recipe import build_method
from unpaired.recipes.phantom import csa
from unpaired.runs.run import Run

RECIPE = replace(
    csa(),
    network=UNetConfig(width=4, widest=8, blocks=(1, 1)),
    method=SupervisedConfig(),
    preprocessing=Preprocessing(plane="axial"),
    patch_size=(16, 16),
)


@pytest.fixture(scope="module")
def phantom(thin_phantom: Dataset) -> Dataset:
    return thin_phantom


@pytest.fixture(scope="module")
def run(phantom: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run.create(tmp_path_factory.mktemp("runs") / "run", RECIPE, phantom)
    run.save_weights(build_method(RECIPE, run.modalities, len(phantom.classes)).network, "best")
    return run


def test_another_overlap_is_as_if_the_recipe_said_it(run: Run, phantom: Dataset, tmp_path: Path) -> None:
    recipe = replace(RECIPE, window_overlap=0.0)
    other = Run.create(tmp_path / "other", recipe, phantom)
    other.save_weights(run.load_method().network, "best")
    image = read_image(phantom.of("ct")[0].image)
    asked, _ = Predictor(run, device="cpu", overlap=0.0).probabilities(image, "ct")
    expected, _ = Predictor(other, device="cpu").probabilities(image, "ct")
    usual, _ = Predictor(run, device="cpu").probabilities(image, "ct")
    np.testing.assert_array_equal(asked, expected)
    assert np.abs(asked - usual).max() > 1e-3
    with pytest.raises(InputError, match="window_overlap"):
        Predictor(run, device="cpu", overlap=1.0)


def test_the_command_takes_overlap_and_precision_and_the_record_says_them(
    run: Run, phantom: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = str(phantom.of("ct")[0].image)
    arguments = ["predict", str(run.folder), image, str(tmp_path / "a.nii.gz"), "--modality", "ct", "--no-worker"]
    assert main([*arguments, "--overlap", "0.75", "--precision", "bf16", "--engine", "plain"]) == 0
    record = read_record(tmp_path / "a.nii.gz")
    assert record is not None
    assert record.runs[0]["precision"] == "bf16"
    assert main([*arguments, "--overlap", "0.75"]) == 0, "which precision made it is no reason to make it again"
    assert "1 skipped" in capsys.readouterr().out
    assert main(arguments) == 1
    assert "was made in another way (preparation" in capsys.readouterr().err


def test_onnxruntime_computes_float32(run: Run) -> None:
    with pytest.raises(InputError, match="backend onnxruntime computes in float32; precision bf16 is for torch and"):
        Predictor(run, backend="onnxruntime", precision="bf16")


def test_a_slurm_script_says_both(run: Run, phantom: Dataset, tmp_path: Path) -> None:
    folder = phantom.cases[0].image.parent
    script = cluster_script(
        run.folder, folder, tmp_path, tmp_path / "a.sbatch", modality="ct", overlap=0.25, precision="bf16"
    )
    assert "--precision bf16 --overlap 0.25" in script.read_text()
    assert "--precision" not in cluster_script(run.folder, folder, tmp_path, tmp_path / "b.sbatch").read_text()
