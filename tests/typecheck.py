"""The run-time type checker of the tests: shapes by jaxtyping, everything else by beartype alone.

jaxtyping binds every call's arguments and checks them twice, which costs more than most functions do. So a function
whose signature states no shape gets beartype's check alone, which refuses the same types at a fraction of the time; and
one that states shapes is checked once for each set of shapes and types that it takes and returns. A function inside
another one is made anew at every call of the outer one; unless it states shapes it is left to pyright.

torch is not imported here: the process that shares out the tests among others, and runs none, does without it.
"""

import functools
import inspect
import sys
from collections.abc import Callable
from types import CodeType
from typing import Any, get_args

import jaxtyping
import numpy as np
from beartype import BeartypeConf, beartype
from jaxtyping import AbstractArray

# With Python's own rule that an int may stand for a float.
checked = beartype(conf=BeartypeConf(is_pep484_tower=True))

_with_shapes = jaxtyping.jaxtyped
_states_shapes: dict[CodeType, bool] = {}


def install() -> None:
    """Check every function and dataclass of the package from its first import on."""
    jaxtyping.install_import_hook("unpaired", "typecheck.checked")
    jaxtyping.jaxtyped = by_shape_or_type  # the name by which the hook's decorators call it


def by_shape_or_type(*, typechecker: Callable[..., Any]) -> Callable[[Any], Any]:
    """The decorator that the import hook puts on every definition of the package."""

    def decorated(definition: Any) -> Any:
        if isinstance(definition, classmethod | staticmethod):
            return type(definition)(decorated(definition.__func__))
        if isinstance(definition, property):
            return property(*(part and decorated(part) for part in (definition.fget, definition.fset, definition.fdel)))
        if inspect.isclass(definition):
            if "__dataclass_fields__" not in vars(definition) or "__init__" not in vars(definition):
                return definition
            if any(map(states_shape, inspect.get_annotations(definition.__init__).values())):
                return _with_shapes(definition, typechecker=typechecker)
            definition.__init__ = checked(definition.__init__)
            return definition
        if not inspect.isfunction(definition):
            return _with_shapes(definition, typechecker=typechecker)
        if _has_shapes(definition):
            return _checked_once_a_shape(definition, typechecker)
        return definition if "<locals>" in definition.__qualname__ else checked(definition)

    return decorated


def _checked_once_a_shape(function: Callable[..., Any], typechecker: Callable[..., Any]) -> Callable[..., Any]:
    """The function, checked where it takes or returns shapes and types that it has not been seen with.

    jaxtyping takes milliseconds to wrap a function, so that it does so where the function is first called.
    """
    returned: list[Any] = []

    @functools.wraps(function)
    def replayed(*_: Any, **__: Any) -> Any:
        return returned.pop()

    @functools.cache
    def fully_checked() -> Callable[..., Any]:
        return _with_shapes(function, typechecker=typechecker)

    @functools.cache
    def return_checked() -> Callable[..., Any]:
        return _with_shapes(replayed, typechecker=typechecker)

    passed: dict[Any, set[Any]] = {}

    @functools.wraps(function)
    def wrapped(*arguments: Any, **keywords: Any) -> Any:
        if is_compiling():  # a graph for any size has sizes that are no numbers
            return fully_checked()(*arguments, **keywords)
        taken = shapes(arguments), shapes(keywords)
        if taken not in passed:
            value = fully_checked()(*arguments, **keywords)
            passed[taken] = {shapes(value)}
            return value
        value = function(*arguments, **keywords)
        given = shapes(value)
        if given not in passed[taken]:
            returned.append(value)
            return_checked()(*arguments, **keywords)
            passed[taken].add(given)
        return value

    return wrapped


def is_compiling() -> bool:
    """Whether torch is drawing up a graph of what runs."""
    torch = sys.modules.get("torch")
    return torch is not None and torch.compiler.is_compiling()


@functools.cache
def is_array(kind: type) -> bool:
    """Whether a type is numpy's array or a tensor."""
    torch = sys.modules.get("torch")  # whose types are not asked about before it is there
    return kind is np.ndarray or (torch is not None and issubclass(kind, torch.Tensor))


def shapes(value: Any) -> Any:
    """What a check of shapes sees: shape and dtype of arrays, also in containers, whole numbers, types of the rest."""
    kind = type(value)
    if is_array(kind):
        return kind, value.shape, value.dtype
    if kind is dict:
        return kind, *((shapes(key), shapes(inner)) for key, inner in value.items())
    if kind is list or kind is tuple:
        return kind, *map(shapes, value)
    return value if kind is int else kind  # a shape may name a number: "{side} channel"


def _has_shapes(function: Any) -> bool:
    code = function.__code__
    if code not in _states_shapes:
        _states_shapes[code] = any(map(states_shape, function.__annotations__.values()))
    return _states_shapes[code]


def states_shape(annotation: Any) -> bool:
    """Whether an annotation is, or holds, an array type with a shape; a text may be one."""
    if isinstance(annotation, str):
        return True
    if inspect.isclass(annotation) and issubclass(annotation, AbstractArray):
        return True
    return any(map(states_shape, get_args(annotation)))
