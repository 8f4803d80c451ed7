"""GDCM, which writes DICOM in tests, may leave the C locale behind, in which Python takes text files for ASCII."""

import locale
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def locale_kept() -> Iterator[None]:
    """The process has its locale back afterwards."""
    before = locale.setlocale(locale.LC_ALL)
    try:
        yield
    finally:
        locale.setlocale(locale.LC_ALL, before)
