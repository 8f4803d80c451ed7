"""Configs: the frozen dataclasses that choose a network, a method and how they are trained; as JSON and back.

A stored config names its class, `unpaired.networks.fcn:FCNConfig`. Reading it back imports a module of the package's
rooms of configs, or, with a person's consent, one of that person's (`unpaired.consent`): never what a document likes.
"""

import importlib
import json
import math
import re
import sys
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union

from unpaired.consent.factories import NamesCode, require_factory, split_name
from unpaired.consent.modules import Trust, trusted_module
from unpaired.errors import InputError, nearest

MOVED = {"unpaired.inference.postprocess:Postprocessing": "unpaired.data.postprocess:Postprocessing"}
"""Where config classes are now that stored recipes name by their old module."""
PACKAGE = "unpaired"
OWN_MODULE = re.compile(rf"{PACKAGE}\.(recipe|(networks|methods|data)\.[a-z][a-z0-9_]*)")
"""The modules of the package that hold configs."""


@dataclass(frozen=True)
class Range:
    """Marks a config's field, or what is inside of it, as a number between two others: `Annotated[float, Range(0)]`."""

    least: float = -math.inf
    most: float = math.inf
    words: str = "in range"


NotNegative = Annotated[float, Range(0, words="a number of 0 or more")]
Share = Annotated[float, Range(0, 1, "a number between 0 and 1")]
Whole = Annotated[int, Range(0, words="a whole number of 0 or more")]


@dataclass(frozen=True)
class Config:
    """The base of every config. A document can build these classes and no others."""

    def __post_init__(self) -> None:
        """Raises InputError for a number out of its field's range. Subclasses with checks of their own call this."""
        for name, hint in _ranges(type(self)).items():
            value = getattr(self, name)
            wrong = isinstance(value, int | float) and not hint.least <= value <= hint.most
            if wrong or (isinstance(value, float) and not math.isfinite(value)):
                raise InputError(f"{type(self).__name__}.{name}: expected {hint.words}, got {value!r}")


C = TypeVar("C", bound=Config)


def to_json(config: Any) -> Any:
    """A config or any part of it as JSON values; configs carry their class under "type"."""
    if isinstance(config, Config):
        name = f"{type(config).__module__}:{type(config).__qualname__}"
        return {"type": name, **{part.name: to_json(getattr(config, part.name)) for part in fields(config)}}
    if isinstance(config, list | tuple):
        return [to_json(item) for item in config]
    if isinstance(config, Mapping):
        return {str(key): to_json(value) for key, value in config.items()}
    return config


def dumps(config: Config) -> str:
    """The config as indented JSON text."""
    return json.dumps(to_json(config), indent=1) + "\n"


def from_json(document: Any, where: str = "recipe", trust: Trust = ()) -> Any:
    """The config back from `to_json`; configs are the only objects built, lists become tuples.

    `trust` are modules outside the package that the document may name. Raises InputError for a class that is no config,
    for fields that don't fit, and (`ConsentError`) for code that `trust` doesn't cover.
    """
    if not isinstance(document, Mapping) or "type" not in document:
        raise InputError(f'{where}: expected an object with a "type", got {document!r}')
    config_class = find_config_class(document["type"], where, trust)
    known = {part.name for part in fields(config_class)}
    unknown = sorted(set(document) - known - {"type"})
    if unknown:
        raise InputError(f"{where}: {config_class.__name__} has no field {unknown[0]!r} in this version of unpaired")
    hints = typing.get_type_hints(config_class, include_extras=True)
    values = {}
    for key in known & set(document):
        value = values[key] = _part(document[key], hints[key], f"{where}.{key}", trust)
        if not _fits(value, hints[key]):
            raise InputError(f"{where}.{key}: expected {_type_name(hints[key])}, got {value!r}")
        if _names_code(hints[key]):
            require_factory(value, f"{where}.{key}", trust)
    try:
        return config_class(**values)
    except TypeError as error:
        raise InputError(f"{where}: {config_class.__name__} can't be built from the stored fields: {error}") from error


def find_config_class(name: Any, where: str, trust: Trust = ()) -> type[Config]:
    """The config class "module:Class" that a document at `where` names.

    Raises InputError if there is none, `ConsentError` for a module outside the package that `trust` doesn't cover.
    """
    if not isinstance(name, str):
        raise InputError(f'{where}.type: expected "module:Class", got {name!r}')
    module_name, class_name = split_name(MOVED.get(name, name), f"{where}.type")
    if module_name.partition(".")[0] == PACKAGE:
        own = module_name in sys.modules or _is_own_file(module_name)
        if not OWN_MODULE.fullmatch(module_name) or not own:
            raise InputError(f"{where}: {name} is no config class of this version of unpaired")
        module = importlib.import_module(module_name)
    else:
        module = trusted_module(module_name, where, trust)
    config_class = vars(module).get(class_name)
    if not isinstance(config_class, type) or not issubclass(config_class, Config):
        raise InputError(f"{where}: {name} is no config class; it was written by another version, or is damaged")
    if config_class.__module__ != module_name:
        raise InputError(f"{where}: {name} is defined in {config_class.__module__}; a document names it there")
    return config_class


def code_of(config: Any) -> tuple[str, ...]:
    """The modules outside the package that a config and its parts name, sorted; building it runs their code."""
    return tuple(sorted(set(_code_of(config))))


def override(config: C, assignments: Sequence[str]) -> C:
    """The config with fields replaced, each given as "network.width=8" (values in JSON; bare words are strings).

    Raises InputError for a field that doesn't exist (naming the near one) or a value of another type.
    """
    tree = _Changes()
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals:
            raise InputError(f"--set expects FIELD=VALUE such as network.width=8, got {assignment!r}")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = {"None": None, "True": True, "False": False}.get(text, text)
        _plant(config, tree, path.strip(), _freeze(value))
    return _grown(config, tree)


class _Changes(dict[str, Any]):
    """{field: new value, or the changes of the config in it}; a type of its own, as values may be dictionaries."""


def _plant(config: Any, tree: _Changes, whole: str, value: Any) -> None:
    """Put a checked value at "network.width" of {"network": {"width": value}}."""
    *outer, last = whole.split(".")
    for place, name in enumerate([*outer, last]):
        names = [part.name for part in fields(config)]
        if name not in names:
            raise InputError(f"--set {whole}: {type(config).__name__} has no field {name!r}; {nearest(name, names)}")
        if place == len(outer):
            break
        inner = getattr(config, name)
        if not is_dataclass(inner):
            rest = whole.split(".")[place + 1]
            raise InputError(
                f"--set {whole}: {type(config).__name__}.{name} is a plain value, it has no field {rest!r}"
            )
        if not isinstance(tree.get(name), _Changes):
            tree[name] = _Changes()
        config, tree = inner, tree[name]
    expected = typing.get_type_hints(type(config))[last]
    if not _fits(value, expected):
        raise InputError(f"--set {whole}: expected {_type_name(expected)}, got {value!r}")
    tree[last] = float(value) if expected is float and isinstance(value, int) else value


def _grown(config: Any, tree: _Changes) -> Any:
    """The config with a tree of values in it, each part replaced once: what it checks is all of them together."""
    changes = {
        name: _grown(getattr(config, name), value) if isinstance(value, _Changes) else value
        for name, value in tree.items()
    }
    return replace(config, **changes)


@cache
def _ranges(config_class: type[Config]) -> dict[str, Range]:
    """{field: its range} of those that have one; a field of `Range | None` may be left out."""
    found: dict[str, Range] = {}
    for name, hint in typing.get_type_hints(config_class, include_extras=True).items():
        of_union = isinstance(hint, types.UnionType) or typing.get_origin(hint) is Union
        for option in (hint, *(typing.get_args(hint) if of_union else ())):
            marks = [mark for mark in getattr(option, "__metadata__", ()) if isinstance(mark, Range)]
            found |= {name: marks[0]} if marks else {}
    return found


def _is_own_file(module_name: str) -> bool:
    """Whether a module of the package is a file in its own folder."""
    inside = module_name.split(".")[1:]
    return Path(__file__).parent.joinpath(*inside).with_suffix(".py").is_file()


def _code_of(config: Any) -> Iterator[str]:
    if not isinstance(config, Config):
        return
    if not type(config).__module__.startswith(f"{PACKAGE}."):
        yield type(config).__module__
    hints = typing.get_type_hints(type(config), include_extras=True)
    for part in fields(config):
        value = getattr(config, part.name)
        if _names_code(hints[part.name]):
            yield str(value).partition(":")[0]
        yield from _code_of(value)


def _part(value: Any, hint: Any, where: str, trust: Trust) -> Any:
    """A field's value: a config where the field is for one, else what the document says, whatever it is called."""
    for_config = isinstance(hint, type) and issubclass(hint, Config)
    return from_json(value, where, trust) if for_config and isinstance(value, Mapping) else _freeze(value)


def _names_code(hint: Any) -> bool:
    return any(isinstance(mark, NamesCode) for mark in getattr(hint, "__metadata__", ()))


def _fits(value: Any, expected: Any) -> bool:
    """Whether a JSON value, its lists as tuples, may stand in a field of this type; its own checks look closer."""
    origin, inner = typing.get_origin(expected), typing.get_args(expected)
    if expected is Any:
        return True
    if origin is typing.Annotated:
        return _fits(value, inner[0])
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, option) for option in inner)
    if origin is typing.Literal:
        return any(value == option and type(value) is type(option) for option in inner)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        kinds = (inner[0],) * len(value) if inner[1:] == (...,) else inner
        return len(kinds) == len(value) and all(_fits(item, kind) for item, kind in zip(value, kinds, strict=True))
    if origin is Mapping:
        return isinstance(value, Mapping) and all(_fits(item, inner[1]) for item in value.values())
    if expected is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if expected is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, expected) if isinstance(expected, type) else True


def _type_name(expected: Any) -> str:
    """A type in words: "int", "[int, int]", "[str, ...]", "'a' or 'b' or null"."""
    origin, inner = typing.get_origin(expected), typing.get_args(expected)
    if origin is typing.Annotated:
        return _type_name(inner[0])
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type_name(option) for option in inner)
    if origin is typing.Literal:
        return " or ".join(map(repr, inner))
    if origin is tuple:
        return f"[{', '.join('...' if kind is ... else _type_name(kind) for kind in inner)}]"
    if expected is type(None):
        return "null"
    return "an object" if origin is Mapping else getattr(expected, "__name__", str(expected))


def _freeze(value: Any) -> Any:
    """JSON's lists as tuples."""
    if isinstance(value, list):
        return tuple(_freeze(item) for item in value)
    return {key: _freeze(item) for key, item in value.items()} if isinstance(value, dict) else value
