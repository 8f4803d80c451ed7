"""A run of the tiny phantom that nothing disturbed, trained once for all tests of the loop. Do not write into it."""

from pathlib import Path

import pytest
from tiny_runs import IN_PROCESS, tiny

from unpaired.data.dataset import Dataset
from unpaired.runs.run import Run
from unpaired.training.loop import train


@pytest.fixture(scope="session")
def phantom(thin_phantom: Dataset) -> Dataset:
    return thin_phantom


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def straight(phantom: Dataset, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that nothing disturbed."""
    return train(tiny(), phantom, tmp_path_factory.mktemp("runs") / "a", hardware=IN_PROCESS, cache=cache, show=False)
