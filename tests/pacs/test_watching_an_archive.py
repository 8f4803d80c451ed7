"""The service: from C-STORE or a poll over a run to the archive; full disks, killed processes, strangers, no names."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
import pytest
from orthanc import Orthanc, free_port
from pydicom import dcmread

import unpaired
from processes import ended
from small_network import SMALL
from synthetic_dicom import lps, volume, write_series
from unpaired.data.dataset import Dataset
from unpaired.data.image import TO_RAS
from unpaired.data.images import read_image
from unpaired.dicom.segmentation_reader import read_segmentation
from unpaired.dicom.structure_set import read_structure_set
from unpaired.dicom.structure_set_writer import write_structure_set
from unpaired.dicom.tree import list_dicom
from unpaired.errors import InputError, UnwritableError
from unpaired.pacs import segment
from unpaired.pacs import service as pacs_service
from unpaired.pacs.archive import Login, Query, RemoteSeries
from unpaired.pacs.health import HealthPage
from unpaired.pacs.receive import Receiver
from unpaired.pacs.segment import RunSegmenter, SkippedError
from unpaired.pacs.service import Polling, Service
from unpaired.pacs.spool import Spool
from unpaired.pacs.storage import LOOPBACK, Listening
from unpaired.recipe import build_method
from unpaired.recipes.phantom import msbn
from unpaired.runs.run import Run
from warm_python import python

pytest.importorskip("pynetdicom")
pytest.importorskip("highdicom")
SHAPE = (8, 6, 4)
LIMIT = 10**7


class Outlines:
    """A segmenter that needs no run: what is brighter than the middle, as contours."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.meanwhile: Callable[[], None] = lambda: None

    def segment(self, scans: Path, out: Path) -> list[Path]:
        index = list_dicom(scans)
        self.seen.append(sum(len(series.frames) for series in index.series))
        self.meanwhile()
        (series,) = index.series
        if series.modality == "MR":
            raise SkippedError("it fits no modality of the run")
        if series.problem is not None:
            raise InputError(series.problem)
        label_map = (unpaired.read_volume(series).array > 0).astype(np.uint8)
        write_structure_set(out / "rt.dcm", label_map, series, {1: "LV"})
        return [out / "rt.dcm"]


class Shelf:
    """An archive that takes everything, unless it is told to be away; what it holds can be asked for."""

    def __init__(self) -> None:
        self.stored: list[bytes] = []
        self.away = False
        self.held: dict[RemoteSeries, list[bytes]] = {}

    def find(self, query: Query) -> list[RemoteSeries]:
        return list(self.held)

    def retrieve(self, series: RemoteSeries) -> Iterator[bytes]:
        return iter(self.held[series])

    def store(self, files: Iterable[Path]) -> Iterator[tuple[Path, str | None]]:
        for file in files:
            self.stored += [] if self.away else [file.read_bytes()]
            yield file, "unreachable" if self.away else None


@contextmanager
def receiving(spool: Spool, lines: list[str], **where: object) -> Iterator[str]:
    """The address of a service that receives into a spool."""
    receiver = Receiver(spool, Login("WATCH"), Listening(port=0, **where), lines.append)  # type: ignore[arg-type]
    receiver.start()
    try:
        yield f"dicom://WATCH@{receiver.server.server.socket.getsockname()[0]}:{receiver.port}"
    finally:
        receiver.stop()


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def service(tmp_path: Path, lines: list[str]) -> Iterator[Service]:
    """A service over a segmenter and an archive for tests, without waiting for quiet."""
    spool = Spool(tmp_path / "spool", LIMIT)
    yield Service(spool, Outlines(), Shelf(), lines.append, 0.0)
    spool.queue.close()


def sent(folder: Path, series: str = "1", modality: str = "CT", shape: tuple[int, ...] = SHAPE) -> list[Path]:
    return write_series(folder / series, volume(shape), lps(), modality, series)


def steps(service: Service) -> None:
    while service.step():
        pass


def states(service: Service) -> dict[str, int]:
    return {state: count for state, count in service.spool.queue.counts().items() if count}


def test_from_c_store_to_the_archive(service: Service, lines: list[str], tmp_path: Path) -> None:
    files = sent(tmp_path / "scans")
    with receiving(service.spool, lines) as address:
        assert "@127.0.0.1:" in address
        assert unpaired.send_dicom(address, files).stored == 4
    steps(service)
    assert states(service) == {"done": 1}
    (content,) = service.destination.stored  # type: ignore[attr-defined]
    (tmp_path / "back.dcm").write_bytes(content)
    assert dcmread(tmp_path / "back.dcm").Modality == "RTSTRUCT"
    assert not list((tmp_path / "spool").rglob("*.dcm"))
    assert service.spool.used <= LIMIT
    assert any("4 images came, predicting" in line for line in lines)
    assert any("done, 1 objects sent" in line for line in lines)
    assert not any("Doe" in line or "4711" in line for line in lines)


def test_at_most_once(service: Service, lines: list[str], tmp_path: Path) -> None:
    files = sent(tmp_path / "scans")
    with receiving(service.spool, lines) as address:
        for _ in range(2):
            assert unpaired.send_dicom(address, files).failures == ()
            steps(service)
    assert service.segmenter.seen == [4]  # type: ignore[attr-defined]
    assert len(service.destination.stored) == 1  # type: ignore[attr-defined]
    assert not list((tmp_path / "spool").rglob("*.dcm"))


def test_a_series_that_fails_or_does_not_fit_stops_no_other(service: Service, lines: list[str], tmp_path: Path) -> None:
    files = [*sent(tmp_path, "1")[:1], *sent(tmp_path, "2", "MR"), *sent(tmp_path, "3")]
    with receiving(service.spool, lines) as address:
        unpaired.send_dicom(address, files)
    steps(service)
    assert states(service) == {"done": 1, "failed": 1, "skipped": 1}
    assert any("FAILED" in line for line in lines)
    assert any("skipped, it fits no modality" in line for line in lines)
    assert not list((tmp_path / "spool").rglob("*.dcm"))


def test_images_that_come_while_it_is_predicted_are_part_of_it(
    service: Service, lines: list[str], tmp_path: Path
) -> None:
    files = sent(tmp_path / "scans")
    with receiving(service.spool, lines) as address:
        unpaired.send_dicom(address, files[:2])

        def rest() -> None:
            service.segmenter.meanwhile = lambda: None  # type: ignore[attr-defined]
            unpaired.send_dicom(address, files[2:])

        service.segmenter.meanwhile = rest  # type: ignore[attr-defined]
        steps(service)
    assert service.segmenter.seen == [2, 4]  # type: ignore[attr-defined]
    assert states(service) == {"done": 1}
    assert any("it begins anew" in line for line in lines)


def test_an_archive_that_is_away_is_tried_again(service: Service, lines: list[str], tmp_path: Path) -> None:
    with receiving(service.spool, lines) as address:
        unpaired.send_dicom(address, sent(tmp_path / "scans"))
    service.destination.away = True  # type: ignore[attr-defined]
    steps(service)
    assert states(service) == {"sending": 1}
    assert any("NOT SENT, unreachable; trying again in 5 s" in line for line in lines)
    service.destination.away = False  # type: ignore[attr-defined]
    entry = service.spool.queue.next_to_send(time.time() + 6)
    assert entry is not None
    service._send(entry)
    assert states(service) == {"done": 1}


def test_a_full_spool_takes_nothing_and_says_so(service: Service, lines: list[str], tmp_path: Path) -> None:
    service.spool.limit_bytes = service.spool.used + 100
    with receiving(service.spool, lines) as address:
        done = unpaired.send_dicom(address, sent(tmp_path / "scans"))
    assert done.stored == 0
    assert "A700H" in done.failures[0][1]
    assert service.report()["status"] == "ok"  # a byte is still free
    service.spool.limit_bytes = service.spool.used
    assert service.spool.is_full(1)
    assert any("refused an image from UNPAIRED at 127.0.0.1: no room" in line for line in lines)


def test_strangers_are_refused(service: Service, lines: list[str], tmp_path: Path) -> None:
    files = sent(tmp_path / "scans")
    with receiving(service.spool, lines, accept=("SCANNER",)) as address:
        assert unpaired.send_dicom(address, files).stored == 0
        assert unpaired.send_dicom(address, files, title="SCANNER").stored == 4
        assert unpaired.send_dicom(address.replace("WATCH", "OTHER"), files, title="SCANNER").stored == 0
    assert any("refused a connection of UNPAIRED" in line for line in lines)


def test_what_lies_in_the_spool_unnoticed_is_taken_up(service: Service, lines: list[str], tmp_path: Path) -> None:
    """Killed between storing a file and noting it."""
    place = service.spool.scans("1.2.826.0.1.3680043.8.498.7.2.1")
    for file in sent(tmp_path / "scans"):
        place.mkdir(parents=True, exist_ok=True)
        (place / file.name).write_bytes(file.read_bytes())
    service.start()
    steps(service)
    assert states(service) == {"done": 1}
    assert any("taken up" in line for line in lines)


def test_images_that_are_sent_again_count_once(service: Service, tmp_path: Path) -> None:
    """Else the spool would be full after some weeks, of nothing."""
    before = service.spool.used
    files = sent(tmp_path / "scans")
    for _ in range(2):
        for file in files:
            service.spool.take(file.read_bytes())
    assert service.spool.used - before == sum(file.stat().st_size for file in files)
    (entry,) = service.spool.queue.latest()
    assert entry.images == 4


def test_what_a_killed_service_had_not_deleted_yet_is_deleted(service: Service, tmp_path: Path) -> None:
    """A series that is done is not predicted again, whatever lies there; one that failed is, as if it came again."""
    content = sent(tmp_path / "scans")[0].read_bytes()
    for uid, state in (("1.2", "done"), ("1.3", "failed")):
        service.spool.queue.received(uid, "1")
        service.spool.queue.next_to_predict(0)
        service.spool.queue.end(uid, state)
        for folder in (service.spool.scans(uid), service.spool.objects(uid)):
            folder.mkdir(parents=True)
            (folder / "1.dcm").write_bytes(content if uid == "1.2" else b"")  # as after a power cut
    assert service.spool.adopt() == ["1.3"]
    assert not service.spool.scans("1.2").exists()
    assert not list((tmp_path / "spool" / "objects").iterdir())
    steps(service)
    assert states(service) == {"done": 1, "failed": 1}


def test_a_disk_that_is_full_ends_no_service(
    service: Service, lines: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object) -> None:
        raise UnwritableError("can't write: No space left on device")

    files = sent(tmp_path / "scans")
    with receiving(service.spool, lines) as address:
        with monkeypatch.context() as patch:
            patch.setattr("unpaired.pacs.spool.write_durably", full)
            assert "A700H" in unpaired.send_dicom(address, files[0]).failures[0][1]
        unpaired.send_dicom(address, files)
    monkeypatch.setattr(service.segmenter, "segment", full)
    steps(service)
    assert states(service) == {"failed": 1}
    assert sum("No space left" in line for line in lines) == 2


def test_health_is_seen_on_this_machine_alone_and_says_when_it_is_ill() -> None:
    told = {"status": "full", "latest": []}
    page = HealthPage(LOOPBACK, 0, lambda: told)
    page.start()
    try:
        assert page.server.server_address[0] == "127.0.0.1"
        assert health(page.port) == told
        with pytest.raises(urllib.error.HTTPError, match="503"):
            urllib.request.urlopen(f"http://127.0.0.1:{page.port}/", timeout=60)
    finally:
        page.stop()


def test_a_poll_fetches_what_is_whole_once(service: Service, lines: list[str], tmp_path: Path) -> None:
    shelf = Shelf()
    files = [file.read_bytes() for file in sent(tmp_path / "scans")]
    study, uid = "1.2.826.0.1.3680043.8.498.7.1", "1.2.826.0.1.3680043.8.498.7.2.1"
    polling = Polling(shelf, 0.0, "20260101")
    growing, whole = RemoteSeries(study, uid, "CT", 2), RemoteSeries(study, uid, "CT", 4)
    other = RemoteSeries(study, "1.2.3", "SR", 1)
    shelf.held = {growing: files[:2], other: []}
    service._poll(polling)
    shelf.held = {whole: files, other: []}
    service._poll(polling)
    assert service.step() is False  # it grew: asked once more before it counts as whole
    service._poll(polling)
    steps(service)
    service._poll(polling)
    steps(service)
    assert service.segmenter.seen == [4]  # type: ignore[attr-defined]
    assert states(service) == {"done": 1}
    again = Service(service.spool, Outlines(), Shelf(), lines.append, 0.0)  # after a start
    for _ in range(3):
        again._poll(polling)
        assert again.step() is False
    short = RemoteSeries(study, "1.2.4", "CT", 9)
    shelf.held = {short: files}
    service._poll(polling)
    service._poll(polling)
    assert any("can't be fetched, 4 of 9 images came" in line for line in lines)
    assert service.spool.queue.get("1.2.4") is None


@pytest.fixture(scope="module")
def run(phantom: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of CT, LGE and bSSFP with fresh weights."""
    recipe = replace(
        msbn(),
        network=SMALL,
        patch_size=(32, 32),
        window_overlap=0.0,
    )
    made = Run.create(tmp_path_factory.mktemp("runs") / "run", recipe, phantom)
    made.save_weights(build_method(recipe, made.modalities, len(phantom.classes)).network, "best")
    return made


def write_case(dataset: Dataset, folder: Path, modality: str = "ct", kind: str = "CT", series: str = "1") -> list[Path]:
    """A case of the phantom as a DICOM series."""
    image = read_image(dataset.of(modality)[0].image)
    return write_series(folder, image.array.astype(np.int16), TO_RAS @ image.affine, kind, series)


def health(port: int) -> dict[str, object]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        return json.load(error)


def wait_for(what: Callable[[], object], seconds: float = 60.0) -> None:
    """Until something holds; the tests' machine may be slow."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)


@contextmanager
def watching(run: Run, archive: str, spool: Path, **options: object) -> Iterator[tuple[list[str], int]]:
    """The whole service in a thread: its lines and the port of its health page.

    It waits for no quiet: on a busy machine images of one series come seconds apart. See `held`.
    """
    lines: list[str] = []
    stopped, failure = threading.Event(), []

    def work() -> None:
        try:
            unpaired.watch_dicom(
                run,
                archive,
                spool,
                quiet=0.0,
                device="cpu",
                health_port=0,
                tell=lines.append,
                stopped=stopped,
                **options,
            )  # type: ignore[arg-type]
        except Exception as error:  # noqa: BLE001 (shown by the test)
            failure.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        wait_for(lambda: failure or any("health on" in line for line in lines))
        assert not failure
        yield lines, int(next(line for line in lines if "health on" in line).rsplit(":", 1)[1].strip("/"))
    finally:
        stopped.set()
        thread.join(60)
    assert not failure


def held(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Let a service only receive until this is set: a series that is begun between two of its images begins anew."""
    came, step = threading.Event(), Service.step
    monkeypatch.setattr(Service, "step", lambda self: came.is_set() and step(self))
    return came


@pytest.fixture(autouse=True)
def restless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service looks often whether there is something to do."""
    monkeypatch.setattr(pacs_service, "IDLE_SECONDS", 0.05)


@pytest.mark.slow
def test_from_archive_to_archive_by_polling(server: Orthanc, run: Run, phantom: Dataset, tmp_path: Path) -> None:
    """A CT in Orthanc becomes a CT with a DICOM SEG in Orthanc, right to the voxel; fetched by C-MOVE."""
    archive, moving = server.dimse, {"move": True, "port": server.move_port}
    files = write_case(phantom, tmp_path / "scans")
    unpaired.send_dicom(archive, files)
    with watching(run, archive, tmp_path / "spool", poll=0.2, since="20250101", **moving) as (lines, port):
        wait_for(lambda: any("objects sent" in line for line in lines))
        assert health(port)["done"] == 1
    (series,) = list_dicom(tmp_path / "scans").volumes()
    fetched = unpaired.fetch_dicom(archive, tmp_path / "back", study=series.study_uid, modality="SEG")
    (folder,) = fetched.written
    (seg,) = folder.glob("*.dcm")
    expected = unpaired.Predictor(run, device="cpu").segment(unpaired.read_volume(series), "ct")
    assert np.array_equal(read_segmentation(seg, series).array, expected)
    assert dcmread(seg).PatientID == dcmread(files[0]).PatientID
    assert len(server.ask("series")) == 2


@pytest.mark.slow
def test_received_by_c_store_and_sent_back(
    server: Orthanc, run: Run, phantom: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two series, and the run is loaded once for both."""
    loaded: list[object] = []
    made = segment.Predictor
    monkeypatch.setattr(segment, "Predictor", lambda *given, **named: loaded.append(given) or made(*given, **named))
    files = [file for series in "12" for file in write_case(phantom, tmp_path / "scans", series=series)]
    port, came = free_port(), held(monkeypatch)
    with watching(run, server.dimse, tmp_path / "spool", port=port) as (lines, page):
        unpaired.send_dicom(f"dicom://UNPAIRED@127.0.0.1:{port}", files)
        came.set()
        wait_for(lambda: sum("objects sent" in line for line in lines) == 2)
        with urllib.request.urlopen(f"http://127.0.0.1:{page}/", timeout=60) as answer:
            shown = answer.read().decode()
    assert "unpaired dicom watch: ok" in shown
    modalities = {server.ask(f"series/{uid}")["MainDicomTags"]["Modality"] for uid in server.ask("series")}
    assert modalities == {"SEG"}
    assert len(loaded) == 1
    log = (tmp_path / "spool" / "watch.log").read_text(encoding="utf-8")
    assert "stopped" in log
    for name in ("Doe", "Jane", "4711"):
        assert name not in log + shown + "".join(lines)


def test_a_run_writes_the_kinds_of_objects_that_are_asked_for(
    run: Run, phantom: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_case(phantom, tmp_path / "scans")
    (series,) = list_dicom(tmp_path / "scans").volumes()
    label_map = np.zeros(series.shape, np.uint8)
    label_map[3:9, 4:8, 1] = 2
    segmenter = RunSegmenter(run, device="cpu", objects=("seg", "rtstruct"))
    monkeypatch.setattr(segmenter.predictor, "segment", lambda image, modality: label_map)
    seg, contours = segmenter.segment(tmp_path / "scans", tmp_path / "out")
    assert np.array_equal(read_segmentation(seg, series).array, label_map)
    assert np.array_equal(read_structure_set(contours, series).array, label_map)
    assert dcmread(contours).StructureSetROISequence[1].ROIName == run.dataset.classes[2]
    write_series(tmp_path / "other", volume(SHAPE), lps(), "MR")
    with pytest.raises(SkippedError, match="fits no modality of the run"):
        RunSegmenter(run, device="cpu", modality="ct").segment(tmp_path / "other", tmp_path / "out")
    with pytest.raises(InputError, match="seg, rtstruct or both"):
        RunSegmenter(run, device="cpu", objects=())


KILLED = """
import sys, os, signal
from pathlib import Path
import unpaired
from unpaired.pacs import segment, service
class Deadly(segment.RunSegmenter):
    def segment(self, scans, out):
        os.kill(os.getpid(), signal.SIGKILL)
import unpaired.pacs.watch as watch
watch.RunSegmenter = Deadly
run, archive, spool, port, came = sys.argv[1:6]
step = service.Service.step
service.Service.step = lambda self: Path(came).exists() and step(self)  # an image that came later would begin it anew
service.IDLE_SECONDS = 0.05
unpaired.watch_dicom(run, archive, spool, port=int(port), quiet=0.0, health_port=0, device="cpu")
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="no SIGKILL")
def test_a_service_that_is_killed_goes_on(server: Orthanc, run: Run, phantom: Dataset, tmp_path: Path) -> None:
    """Killed with -9 in the middle of predicting; the next one predicts and sends what had come.

    While it lives nobody else works in its spool.
    """
    port, came = free_port(), tmp_path / "came"
    words = [str(run.folder), server.dimse, str(tmp_path / "spool"), str(port), str(came)]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    process = python("-c", KILLED, *words, env=buffered)
    with ended(process):
        assert process.stdout is not None
        assert "receiving as UNPAIRED on 127.0.0.1" in process.stdout.readline()
        with pytest.raises(InputError, match="is in use"):
            unpaired.watch_dicom(run, server.dimse, tmp_path / "spool", port=0, health_port=0)
        unpaired.send_dicom(f"dicom://UNPAIRED@127.0.0.1:{port}", write_case(phantom, tmp_path / "scans"))
        came.touch()
        assert process.wait(60) == -signal.SIGKILL
    assert server.ask("series") == []
    with watching(run, server.dimse, tmp_path / "spool", port=port) as (lines, _):
        wait_for(lambda: any("objects sent" in line for line in lines))
    assert any("when the service ended; it begins anew" in line for line in lines)
    assert len(server.ask("series")) == 1


@pytest.mark.parametrize("wrong", [{"limit_gb": 0}, {"quiet": -1}, {"poll": -1}])
def test_numbers_that_mean_nothing_are_refused(run: Run, tmp_path: Path, wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=r"expected numbers above 0 .* got "):
        unpaired.watch_dicom(run, "dicom://A@127.0.0.1:1", tmp_path, **wrong)  # type: ignore[arg-type]


def test_moving_is_how_a_poll_fetches(run: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--move is how a poll fetches"):
        unpaired.watch_dicom(run, "dicom://A@127.0.0.1:1", tmp_path, move=True)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"since": "20260131"}, "--since 20260131 is how far back a poll looks"),
        ({"poll": 60.0, "accept": ("SCANNER",)}, "--accept and --tls are of series that are sent here"),
        ({"poll": 60.0, "tls": True}, "--accept and --tls are of series that are sent here"),
    ],
)
def test_what_would_change_nothing_is_refused(run: Run, tmp_path: Path, asked: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        unpaired.watch_dicom(run, "dicom://A@127.0.0.1:1", tmp_path, **asked)


def test_a_port_that_is_taken_is_said(run: Run, tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InputError, match="can't listen on 127"):
            unpaired.watch_dicom(
                run, "dicom://A@127.0.0.1:1", tmp_path, port=taken.getsockname()[1], health_port=0, device="cpu"
            )


TLS = """
import socket, sys
from pathlib import Path
import unpaired
from unpaired.pacs.archive import Login
from unpaired.pacs.receive import Receiver
from unpaired.pacs.spool import Spool
from unpaired.pacs.storage import Listening
folder = Path(sys.argv[1])
own, key, stranger, other = (folder / name for name in ("own.pem", "own.key", "stranger.pem", "stranger.key"))
receiver = Receiver(Spool(folder / "spool", 10**7), Login("WATCH", own, own, key), Listening(port=0, tls=True), print)
receiver.start()
silent = socket.create_connection(("127.0.0.1", receiver.port))  # which must not keep the others waiting
tls, plain = (f"{scheme}://WATCH@127.0.0.1:{receiver.port}" for scheme in ("dicoms", "dicom"))
logins = [(tls, own, own, key), (tls, stranger, own, key), (tls, own, stranger, other), (tls, own, None, None),
          (plain, None, None, None)]
sent = [unpaired.send_dicom(to, folder / "scans", authority=a, certificate=c, key=k) for to, a, c, k in logins]
print("sent", [each.stored for each in sent], not any("\\n" in why for each in sent for _, why in each.failures))
receiver.stop()
silent.close()
"""


@pytest.mark.skipif(which("openssl") is None, reason="no openssl to make a certificate")
def test_over_tls_and_only_with_the_right_certificates(tmp_path: Path) -> None:
    """In a process of its own: pynetdicom leaves the sockets of failed handshakes open."""
    for name in ("own", "stranger"):
        files = ["-keyout", tmp_path / f"{name}.key", "-out", tmp_path / f"{name}.pem"]
        subject = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
        kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        subprocess.run(["openssl", "req", "-x509", *kind, *files, *subject], check=True, capture_output=True)
    sent(tmp_path / "scans")
    done = subprocess.run([sys.executable, "-c", TLS, str(tmp_path)], capture_output=True, text=True, check=False)
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("sent"))  # the receiver may print later
    assert line == "sent [4, 0, 0, 0, 0] True", done.stderr


def test_tls_needs_a_certificate_of_this_side(service: Service, lines: list[str]) -> None:
    with pytest.raises(InputError, match="needs a certificate of this side"):
        Receiver(service.spool, Login("WATCH"), Listening(tls=True), lines.append)
