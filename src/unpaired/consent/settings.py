"""What a person trusts for good: `trust.json` in that person's own settings, with the hash of each module's files.

    {"modules": {"my_networks": {"file": "/home/me/networks/my_networks.py", "sha256": "..."}}}

It lies in the platform's folder for settings (`~/.config/unpaired` on Linux), never in a run or in the working folder.
The variable UNPAIRED_SETTINGS names another folder.
"""

import hashlib
import os
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from unpaired.documents import read
from unpaired.errors import InputError
from unpaired.files import write_json

VARIABLE = "UNPAIRED_SETTINGS"
CODE = {".py", ".so", ".pyd", ".dylib", ".dll"}
"""What in a package's folder is code."""


@dataclass(frozen=True)
class Entry:
    """A module that is trusted: its file (of a package the `__init__.py`), and the hash of its code then."""

    file: Path
    sha256: str


@dataclass(frozen=True)
class _Module:
    """A trusted module as trust.json holds it."""

    file: str
    sha256: str


@dataclass(frozen=True)
class _Settings:
    """What trust.json holds."""

    modules: dict[str, _Module]


def settings_folder() -> Path:
    """Where the settings of the person who runs this lie, whether or not there are any."""
    given = os.environ.get(VARIABLE)
    if given:
        return Path(given).resolve()
    if sys.platform == "win32":
        base = os.environ.get("APPDATA", "")
    else:
        base = os.environ.get("XDG_CONFIG_HOME", "")
    usual = {"win32": "~/AppData/Roaming", "darwin": "~/Library/Application Support"}.get(sys.platform, "~/.config")
    place = Path(base) if Path(base).is_absolute() else Path(usual).expanduser()
    return place / "unpaired"


def trust_file() -> Path:
    """The file that says which modules are trusted."""
    return settings_folder() / "trust.json"


def all_remembered() -> dict[str, Entry]:
    """{module: entry} of everything trusted. Raises InputError for a file that is damaged."""
    path = trust_file()
    if not path.is_file():
        return {}
    advice = "correct or delete it, and say again what you trust with `unpaired trust`"
    modules = read(path, _Settings, advice).modules
    for name, module in modules.items():
        if not Path(module.file).is_absolute():
            raise InputError(f"{path}: modules.{name}.file: expected an absolute path, got {module.file!r}; {advice}")
    return {name: Entry(Path(module.file), module.sha256) for name, module in modules.items()}


def remembered(name: str) -> Entry | None:
    """The entry of a module or of a package that it is a part of; None if it is not trusted."""
    parts = name.split(".")
    names = [".".join(parts[:count]) for count in range(len(parts), 0, -1)]
    known = all_remembered()
    return next((known[whole] for whole in names if whole in known), None)


def remember(module: str | Path) -> tuple[str, Entry]:
    """Trust a module's code as it is now, for good; returns its name and entry.

    `module` is a Python file, or the name of a module that is installed or lies in the working folder. Of a package all
    code is hashed, as all of it may run; the name alone decides what a document may name. Nothing of it is imported.
    Raises InputError if it is not there.
    """
    word = str(module)
    file = Path(word).resolve() if word.endswith(".py") else _file_of(word)
    name = Path(word).stem if word.endswith(".py") else word
    if not file.is_file():
        raise InputError(f"found no file {file}; name a Python file or an installed module")
    if name == "__init__" or name.partition(".")[0] in sys.stdlib_module_names:
        raise InputError(f"{word} can't be trusted by a name that Python uses; rename the file, or name its package")
    entry = Entry(file, fingerprint(file))
    _write(all_remembered() | {name: entry})
    return name, entry


def forget(name: str) -> None:
    """Trust a module no longer. Raises InputError if it isn't trusted."""
    known = all_remembered()
    if name not in known:
        raise InputError(f"{name!r} is not a trusted module; {trust_file()} has {', '.join(known) or 'none'}")
    _write({other: entry for other, entry in known.items() if other != name})


def fingerprint(file: Path) -> str:
    """SHA-256 of a module's file; for a package's `__init__.py` of the names and contents of all code in its folder."""
    if file.stem != "__init__":
        return hashlib.sha256(file.read_bytes()).hexdigest()
    whole = hashlib.sha256()
    for part in sorted(path for path in file.parent.rglob("*") if path.suffix in CODE and path.is_file()):
        content = hashlib.sha256(part.read_bytes()).hexdigest()
        whole.update(f"{part.relative_to(file.parent).as_posix()}\0{content}\0".encode())
    return whole.hexdigest()


def _file_of(name: str) -> Path:
    """The file of a top-level module, or the `__init__.py` of the package that a name belongs to."""
    top, *inner = name.split(".")
    advice = f"give its file: path/to/{top}.py"
    if not all(part.isidentifier() for part in (top, *inner)):
        raise InputError(f"expected the name of a module or a Python file, got {name!r}; {advice}")
    spec = None if top in sys.modules and getattr(sys.modules[top], "__spec__", None) is None else find_spec(top)
    places = [Path.cwd() / f"{top}.py", Path.cwd() / top / "__init__.py"]
    file = Path(spec.origin) if spec is not None and spec.origin else next(filter(Path.is_file, places), None)
    if file is None or file.suffix != ".py":
        raise InputError(f"found no module {top!r}, installed or in this folder; {advice}")
    within = file.parent.joinpath(*inner)
    if inner and not (within.is_dir() or within.with_suffix(".py").is_file()):
        raise InputError(f"{top} at {file} has no module {name!r}; correct the name")
    return file.resolve()


def _write(entries: dict[str, Entry]) -> None:
    modules = {name: {"file": str(entry.file), "sha256": entry.sha256} for name, entry in sorted(entries.items())}
    write_json(trust_file(), {"modules": modules})
