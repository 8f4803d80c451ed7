"""Another program in torch's place: the same logits and labels, or torch with a line that says why."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from unpaired.cli import main
from unpaired.data.dataset import Dataset
from unpaired.data.images import read_image
from unpaired.data.prediction_record import read_record
from unpaired.data.preprocess import Preprocessing
from unpaired.errors import InputError
from unpaired.inference.backends import segmenter
from unpaired.inference.backends.engines import PACKAGES, Backend
from unpaired.inference.backends.packages import require_packages
from unpaired.inference.backends.segmenter import BackendSegmenter, disagreement
from unpaired.inference.jobs import plan
from unpaired.inference.predict import predict_files
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
    patch_size=(32, 32),
)
NAMES = tuple(name for name in get_args(Backend) if name != "torch")


def needs(backend: str) -> None:
    for package in PACKAGES[backend]:
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed (extras onnx, openvino)")


@pytest.fixture(scope="module")
def run(phantom: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run.create(tmp_path_factory.mktemp("runs") / "run", RECIPE, phantom)
    run.save_weights(build_method(RECIPE, run.modalities, len(phantom.classes)).network, "best")
    return run


@pytest.mark.parametrize("backend", NAMES)
def test_a_backend_says_what_torch_says(run: Run, phantom: Dataset, tmp_path: Path, backend: Backend) -> None:
    needs(backend)
    lines: list[str] = []
    other = Predictor(run, backend=backend, report=lines.append)
    case = phantom.of("ct")[0]
    image = read_image(case.image)
    expected, _ = Predictor(run, device="cpu").probabilities(image, "ct")
    found, _ = other.probabilities(image, "ct")
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert lines == []
    assert expected.std() > 0.01
    assert (other.backend("ct"), other.backend("lge")) == (backend, "torch"), "lge has not been segmented yet"
    jobs = plan(case.image, tmp_path, "ct")
    assert predict_files(other, jobs).failures == []
    record = read_record(jobs[0].output)
    assert record is not None
    assert record.runs[0]["backend"] == backend


def with_engine(monkeypatch: pytest.MonkeyPatch, run: Run, engine: object) -> tuple[BackendSegmenter, list[str]]:
    """A backend that opens to `engine`; no graph is made."""
    monkeypatch.setattr(segmenter, "require_backend", lambda name: None)
    monkeypatch.setattr(segmenter, "trace", lambda *arguments: None)
    monkeypatch.setattr(segmenter, "onnx_graph", lambda program: Bytes())
    monkeypatch.setattr(segmenter, "open_engine", lambda name, model: engine)
    lines: list[str] = []
    return BackendSegmenter(run.load_method(), "onnxruntime", (32, 32), lines.append), lines


class Bytes:
    def SerializeToString(self) -> bytes:  # noqa: N802 (onnx's name)
        return b""


def broken(images: np.ndarray) -> np.ndarray:
    raise RuntimeError("no kernel\nfor this")


@pytest.mark.parametrize(
    ("engine", "words"),
    [
        (broken, "RuntimeError: no kernel for this"),
        (lambda images: np.zeros((1, 6, 32, 32), np.float32), "its logits are up to"),
        (lambda images: np.zeros((1, 4, 8, 8), np.float32), r"its logits have the shape (1, 4, 8, 8)"),
    ],
)
def test_torch_goes_on_where_a_backend_fails(
    monkeypatch: pytest.MonkeyPatch, run: Run, engine: object, words: str
) -> None:
    other, lines = with_engine(monkeypatch, run, engine)
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for _ in range(2):
        with torch.inference_mode():
            torch.testing.assert_close(other.predict(images, "ct"), run.load_method().predict(images, "ct"))
    (line,) = lines
    assert line.startswith("onnxruntime can't be used for ct, torch goes on: ")
    assert words in line
    assert "\n" not in line
    assert other.used("ct") == "torch"


def test_every_image_goes_through_the_engine_and_partners_through_torch(
    monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    method, seen = run.load_method(), []

    def engine(images: np.ndarray) -> np.ndarray:
        seen.append(images.shape)
        with torch.inference_mode():
            return method.predict(torch.from_numpy(images), "ct").numpy()

    other, lines = with_engine(monkeypatch, run, engine)
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(other.predict(images, "ct"), method.predict(images, "ct"))
        assert (seen, lines, other.used("ct")) == ([(1, 3, 32, 32)] * 4, [], "onnxruntime")
        other.predict(images, "ct", {"lge": images})
    assert len(seen) == 4


def test_labels_may_differ_in_ties_alone() -> None:
    expected = np.zeros((1, 2, 10, 10), np.float32)
    expected[:, 1] = 1e-4
    assert disagreement(expected, expected) is None
    assert disagreement(expected, expected[:, ::-1]) == "100.0% of its labels are not torch's"
    assert disagreement(expected, expected * np.nan) == "its logits are up to nan from torch's, allowed are 0.002"


def test_what_is_missing_is_said_with_the_command(run: Run) -> None:
    with pytest.raises(InputError, match="computes on the processor, not on 'cuda'"):
        Predictor(run, device="cuda", backend="openvino")
    with pytest.raises(KeyError):
        require_packages("backend x", "no_such_package")


@pytest.mark.parametrize(("backend", "extras"), [("onnxruntime", "onnx"), ("openvino", "onnx,openvino")])
def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, run: Run, backend: Backend, extras: str) -> None:
    monkeypatch.setattr("unpaired.inference.backends.packages.find_spec", lambda name: None)
    with pytest.raises(InputError, match=rf"backend {backend} needs .* pip install 'unpaired\[{extras}\]'"):
        Predictor(run, backend=backend)


def test_the_command_says_when_torch_goes_on(
    monkeypatch: pytest.MonkeyPatch, run: Run, phantom: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_engine(monkeypatch, run, broken)
    image = str(phantom.of("ct")[0].image)
    arguments = ["predict", str(run.folder), image, str(tmp_path), "--modality", "ct", "--backend", "onnxruntime"]
    assert main([*arguments, "--no-worker"]) == 0
    assert "note: onnxruntime can't be used for ct, torch goes on: RuntimeError" in capsys.readouterr().err
