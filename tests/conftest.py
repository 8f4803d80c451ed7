"""Check the shapes in every signature while tests run (jaxtyping + beartype); a tiny phantom for all tests."""

import atexit
import gc
import os
import shutil
import tempfile

import typecheck

# One thread in this process and in those that tests start, unless somebody asks for more: sums have one order, and
# processes that share a machine don't wait for each other's threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# What a machine measures must not decide what a test sees.
os.environ["UNPAIRED_ENGINE"] = "plain"
# Nor may what lies in the user's cache; and nothing is left there.
os.environ["UNPAIRED_CACHE"] = tempfile.mkdtemp(prefix="unpaired-tests-")
atexit.register(shutil.rmtree, os.environ["UNPAIRED_CACHE"], ignore_errors=True)
typecheck.install()

import locale  # noqa: E402 (the hook has to come before any import of unpaired)
from collections.abc import Iterator, Sequence  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

from unpaired.data.dataset import Dataset  # noqa: E402
from unpaired.data.manifest import read_dataset  # noqa: E402

HERE = Path(__file__).parent
# Examples have no time limit: how long one takes says more about the machine than about the code.
settings.register_profile("anywhere", deadline=None, print_blob=True)
settings.register_profile("ci", settings.get_profile("anywhere"), derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "anywhere")


def pytest_configure(config: pytest.Config) -> None:
    """pytest-xdist keeps the order of files, instead of beginning with those that have the most tests.

    Where all tests are run, every second process imports them from the last one on: each compiles what the others have
    not reached yet, and finds the bytecode of the rest.
    """
    config.option.loadscopereorder = False
    number = getattr(config, "workerinput", {"workerid": "gw0"})["workerid"].removeprefix("gw")
    if int(number) % 2 and [Path(name).resolve() for name in config.args] == [HERE]:
        tests = [path for path in HERE.glob("[!_.]*") if path.is_dir() or path.match("test_*.py")]
        config.args = [str(path) for path in sorted(tests, reverse=True)]


def pytest_collectstart() -> None:
    """The garbage collector rests while tests are collected: what that makes stays."""
    gc.disable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where several processes share the tests, files with slow ones go first: the last one leaves the others idle.

    All have the files in one order, in whichever they imported them.
    """
    if hasattr(config, "workerinput"):
        slow = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: (item.path not in slow, item.path))


def pytest_collection_finish() -> None:
    """Modules and tests are there to the end: no collection of garbage needs to look through them."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def git_asked_once() -> Iterator[None]:
    """Every run that is made records the state of the repository that it is made in: three processes of git each time.

    Here they are started once for each folder: nothing is committed in one while tests run.
    """
    from unpaired.runs import versions

    states: dict[Path, dict[str, Any] | None] = {}
    ask = versions.git_state

    def looked_up() -> dict[str, Any] | None:
        folder = Path.cwd()
        if folder not in states:
            states[folder] = ask()
        return states[folder]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(versions, "git_state", looked_up)
        yield


@pytest.fixture(scope="session")
def whole_phantom(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Three modalities, four patients each (2 train, 1 validation, 1 test), 48x48 pixels. Do not write into it."""
    from unpaired.phantom.write import write_phantom

    folder = tmp_path_factory.mktemp("phantom")
    write_phantom(folder, anatomy="heart", size="tiny", seed=0)
    return read_dataset(folder)


@pytest.fixture(scope="session")
def thin_phantom(whole_phantom: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The same, four slices of each scan, for tests that train or predict: they pay for every window of every scan."""
    from few_slices import few_slices

    return few_slices(whole_phantom, tmp_path_factory.mktemp("few"))


@pytest.fixture(scope="session")
def phantom(whole_phantom: Dataset) -> Dataset:
    """The tiny phantom of a room's tests: the whole one, unless the room takes the thin one."""
    return whole_phantom


@pytest.fixture
def manifest(phantom: Dataset) -> Path:
    """The tiny phantom's manifest file."""
    return phantom.cases[0].image.parent.parent / "dataset.json"


@pytest.fixture(scope="module")
def probed_once() -> Iterator[None]:
    """A network is asked for its feature maps once for all of its architecture: that takes longer than a step of it."""
    from unpaired.networks.network import Network

    channels: dict[Any, list[int]] = {}
    probe = Network.feature_channels

    def looked_up(network: Network, names: Sequence[str]) -> list[int]:
        shapes = tuple((name, weights.shape) for name, weights in network.named_parameters())
        key = type(network), shapes, tuple(names)
        if key not in channels:
            channels[key] = probe(network, names)
        return channels[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Network, "feature_channels", looked_up)
        yield


@pytest.fixture(scope="module")
def shallow_fcn() -> Iterator[None]:
    """One residual block in each group of the FCN, which has no field for it: 18 units in place of 30.

    In this process alone: not for tests whose other processes build one.
    """
    from unpaired.networks import fcn

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fcn, "RESIDUAL_BLOCKS", tuple(min(blocks, 1) for blocks in fcn.RESIDUAL_BLOCKS))
        yield


@pytest.fixture(autouse=True)
def locale_kept() -> Iterator[None]:
    """Nothing may leave the process in another locale: GDCM sets C, in which Python takes text files for ASCII."""
    before = locale.setlocale(locale.LC_ALL)
    yield
    after = locale.setlocale(locale.LC_ALL)
    locale.setlocale(locale.LC_ALL, before)  # so that no other test pays for it
    assert after == before
