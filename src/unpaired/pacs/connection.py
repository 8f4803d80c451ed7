"""An address becomes an archive, over the protocol that it names."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace

from unpaired.errors import InputError
from unpaired.pacs.archive import Archive, Login, read_address
from unpaired.pacs.dimse import DimseArchive
from unpaired.pacs.move import MovingArchive
from unpaired.pacs.storage import Listening
from unpaired.pacs.web import WebArchive


def connect(address: str, login: Login | None = None) -> Archive:
    """The archive at an address (`read_address`); nothing is sent yet. Raises InputError where a library is missing."""
    where = read_address(address)
    if where.url:
        return WebArchive(where, login or Login())
    return DimseArchive(where, login or Login())


@contextmanager
def connected(address: str, login: Login, listening: Listening | None = None) -> Generator[Archive]:
    """The archive at an address; with `listening` one that sends by C-MOVE to a service that listens there meanwhile.

    The service speaks TLS where the address does. Raises InputError as `connect`, for a port that is taken, and for
    C-MOVE over DICOMweb, which has none.
    """
    archive = connect(address, login)
    if listening is None:
        yield archive
        return
    if not isinstance(archive, DimseArchive):
        raise InputError(f"{address}: DICOMweb has no C-MOVE; leave --move out, or give an address dicom://TITLE@host")
    secured = replace(listening, tls=archive.address.tls)
    with MovingArchive(archive, secured).listening() as moving:
        yield moving
