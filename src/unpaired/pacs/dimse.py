"""An archive over DIMSE (PS3.4, PS3.7), the protocol that every PACS speaks: C-FIND, C-GET and C-STORE."""

import socket
import ssl
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from unpaired.errors import InputError
from unpaired.pacs.archive import Address, Login, Query, RemoteSeries, is_uid, missing_extra
from unpaired.pacs.stream import Put, streamed

TIMEOUT_SECONDS = 60.0
"""For an answer; a PACS that fetches from tape may take that long."""
CONNECT_SECONDS = 15.0
SUCCESS, PENDING, WARNINGS, OUT_OF_RESOURCES = 0x0000, (0xFF00, 0xFF01), 0xB000, 0xA700
FIND, GET = "1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.5.1.4.1.2.2.3"
"""The study root models of C-FIND and C-GET."""
TRY_MOVE = "an archive that knows C-MOVE alone is asked so with --move"
MOST_CONTEXTS = 128
"""Of one association (PS3.8 9.3.2)."""
IMAGES = (
    "CTImageStorage",
    "EnhancedCTImageStorage",
    "MRImageStorage",
    "EnhancedMRImageStorage",
    "PositronEmissionTomographyImageStorage",
    "EnhancedPETImageStorage",
    "SegmentationStorage",
    "RTStructureSetStorage",
    "SecondaryCaptureImageStorage",
)
"""What is retrieved and received: scans, and what is drawn on them."""
LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
"""Label Map Segmentation Storage, which pydicom 3.0 has no name for."""
SYNTAXES = (
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.91",
)
"""Transfer syntaxes that are read here, the usual one first."""


class DimseArchive:
    """An archive with an AE title, at a host and port."""

    def __init__(self, address: Address, login: Login) -> None:
        require_pynetdicom()
        self.address, self.login = address, login

    def find(self, query: Query) -> list[RemoteSeries]:
        """The series that fit (C-FIND): first the studies, then the series of each."""
        with self.association([(FIND, None)]) as association:
            studies = self._answers(
                association,
                FIND,
                QueryRetrieveLevel="STUDY",
                PatientID=query.patient,
                AccessionNumber=query.accession,
                StudyInstanceUID=query.study,
                StudyDate=query.date,
                ModalitiesInStudy=query.modality,
            )
            uids = dict.fromkeys(str(answer.get("StudyInstanceUID", "")) for answer in studies)
            return [series for uid in uids if is_uid(uid) for series in self._series(association, uid, query)]

    def _series(self, association: Any, study: str, query: Query) -> Iterator[RemoteSeries]:
        answers = self._answers(
            association,
            FIND,
            QueryRetrieveLevel="SERIES",
            StudyInstanceUID=study,
            SeriesInstanceUID=query.series,
            Modality=query.modality,
            NumberOfSeriesRelatedInstances="",
        )
        for answer in answers:
            uid, modality = str(answer.get("SeriesInstanceUID", "")), str(answer.get("Modality", ""))
            fits = query.series in ("", uid) and query.modality in ("", modality)  # some archives ignore these keys
            if is_uid(uid) and fits:
                count = str(answer.get("NumberOfSeriesRelatedInstances") or "")
                yield RemoteSeries(study, uid, modality[:16], int(count) if count.isdigit() else 0)

    def _answers(self, association: Any, model: Any, **keys: str) -> list[Any]:
        answers = []
        for status, answer in association.send_c_find(_dataset(keys), model):
            code = self._code(status, "find series")
            if code in PENDING and answer is not None:
                answers.append(answer)
            elif code != SUCCESS:
                raise InputError(f"{self.address}: can't find series: status {code:04X}H")
        return answers

    def retrieve(self, series: RemoteSeries) -> Iterator[bytes]:
        """The files of a series (C-GET), over the connection that asks for them, as they come."""
        return streamed(lambda put: self._get(series, put))

    def _get(self, series: RemoteSeries, put: Put) -> None:
        from pynetdicom import build_role, evt

        def received(event: Any) -> int:
            return SUCCESS if put(event.encoded_dataset()) else OUT_OF_RESOURCES

        roles = [build_role(uid, scp_role=True) for uid in storage_classes()]
        contexts = [(GET, None), *((uid, SYNTAXES) for uid in storage_classes())]
        with self.association(contexts, roles, [(evt.EVT_C_STORE, received)]) as association:
            if all(context.abstract_syntax != GET for context in association.accepted_contexts):
                raise InputError(f"{self.address}: it doesn't answer C-GET; {TRY_MOVE}")
            self.require_all(association.send_c_get(series_keys(series), GET), series, TRY_MOVE)

    def require_all(self, answers: Iterable[tuple[Any, Any]], series: RemoteSeries, advice: str) -> None:
        """Wait for the last answer of C-GET or C-MOVE. Raises InputError, with `advice`, unless all of it came."""
        for status, _ in answers:
            code = self._code(status, f"retrieve series {series.uid}")
            if code not in (SUCCESS, *PENDING):
                failed = status.get("NumberOfFailedSuboperations", "?")
                text = f"can't retrieve all of series {series.uid}: status {code:04X}H, {failed} images failed"
                raise InputError(f"{self.address}: {text}; {advice}")

    def store(self, files: Iterable[Path]) -> Iterator[tuple[Path, str | None]]:
        """Send files (C-STORE), as they are encoded."""
        listed = list(files)
        kinds = {file: _kind(file) for file in listed}
        groups = list(dict.fromkeys(kind for kind in kinds.values() if kind is not None))
        for start in range(0, len(groups), MOST_CONTEXTS):
            now = groups[start : start + MOST_CONTEXTS]
            try:
                with self.association([(class_uid, (syntax,)) for class_uid, syntax in now]) as association:
                    for file in listed:
                        if kinds[file] in now:
                            yield file, self._stored(association, file)
                            kinds[file] = ("", "")
            except InputError as error:
                yield from ((file, str(error)) for file in listed if kinds[file] in now)
        yield from ((file, "no DICOM with a class and a transfer syntax") for file in listed if kinds[file] is None)

    def _stored(self, association: Any, file: Path) -> str | None:
        try:
            code = self._code(association.send_c_store(file), f"store {file.name}")
        except (ValueError, AttributeError, RuntimeError, OSError, InputError) as error:
            return f"{self.address} doesn't take it ({str(error).splitlines()[0][:160]})"
        warning = code & 0xF000 == WARNINGS  # stored, though changed or not all understood
        return None if code == SUCCESS or warning else f"{self.address} refused it (status {code:04X}H)"

    def _code(self, status: Any, what: str) -> int:
        if not status or "Status" not in status:
            raise InputError(f"{self.address}: can't {what}: the connection broke off, or no answer came in time")
        return int(status.Status)

    def _require_reachable(self) -> None:
        """Raise InputError, with the system's reason, where nobody listens.

        pynetdicom doesn't tell the reason, and leaves its socket open.
        """
        try:
            socket.create_connection((self.address.host, self.address.port), CONNECT_SECONDS).close()
        except OSError as error:
            reason = error.strerror or str(error) or "no answer"
            raise InputError(f"{self.address}: can't connect: {reason}; check host and port") from error

    @contextmanager
    def association(
        self, contexts: Iterable[tuple[str, Iterable[str] | None]], roles: Any = (), handlers: Any = ()
    ) -> Generator[Any]:
        """A connection for these classes, (UID, transfer syntaxes). Raises InputError where there is none."""
        from pynetdicom import AE, evt

        self._require_reachable()
        entity = AE(ae_title=self.login.title)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = TIMEOUT_SECONDS
        entity.connection_timeout = CONNECT_SECONDS
        for class_uid, syntaxes in contexts:
            entity.add_requested_context(class_uid, None if syntaxes is None else list(syntaxes))
        tls = (client_context(self.login), self.address.host) if self.address.tls else None
        connections: list[Any] = []
        association = entity.associate(
            self.address.host,
            self.address.port,
            ae_title=self.address.title,
            ext_neg=list(roles) or None,
            evt_handlers=[(evt.EVT_CONN_OPEN, connections.append), *handlers],
            tls_args=tls,
        )
        if not association.is_established:
            connection = association.dul.socket and association.dul.socket.socket
            if connection is not None:
                connection.close()  # which pynetdicom leaves open where the other side has closed
            # One that says no may close before its answer is read: to have been connected tells as much.
            why = "it refused this connection" if connections else "no connection"
            raise InputError(
                f"{self.address}: {why}; check host, port and AE titles: the archive has to know {self.login.title!r}"
            )
        try:
            yield association
        finally:
            if association.is_established:
                association.release()


def require_pynetdicom() -> None:
    """Raise InputError, with what to install, where pynetdicom is missing."""
    if find_spec("pynetdicom") is None:
        raise missing_extra("pynetdicom")


def storage_classes() -> list[str]:
    """The UIDs of what is retrieved and received."""
    from pynetdicom import sop_class

    return [*(str(getattr(sop_class, name)) for name in IMAGES), LABEL_MAP]


def client_context(login: Login) -> ssl.SSLContext:
    """TLS for a connection that this side opens."""
    context = ssl.create_default_context(cafile=str(login.authority) if login.authority else None)
    if login.certificate:
        context.load_cert_chain(login.certificate, login.key)
    return context


def series_keys(series: RemoteSeries) -> Any:
    """What C-GET and C-MOVE ask for."""
    keys = {"StudyInstanceUID": series.study_uid, "SeriesInstanceUID": series.uid}
    return _dataset({"QueryRetrieveLevel": "SERIES", **keys})


def _kind(file: Path) -> tuple[str, str] | None:
    """(class, transfer syntax) of a file; None for what is no DICOM."""
    from pydicom.errors import InvalidDicomError
    from pydicom.filereader import read_file_meta_info

    try:
        meta = read_file_meta_info(file)
    except (InvalidDicomError, OSError, ValueError, KeyError, AttributeError):
        return None
    class_uid, syntax = str(meta.get("MediaStorageSOPClassUID", "")), str(meta.get("TransferSyntaxUID", ""))
    return (class_uid, syntax) if is_uid(class_uid) and is_uid(syntax) else None


def _dataset(keys: dict[str, str]) -> Any:
    from pydicom.dataset import Dataset

    dataset = Dataset()
    for name, value in keys.items():
        setattr(dataset, name, value)
    return dataset
