"""Model files over the Hugging Face Hub's own client, against a stand-in of the Hub on this machine."""

import errno
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import unpaired
from export.hub_server import Hub, hub_server
from training.tiny_runs import tiny
from unpaired.cli import main
from unpaired.data.dataset import Dataset
from unpaired.data.images import read_image
from unpaired.errors import InputError, UnwritableError
from unpaired.recipe import build_method
from unpaired.runs.hub import HubAddress, is_hub_address, pull
from unpaired.runs.run import Run

pytest.importorskip("huggingface_hub")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("UNPAIRED_CACHE", str(tmp_path / "cache"))
    with hub_server() as serving:
        monkeypatch.setenv("HF_ENDPOINT", serving.url)
        yield serving


@pytest.fixture(scope="module")
def run(phantom: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    recipe = tiny()
    made = Run.create(tmp_path_factory.mktemp("runs") / "run", recipe, phantom)
    made.save_weights(build_method(recipe, made.modalities, len(phantom.classes)).network, "best")
    return made


@pytest.fixture
def model(run: Run, tmp_path: Path) -> Path:
    return unpaired.pack(run, tmp_path / "heart.unpaired", licence="CC BY 4.0").path


def test_what_was_pushed_predicts_where_it_is_pulled(
    hub: Hub, run: Run, model: Path, phantom: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["push", str(model), "someone/hearts"]) == 0
    printed = capsys.readouterr().out.splitlines()
    commit = hub.commit("someone/hearts")
    assert printed == [
        f"pushed to {hub.url}/someone/hearts",
        f"next: unpaired predict hf://someone/hearts@{commit}/heart.unpaired scan.nii.gz out.nii.gz",
    ]
    files = hub.files["someone/hearts"]
    assert files["heart.unpaired"] == model.read_bytes()
    card = files["README.md"].decode()
    assert card.startswith("---\nlibrary_name: unpaired\npipeline_tag: image-segmentation\ntags:\n")
    assert "\n- 'lge'\n---\n\n# LV, " in card
    assert "Licence: CC BY 4.0" in card
    assert hub.private["someone/hearts"]
    scan = read_image(phantom.of("ct")[0].image)
    expected = unpaired.Predictor(run, device="cpu").segment(scan, "ct")
    for address in ("hf://someone/hearts", f"hf://someone/hearts@{commit}/heart.unpaired"):
        np.testing.assert_array_equal(unpaired.Predictor(address, device="cpu").segment(scan, "ct"), expected)
    out = tmp_path / "out.nii.gz"
    image = str(phantom.of("ct")[0].image)
    arguments = ["predict", "hf://someone/hearts", image, str(out), "--modality", "ct", "--device", "cpu"]
    assert main([*arguments, "--no-worker"]) == 0
    assert out.is_file()


def test_a_file_that_is_there_is_not_fetched_again(hub: Hub, model: Path) -> None:
    unpaired.push(model, "someone/hearts")
    first = pull("hf://someone/hearts")
    hub.asked.clear()
    assert pull("hf://someone/hearts") == first
    assert not [line for line in hub.asked if line.startswith("GET") and "resolve" in line]


def test_a_model_card_that_is_there_is_left_alone(hub: Hub, model: Path) -> None:
    hub.files["someone/hearts"] = {"README.md": b"mine"}
    pushed = unpaired.push(model, "hf://someone/hearts", public=True)
    assert not pushed.card_written
    assert hub.files["someone/hearts"]["README.md"] == b"mine"
    assert unpaired.push(model, "someone/other", public=True).card_written
    assert not hub.private["someone/other"]


def test_what_comes_from_the_hub_is_opened_as_any_file_from_others(hub: Hub, model: Path) -> None:
    for other in (b"Licence: CC BY 9.9", b"Licence: anything"):  # of another length nothing is where it should be
        changed = model.read_bytes().replace(b"Licence: CC BY 4.0", other)
        assert changed != model.read_bytes()
        hub.files["someone/hearts"] = {"heart.unpaired": changed}
        with pytest.raises(InputError, match="it is damaged, or no model file"):
            unpaired.Predictor("hf://someone/hearts", device="cpu")


def test_what_the_hub_refuses_is_one_line(hub: Hub, model: Path, tmp_path: Path) -> None:
    hub.files |= {"a/none": {}, "a/two": {"x.unpaired": b"", "y.unpaired": b""}}
    for address, message in (
        ("hf://a/none", r"holds no model file; name one: hf://a/none/NAME.unpaired"),
        ("hf://a/two", r"holds 2 model files \(x.unpaired, y.unpaired\); name one"),
        ("hf://a/nowhere", r"hf://a/nowhere: .*404.*; check the name, `hf auth login`, and the network"),
        ("hf://a/two/z.unpaired", r"hf://a/two/z.unpaired: .*404.*; check the name"),
        ("hf://a/two/run.py", r"expected hf://owner/name, .* got 'hf://a/two/run.py'"),
        ("hf://a", r"expected hf://owner/name, .* got 'hf://a'"),
        (Path("hf://a/none"), "holds no model file"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            pull(address)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="expected a model file"):
        unpaired.push(tmp_path, "a/b")
    for name in ("b", "a/b/c.unpaired", "a/b@v1"):
        with pytest.raises(InputError, match="expected"):
            unpaired.push(model, name)


def test_without_a_network_and_without_the_library(
    hub: Hub, model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # between the tries of the library
    with pytest.raises(InputError, match="check the name, `hf auth login`, and the network"):
        pull("hf://a/hearts/heart.unpaired")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"not installed: pip install 'unpaired\[hub\]'"):
        unpaired.push(model, "a/b")


def test_a_cache_that_cant_be_written_is_named(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.files["a/hearts"] = {"heart.unpaired": b"a model"}
    cache = tmp_path / "cache" / "hub"
    (tmp_path / "cache").write_text("a file")
    advice = r"name another folder for the cache \(the variable UNPAIRED_CACHE\)$"
    with pytest.raises(UnwritableError, match=f"^can't write {cache}: .*; {tmp_path / 'cache'} is a file .*; {advice}"):
        pull("hf://a/hearts")
    (tmp_path / "cache").unlink()

    def full(*_: object, **__: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("huggingface_hub.HfApi.hf_hub_download", full)
    with pytest.raises(UnwritableError, match=f"^can't write {cache}: No space .*; free some space or {advice}"):
        pull("hf://a/hearts")


def test_addresses() -> None:
    assert HubAddress.parse("hf:/a/b@v1/c/d.unpaired") == HubAddress("a/b", "v1", "c/d.unpaired")
    assert str(HubAddress.parse("hf://a/b@v1/d.unpaired")) == "hf://a/b@v1/d.unpaired"
    assert is_hub_address(Path("hf://a/b"))
    assert not is_hub_address("hf/a.unpaired")
