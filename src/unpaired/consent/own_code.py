"""A function of a person's own file: why it isn't the one that was asked for, and what it returns, looked at.

Whatever it does wrong is that file's, and told with its line; it is no fault of the package.
"""

import inspect
from collections.abc import Callable, Collection
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from unpaired.consent.modules import one_line
from unpaired.documents import shown
from unpaired.errors import InputError, nearest

Kind = TypeVar("Kind")


def returns(function: Callable[..., Any], kind: type) -> bool:
    """Whether a function is annotated with what it has to return, by the class, its name, or as `unpaired.NAME`."""
    annotation = function.__annotations__.get("return")
    return annotation is kind or (isinstance(annotation, str) and annotation.rpartition(".")[2] == kind.__name__)


def lacking(function: Callable[..., Any], filled: Collection[str] = ()) -> list[str]:
    """The parameters of a function that have no default, but for those that are `filled`."""
    parameters = inspect.signature(function).parameters.values()
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [
        each.name
        for each in parameters
        if each.default is each.empty and each.kind not in variable and each.name not in filled
    ]


def why_not(path: Path, module: ModuleType, name: str, kind: type, known: list[str], filled: Collection[str]) -> str:
    """Why a file's function of that name is none that makes a `kind`; for a name that isn't there the near ones."""
    function, word = getattr(module, name, None), kind.__name__
    if not inspect.isfunction(function):
        hint = nearest(name, known) if known else f"it has no function annotated `-> {word}`"
        return f"{path} has no {word.lower()} {name!r}; {hint}"
    if not returns(function, kind):
        return f"{path}: {name} is not annotated with what it returns; write `def {name}(...) -> {word}:`"
    if missing := lacking(function, filled):
        return f"{path}: nobody gives {name} its {', '.join(missing)}; give {word.lower()} functions defaults for all"
    return f"{path}: {name} can't be named; take a name without `_` in front of a function that is written in this file"


def called(what: str, kind: type[Kind], function: Callable[..., Any], *given: Any, **named: Any) -> Kind:
    """What a function of a person's own returns.

    Raises InputError, which begins with `what` it is, for whatever it raises and for anything but a `kind`.
    """
    try:
        made = function(*given, **named)
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        raise one_line(what, error) from error
    if not isinstance(made, kind):
        raise InputError(f"{what}: expected a {kind.__name__}, got {shown(made)}; correct it there")
    return made
