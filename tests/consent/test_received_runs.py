"""A received run is data: whatever its recipe names, nothing of its sender's runs without consent."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from undrawn import undrawn
from unpaired.cli import main
from unpaired.configs import code_of, from_json, to_json
from unpaired.consent.modules import ConsentError
from unpaired.data.dataset import Dataset
from unpaired.errors import InputError
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.adapt import AdaptedConfig
from unpaired.networks.network import NetworkConfig
from unpaired.recipe import Recipe, build_method
from unpaired.runs.run import Run
from unpaired.runs.versions import git_state
from warm_python import warm_workers

EVIL = """
from pathlib import Path
from os import system
import subprocess
Path(__file__).with_name("MARKER").touch()
from dataclasses import dataclass
from torch import nn
from unpaired.networks.network import NetworkConfig
from unpaired.networks.unet import UNetConfig

@dataclass(frozen=True)
class Config(UNetConfig):
    pass

class Net(nn.Sequential):
    def __init__(self, channels, classes, spatial_dims):
        super().__init__(nn.Conv2d(channels, classes, 1))
"""
NAMES = (
    *(
        "",
        ":",
        "x",
        "x:",
        ":x",
        "x:y:z",
        ".evil:Config",
        "..evil:Config",
        "evil.:Config",
        "evil..x:Config",
        "evil/x:Config",
    ),
    *("evil:Config", "evil:Net", "evil:system", "evil:subprocess.run", "package.evil:Config", "namespace.evil:Net"),
    *("os:system", "builtins:eval", "subprocess:run", "runpy:run_path", "importlib:import_module", "pickle:loads"),
    *("os.system", "posix:system", "importlib.metadata:EntryPoint", "evil:main [extra]", "evil.py:Config", "\x00:x"),
    *("torch:load", "torch.hub:load", "numpy:load", "monai.bundle:run", "monai.networks:one_hot", "monai:config"),
    *("monai.networks.nets:os.system", "monai.networks.nets:hf_hub_download", "monai.networks.nets.resnet:resnet50"),
    *("monai.networks.nets:HoVerNet", "monai.networks.nets:TorchVisionFCModel", "monai.networks.nets:SEResNet50"),
    *(
        "monai.networks.nets.evil:Net",
        "monai.networks.netsevil:Net",
        "dynamic_network_architectures.architectures.x:Net",
    ),
    *("unpaired:cli", "unpaired.cli:main", "unpaired.runs.versions:git_state", "unpaired.runs.run:Run"),
    *("unpaired.networks.adapt:copy.deepcopy", "unpaired.networks.evil:Config", "unpaired.networks.adapt.os:system"),
    *(
        "unpaired.recipe:Path",
        "unpaired.data.images:Image",
        "unpaired.networks.network:NetworkConfig",
        "unpaired_evil:Net",
    ),
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder full of traps, with the settings of a person who trusts nothing."""
    for place in ("", "package", "namespace", "unpaired", "unpaired/networks", "monai/networks/nets", "received"):
        folder = tmp_path / "here" / place
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "evil.py").write_text(EVIL, encoding="utf-8")
    for init in ("package", "monai", "monai/networks", "monai/networks/nets", "unpaired_evil"):
        (tmp_path / "here" / init).mkdir(exist_ok=True)
        (tmp_path / "here" / init / "__init__.py").write_text(EVIL, encoding="utf-8")
    monkeypatch.setenv("UNPAIRED_SETTINGS", str(tmp_path / "settings"))
    monkeypatch.chdir(tmp_path / "here")
    paths, hooks = list(sys.path), list(sys.path_hooks)
    yield tmp_path / "here"
    for module in [name for name in sys.modules if "evil" in name.split(".")]:
        del sys.modules[module]
    sys.path[:], sys.path_hooks[:] = paths, hooks


def recipe(**changes: Any) -> Recipe:
    return replace(Recipe(AdaptedConfig("evil:Net"), SupervisedConfig(), patch_size=(16, 16), steps=1), **changes)


def stored_run(folder: Path, dataset: Dataset, network: dict[str, Any]) -> Path:
    """A run folder whose recipe has this network."""
    run = Run.create(folder, recipe(), dataset)
    document = json.loads((folder / "recipe.json").read_text(encoding="utf-8")) | {"network": network}
    (folder / "recipe.json").write_text(json.dumps(document), encoding="utf-8")
    return run.folder


def as_factory(name: str, marker: Path | str = "ran") -> dict[str, Any]:
    """A network that calls `name` with arguments of the sender's choice and none of ours."""
    return to_json(AdaptedConfig(name)) | {
        "arguments": {"command": f"touch {marker}", "source": "1", "name": "evil", "path_name": "evil.py"},
        "keywords": {"channels": "", "classes": "", "spatial_dims": ""},
    }


def markers(folder: Path) -> list[Path]:
    return [*folder.rglob("MARKER"), *folder.rglob("ran")]


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_no_name_runs_anything(name: str, here: Path) -> None:
    """Neither as a class nor as a factory, nor deeper inside; and one line says so."""
    whole = to_json(recipe())
    inner = {"type": "unpaired.networks.independent:IndependentNetworksConfig", "network": {"type": name}}
    for network in ({"type": name}, as_factory(name), inner):
        with pytest.raises(InputError) as caught:
            from_json(whole | {"network": network})
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError):
        from_json({"type": name})
    assert not markers(here)
    assert not [module for module in sys.modules if module.rpartition(".")[2] == "evil"]


@pytest.mark.parametrize("type_", [None, 3, ["os:system"], {"type": "os:system"}, True], ids=repr)
def test_a_type_that_is_no_text_is_one_line(type_: Any) -> None:
    with pytest.raises(InputError, match=r"recipe.network.type: expected \"module:Class\""):
        from_json(to_json(recipe()) | {"network": {"type": type_}})


def test_arguments_of_a_network_stay_what_they_are(here: Path) -> None:
    """A "type" among them is a word for the network, not a class to build."""
    arguments = {"act": {"type": "evil:Config"}, "norm": ["batch", {"type": "os:system"}]}
    stored = to_json(AdaptedConfig("monai.networks.nets:BasicUNet")) | {"arguments": arguments}
    pytest.importorskip("monai")
    assert from_json(stored).arguments == arguments | {"norm": ("batch", {"type": "os:system"})}


@pytest.mark.parametrize(
    "command",
    [
        ["predict", "RUN", "IMAGE", "out.nii.gz", "--modality", "ct", "--device", "cpu"],
        ["features", "RUN", "--device", "cpu"],
        ["partners", "RUN", "DATA", "out", "--device", "cpu"],
        ["misalignment", "RUN", "--device", "cpu"],
    ],
    ids=lambda command: command[0],
)
def test_every_command_that_would_use_the_code_asks_first(
    command: list[str],
    here: Path,
    phantom: Dataset,
    manifest: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    warm_workers(monkeypatch)
    for name, here_or_there in (("os:system", []), ("evil:Net", ["--no-worker"] if command[0] == "predict" else [])):
        run = stored_run(here / "received" / name.partition(":")[0], phantom, as_factory(name))
        words = {"RUN": str(run), "IMAGE": str(phantom.cases[0].image), "DATA": str(manifest)}
        assert main([*(words.get(word, word) for word in command), *here_or_there]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1
        assert f"the module {name.partition(':')[0]!r}" in lines[0]
        assert "--trust evil" in lines[0] or "Python's own" in lines[0]
    assert not markers(here)


def test_a_class_beside_the_data_is_not_imported(here: Path, phantom: Dataset) -> None:
    run = stored_run(here / "received" / "run", phantom, {"type": "received.evil:Config"})
    (run / "evil.py").write_text(EVIL, encoding="utf-8")
    with pytest.raises(ConsentError, match=r"'received\.evil'"):
        Run.open(run)
    os.chdir(run)
    with pytest.raises(ConsentError, match=r"'evil' \(here .*run/evil\.py\)"):
        from_json(to_json(recipe()), str(run / "recipe.json"))
    assert not markers(here)


def test_scores_and_pages_need_no_code(here: Path, phantom: Dataset) -> None:
    case = phantom.of("ct", "test")[0]
    few = replace(phantom, cases=(*phantom.of("ct", "train"), case))
    run = stored_run(here / "received" / "run", few, {"type": "received.evil:Config"})
    (run / "predictions").mkdir()
    assert case.label is not None
    shutil.copy(case.label, run / "predictions" / f"{case.id}.nii.gz")
    assert main(["evaluate", str(run / "predictions"), str(run / "dataset.json"), "--split", "test"]) == 0
    with undrawn():
        assert main(["report", str(run), "--viewer-mb", "0"]) == 0
        assert main(["compare", str(run), f"again={run}"]) == 0
    assert "received.evil:Config" in (run / "report.html").read_text(encoding="utf-8"), "named, but as a word"
    assert not markers(here)


def test_training_begins_with_a_received_runs_weights_and_not_with_its_code(here: Path, phantom: Dataset) -> None:
    run = stored_run(here / "received" / "run", phantom, as_factory("os:system"))
    begun = Run(run)
    assert begun.weights("best") == run / "weights_best.safetensors"
    with pytest.raises(InputError):
        _ = begun.recipe
    assert not markers(here)


def test_a_run_of_ones_own_says_what_it_needs(phantom: Dataset, here: Path) -> None:
    """The same process that made a run goes on with it; another one says so."""
    made = recipe()
    assert code_of(made) == ("evil",)
    assert code_of(replace(made, network=AdaptedConfig("monai.networks.nets:UNet"))) == ("monai.networks.nets",)
    run = Run.create(here / "run", made, phantom)
    assert run.recipe == made
    assert Run.create(here / "run", made, phantom).trust == ("evil",)
    with pytest.raises(InputError, match="is a run of another recipe"):
        Run.create(here / "run", replace(made, network=AdaptedConfig("monai.networks.nets:UNet")), phantom)


def test_networks_of_known_libraries_need_no_word() -> None:
    pytest.importorskip("monai")
    made = AdaptedConfig("monai.networks.nets:BasicUNet", arguments={"features": [4, 4, 4, 4, 4, 4]})
    again = from_json(json.loads(json.dumps(to_json(recipe(network=made)))))
    assert isinstance(build_method(replace(again, patch_size=(32, 32)), ("ct", "mr"), 3).network, object)
    assert isinstance(again.network, NetworkConfig)


def test_a_library_that_only_lies_here_is_no_library(here: Path) -> None:
    """As with `python -m`, where the working folder comes first on the path."""
    code = (
        "from unpaired.consent.factories import require_factory\n"
        "require_factory('monai.networks.nets:Net', 'recipe.network.factory')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "ConsentError: recipe.network.factory names code outside unpaired" in done.stderr
    assert str(here / "monai") in done.stderr
    assert not markers(here)


@pytest.mark.skipif(sys.platform == "win32", reason="the trap is a shell script")
@pytest.mark.parametrize("trap", ["core.fsmonitor", "filter.x.clean", "post-index-change"])
def test_a_received_repository_is_not_asked_to_run_anything(trap: str, here: Path) -> None:
    def git(*words: str) -> None:
        subprocess.run(["git", "-c", "user.name=x", "-c", "user.email=x@y", *words], check=True, capture_output=True)

    git("init", "-q")
    (here / "file.txt").write_text("one", encoding="utf-8")
    (here / ".gitattributes").write_text("*.txt filter=x\n", encoding="utf-8")
    git("add", "file.txt", ".gitattributes")
    git("commit", "-qm", "first")
    program = here / "program.sh"
    program.write_text(f"#!/bin/sh\ntouch {here}/ran\ncat\n", encoding="utf-8")
    program.chmod(0o755)
    if trap == "post-index-change":
        shutil.copy(program, here / ".git" / "hooks" / trap)
    else:
        git("config", trap, str(program))
        (here / "file.txt").write_text("two", encoding="utf-8")
    os.utime(here / "file.txt", (1, 1))
    state = git_state()
    assert state is not None
    assert len(state["commit"]) == 40
    assert state["changed"] is (None if trap == "filter.x.clean" else True)
    assert not (here / "ran").exists()
    subprocess.run(["git", "status", "--porcelain"], check=True, capture_output=True)
    assert (here / "ran").exists(), "the trap works"
