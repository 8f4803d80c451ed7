"""What a person changes of a config: `--set network.width=8`, and from Python the same or {"network.width": 8}."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from unpaired.choices import several
from unpaired.configs import Config, checked, frozen, named
from unpaired.errors import InputError, nearest
from unpaired.json_values import UnusableJSONError, parse_json

C = TypeVar("C", bound=Config)
Changes = str | Sequence[str] | Mapping[str, Any]
"""Fields and their new values: "steps=500", several of these, or {"steps": 500}."""


def assignments(changes: Changes) -> list[str]:
    """Each change as "network.width=8". Raises InputError for a value that JSON lacks, such as a config."""
    if not isinstance(changes, Mapping):
        return several(changes)
    try:
        return [f"{name}={json.dumps(value)}" for name, value in changes.items()]
    except TypeError as error:
        raise InputError(f"changes: {error}; replace whole parts of a recipe with dataclasses.replace") from error


def override(config: C, changes: Changes) -> C:
    """The config with fields replaced, each given as "network.width=8" (values in JSON; bare words are strings).

    Raises InputError for a field that doesn't exist (naming the near one) or a value of another type.
    """
    tree = _Changes()
    for assignment in assignments(changes):
        path, equals, text = assignment.partition("=")
        if not equals:
            raise InputError(f"--set expects FIELD=VALUE such as network.width=8, got {assignment!r}")
        with named(f"--set {path.strip()}"):
            value = frozen(_value_of(text))
            try:
                _plant(config, tree, path.strip(), value)
            except InputError as error:
                raise InputError(f"{error}{_lost_quotes(config, path.strip(), value)}") from error
    return _grown(config, tree)


class _Changes(dict[str, Any]):
    """{field: new value, or the changes of the config in it}; a type of its own, as values may be dictionaries."""


def _fields_of(value: Any) -> list[str]:
    """The names of a config's fields; none of a plain value."""
    return [field.name for field in fields(value)] if is_dataclass(value) else []


def _plant(config: Any, tree: _Changes, whole: str, value: Any) -> None:
    """Put a checked value at "network.width" of {"network": {"width": value}}."""
    *outer, last = whole.split(".")
    for place, name in enumerate([*outer, last]):
        names = _fields_of(config)
        if name not in names:
            inside = [f"{part}.{name}" for part in names if name in _fields_of(getattr(config, part))]
            hint = f"did you mean {' or '.join(inside)}?" if inside else nearest(name, names)
            raise InputError(f"{type(config).__name__} has no field {name!r}; {hint}")
        if place == len(outer):
            break
        inner = getattr(config, name)
        if not is_dataclass(inner):
            rest = whole.split(".")[place + 1]
            raise InputError(f"{type(config).__name__}.{name} is a plain value, it has no field {rest!r}")
        if not isinstance(tree.get(name), _Changes):
            tree[name] = _Changes()
        config, tree = inner, tree[name]
    tree[last] = checked(type(config), last, value)


def _grown(config: Any, tree: _Changes) -> Any:
    """The config with a tree of values in it, each part replaced once: what it checks is all of them together."""
    changes = {
        name: _grown(getattr(config, name), value) if isinstance(value, _Changes) else value
        for name, value in tree.items()
    }
    return replace(config, **changes)


def _lost_quotes(config: Any, path: str, value: Any) -> str:
    """What to write instead of a list of words whose quotes a shell took away, "[ct,mr]"; "" where that is not it."""
    match = re.fullmatch(r"\[([^\[\]{}\"']*)\]", value) if isinstance(value, str) else None
    words = [word.strip() for word in match[1].split(",")] if match else []
    try:
        _plant(config, _Changes(), path, tuple(words))
    except InputError:
        return ""
    return f"; keep the quotes of words from the shell: --set '{path}={json.dumps(words)}'" if words else ""


def _value_of(text: str) -> Any:
    """What a person typed: JSON, else a bare word, which is text."""
    try:
        return parse_json(text)
    except json.JSONDecodeError:
        return {"None": None, "True": True, "False": False}.get(text, text)
    except UnusableJSONError as error:
        raise InputError(str(error)) from error
