"""Studies by name. Every public function of a module in `shipped` that returns a Study is one."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from unpaired.choices import require_choice
from unpaired.consent.modules import load_file
from unpaired.consent.own_code import called, lacking, returns, why_not
from unpaired.errors import InputError, nearest
from unpaired.experiments import shipped
from unpaired.experiments.study import Size, Study

FILLED = ("size",)
StudyFunction = Callable[..., Study]
"""Takes `size` if it has a form for each, and nothing that has no default."""


def all_studies() -> dict[str, StudyFunction]:
    """{name: function} of every study that comes with unpaired."""
    studies: dict[str, StudyFunction] = {}
    for info in pkgutil.iter_modules(shipped.__path__):
        studies |= _studies_in(importlib.import_module(f"{shipped.__name__}.{info.name}"))
    return studies


def list_studies() -> dict[str, str]:
    """{name: what it is, in one line} of every study that comes with unpaired."""
    return {name: (function.__doc__ or "").strip().splitlines()[0] for name, function in all_studies().items()}


def find_study(name: str, size: Size = "small") -> Study:
    """The study called "csa_table1", or "path/to/file.py:function" for one of your own, in one of its sizes.

    A person who names a file runs it. Raises InputError naming the near ones if there is no such study, and in one line
    for what is wrong in a file.
    """
    require_choice(size, Size, "size")
    if _names_a_file(name):
        return _study_from_file(name, size)
    studies = all_studies()
    if name not in studies:
        raise InputError(f"there is no study {name!r}; {nearest(name, list(studies))}")
    return studies[name](**_form(studies[name], size))


def is_shipped(plan: Study | str) -> bool:
    """Whether a study, as it was asked for, comes with unpaired, and isn't a person's own."""
    return isinstance(plan, str) and not _names_a_file(plan)


def _names_a_file(name: str) -> bool:
    return ".py:" in name or name.endswith(".py")


def _study_from_file(name: str, size: Size) -> Study:
    path_text, _, function = name.partition(".py:")
    path = Path(path_text if path_text.endswith(".py") else f"{path_text}.py")
    if not path.is_file():
        raise InputError(f"study {name!r}: found no file {path}")
    module = load_file(path, again=True)
    studies = _studies_in(module)
    if function not in studies:
        raise InputError(why_not(path, module, function, Study, sorted(studies), FILLED))
    return called(str(path.resolve()), Study, studies[function], **_form(studies[function], size))


def _form(function: StudyFunction, size: Size) -> dict[str, Size]:
    """The arguments of a study's function: its size, if it has a form for each."""
    return {"size": size} if "size" in inspect.signature(function).parameters else {}


def _studies_in(module: ModuleType) -> dict[str, StudyFunction]:
    return {
        name: function
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if not name.startswith("_")
        and function.__module__ == module.__name__
        and returns(function, Study)
        and not lacking(function, FILLED)
    }
