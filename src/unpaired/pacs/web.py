"""An archive over DICOMweb (PS3.18): QIDO-RS to find, WADO-RS to retrieve, STOW-RS to store.

Names and passwords come from ~/.netrc, a bearer token from the environment variable `UNPAIRED_DICOMWEB_TOKEN`.
"""

import io
import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unpaired.errors import InputError, printable
from unpaired.pacs.archive import Address, Login, Query, RemoteSeries, is_uid, missing_extra

TOKEN_VARIABLE = "UNPAIRED_DICOMWEB_TOKEN"
TIMEOUT_SECONDS = (15.0, 300.0)
"""To connect, and between two pieces of an answer."""
KEYS = {
    "patient": "PatientID",
    "accession": "AccessionNumber",
    "study": "StudyInstanceUID",
    "series": "SeriesInstanceUID",
    "modality": "Modality",
    "date": "StudyDate",
}
STUDY_UID, SERIES_UID, MODALITY, INSTANCES = "0020000D", "0020000E", "00080060", "00201209"
PAGE = 200
"""Series asked for at once."""


class WebArchive:
    """An archive at a base URL such as https://pacs.example/dicom-web."""

    def __init__(self, address: Address, login: Login) -> None:
        try:
            from dicomweb_client import DICOMwebClient
            from requests import Session
        except ImportError as error:
            raise missing_extra(error.name or "dicomweb-client") from error
        self.address = address
        session = Session()
        session.verify = str(login.authority) if login.authority else True
        if login.certificate:
            own, key = str(login.certificate), str(login.key) if login.key else None
            session.cert = (own, key) if key else own
        if token := os.environ.get(TOKEN_VARIABLE):
            session.headers["Authorization"] = f"Bearer {token}"
        self.client = DICOMwebClient(address.url, session, timeout=TIMEOUT_SECONDS)
        self.client.set_http_retry_params(retry=False)

    def find(self, query: Query) -> list[RemoteSeries]:
        """The series that fit (QIDO-RS), page by page."""
        wanted = {KEYS[name]: value for name, value in vars(query).items() if value}
        series: dict[str, RemoteSeries] = {}
        with self._one_line("find series"):
            while True:
                page = self.client.search_for_series(search_filters=wanted, limit=PAGE, offset=len(series))
                before = len(series)
                series |= {each.uid: each for each in map(_series, page) if is_uid(each.uid) and is_uid(each.study_uid)}
                if len(page) < PAGE or len(series) == before:
                    return list(series.values())

    def retrieve(self, series: RemoteSeries) -> Iterator[bytes]:
        """The files of a series (WADO-RS), in the transfer syntax that they are stored in."""
        with self._one_line(f"retrieve series {series.uid}"):
            stored = self.client.iter_series(series.study_uid, series.uid, media_types=(("application/dicom", "*"),))
            for instance in stored:
                content = io.BytesIO()
                instance.save_as(content, enforce_file_format=True)
                yield content.getvalue()

    def store(self, files: Iterable[Path]) -> Iterator[tuple[Path, str | None]]:
        """Send files (STOW-RS), one a request, so that each has an answer of its own."""
        from pydicom import dcmread

        for file in files:
            try:
                with self._one_line(f"store {file.name}"):
                    answer = self.client.store_instances([dcmread(file)])
                    failed = list(answer.get("FailedSOPSequence") or ())
            except InputError as error:
                yield file, str(error)
                continue
            reason = failed[0].get("FailureReason", 0) if failed else 0
            yield file, f"{self.address} refused it (reason {reason:04X}H)" if failed else None

    @contextmanager
    def _one_line(self, what: str) -> Generator[None]:
        """Turn what the connection, the server or the answer's decoding raises into one line."""
        from pydicom.errors import InvalidDicomError
        from requests import HTTPError, RequestException

        try:
            yield
        except HTTPError as error:
            status = str(getattr(error.response, "status_code", "?"))
            hint = {"401": f"; put the login into ~/.netrc or {TOKEN_VARIABLE}", "403": "; this login may not do that"}
            raise InputError(f"{self.address}: can't {what}: HTTP {status}{hint.get(status, '')}") from error
        except InvalidDicomError as error:
            raise InputError(f"can't {what}: it is no DICOM file") from error
        except RequestException as error:
            text = f"can't {what}: {_reason(error)}; check address, network and certificate"
            raise InputError(f"{self.address}: {text}") from error
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:  # an answer that is no DICOMweb
            text = f"can't {what}: its answer can't be understood ({_reason(error)})"
            raise InputError(f"{self.address}: {text}") from error


def _reason(error: Exception) -> str:
    return printable((str(error).splitlines() or [""])[0])[:160] or type(error).__name__


def _series(answer: dict[str, Any]) -> RemoteSeries:
    def look(tag: str) -> str:
        values = (answer.get(tag) or {}).get("Value") or [""]
        return printable(str(values[0]))

    count = look(INSTANCES)
    return RemoteSeries(look(STUDY_UID), look(SERIES_UID), look(MODALITY)[:16], int(count) if count.isdigit() else 0)
