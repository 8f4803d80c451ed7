"""An address becomes an archive, over the protocol that it names."""

from unpaired.pacs.archive import Archive, Login, read_address
from unpaired.pacs.dimse import DimseArchive
from unpaired.pacs.web import WebArchive


def connect(address: str, login: Login | None = None) -> Archive:
    """The archive at an address (`read_address`); nothing is sent yet. Raises InputError where a library is missing."""
    where = read_address(address)
    if where.url:
        return WebArchive(where, login or Login())
    return DimseArchive(where, login or Login())
