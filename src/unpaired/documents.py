"""Checked values: what a JSON file or a setting holds as its type has it, or one line on what is wrong where.

msgspec decides what fits a type (dataclasses, `Literal`, `Annotated[float, Meta(ge=0)]`), strictly: "3" is no number,
and neither is true. What it leaves out is said here: the key inside an object, the value that came, and the field that
nobody knows, which msgspec passes over in a dataclass.
"""

import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import inspect

from unpaired.errors import InputError, nearest
from unpaired.files import read_json

T = TypeVar("T")
SHOWN = 100
"""How many characters of a wrong value a message shows."""


class UnfitError(InputError):
    """A value doesn't fit its type. `place` says where inside the value, such as "[2].image"; "" is all of it."""

    def __init__(self, place: str, problem: str) -> None:
        self.place, self.problem = place, problem
        super().__init__(f"{place.lstrip('.')}: {problem}" if place else problem)


def read(
    path: Path, kind: type[T] | types.GenericAlias, advice: str, *, schema: int | None = None, others: bool = False
) -> T:
    """What a JSON file holds, as a value of type `kind`: a dataclass, `dict[str, int]` and the like.

    `schema` is the number that its field "schema" must have; such a file is the package's own, and what it holds beside
    the fields of `kind` is for other readers. Raises InputError, with `advice` on what to do, for anything else.
    """
    document = read_json(path, advice)
    if schema is not None:
        there = document.get("schema") if isinstance(document, dict) else None
        if type(there) is not int or there != schema:
            has = "none" if there is None else f"schema {shown(there)}"
            raise InputError(
                f"{path}: expected schema {schema}, found {has} (no file of this version of unpaired); {advice}"
            )
        document = {name: document[name] for name in hints_of(kind) if name in document}
    return decode(document, kind, str(path), advice, others=others)


def decode(document: Any, kind: type[T] | types.GenericAlias, where: str, advice: str, *, others: bool = False) -> T:
    """A JSON value as a value of type `kind`; InputError that begins with `where` and ends with `advice`."""
    try:
        return fitted(document, kind, others=others)
    except UnfitError as error:
        raise InputError(f"{where}: {error}; {advice}") from error


def fitted(value: Any, kind: Any, *, others: bool = False) -> Any:
    """The value as its type has it: lists as tuples, whole numbers as floats, objects as dataclasses.

    With `others` an object may hold fields that its dataclass lacks, which are passed over. Raises `UnfitError` for the
    first place that doesn't fit.
    """
    if not others:
        _require_known_fields(value, kind, "")
    try:
        return msgspec.convert(value, kind, str_keys=True)
    except msgspec.ValidationError as error:
        raise _unfit(value, kind, "", error) from None


def shown(value: Any) -> str:
    """A value as a message shows it: on one line, cut where it gets long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def options(kind: Any) -> tuple[Any, ...]:
    """The types of a union, or the one type, each without what `Annotated` adds."""
    if get_origin(kind) is Annotated:
        return options(get_args(kind)[0])
    if isinstance(kind, types.UnionType) or get_origin(kind) is Union:
        return tuple(option for part in get_args(kind) for option in options(part))
    return (kind,)


@cache
def hints_of(dataclass: Any) -> dict[str, Any]:
    """{field: its type} of a dataclass, with what `Annotated` adds, in the order of its fields."""
    hints = get_type_hints(dataclass, include_extras=True)
    return {part.name: hints[part.name] for part in fields(dataclass)}


def _require_known_fields(value: Any, kind: Any, place: str) -> None:
    """UnfitError for a field that its dataclass lacks."""
    for option in options(kind):
        if is_dataclass(option) and isinstance(value, dict) and not value.keys() <= hints_of(option).keys():
            name = next(name for name in value if name not in hints_of(option))
            raise UnfitError(place, f"unknown field {shown(name)}; {nearest(str(name), [*hints_of(option)])}")
    for step, inner, inner_kind in _inside(value, kind, _object_fields):
        _require_known_fields(inner, inner_kind, place + step)


def _unfit(value: Any, kind: Any, place: str, error: msgspec.ValidationError) -> UnfitError:
    """What is wrong with a value that msgspec refused for `error`: the innermost part that it refuses."""
    for step, inner, inner_kind in _inside(value, kind):
        try:
            msgspec.convert(inner, inner_kind, str_keys=True)
        except msgspec.ValidationError as inner_error:
            return _unfit(inner, inner_kind, place + step, inner_error)
    if isinstance(error.__cause__, InputError):  # of a dataclass that checks itself
        return UnfitError(place, str(error.__cause__))
    missing = [
        part.name
        for option in options(kind)
        if is_dataclass(option) and isinstance(value, dict)
        for part in fields(option)
        if part.default is MISSING and part.default_factory is MISSING and part.name not in value
    ]
    if missing:
        return UnfitError(place, f"lacks {missing[0]!r}")
    return UnfitError(place, f"expected {words(kind)}, got {shown(value)}{_near(value, kind)}")


def _near(value: Any, kind: Any) -> str:
    """A hint where one of a few words was expected and another came."""
    choices = [word for option in options(kind) for word in get_args(option) if isinstance(word, str)]
    near = nearest(value, choices) if isinstance(value, str) and choices else ""
    return f"; {near}" if near.startswith("did") else ""


def _inside(
    value: Any, kind: Any, fields_of: Callable[[Any], dict[str, Any]] = hints_of
) -> Iterator[tuple[str, Any, Any]]:
    """(step, value, type) of each part of a value that has parts; of a dataclass those of `fields_of`."""
    for option in options(kind):
        if is_dataclass(option) and isinstance(value, dict):
            yield from ((_step(name), value[name], hint) for name, hint in fields_of(option).items() if name in value)
        elif isinstance(value, dict) and get_origin(option) in (dict, Mapping):
            yield from ((_step(key), item, get_args(option)[1]) for key, item in value.items())
        elif isinstance(value, list | tuple) and get_origin(option) in (list, tuple, Sequence):
            kinds = _kinds(option, len(value))
            yield from ((f"[{n}]", *part) for n, part in enumerate(zip(value, kinds, strict=False)))


def _kinds(kind: Any, count: int) -> tuple[Any, ...]:
    """The types of a list's items; none where their number is what is wrong."""
    inner = get_args(kind)
    if get_origin(kind) is not tuple or inner[1:] == (...,):
        return inner[:1] * count
    return inner if len(inner) == count else ()


def _step(key: Any) -> str:
    return f".{key}" if str(key).isidentifier() else f"[{shown(key)}]"


@cache
def _object_fields(dataclass: Any) -> dict[str, Any]:
    """The fields of `hints_of` whose types hold dataclasses."""
    return {name: hint for name, hint in hints_of(dataclass).items() if holds_objects(hint)}


def holds_objects(kind: Any) -> bool:
    """Whether a value of a type may hold an object that is a dataclass, however deep."""
    return any(is_dataclass(option) or any(map(holds_objects, get_args(option))) for option in options(kind))


def words(kind: Any) -> str:
    """A type in words: "a number above 0 or null", "[text, ...], at least 1 of them", "'a' or 'b'"; or those that its
    author gave it, as `Annotated[str, Meta(description="the path of one file")]`."""
    return _words(inspect.type_info(kind))


def _words(kind: inspect.Type) -> str:
    match kind:
        case inspect.Metadata():
            return (kind.extra_json_schema or {}).get("description") or _words(kind.type)
        case inspect.IntType() | inspect.FloatType():
            return ("a whole number" if isinstance(kind, inspect.IntType) else "a number") + _bounds(kind)
        case inspect.BoolType():
            return "true or false"
        case inspect.StrType():
            return "text that isn't empty" if kind.min_length else "text"
        case inspect.LiteralType():
            return _either([repr(value) for value in kind.values])
        case inspect.UnionType():
            floats = [_bounds(each) for each in kind.types if isinstance(each, inspect.FloatType)]
            wider = [e for e in kind.types if not (isinstance(e, inspect.IntType) and _bounds(e) in floats)]
            return _either([_words(each) for each in wider])
        case inspect.ListType() | inspect.VarTupleType():
            return f"[{_words(kind.item_type)}, ...]{_count(kind.min_length, kind.max_length)}"
        case inspect.TupleType():
            return f"[{', '.join(map(_words, kind.item_types))}]"
        case inspect.DictType():
            inside = "" if isinstance(kind.value_type, inspect.AnyType) else f" {{name: {_words(kind.value_type)}}}"
            return f"a JSON object{inside}"
        case inspect.DataclassType():
            return "a JSON object"
        case inspect.CustomType():
            return kind.cls.__name__
        case _:
            return {"NoneType": "null", "AnyType": "any value"}.get(type(kind).__name__, type(kind).__name__)


def _either(parts: list[str]) -> str:
    return f"{', '.join(parts[:-1])} or {parts[-1]}" if parts[1:] else "".join(parts)


def _bounds(number: inspect.IntType | inspect.FloatType) -> str:
    if number.ge is not None and number.le is not None:
        return f" between {number.ge:g} and {number.le:g}"
    bounds = {"of {:g} or more": number.ge, "above {:g}": number.gt, "up to {:g}": number.le, "below {:g}": number.lt}
    said = [text.format(bound) for text, bound in bounds.items() if bound is not None]
    return f" {' and '.join(said)}" if said else ""


def _count(least: int | None, most: int | None) -> str:
    if not least and most is None:
        return ""
    if least == most:
        return f", {least} of them"
    return f", at least {least} of them" if most is None else f", {least or 0} to {most} of them"
