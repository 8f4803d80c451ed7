"""A run leaves the package: its graphs say what torch says, its script segments without torch and without unpaired."""

import json
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import torch

import unpaired
from export.runs import RECIPE, fresh_run
from unpaired.cli import main
from unpaired.data.dataset import Dataset
from unpaired.data.images import Image, read_image, write_image
from unpaired.data.preprocess import Preprocessing
from unpaired.errors import InputError
from unpaired.export import export
from unpaired.export.export import export_run
from unpaired.export.formats import PACKAGES
from unpaired.inference.ensemble import Ensemble
from unpaired.inference.predictor import Predictor
from unpaired.runs.run import Run

BLOCKED = """
import runpy, sys
for name in ("torch", "unpaired", "scipy", "SimpleITK"):
    sys.modules[name] = None
sys.path.insert(0, sys.argv[1])
sys.argv = [sys.argv[1] + "/predict.py", *sys.argv[2:]]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def needs(format: str) -> None:
    for package in PACKAGES[format]:
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed (extras onnx, openvino)")


@pytest.fixture(scope="module")
def run(phantom: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return fresh_run(tmp_path_factory.mktemp("runs") / "run", phantom)


@pytest.fixture(scope="module")
def folder(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ONNX export, by the command."""
    needs("onnx")
    out = tmp_path_factory.mktemp("exports") / "onnx"
    assert main(["export", str(run.folder), str(out), "--modalities", "ct", "lge"]) == 0
    return out


def predict(folder: Path, *arguments: object) -> "subprocess.CompletedProcess[str]":
    """The exported script in a Python that has neither torch nor unpaired, nor anything else but what it names."""
    command = [sys.executable, "-I", "-B", "-c", BLOCKED, str(folder), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_script_segments_as_unpaired_does(run: Run, phantom: Dataset, folder: Path, tmp_path: Path) -> None:
    """A scan of another storage order and spacing; equal wherever the network isn't of two minds to the last digits."""
    case = phantom.of("ct")[0]
    image = read_image(case.image)
    turned = np.diag([1.0, -1, 1, 1])[:, [1, 0, 2, 3]]
    turned[1, 3] = image.array.shape[1] - 1
    scan = tmp_path / "scans" / "scan.nii.gz"
    write_image(scan, image.array.transpose(1, 0, 2)[:, ::-1], image.affine @ np.diag([1, 1.1, 1, 1]) @ turned)
    (scan.parent / "broken.nii").write_bytes(b"no scan")
    done = predict(folder, scan.parent, tmp_path / "out", "--modality", "ct")
    assert done.returncode == 1, done.stderr
    assert "broken.nii: failed" in done.stderr
    found = read_image(tmp_path / "out" / "scan.nii.gz")
    assert_same_labels(Predictor(run, device="cpu"), read_image(scan), "ct", found)


def assert_same_labels(predictor: Predictor, image: Image, modality: str, found: Image) -> None:
    said = Ensemble([predictor]).segment_case(image, modality)
    first, second = np.sort(np.stack(list(said.probabilities())), axis=0)[::-1][:2]
    clear = first - second > 1e-3
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(found.array[clear], predictor.source_values(said.label_map, modality)[clear])
    np.testing.assert_allclose(found.affine, image.affine, atol=1e-4)
    assert len(np.unique(found.array)) > 2


def test_the_script_refuses_in_a_line(folder: Path, phantom: Dataset, tmp_path: Path) -> None:
    scan = phantom.of("ct")[0].image
    for arguments, words in (
        ((scan, tmp_path / "out.nii.gz", "--modality", "pet"), "modality 'pet' is not known; known: ct, lge"),
        ((tmp_path, tmp_path / "out", "--modality", "ct"), "found no .nii or .nii.gz file"),
        ((scan, scan, "--modality", "ct"), "would overwrite the image"),
    ):
        done = predict(folder, *arguments)
        assert done.returncode == 2
        assert words in done.stderr


def test_what_the_folder_holds(run: Run, folder: Path) -> None:
    """One modality's weights in each graph; no path of this machine, no pickle; facts without the scans' names."""
    names = {
        "ct.onnx",
        "lge.onnx",
        "model.json",
        "README.txt",
        "predict.py",
        "pipeline.py",
        "components.py",
        "probabilities.py",
        "turns.py",
    }
    assert {path.name for path in folder.iterdir()} == names
    facts = json.loads((folder / "model.json").read_text())
    assert facts["modalities"]["ct"]["label_values"] == run.dataset.source_values("ct")
    assert (facts["largest_component"], facts["patch_size"]) == ([[1], [2]], [32, 32])
    for file in folder.iterdir():
        content = file.read_bytes()
        assert str(Path(unpaired.__file__).parent).encode() not in content
        assert str(Path(torch.__file__).parent).encode() not in content
        assert file.suffix in (".py", ".txt") or run.dataset.cases[0].id.encode() not in content
    import onnx

    model = onnx.load(folder / "ct.onnx")
    onnx.checker.check_model(model, full_check=True)
    stored = sum(int(np.prod(tensor.dims)) for tensor in model.graph.initializer)
    alone = fresh_weights(run)
    assert 0.9 * alone < stored <= alone, "equal tensors, such as fresh norms, are stored once"


def fresh_weights(run: Run) -> int:
    """How many weights the network has if it is built for one modality."""
    network = run.recipe.network.build(["ct"], run.recipe.channels, len(run.dataset.classes), 2)
    return sum(parameter.numel() for parameter in network.parameters())


def test_torch_program(run: Run, tmp_path: Path) -> None:
    exported = export_run(run, tmp_path / "out", "torch", modalities=["ct"], any_size=True)
    file = exported.graphs["ct"]
    images = torch.randn(1, 3, 64, 48, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        said = torch.export.load(file).module()(images)
        torch.testing.assert_close(said, run.load_method().predict(images, "ct"), atol=1e-5, rtol=1e-4)
    with ZipFile(file) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    assert not [name for name, content in contents.items() if b"archive/data.pkl" in content or content[:1] == b"\x80"]
    assert not [name for name, content in contents.items() if str(Path(unpaired.__file__).parent).encode() in content]


def test_openvino(run: Run, tmp_path: Path) -> None:
    needs("openvino")
    import openvino

    exported = export_run(run, tmp_path / "out", "openvino", modalities=["bssfp"])
    images = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    model = openvino.Core().compile_model(exported.graphs["bssfp"], "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    with torch.no_grad():
        np.testing.assert_allclose(model(images.numpy())[0], run.load_method().predict(images, "bssfp"), atol=1e-4)


BUNDLE = """
import sys, warnings
warnings.simplefilter("ignore")
sys.modules["unpaired"] = None
sys.path.insert(0, sys.argv[1])
from monai.bundle import ConfigParser
parser = ConfigParser()
parser.read_config(sys.argv[1] + "/configs/inference.json")
parser.read_meta(sys.argv[1] + "/configs/metadata.json")
parser.update({"bundle_root": sys.argv[1], "modality": "lge", "images": [sys.argv[2]], "output_dir": sys.argv[3]})
parser.parse()
parser.get_parsed_content("network_def").eval()
parser.get_parsed_content("run")
"""


@pytest.mark.slow
def test_monai_bundle(run: Run, phantom: Dataset, tmp_path: Path) -> None:
    """MONAI builds the configs' pieces and writes the label map, without unpaired."""
    if find_spec("monai") is None:  # importing it takes seconds, and is the other process's part
        pytest.skip("MONAI is not installed (extra dev)")
    scan = phantom.of("lge")[0].image
    exported = export_run(run, tmp_path / "bundle", "monai-bundle", modalities=["lge"])
    assert exported.graphs == {"lge": tmp_path / "bundle" / "models" / "lge.pt2"}
    places = [str(tmp_path / "bundle"), str(scan), str(tmp_path / "eval")]
    done = subprocess.run([sys.executable, "-I", "-B", "-c", BUNDLE, *places], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    image, found = read_image(scan), read_image(tmp_path / "eval" / scan.name)
    assert_same_labels(Predictor(run, device="cpu"), image, "lge", found)


def test_what_cannot_be_exported_is_refused_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, run: Run, phantom: Dataset, tmp_path: Path
) -> None:
    recipe = replace(RECIPE, preprocessing=Preprocessing(roi="label"))
    leaking = fresh_run(tmp_path / "leaking", phantom, recipe)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="is there already; name a new folder"):
        export_run(run, tmp_path / "full", "torch", modalities=["ct"])
    with pytest.raises(InputError, match="has no modality 'pet'; it knows ct, bssfp, lge"):
        export_run(run, tmp_path / "new", "torch", modalities=["pet"])
    with pytest.raises(InputError, match="crops around the reference"):
        export_run(leaking, tmp_path / "new", "torch")
    monkeypatch.setattr(export, "write_graph", lambda format, program, path: lambda images: images)
    with pytest.raises(InputError, match=r"the torch graph of ct is not the network: its logits have the shape"):
        export_run(run, tmp_path / "new", "torch", modalities=["ct"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "leaking"]
    monkeypatch.setattr("unpaired.inference.backends.packages.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"export to openvino needs the package onnx, .*'unpaired\[onnx,openvino\]'"):
        export_run(run, tmp_path / "new", "openvino")
