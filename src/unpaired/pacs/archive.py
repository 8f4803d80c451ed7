"""What every archive of scans (PACS) can be asked for, over either protocol, and how it is named and reached."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable
from urllib.parse import urlsplit

from unpaired.errors import InputError

UID = re.compile(r"[0-9]+(\.[0-9]+)*")
LONGEST_UID = 64
LONGEST_TITLE = 16
OWN_TITLE = "UNPAIRED"
"""The AE title that this package calls itself by, unless told."""
EXAMPLES = "https://pacs.example/dicom-web (DICOMweb), or dicom://TITLE@host:104 (DIMSE; dicoms:// with TLS)"


@dataclass(frozen=True)
class Address:
    """Where an archive is: the base URL of DICOMweb, or AE title, host and port of DIMSE (then `url` is "")."""

    url: str = ""
    title: str = ""
    host: str = ""
    port: int = 0
    tls: bool = False

    def __str__(self) -> str:
        return self.url or f"dicom{'s' if self.tls else ''}://{self.title}@{self.host}:{self.port}"


@dataclass(frozen=True)
class Login:
    """Who this side is: its AE title (DIMSE), and files in PEM format for TLS, of either protocol.

    `authority` is the certificate that the other side's is checked against (default: those of the system);
    `certificate` and `key` are this side's own, for archives that ask for it.
    """

    title: str = OWN_TITLE
    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        require_title(self.title)
        for file in (self.authority, self.certificate, self.key):
            if file is not None and not file.is_file():
                raise InputError(f"expected a certificate or key in a PEM file, found none at {file}; check the path")
        if self.key is not None and self.certificate is None:
            raise InputError("a key without a certificate: name both (--certificate, --key)")


@dataclass(frozen=True)
class Query:
    """Which series are asked for; "" is any. `date` is a day (20260131) or a range (20260101-20260131)."""

    patient: str = ""
    accession: str = ""
    study: str = ""
    series: str = ""
    modality: str = ""
    date: str = ""

    def __post_init__(self) -> None:
        if self.date and not re.fullmatch(r"\d{8}|\d{8}-|-\d{8}|\d{8}-\d{8}", self.date):
            raise InputError(f"date: expected a day as 20260131 or a range as 20260101-20260131, got {self.date!r}")
        for name in ("study", "series"):
            if (uid := getattr(self, name)) and not is_uid(uid):
                raise InputError(f"{name}: expected a UID (numbers with dots between them), got {uid!r}")

    def is_empty(self) -> bool:
        """Whether it asks for everything, or for all of a modality."""
        return not (self.patient or self.accession or self.study or self.series or self.date)


@dataclass(frozen=True)
class RemoteSeries:
    """A series as an archive lists it. `instances` is 0 where the archive doesn't say how many it has."""

    study_uid: str
    uid: str
    modality: str = ""
    instances: int = 0


@runtime_checkable
class Archive(Protocol):
    """An archive over one of the protocols. All methods raise InputError, in one line, where it can't be reached."""

    def find(self, query: Query) -> list[RemoteSeries]:
        """The series that fit."""
        ...

    def retrieve(self, series: RemoteSeries) -> Iterator[bytes]:
        """The DICOM files of a series, whole, one by one."""
        ...

    def store(self, files: Iterable[Path]) -> Iterator[tuple[Path, str | None]]:
        """(file, None or why the archive refused it) of each file, as it is done."""
        ...


def read_address(text: str) -> Address:
    """The address that a text means. Raises InputError for what is none."""
    parts = urlsplit(text)
    if parts.scheme in ("http", "https") and parts.hostname:
        if parts.username or parts.password:
            raise InputError(
                f"the address of {parts.hostname} holds a name or password, which logs and lists of processes would "
                "show; put them into ~/.netrc"
            )
        return Address(url=text.rstrip("/"), tls=parts.scheme == "https")
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.scheme not in ("dicom", "dicoms") or not parts.username or not parts.hostname or not port:
        raise InputError(f"expected an archive's address such as {EXAMPLES}, got {text!r}")
    require_title(parts.username)
    return Address(title=parts.username, host=parts.hostname, port=port, tls=parts.scheme == "dicoms")


def is_uid(text: str) -> bool:
    """Whether a text is a DICOM UID: only such become names of files."""
    return len(text) <= LONGEST_UID and UID.fullmatch(text) is not None


def require_title(title: str) -> None:
    """Raise InputError for what is no AE title: 1 to 16 printable characters, no backslash."""
    if not 1 <= len(title.strip()) <= LONGEST_TITLE or "\\" in title or not title.isascii() or not title.isprintable():
        raise InputError(f"expected an AE title of 1 to 16 letters and digits, got {title!r}")


def missing_extra(library: str) -> InputError:
    """What to say where a library of the extra isn't installed."""
    return InputError(f"archives need {library}, which isn't installed; pip install 'unpaired[pacs]'")
