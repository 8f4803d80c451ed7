"""Python files of a person's own folders run from their text, never from a compiled copy that somebody sent beside it.

Python prefers `__pycache__/x.pyc` to `x.py` where size and time agree, and both can be made to: whoever looks at the
text of a received file before trusting it would see other code than what runs.
"""

import hashlib
import sys
from collections.abc import Callable
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES, ExtensionFileLoader, FileFinder, SourceFileLoader
from pathlib import Path
from types import CodeType


class SourceOnly(SourceFileLoader):
    """Runs the text of a Python file; with `sha256` only a text of that hash."""

    of_a_person = True
    """What goes wrong in such a file is told as that file's (`failures.own_place`)."""

    def __init__(self, name: str, path: str, sha256: str | None = None) -> None:
        super().__init__(name, path)
        self.sha256 = sha256

    def get_code(self, fullname: str) -> CodeType:
        """The compiled text. Raises ImportError if it is not the one that was promised."""
        text = self.get_data(self.path)
        if self.sha256 not in (None, hashlib.sha256(text).hexdigest()):
            raise ImportError(f"{self.path} changed while it was read; start again")
        return self.source_to_code(text, self.path)


def search_last(folder: Path) -> None:
    """Import modules of `folder` too, from their text; after everything else, so that nothing installed is hidden."""
    folder = folder.resolve()
    if str(folder) in sys.path:
        return
    sys.path_hooks.insert(0, _hook(folder, [Path(entry).resolve() for entry in sys.path if entry]))
    sys.path.append(str(folder))


def _hook(folder: Path, others: list[Path]) -> Callable[[str], FileFinder]:
    """For `folder` and the packages in it, but for places below it that were on the path before, as an environment."""
    others = [other for other in others if other != folder and other.is_relative_to(folder)]

    def hook(entry: str) -> FileFinder:
        path = Path(entry).resolve()
        if not path.is_dir() or not path.is_relative_to(folder) or any(path.is_relative_to(other) for other in others):
            raise ImportError(f"{entry} is not below {folder}", path=entry)
        return FileFinder(entry, (ExtensionFileLoader, EXTENSION_SUFFIXES), (SourceOnly, SOURCE_SUFFIXES))

    return hook
