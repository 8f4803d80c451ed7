"""Code of somebody's own runs where a person said so: by name, by file, for good; and only as it was then."""

import importlib
import json
import os
import py_compile
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from inspect import signature
from pathlib import Path

import pytest

from unpaired.analyses.plan import read_members
from unpaired.cli import COMMANDS, main
from unpaired.configs import from_json, to_json
from unpaired.consent.factories import find_factory
from unpaired.consent.modules import ConsentError, load_file, trusted_module
from unpaired.consent.settings import all_remembered, remember, settings_folder, trust_file
from unpaired.data.dataset import Dataset
from unpaired.errors import InputError
from unpaired.recipes import find_recipe
from unpaired.runs.run import Run
from warm_python import warm_workers

MINE = """
from dataclasses import dataclass
from pathlib import Path
from os import getcwd
from torch import nn
from unpaired.networks.unet import UNetConfig

WHICH = "mine"

@dataclass(frozen=True)
class MineConfig(UNetConfig):
    more: int = 1

def network(channels: int, classes: int, spatial_dims: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, classes, 1))
"""
RECIPE = """
from dataclasses import replace
from mine_beside import MineConfig
from unpaired.recipe import Recipe
from unpaired.recipes import phantom
from unpaired.networks.adapt import AdaptedConfig

def own_class() -> Recipe:
    small = MineConfig(width=2, widest=4, blocks=(1, 1))
    return replace(phantom.msbn(), network=small, patch_size=(16, 16), batch_size=1, steps=2, window_overlap=0.0)

def own_function() -> Recipe:
    return replace(own_class(), network=AdaptedConfig("mine_beside:network"))
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder, with settings that trust nothing; what is imported from it is forgotten afterwards."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.setenv("UNPAIRED_SETTINGS", str(tmp_path / "settings"))
    monkeypatch.chdir(folder)
    paths, hooks = list(sys.path), list(sys.path_hooks)
    yield folder
    for module in [name for name in sys.modules if name.startswith(("mine", "spread"))]:
        del sys.modules[module]
    sys.path[:], sys.path_hooks[:] = paths, hooks
    importlib.invalidate_caches()


def write(path: Path, text: str = MINE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("word", ["mine", "./mine.py", "name of the file"])
def test_a_module_in_the_working_folder_runs_by_name_or_file(word: str, here: Path) -> None:
    file = write(here / "mine.py")
    with pytest.raises(
        ConsentError, match=rf"the module 'mine' \(here {file}\).* --trust mine .*`unpaired trust mine`"
    ):
        trusted_module("mine", "recipe.json")
    assert trusted_module("mine", "recipe.json", [str(file) if " " in word else word]).WHICH == "mine"
    with pytest.raises(ConsentError):
        trusted_module("mine_too", "recipe.json", [word])


def test_a_name_means_the_installed_module_before_the_working_folder(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "installed" / "mine.py", MINE.replace('"mine"', '"installed"'))
    write(here / "mine.py", MINE.replace('"mine"', '"sent"'))
    monkeypatch.syspath_prepend(str(tmp_path / "installed"))
    assert trusted_module("mine", "recipe.json", ["mine"]).WHICH == "installed"


def test_trust_in_a_package_covers_its_parts_alone(here: Path) -> None:
    write(here / "mine" / "__init__.py", "")
    write(here / "mine" / "inner.py")
    write(here / "mined.py")
    with pytest.raises(ConsentError):
        trusted_module("mine", "recipe.json", ["mine.inner"])
    with pytest.raises(ConsentError):
        trusted_module("mined", "recipe.json", ["mine"])
    assert trusted_module("mine.inner", "recipe.json", ["mine"]).WHICH == "mine"


def test_a_folder_without_code_of_its_own_is_trusted_part_by_part(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any folder on the path may add parts to a namespace package, the working folder too."""
    write(tmp_path / "installed" / "spread" / "nets.py", MINE.replace('"mine"', '"installed"'))
    write(here / "spread" / "sent.py")
    monkeypatch.syspath_prepend(str(tmp_path / "installed"))
    sys.path.append("")
    with pytest.raises(ConsentError, match=r"spread\.sent"):
        trusted_module("spread.sent", "recipe.json", ["spread"])
    assert trusted_module("spread.nets", "recipe.json", ["spread.nets"]).WHICH == "installed"


@pytest.mark.parametrize("name", ["os", "subprocess", "os.path", "builtins", "importlib"])
def test_pythons_own_modules_cannot_be_trusted(name: str, here: Path) -> None:
    with pytest.raises(InputError, match="Python's own"):
        trusted_module(name, "recipe.json", [name])
    with pytest.raises(InputError):
        remember(name)


def test_a_module_gives_what_it_defines_and_not_what_it_imported(here: Path) -> None:
    write(here / "mine.py")
    trusted_module("mine", "recipe.json", ["mine"])
    assert find_factory("mine:network").__name__ == "network"
    for name in ("getcwd", "Path", "nn", "WHICH", "UNetConfig"):
        with pytest.raises(InputError, match="expected a function or class of that module"):
            find_factory(f"mine:{name}")
    for name in ("UNetConfig", "dataclass", "network", "WHICH", "nothing"):
        with pytest.raises(InputError, match=r"no config class|by the module that defines it"):
            from_json({"type": f"mine:{name}"}, trust=["mine"])
    made = from_json({"type": "mine:MineConfig", "more": 3}, trust=["mine"])
    assert to_json(made)["type"] == "mine:MineConfig"
    assert made.more == 3


def test_what_is_remembered_runs_while_it_stays_the_same(here: Path, tmp_path: Path) -> None:
    file = write(here / "mine.py")
    name, entry = remember("mine.py")
    assert (name, entry.file) == ("mine", file)
    os.chdir(tmp_path)
    write(tmp_path / "mine.py", MINE.replace('"mine"', '"sent"'))
    assert trusted_module("mine", "recipe.json").WHICH == "mine", "the one that was trusted, not the one that lies here"
    del sys.modules["mine"]
    write(file, MINE + "\n# changed\n")
    with pytest.raises(ConsentError, match=r"no longer what you trusted.*`unpaired trust .*mine\.py`"):
        trusted_module("mine", "recipe.json")
    file.unlink()
    with pytest.raises(ConsentError, match="is gone"):
        trusted_module("mine", "recipe.json")


def test_a_link_that_is_turned_elsewhere_is_not_followed(here: Path, tmp_path: Path) -> None:
    write(tmp_path / "good" / "mine.py")
    write(tmp_path / "bad" / "mine.py", MINE.replace('"mine"', '"sent"'))
    link = here / "mine.py"
    link.symlink_to(tmp_path / "good" / "mine.py")
    assert remember("mine.py")[1].file == tmp_path / "good" / "mine.py"
    link.unlink()
    link.symlink_to(tmp_path / "bad" / "mine.py")
    assert trusted_module("mine", "recipe.json").WHICH == "mine"


def test_a_package_is_remembered_with_all_its_code(here: Path) -> None:
    write(here / "mine" / "__init__.py", "")
    write(here / "mine" / "inner" / "__init__.py", "")
    part = write(here / "mine" / "inner" / "nets.py")
    write(here / "mine" / "notes.txt", "one")
    assert remember("mine.inner")[0] == "mine.inner"
    write(here / "mine" / "notes.txt", "two")
    assert trusted_module("mine.inner.nets", "recipe.json").WHICH == "mine"
    with pytest.raises(ConsentError):
        trusted_module("mine", "recipe.json")
    write(part, MINE + "\n")
    with pytest.raises(ConsentError, match="no longer what you trusted"):
        trusted_module("mine.inner.nets", "recipe.json")


def test_another_package_of_that_name_is_another(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(here / "mine" / "__init__.py", MINE)
    remember("mine")
    write(tmp_path / "other" / "mine" / "__init__.py", MINE.replace('"mine"', '"other"'))
    monkeypatch.syspath_prepend(str(tmp_path / "other"))
    with pytest.raises(ConsentError, match="not the one that you trusted"):
        trusted_module("mine", "recipe.json")


@pytest.mark.parametrize("place", ["mine.py", "mine/nets.py"])
def test_a_compiled_file_that_was_sent_along_is_ignored(place: str, here: Path) -> None:
    """Python would prefer it to the text that a person looked at: size and time agree."""
    file, name = here / place, place.removesuffix(".py").replace("/", ".")
    write(file.parent / "__init__.py", "")
    write(file, MINE.replace('"mine"', '"sent"'))
    py_compile.compile(str(file), doraise=True)
    before = file.stat()
    write(file)
    os.utime(file, (before.st_atime, before.st_mtime))
    assert file.stat().st_size == before.st_size
    assert list(file.parent.rglob("*.pyc"))
    assert trusted_module(name, "recipe.json", [name]).WHICH == "mine"


def test_a_file_keeps_out_of_the_way_of_other_modules(here: Path) -> None:
    for name in ("json", "numpy", "wave"):
        with pytest.raises(InputError, match="has the name of another module"):
            load_file(write(here / f"{name}.py"))
    with pytest.raises(InputError, match="found no file"):
        load_file(here / "mine.py")


TRUSTING = {
    "train": ("phantom/msbn", "DATA", "NEW"),
    "self-train": ("phantom/msbn", "DATA", "NEW"),
    "find-postprocessing": ("RUN",),
    "study": ("csa_table1", "DATA", "NEW"),
    "study-script": ("csa_table1", "DATA", "NEW"),
    "predict": ("RUN", "DATA", "NEW", "--no-worker"),
    "cluster-script": ("RUN", "DATA", "NEW", "SCRIPT"),
    "features": ("RUN",),
    "diagnose": ("RUN",),
    "partners": ("RUN", "DATA", "NEW"),
    "misalignment": ("RUN",),
    "pack": ("RUN", "--out", "MODEL"),
    "export": ("RUN", "NEW"),
    "dicom watch": ("RUN", "http://127.0.0.1:1/dicomweb", "NEW"),
}
"""What each command with --trust needs besides."""


@pytest.mark.parametrize("word", ["nowhere.py", "nowhere"])
def test_what_is_trusted_and_not_there_is_refused_whoever_needs_it(
    word: str, here: Path, phantom: Dataset, manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert set(TRUSTING) == {name for name, command in COMMANDS.items() if "trust" in signature(command).parameters}
    run = Run.create(here / "run", replace(find_recipe("phantom/msbn"), steps=1), phantom)
    meant = {"RUN": run.folder, "DATA": manifest, "NEW": here / "new", "SCRIPT": here / "script"}
    meant["MODEL"] = here / "new.unpaired"
    for name, words in TRUSTING.items():
        assert main([*name.split(), *(str(meant.get(word, word)) for word in words), "--trust", word]) == 2, name
        assert re.search(rf"found no file {here}/nowhere\.py; correct|module nowhere\b", capsys.readouterr().err), name
    with pytest.raises(InputError, match="nowhere"):
        find_recipe("phantom/msbn", [word])
    with pytest.raises(InputError, match="nowhere"):
        read_members([str(manifest.parent)], [word])


@pytest.mark.parametrize("text", ["1 / 0", "def f(:", "import no_such_module", "raise RuntimeError('a\\nb')"])
def test_what_is_wrong_in_trusted_code_is_one_line(text: str, here: Path) -> None:
    write(here / "mine.py", f"x = 1\n{text}\n")
    for word in ("mine", "mine.py"):
        with pytest.raises(InputError, match=r"mine\.py, line 2|mine\.py: SyntaxError") as caught:
            trusted_module("mine", "recipe.json", [word])
        assert "\n" not in str(caught.value)


def test_settings_lie_where_the_platform_has_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("UNPAIRED_SETTINGS", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative/as/the/working/folder")
    assert settings_folder() == tmp_path / ".config" / "unpaired"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "x"))
    assert settings_folder() == tmp_path / "x" / "unpaired"
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.delenv("XDG_CONFIG_HOME")
    assert settings_folder() == tmp_path / "Library" / "Application Support" / "unpaired"


@pytest.mark.parametrize(
    "document", [[], {"modules": 3}, {"modules": {"a": "b"}}, {"modules": {"a": {"file": "here.py", "sha256": "0"}}}]
)
def test_damaged_settings_are_one_line(document: object, here: Path) -> None:
    write(trust_file(), json.dumps(document))
    with pytest.raises(InputError, match=r"trust\.json: .*expected .*; correct or delete it"):
        all_remembered()


def test_the_command_lists_and_forgets(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(here / "mine.py")
    assert main(["trust", "mine"]) == 0
    assert str(file) in capsys.readouterr().out
    assert main(["trust"]) == 0
    assert "mine  " in capsys.readouterr().out
    assert main(["trust", "mine", "--forget"]) == 0
    assert not all_remembered()
    for words in (["trust", "mine", "--forget"], ["trust", "--forget"], ["trust", "nowhere"], ["trust", "nowhere.py"]):
        assert main(words) == 2


def test_the_whole_road_of_a_recipe_of_ones_own(
    here: Path, manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training and resuming by the file need no word; using the run does, in this folder or another."""
    warm_workers(monkeypatch)
    write(here / "mine_beside.py")
    write(here / "mine_recipe.py", RECIPE)
    image = str(next((manifest.parent / "ct").glob("*1.nii.gz")))
    for name in ("own_class", "own_function"):
        run, out = str(here / name), str(here / f"{name}.nii.gz")
        train = ["train", f"mine_recipe.py:{name}", str(manifest), run, "--device", "cpu", "--workers", "0"]
        assert main(train) == 0
        assert main(train) == 0, "the same command, as to resume"
        predict = ["predict", run, image, out, "--modality", "ct", "--device", "cpu", "--overwrite", "--no-worker"]
        capsys.readouterr()
        for module in [name for name in sys.modules if name.startswith("mine")]:
            del sys.modules[module]
        assert main(predict) == 2
        assert "the module 'mine_beside'" in capsys.readouterr().err
        assert main([*predict, "--trust", "mine_recipe.py"]) == 2
        assert main([*predict, "--trust", "mine_beside"]) == 0
        os.chdir(tmp_path)
        assert main(predict) == 2
        assert main([*predict, "--trust", str(here / "mine_beside.py")]) == 0
        os.chdir(here)
    assert main(["trust", "mine_beside.py"]) == 0
    os.chdir(tmp_path)
    assert main(predict[:-1]) == 0, "the process that predicts has the same word for it"
    os.chdir(here)
    write(here / "mine_beside.py", MINE + "\n")
    assert main(predict) == 2


def test_a_network_typed_on_the_command_line_is_found_with_trust(here: Path, manifest: Path) -> None:
    write(here / "mine.py")
    write(here / "mine_recipe.py", RECIPE.replace("mine_beside:network", "monai.networks.nets:UNet").replace(
        "from mine_beside import MineConfig", "from unpaired.networks.unet import UNetConfig as MineConfig"
    ))  # fmt: skip
    words = ["train", "mine_recipe.py:own_function", str(manifest), str(here / "run"), "--device", "cpu"]
    words += ["--workers", "0", "--set", "network.factory=mine:network"]
    assert replace(find_recipe("mine_recipe.py:own_function")).steps == 2
    assert main([*words, "--trust", "nowhere"]) == 2
    assert main([*words, "--trust", "mine.py"]) == 0
