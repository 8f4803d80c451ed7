"""Another program in torch's place: the same logits and labels, or torch with a line that says why."""

import os
from collections.abc import Callable
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
from unpaired.inference.backends import kept, segmenter
from unpaired.inference.backends.engines import PACKAGES, Backend, require_backend
from unpaired.inference.backends.packages import require_packages
from unpaired.inference.backends.segmenter import BackendSegmenter, disagreement
from unpaired.inference.jobs import plan
from unpaired.inference.predict_files import predict_files
from unpaired.inference.predictor import Predictor
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.one_modality import one_modality
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


def with_engine(
    monkeypatch: pytest.MonkeyPatch,
    run: Run,
    engine: object,
    backend: Backend = "onnxruntime",
    precision: str = "float32",
) -> tuple[BackendSegmenter, list[str]]:
    """A backend that opens to `engine`; no graph is made."""
    monkeypatch.setattr(segmenter, "require_backend", lambda name, precision: None)
    monkeypatch.setattr(segmenter, "graph_place", lambda *arguments: Path("none"))
    monkeypatch.setattr(segmenter, "keep_graph", lambda *arguments: None)
    monkeypatch.setattr(segmenter, "trace", lambda *arguments: None)
    monkeypatch.setattr(segmenter, "onnx_graph", lambda program: Bytes())
    monkeypatch.setattr(segmenter, "open_engine", lambda *arguments, **options: engine)
    lines: list[str] = []
    return BackendSegmenter(run.load_method(), backend, (32, 32), lines.append, precision), lines


class Bytes:
    content = b""

    def SerializeToString(self) -> bytes:  # noqa: N802 (onnx's name)
        return self.content


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


def in_less(run: Run, off: float) -> Callable[[np.ndarray], np.ndarray]:
    """An engine whose logits are torch's, but for a share of the largest of them."""

    def engine(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            logits = run.load_method().predict(torch.from_numpy(images), "ct").numpy()
        return logits + np.float32(off * max(1.0, np.abs(logits).max()))

    return engine


@pytest.mark.parametrize(("off", "taken"), [(0.05, True), (0.2, False)])
def test_bfloat16_has_a_bound_of_its_own(monkeypatch: pytest.MonkeyPatch, run: Run, off: float, taken: bool) -> None:
    monkeypatch.setattr(segmenter, "has_bfloat16", lambda device: True)
    images = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for precision in ("bf16", "float32"):
        other, lines = with_engine(monkeypatch, run, in_less(run, off), "openvino", precision)
        with torch.inference_mode():
            other.predict(images, "ct")
        expected = taken and precision == "bf16"
        assert (other.used("ct"), other.chosen_precision("ct")) == (
            ("openvino", "bf16") if expected else ("torch", "float32")
        )
        assert ("its logits are up to" in "".join(lines)) == (not expected)


def test_windows_without_finite_logits_are_computed_by_torch(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setattr(segmenter, "has_bfloat16", lambda device: True)
    plain = in_less(run, 0.0)
    other, lines = with_engine(
        monkeypatch, run, lambda images: plain(images) * (np.nan if images.max() > 90 else 1), "openvino", "bf16"
    )
    images = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        other.predict(images, "ct")
        bright = images + 100
        torch.testing.assert_close(other.predict(bright, "ct"), run.load_method().predict(bright, "ct"))
    assert lines == ["precision bf16: some windows had no finite logits, they are computed in float32"]


def test_a_processor_without_bfloat16_goes_on_in_float32(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setattr(segmenter, "has_bfloat16", lambda device: False)
    other, lines = with_engine(monkeypatch, run, broken, "openvino", "bf16")
    assert (other.precision, lines) == ("float32", ["precision bf16: this processor has no bfloat16, float32 goes on"])
    with pytest.raises(InputError, match="backend onnxruntime computes in float32; precision bf16 is for torch and"):
        require_backend("onnxruntime", "bf16")


def test_a_graph_is_made_once_and_again_if_the_kept_one_says_something_else(
    monkeypatch: pytest.MonkeyPatch, run: Run, tmp_path: Path
) -> None:
    """A graph is four bytes here, and an engine opens b"good" alone."""
    place = tmp_path / "graphs" / "a.onnx"
    images = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    made: list[str] = []

    def again() -> tuple[BackendSegmenter, list[str]]:
        other, lines = with_engine(monkeypatch, run, None)
        monkeypatch.setattr(segmenter, "graph_place", lambda *arguments: place)
        monkeypatch.setattr(segmenter, "keep_graph", kept.keep_graph)
        monkeypatch.setattr(segmenter, "trace", lambda *arguments: made.append("graph"))
        monkeypatch.setattr(Bytes, "content", b"good")
        right, wrong = in_less(run, 0.0), in_less(run, 1.0)
        monkeypatch.setattr(
            segmenter, "open_engine", lambda name, model, *rest, **options: right if model == b"good" else wrong
        )
        with torch.inference_mode():
            other.predict(images, "ct")
        return other, lines

    for content, times in ((None, 1), (None, 1), (b"evil", 2), (None, 2)):
        if content is not None:
            place.write_bytes(content)
        other, lines = again()
        assert (other.used("ct"), lines, len(made)) == ("onnxruntime", [], times)
        assert place.read_bytes() == b"good"


def test_a_graph_is_kept_by_weights_modality_and_window(run: Run) -> None:
    pytest.importorskip("onnxscript")
    network = run.load_method().network
    places = {
        kept.graph_place(one_modality(network, modality), size, 3)
        for modality in ("ct", "lge")
        for size in ((32, 32), (48, 32))
    }
    assert len(places) == 4
    assert kept.graph_place(one_modality(network, "ct"), (32, 32), 3) in places
    with torch.no_grad():
        next(network.parameters()).add_(1e-3)
    assert kept.graph_place(one_modality(network, "ct"), (32, 32), 3) not in places


def test_what_was_not_used_for_long_makes_room(tmp_path: Path) -> None:
    for age, name in enumerate("abc"):
        (tmp_path / name).write_bytes(b"1234")
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    kept.keep_newest(tmp_path, most=8)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a", "b"]
    assert kept.kept_graph(tmp_path / "b") == b"1234"
    assert kept.kept_graph(tmp_path / "c") is None
    kept.keep_newest(tmp_path, most=4)
    assert [file.name for file in tmp_path.iterdir()] == ["b"], "it was used a moment ago"


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
