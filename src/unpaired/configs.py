"""Configs: the frozen dataclasses that choose a network, a method and how they are trained; as JSON and back.

A stored config names its class, `unpaired.networks.fcn:FCNConfig`. Reading it back imports a module of the package's
rooms of configs, or, with a person's consent, one of that person's (`unpaired.consent`): never what a document likes.
"""

import importlib
import math
import re
import sys
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, Field, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Union

from msgspec import Meta

from unpaired.consent.factories import NamesCode, require_factory, split_name
from unpaired.consent.modules import Trust, trusted_module
from unpaired.documents import UnfitError, fitted, hints_of, holds_objects, options, shown, words
from unpaired.errors import InputError, nearest
from unpaired.files import json_text

MOVED = {"unpaired.inference.postprocess:Postprocessing": "unpaired.data.postprocess:Postprocessing"}
"""Where config classes are now that stored recipes name by their old module."""
PACKAGE = "unpaired"
OWN_MODULE = re.compile(rf"{PACKAGE}\.(recipe|(networks|methods|data)\.[a-z][a-z0-9_]*)")
"""The modules of the package that hold configs."""
MOST = 10**9
"""The most of anything (steps, voxels along an axis, images) that can be asked for; more would overflow somewhere."""

Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
LogOdds = Annotated[float, Meta(ge=-10, le=10)]
BelowOne = Annotated[float, Meta(ge=0, lt=1)]
"""Shares of which something must remain: dropout, the decay of an average."""
MOST_OVERLAP = 0.8
MOST_ANGLES = 4
Smoothing = Annotated[float, Meta(ge=0, le=30)]
"""The deviation of a Gaussian in mm, whose time grows with it; `find-postprocessing` tries 2, 3 and 4."""
Overlap = Annotated[float, Meta(ge=0, le=MOST_OVERLAP)]
"""The share that neighboring windows have in common. At 0.5 a voxel of a volume lies in 8 windows, at 0.8 in 125."""
Angles = Annotated[tuple[Annotated[float, Meta(ge=0, lt=180)], ...], Meta(max_length=MOST_ANGLES)]
"""Degrees by which slices are turned both ways: each is two more predictions, and docs/results/turned-predictions.md
has what one and two give."""
Whole = Annotated[int, Meta(ge=0, le=MOST, description="a whole number of 0 or more, up to 10^9")]
Count = Annotated[int, Meta(ge=1, le=MOST, description="a whole number of 1 or more, up to 10^9")]
Width = Annotated[int, Meta(ge=1, le=2**14)]
"""Channels of a layer."""
Depth = Annotated[int, Meta(ge=1, le=256)]
"""Layers or blocks one after the other."""
Stride = Annotated[int, Meta(ge=1, le=256)]
"""Voxels along an axis that a layer takes together: a stride, a patch, a window."""
Axes = Annotated[tuple[Stride, ...], Meta(min_length=2, max_length=3)]
"""One number for each spatial axis."""
Side = Annotated[int, Meta(ge=1, le=2**14)]
"""Voxels of a window along an axis."""
Size = Annotated[tuple[Side, ...], Meta(min_length=2, max_length=3)]
"""(height, width) or (depth, height, width)."""
Name = Annotated[str, Meta(min_length=1)]
Names = Annotated[tuple[Name, ...], Meta(min_length=1)]
Digest = Annotated[str, Meta(pattern="^[0-9a-fA-F]{64}$", description="a SHA-256, 64 hexadecimal digits")]


@dataclass(frozen=True)
class Config:
    """The base of every config. A document can build these classes and no others.

    A field's annotation says everything that it may hold: type, length, range (`Share`, `Names`, `Literal`, `Meta`).
    """

    def __post_init__(self) -> None:
        """Raises InputError for a value that its field's type doesn't allow, wherever it comes from.

        Whole numbers become floats and lists tuples where the type says so. A subclass with rules between fields has a
        `__post_init__` of its own, which calls this one first.
        """
        for part in fields(self):
            object.__setattr__(self, part.name, checked(type(self), part.name, getattr(self, part.name)))


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
    return json_text(to_json(config))


def from_json(document: Any, where: str = "recipe", trust: Trust = ()) -> Any:
    """The config back from `to_json`; configs are the only objects built, lists become tuples.

    `trust` are modules outside the package that the document may name. Raises InputError for a class that is no config,
    for fields that don't fit, and (`ConsentError`) for code that `trust` doesn't cover.
    """
    if not isinstance(document, Mapping) or "type" not in document:
        raise InputError(f'{where}: expected an object with a "type", got {shown(document)}')
    config_class = find_config_class(document["type"], where, trust)
    hints = hints_of(config_class)
    unknown = [name for name in document if name not in hints and name != "type"]
    if unknown:
        raise InputError(
            f"{where}: {config_class.__name__} has no field {unknown[0]!r} in this version of unpaired; "
            f"{nearest(str(unknown[0]), [*hints])}"
        )
    values: dict[str, Any] = {}
    for name in hints.keys() & document.keys():
        value = _part(document[name], hints[name], f"{where}.{name}", trust)
        with named(where):
            values[name] = checked(config_class, name, value)
        if _names_code(hints[name]):
            require_factory(values[name], f"{where}.{name}", trust)
    missing = [part.name for part in fields(config_class) if _is_required(part) and part.name not in values]
    if missing:
        raise InputError(f"{where}: {config_class.__name__} lacks {missing[0]!r}")
    try:
        with named(where):
            return config_class(**values)
    except TypeError as error:  # an abstract class, or one with an initializer of its own
        raise InputError(f"{where}: {config_class.__name__} can't be built from the stored fields: {error}") from error


def current_name(name: str) -> str:
    """The name by which this version stores the config class that a document calls "module:Class"."""
    return MOVED.get(name, name)


def defaults_of(name: Any) -> dict[str, Any]:
    """{field: its default as JSON values} of the package's config class that a document calls "module:Class".

    It is what a document that is older than a field means by leaving it out. Empty for a class of anybody else.
    """
    try:
        parts = fields(find_config_class(name, "a stored config"))
    except InputError:
        return {}
    made = {part.name: part.default_factory() for part in parts if part.default_factory is not MISSING}
    plain = {part.name: part.default for part in parts if part.default is not MISSING}
    return {field: to_json(default) for field, default in (made | plain).items()}


def find_config_class(name: Any, where: str, trust: Trust = ()) -> type[Config]:
    """The config class "module:Class" that a document at `where` names.

    Raises InputError if there is none, `ConsentError` for a module outside the package that `trust` doesn't cover.
    """
    if not isinstance(name, str):
        raise InputError(f'{where}.type: expected "module:Class", got {name!r}')
    module_name, class_name = split_name(current_name(name), f"{where}.type")
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
        raise InputError(
            f"{where}: expected a class by the module that defines it, {config_class.__module__}:{class_name}, "
            f"got {name}; correct it"
        )
    return config_class


def code_of(config: Any) -> tuple[str, ...]:
    """The modules outside the package that a config and its parts name, sorted; building it runs their code."""
    return tuple(sorted(set(_code_of(config))))


def checked(config_class: type[Config], name: str, value: Any) -> Any:
    """A field's value as its type has it. Raises InputError, which names class and field, for one that doesn't fit."""
    configs, kind, plain = _kinds(config_class)[name]
    if configs and isinstance(value, configs):
        return value
    where = f"{config_class.__name__}.{name}"
    if kind is None or isinstance(value, Config):
        expected = [*(f"a {each.__name__}" for each in configs), *([] if kind is None else [words(kind)])]
        raise InputError(f"{where}: expected {' or '.join(expected)}, got {shown(value)}")
    try:
        value = fitted(value, kind, others=plain)
    except UnfitError as error:
        raise InputError(f"{where}{error.place}: {error.problem}") from None
    except TypeError as error:  # a person's own config
        raise InputError(
            f"{where}: a field of type {kind} can't be checked ({error}); take numbers, text, lists, configs"
        ) from error
    if not _is_finite(value):
        raise InputError(f"{where}: expected {words(kind)}, got {shown(value)}, which is not finite")
    return value


@contextmanager
def named(where: str) -> Generator[None]:
    """Says in front of an InputError where the value stands."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


@cache
def _kinds(config_class: type[Config]) -> dict[str, tuple[tuple[type[Config], ...], Any, bool]]:
    """{field: (the config classes that it may hold, the type of what else it may hold, None for nothing, and whether
    that is plain: it has no objects whose fields have to be looked at)}."""
    kinds: dict[str, tuple[tuple[type[Config], ...], Any, bool]] = {}
    for name, hint in hints_of(config_class).items():
        configs = tuple(option for option in options(hint) if _is_config(option))
        others = [option for option in options(hint) if not _is_config(option)]
        kind = hint if not configs else Union[tuple(others)] if others else None  # noqa: UP007
        kinds[name] = configs, kind, not holds_objects(kind)
    return kinds


def _is_config(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Config)


def _is_required(part: Field[Any]) -> bool:
    return part.default is MISSING and part.default_factory is MISSING


def _is_finite(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_finite, value.values()))
    if isinstance(value, tuple | list):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def _is_own_file(module_name: str) -> bool:
    """Whether a module of the package is a file in its own folder."""
    inside = module_name.split(".")[1:]
    return Path(__file__).parent.joinpath(*inside).with_suffix(".py").is_file()


def _code_of(config: Any) -> Iterator[str]:
    if not isinstance(config, Config):
        return
    if not type(config).__module__.startswith(f"{PACKAGE}."):
        yield type(config).__module__
    for name, hint in hints_of(type(config)).items():
        value = getattr(config, name)
        if _names_code(hint):
            yield str(value).partition(":")[0]
        yield from _code_of(value)


def _part(value: Any, hint: Any, where: str, trust: Trust) -> Any:
    """A field's value: a config where the field is for one, else what the document says, whatever it is called."""
    for_config = isinstance(value, Mapping) and any(map(_is_config, options(hint)))
    return from_json(value, where, trust) if for_config else frozen(value)


def _names_code(hint: Any) -> bool:
    return any(isinstance(mark, NamesCode) for mark in getattr(hint, "__metadata__", ()))


def frozen(value: Any) -> Any:
    """A JSON value with its lists as tuples."""
    if isinstance(value, list):
        return tuple(frozen(item) for item in value)
    return {key: frozen(item) for key, item in value.items()} if isinstance(value, dict) else value
