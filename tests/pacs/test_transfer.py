"""Series out of a real archive and into it, over DICOMweb and DIMSE: byte for byte what matters, resumed, refused."""

import socket
import socketserver
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from orthanc import Orthanc, free_port
from pydicom import dcmread
from pydicom.uid import RLELossless

import unpaired
from synthetic_dicom import ROOT, lps, volume, write_series
from unpaired.errors import InputError
from unpaired.pacs.archive import Login, read_address
from unpaired.pacs.dimse import DimseArchive
from unpaired.pacs.move import MovingArchive
from unpaired.pacs.storage import Listening

pytest.importorskip("pynetdicom")
pytest.importorskip("dicomweb_client")
SHAPE = (8, 6, 4)
STUDY = f"{ROOT}.1"


@pytest.fixture(params=["web", "dimse"])
def archive(request: pytest.FixtureRequest, server: Orthanc) -> str:
    """The address of an empty archive."""
    return getattr(server, request.param)


@pytest.fixture
def scans(tmp_path: Path) -> list[Path]:
    """Two series of one study, one of another patient and study; one is compressed."""
    files = write_series(tmp_path / "scans", volume(SHAPE), lps(), series="1")
    for file in files[:2]:
        compressed = dcmread(file)
        compressed.compress(RLELossless, generate_instance_uid=False)
        compressed.save_as(file)
    files += write_series(tmp_path / "scans", volume(SHAPE, seed=1), lps(), "MR", series="2")
    other = {"PatientID": "0815", "StudyInstanceUID": f"{ROOT}.9", "AccessionNumber": "B2", "StudyDate": "20251224"}
    return files + write_series(tmp_path / "scans", volume(SHAPE, seed=2), lps(), series="3", **other)


def test_what_is_sent_comes_back(archive: str, server: Orthanc, scans: list[Path], tmp_path: Path) -> None:
    (tmp_path / "scans" / "notes.txt").write_text("no DICOM")
    seen: list[int] = []
    sent = unpaired.send_dicom(archive, tmp_path / "scans", progress=lambda done, total, name: seen.append(done))
    assert (sent.stored, sent.failures) == (12, ())
    assert seen == list(range(1, 13))
    assert len(server.ask("instances")) == 12
    fetched = unpaired.fetch_dicom(archive, tmp_path / "out", study=STUDY)
    assert (len(fetched.written), fetched.skipped, fetched.failures) == (2, (), ())
    for file in scans[:8]:
        before = dcmread(file)
        (place,) = (tmp_path / "out").rglob(f"{before.SOPInstanceUID}.dcm")
        assert place.parent.name == before.SeriesInstanceUID
        after = dcmread(place)
        assert np.array_equal(after.pixel_array, before.pixel_array)
        if archive.startswith("http"):  # Orthanc decompresses for C-GET
            assert after.file_meta.TransferSyntaxUID == before.file_meta.TransferSyntaxUID
        for each in (before, after):
            del each.PixelData
        assert after == before
    again = unpaired.fetch_dicom(archive, tmp_path / "out", study=STUDY)
    assert (again.written, len(again.skipped)) == ((), 2)


def test_what_is_asked_for_comes(archive: str, scans: list[Path], tmp_path: Path) -> None:
    unpaired.send_dicom(archive, [scans[0], scans[4], scans[8]])
    for asked, series in [
        ({"patient": "0815"}, {"3"}),
        ({"accession": "A1"}, {"1", "2"}),
        ({"date": "20251201-20251231"}, {"3"}),
        ({"study": STUDY, "modality": "MR"}, {"2"}),
        ({"series": f"{ROOT}.2.2", "study": STUDY}, {"2"}),
    ]:
        fetched = unpaired.fetch_dicom(archive, tmp_path / "-".join(asked), **asked)
        assert {folder.name.rsplit(".", 1)[-1] for folder in fetched.written} == series, asked


def test_by_c_move_the_archive_sends(server: Orthanc, scans: list[Path], tmp_path: Path) -> None:
    unpaired.send_dicom(server.web, scans[:8])
    fetched = unpaired.fetch_dicom(server.dimse, tmp_path / "out", study=STUDY, move=True, port=server.move_port)
    assert (len(fetched.written), fetched.failures) == (2, ())
    for file in scans[:8]:
        before = dcmread(file)
        (place,) = (tmp_path / "out").rglob(f"{before.SOPInstanceUID}.dcm")
        assert np.array_equal(dcmread(place).pixel_array, before.pixel_array)
    with socket.create_server(("127.0.0.1", server.move_port)):  # it isn't ours any more
        pass


def test_a_c_move_that_does_not_arrive_is_said(server: Orthanc, scans: list[Path], tmp_path: Path) -> None:
    unpaired.send_dicom(server.web, scans[:1])
    wrong = {"elsewhere": (free_port(), "UNPAIRED"), "unknown": (server.move_port, "STRANGER")}
    for name, (port, title) in wrong.items():
        fetched = unpaired.fetch_dicom(server.dimse, tmp_path / name, study=STUDY, move=True, port=port, title=title)
        ((_, reason),) = fetched.failures
        assert f"it has to know the AE title '{title}' at this machine, port {port}" in reason
    with pytest.raises(InputError, match="DICOMweb has no C-MOVE"):
        unpaired.fetch_dicom(server.web, tmp_path, study=STUDY, move=True)


def test_strangers_send_nothing_into_a_c_move(scans: list[Path]) -> None:
    archive = DimseArchive(read_address("dicom://NOBODY@127.0.0.1:1"), Login())
    kept: list[bytes] = []
    with MovingArchive(archive, Listening(port=0)).listening() as moving:
        address = f"dicom://UNPAIRED@127.0.0.1:{moving.server.port}"
        refused = unpaired.send_dicom(address, scans[0])
        moving.wanted = (dcmread(scans[0]).SeriesInstanceUID, lambda content: not kept.append(content))
        sent = unpaired.send_dicom(address, [scans[0], scans[4]])
    assert "refused it (status 0124H)" in refused.failures[0][1]
    assert [file for file, _ in sent.failures] == [str(scans[4])]
    assert len(kept) == 1


def test_a_series_that_grew_or_was_cut_off_is_fetched_again(archive: str, scans: list[Path], tmp_path: Path) -> None:
    unpaired.send_dicom(archive, scans[4:7])
    (folder,) = unpaired.fetch_dicom(archive, tmp_path / "out", study=STUDY).written
    unpaired.send_dicom(archive, scans[7])
    assert unpaired.fetch_dicom(archive, tmp_path / "out", study=STUDY).written == (folder,)
    assert len(list(folder.glob("*.dcm"))) == 4
    next(folder.glob("*.dcm")).unlink()
    assert unpaired.fetch_dicom(archive, tmp_path / "out", study=STUDY).written == (folder,)


def test_what_finds_nothing_or_too_much_is_refused(archive: str, scans: list[Path], tmp_path: Path) -> None:
    unpaired.send_dicom(archive, scans)
    with pytest.raises(InputError, match="say what to fetch"):
        unpaired.fetch_dicom(archive, tmp_path, modality="CT")
    with pytest.raises(InputError, match="has no series that fits; check --patient, and"):
        unpaired.fetch_dicom(archive, tmp_path, patient="nobody")
    with pytest.raises(InputError, match="2 series fit, 1 are the limit"):
        unpaired.fetch_dicom(archive, tmp_path, study=STUDY, limit=1)


def test_a_file_that_the_archive_refuses_costs_itself_alone(archive: str, scans: list[Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(b"no DICOM at all" * 20)
    sent = unpaired.send_dicom(archive, [scans[0], broken, scans[1]])
    assert sent.stored == 2
    ((name, reason),) = sent.failures
    assert name == str(broken)
    assert "\n" not in reason


def test_a_wrong_title_is_said(server: Orthanc, scans: list[Path]) -> None:
    address = server.dimse.replace("ORTHANC", "OTHER")
    sent = unpaired.send_dicom(address, scans[:1])
    assert "refused this connection; check host, port and AE titles" in sent.failures[0][1]
    with pytest.raises(InputError, match="AE titles: the archive has to know 'UNPAIRED'"):
        unpaired.fetch_dicom(address, Path(), study=STUDY)


def test_an_archive_that_closes_without_a_word_has_refused_too(scans: list[Path]) -> None:
    with socketserver.TCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler) as closing:
        Thread(target=closing.serve_forever, args=(0.02,), daemon=True).start()
        sent = unpaired.send_dicom(f"dicom://OTHER@127.0.0.1:{closing.server_address[1]}", scans[:1])
        closing.shutdown()
    assert "refused this connection; check host, port and AE titles" in sent.failures[0][1]


@pytest.mark.parametrize("scheme", ["http://127.0.0.1:{}/dicom-web", "dicom://NOBODY@127.0.0.1:{}"])
def test_an_archive_that_is_not_there_is_one_line(scheme: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        unpaired.fetch_dicom(scheme.format(free_port()), tmp_path, study="1.2.3")
    assert "\n" not in str(caught.value)
    assert "check" in str(caught.value)
