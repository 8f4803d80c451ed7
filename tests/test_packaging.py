"""The wheel that people install: what is in it, what it says of itself, and that its version stands in one place."""

import email
import re
import tomllib
import zipfile
from email.message import Message
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager

import unpaired

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from this checkout."""
    metadata = ProjectMetadata(str(ROOT), PluginManager())
    (file,) = WheelBuilder(str(ROOT), metadata=metadata).build(directory=str(tmp_path_factory.mktemp("wheel")))
    return zipfile.ZipFile(file)


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    return email.message_from_bytes(wheel.read(name))


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    files = {path.relative_to(SOURCE).as_posix() for path in (SOURCE / "unpaired").rglob("*") if path.is_file()}
    files = {name for name in files if "__pycache__" not in name}
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == files
    assert "unpaired/py.typed" in packed
    assert {"unpaired/report/base.html.jinja", "unpaired/report/niivue/niivue.umd.js"} <= packed


def test_licenses_travel_with_what_they_are_of(wheel: zipfile.ZipFile) -> None:
    (own,) = [name for name in wheel.namelist() if name.endswith(".dist-info/licenses/LICENSE")]
    assert b"Apache License" in wheel.read(own)
    (niivue,) = [name for name in wheel.namelist() if "/licenses/" in name and name.endswith("niivue/LICENSES.txt")]
    assert wheel.read(niivue) == wheel.read("unpaired/report/niivue/LICENSES.txt")
    assert b"Redistribution and use" in wheel.read(niivue)


def test_the_version_stands_in_one_place(metadata: Message) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["dynamic"] == ["version"]
    assert "version" not in project["project"]
    assert metadata["Version"] == unpaired.__version__


def test_citation_and_changelog_name_the_version() -> None:
    version = unpaired.__version__
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    released = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert version in released


def test_the_wheel_asks_for_nothing_that_only_developers_need(metadata: Message) -> None:
    required = [text for text in metadata.get_all("Requires-Dist", []) if "extra ==" not in text]
    names = {re.match(r"[\w.-]+", text)[0].lower() for text in required}  # pyright: ignore[reportOptionalSubscript]
    assert "torch" in names
    assert not names & {"pytest", "ruff", "pyright", "mkdocs", "monai", "typos", "pre-commit", "hatchling", "pyyaml"}
    assert metadata["Requires-Python"] == ">=3.11"
