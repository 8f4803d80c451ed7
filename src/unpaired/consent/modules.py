"""Modules outside the package: imported where a person said so, from where that person has them, and never else.

A run, a recipe or a manifest may come from anybody and is data. It may name code of its author's, such as
`my_networks:MyNetworkConfig`; that code runs if its module is among those that the caller trusts (`--trust`), or is
remembered in the settings (`consent.settings`) and its files are still the same.
"""

import importlib
import sys
from collections.abc import Sequence
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from unpaired.choices import several
from unpaired.consent.settings import Entry, fingerprint, remembered
from unpaired.consent.source_only import SourceOnly, search_last
from unpaired.errors import InputError
from unpaired.failures import own_place

Trust = Sequence[str | Path]
"""Modules that a person trusts: their names, or Python files. A name covers the parts of its package."""


class ConsentError(InputError):
    """A document names code that nobody said to trust; the message says which module, and how to say so."""


def trusted_module(name: str, where: str, trust: Trust = ()) -> ModuleType:
    """The module that a document at `where` names, imported with a person's consent.

    Raises ConsentError without it, InputError for a name that no module can have and for code that fails.
    """
    top = top_of(name, where)
    for word in several(trust):
        if str(word).endswith(".py"):
            if Path(word).stem == name:
                return load_file(Path(word))
        elif word == name or (name.startswith(f"{word}.") and not _is_namespace(str(word))):
            return _imported(name, where)
    entry = remembered(name)
    if entry is not None:
        return _imported_as_remembered(name, entry, where)
    seen = _seen(top)
    place = f"here {seen}" if seen else "which can't be imported here"
    raise ConsentError(
        f"{where} names code outside unpaired, the module {name!r} ({place}), which would run; if you trust it, add "
        f"--trust {name} (in Python trust=[{name!r}]), or say so once with `unpaired trust {name}`"
    )


def require_there(trust: Trust) -> None:
    """Raise InputError for a module or file that a person trusts and that isn't there, whoever needs it or not.

    Looking runs none of its code.
    """
    for word in several(trust):
        if str(word).endswith(".py"):
            if not Path(word).is_file():
                raise InputError(f"--trust: found no file {Path(word).resolve()}; correct the path, or leave it out")
        elif _seen(top_of(str(word), "--trust")) is None and str(word) not in sys.modules:
            raise InputError(
                f"--trust: found no module {word}; install it, or give its file: --trust path/to/{word}.py"
            )


def absolute_modules(trust: Trust) -> list[str]:
    """Modules that another process is to trust, files by paths that mean the same everywhere.

    Raises InputError if one isn't there.
    """
    require_there(trust)
    return [str(Path(word).resolve()) if str(word).endswith(".py") else str(word) for word in several(trust)]


def load_trusted(trust: Trust) -> None:
    """Import all that a person trusts, so that a name given later (`--set network.factory=...`) is found."""
    for word in several(trust):
        if str(word).endswith(".py"):
            load_file(Path(word))
        else:
            top_of(str(word), "--trust")
            _imported(str(word), "--trust")


def load_file(path: Path, sha256: str | None = None, again: bool = False) -> ModuleType:
    """The module in a Python file that a person named; with `again` its text as it is now, if it was loaded before.

    Its folder is searched for what it imports, after everything that is installed. Raises InputError if there is no
    such file, if Python has another module of that name, and in one line for whatever is wrong in it.
    """
    path = path.resolve()
    if not path.is_file():
        raise InputError(f"found no file {path}; correct the path of the Python file")
    before = sys.modules.get(path.stem)
    same = before is not None and getattr(before, "__file__", None) == str(path)
    if before is not None and same and not again:
        return before
    other = before is not None and not same and not isinstance(getattr(before, "__loader__", None), SourceOnly)
    if other or path.stem in sys.stdlib_module_names:
        raise InputError(f"{path} has the name of another module, {path.stem}; give the file a name of its own")
    spec = spec_from_file_location(path.stem, path, loader=SourceOnly(path.stem, str(path), sha256))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[path.stem] = module  # configs defined in the file are found again when the run folder is read
    search_last(path.parent)
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[path.stem]
        if isinstance(error, InputError) or not isinstance(error, Exception | SystemExit):
            raise
        raise one_line(str(path), error) from error
    return module


def one_line(what: str, error: BaseException) -> InputError:
    """What is wrong in code of a person's own, with the innermost line of theirs; `what` it is, such as its file."""
    where = (own_place(error) or "").removeprefix(what).removeprefix(", ")
    reason = " ".join(str(error).split()) or "no details"
    return InputError(f"{what}{where and f', {where}'}: {type(error).__name__}: {reason}; correct it there")


def top_of(name: str, where: str) -> str:
    """The package that a module belongs to. Raises InputError for what no module outside Python itself is called."""
    parts = name.split(".")
    if not all(part.isidentifier() for part in parts):
        raise InputError(f"{where}: expected the name of a module such as my_networks, got {name!r}; correct it there")
    if parts[0] in sys.stdlib_module_names:
        raise InputError(
            f"{where} names the module {name!r}, which is Python's own and holds no config class and no network; "
            "correct it"
        )
    return parts[0]


def _imported(name: str, where: str) -> ModuleType:
    """A module by its name: an installed one, else one in the working folder."""
    if name in sys.modules:
        return sys.modules[name]
    importlib.invalidate_caches()  # a file that was written a moment ago
    spec, here = _spec_of(name.partition(".")[0]), Path.cwd() / f"{name}.py"
    if here.is_file() and (spec is None or spec.origin == str(here)):
        return load_file(here)
    if spec is None:
        search_last(Path.cwd())
    try:
        return importlib.import_module(name)
    except BaseException as error:
        if isinstance(error, InputError) or not isinstance(error, Exception):
            raise
        reason = " ".join(str(error).split())
        raise InputError(
            f"{where}: module {name} can't be imported ({type(error).__name__}: {reason}); install it, or give its "
            f"file: --trust path/to/{name.replace('.', '/')}.py"
        ) from error


def _imported_as_remembered(name: str, entry: Entry, where: str) -> ModuleType:
    """A module whose files are those that a person said to trust. Raises ConsentError if they are not."""
    top = name.partition(".")[0]
    if not entry.file.is_file() or fingerprint(entry.file) != entry.sha256:
        raise ConsentError(
            f"{where} names the module {name!r}, and {entry.file} is gone or no longer what you trusted; look at it, "
            f"then say so again: `unpaired trust {entry.file}`"
        )
    if entry.file.stem != "__init__" and name == top:
        return load_file(entry.file, entry.sha256)
    if _spec_of(top) is None:
        search_last(entry.file.parent.parent)
    spec = _spec_of(top)
    if spec is None or spec.origin is None or Path(spec.origin).resolve() != entry.file:
        raise ConsentError(
            f"{where} names the module {name!r}, and here {top} is {_seen(top) or 'not to be found'}, not the one that "
            f"you trusted, {entry.file}; `unpaired trust {name}` trusts the one that is here"
        )
    return _imported(name, where)


def _spec_of(top: str):
    """Where a top-level module would come from; looking runs none of its code."""
    try:
        return find_spec(top)
    except (ValueError, ImportError):  # a module without a spec, such as __main__
        return None


def _is_namespace(name: str) -> bool:
    """Whether a package is a folder without code of its own: any folder on the path may add parts to such a one."""
    spec = _spec_of(name.partition(".")[0])
    return spec is not None and spec.origin is None


def _seen(top: str) -> Path | None:
    """The file of a top-level module, as far as one is to be seen without running anything."""
    spec = _spec_of(top)
    if spec is not None and spec.origin is not None:
        return Path(spec.origin)
    places = [Path.cwd() / f"{top}.py", Path.cwd() / top / "__init__.py", Path.cwd() / top]
    return next((place for place in places if place.exists()), None)
