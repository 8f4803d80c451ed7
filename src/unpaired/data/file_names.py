"""Names that become files: what every file system can hold, and tells from every other name.

A case's id names its predictions, its prepared volumes and its rows, here and wherever the folder is copied to. macOS
and Windows take "P1" and "p1" for one file, macOS also the two ways in which Unicode writes "é"; Windows drops a dot or
blank at the end and gives NUL and COM1 to devices. The second of two such cases would silently replace the first.
"""

import re
from collections.abc import Iterable
from unicodedata import normalize

from unpaired.errors import InputError, require_name, visible

LONGEST = 160
"""The most bytes of UTF-8: with what is put before and behind, names stay below the 255 of most file systems."""
RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])", re.IGNORECASE)
"""Names of Windows's devices, whatever follows their first dot."""
WINDOWS_REFUSES = '<>:"|?*'
"""Characters that a file name can't have on Windows."""


def same_file_key(name: str) -> str:
    """Equal for names that some file system, or everybody who reads them, takes for one."""
    return normalize("NFC", normalize("NFC", visible(name)).casefold())


def require_file_name(name: str, where: str) -> None:
    """Raise InputError for a name that can't be a file's on every system, or that would be a hidden one."""
    require_name(name, where)
    problem = _problem(name)
    if problem is not None:
        raise InputError(f"{where} {name[:80]!r} {problem}; use letters, digits, '.', '_' and '-'")


def require_distinct(names: Iterable[str], what: str, why: str) -> None:
    """Raise InputError if two names are equal, or differ in a way that some file systems and every reader overlook."""
    seen: dict[str, str] = {}
    for name in names:
        key = same_file_key(name)
        if key in seen and seen[key] == name:
            raise InputError(f"{what} {name!r} appears twice; {why}")
        if key in seen:
            raise InputError(
                f"{what} {seen[key]!a} comes again as {name!a}: upper and lower case, how Unicode writes a letter, "
                f"and characters that nobody sees tell no names apart; {why}"
            )
        seen[key] = name


def refused_by_windows(name: str) -> str:
    """The characters of a name that no file of Windows can have in its name."""
    return "".join(sorted(set(name) & set(WINDOWS_REFUSES)))


def _problem(name: str) -> str | None:
    if not name or re.search(r"[/\\]", name) or name in (".", ".."):
        return "can't be a file name"
    if name != name.strip():
        return "begins or ends with a blank, which nobody sees and Windows drops"
    if name.startswith("."):
        return "begins with a dot, which hides files"
    if name.endswith("."):
        return "ends with a dot, which Windows drops"
    if RESERVED.fullmatch(name.partition(".")[0].rstrip()):
        return "is a device's name on Windows"
    if len(name.encode()) > LONGEST:
        return f"is longer than the {LONGEST} bytes that leave room for what files are called besides"
    return None
