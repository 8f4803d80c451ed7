"""SimpleITK's readers and writers of files, and the locale of the process."""

import locale
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def locale_kept() -> Iterator[None]:
    """The process has its locale back afterwards.

    GDCM, which SimpleITK reads DICOM with and asks about files that it doesn't know, now and then leaves the C locale
    behind, in which Python takes text files and the output of other programs for ASCII.
    """
    before = locale.setlocale(locale.LC_ALL)
    try:
        yield
    finally:
        locale.setlocale(locale.LC_ALL, before)
