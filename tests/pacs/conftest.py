"""One archive for all tests of this room."""

from collections.abc import Iterator

import pytest
from orthanc import INSTALLED, Orthanc, orthanc


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """Orthanc, once for the session; a test that wants it is skipped where it isn't installed."""
    if not INSTALLED:
        pytest.skip("Orthanc with its DICOMweb plugin isn't installed (apt-get)")
    with orthanc(tmp_path_factory.mktemp("orthanc")) as started:
        yield started


@pytest.fixture
def server(running: Orthanc) -> Orthanc:
    """Orthanc, empty."""
    running.clear()
    return running
