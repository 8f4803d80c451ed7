"""dciodvfy, of dicom3tools: whether a file obeys what the standard says of its kind of object."""

import shutil
import subprocess
from pathlib import Path

import pytest


def errors(path: Path) -> list[str]:
    """What dciodvfy (of dicom3tools) calls an error."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed (Debian package dicom3tools)")
    said = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True, check=False)
    lines = (said.stdout + said.stderr).splitlines()
    assert lines, "dciodvfy says what an object is"
    return [line for line in lines if line.startswith("Error")]
