"""A real archive for tests: Orthanc with its DICOMweb plugin, on loopback, in a folder of its own."""

import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Any

PROGRAM = which("Orthanc")
PLUGIN = next(Path("/usr/share/orthanc/plugins").glob("libOrthancDicomWeb.so*"), None)
INSTALLED = PROGRAM is not None and PLUGIN is not None
SECONDS = 60.0


@dataclass(frozen=True)
class Orthanc:
    """Its addresses: DICOMweb, DIMSE, and its own REST interface, for what the test looks up.

    `move_port` is where it sends what UNPAIRED asks for by C-MOVE.
    """

    web: str
    dimse: str
    rest: str
    move_port: int

    def ask(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.rest}/{path}", timeout=SECONDS) as answer:
            return json.load(answer)

    def clear(self) -> None:
        for study in self.ask("studies"):
            request = urllib.request.Request(f"{self.rest}/studies/{study}", method="DELETE")
            urllib.request.urlopen(request, timeout=SECONDS).close()


def free_port() -> int:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return place.getsockname()[1]


@contextmanager
def orthanc(folder: Path) -> Iterator[Orthanc]:
    """Orthanc as long as the block lasts."""
    assert PROGRAM is not None
    http, dicom, move = free_port(), free_port(), free_port()
    config = {
        "Name": "test",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "HttpPort": http,
        "DicomPort": dicom,
        "DicomAet": "ORTHANC",
        "RemoteAccessAllowed": False,
        "HttpServerEnabled": True,
        "DicomServerEnabled": True,
        "DicomCheckCalledAet": True,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowMove": True,
        "DicomModalities": {"unpaired": ["UNPAIRED", "127.0.0.1", move]},
        "Plugins": [str(PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        "SaveJobs": False,
    }
    (folder / "orthanc.json").write_text(json.dumps(config), encoding="utf-8")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([PROGRAM, str(folder / "orthanc.json")], stdout=log, stderr=log)
        base = f"http://127.0.0.1:{http}"
        server = Orthanc(f"{base}/dicom-web", f"dicom://ORTHANC@127.0.0.1:{dicom}", base, move)
        try:
            deadline = time.monotonic() + SECONDS
            while True:
                try:
                    server.ask("system")
                    break
                except OSError:
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise RuntimeError((folder / "log").read_text(encoding="utf-8")[-2000:]) from None
                    time.sleep(0.05)
            yield server
        finally:
            process.kill()  # asked to stop it takes its time, and nothing that it holds is wanted
            process.wait(SECONDS)
