"""How the help of a command reads: each option's text is one paragraph, and its default is said once."""

import re
from collections.abc import Callable
from inspect import signature
from typing import Annotated, Any, get_type_hints

import tyro

CONTINUED = re.compile(r"\n {12,}")
"""A line break inside the text of an argument, as this package indents docstrings; tyro would keep it."""
NOTHING = ("", "''", "None")
"""Defaults that say nothing; what an option does without a value stands in its own text."""


def with_readable_help(
    parsed: Callable[..., Any], command: Callable[..., Any], brief: bool = False
) -> Callable[..., Any]:
    """`parsed` with the name, parameters and docstring of a command, for tyro to make its arguments and help of.

    `brief`: of the docstring the first paragraph alone, as it stands in a list of commands.
    """
    hint = tyro.conf.arg(help_behavior_hint=_default)
    hints = get_type_hints(command, include_extras=True)
    annotations = {name: kind if _is_repeatable(kind) else Annotated[kind, hint] for name, kind in hints.items()}
    parameters = [
        parameter.replace(annotation=annotations[name]) for name, parameter in signature(command).parameters.items()
    ]
    parsed.__name__ = parsed.__qualname__ = command.__name__
    said = command.__doc__ or ""
    parsed.__doc__ = said.partition("\n\n")[0] if brief else CONTINUED.sub(" ", said)
    parsed.__annotations__ = annotations
    vars(parsed)["__signature__"] = signature(command).replace(parameters=parameters)
    vars(parsed).pop("__wrapped__", None)  # tyro would look behind a decorator's wrapper, and find none of this
    return parsed


def _default(label: str) -> str:
    return "" if label in NOTHING else f"(default: {label})"


def _is_repeatable(hint: Any) -> bool:
    """Whether an option may be given several times; tyro says so where a default would stand."""
    return tyro.conf.UseAppendAction in getattr(hint, "__metadata__", ())
