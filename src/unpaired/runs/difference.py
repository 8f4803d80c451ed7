"""Where two JSON documents differ: what a run folder says when another recipe is to be trained into it."""

from collections.abc import Iterator
from typing import Any, Final

from unpaired.configs import current_name, defaults_of
from unpaired.files import is_object

ABSENT: Final = object()
"""Stands for a field that a stored config lacks."""


def first_difference(stored: Any, wanted: Any, where: str) -> str | None:
    """The first field in which two JSON values differ, such as "recipe.steps is 2 there and 3 here"; None if in none.

    `where` names the whole document. Of an object its "type" is compared first: another class says most.
    """
    if is_object(stored) and is_object(wanted):
        for key in sorted(set(stored) | set(wanted), key=lambda key: (key != "type", key)):
            difference = first_difference(stored.get(key), wanted.get(key), f"{where}.{key}")
            if difference:
                return difference
        return None
    return None if stored == wanted else f"{where} is {stored!r} there and {wanted!r} here"


def differences(before: Any, after: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """The fields in which two stored configs differ, such as ("network.width", 8), with what `after` has (or `ABSENT`).

    Versions of the package may have written them: a class is the same wherever it was, and a field that only one of
    them has is compared with the default that the other means. Classes are imported for that alone, after all that both
    have: so the first difference tells quickly that they are not the same.
    """
    if not (is_object(before) and is_object(after)):
        if before != after:
            yield from _flat(after, where)
        return
    kind, other = (_kind(config) for config in (after, before))
    if kind != other:
        yield _inside(where, "type"), kind
    shared = [name for name in after if name in before and name != "type"]
    for name in shared:
        yield from differences(before[name], after[name], _inside(where, name))
    defaults = defaults_of(kind) if kind == other and before.keys() != after.keys() else {}
    for name in after:
        if name not in before:
            yield from differences(defaults.get(name, ABSENT), after[name], _inside(where, name))
    for name in before:
        if name in after:
            continue
        if name in defaults:
            yield from differences(before[name], defaults[name], _inside(where, name))
        else:
            yield from ((place, ABSENT) for place, _ in _flat(before[name], _inside(where, name)))


def _kind(config: dict[str, Any]) -> Any:
    kind = config.get("type")
    return current_name(kind) if isinstance(kind, str) else kind


def _inside(where: str, name: str) -> str:
    return f"{where}.{name}".lstrip(".")


def _flat(config: Any, where: str) -> Iterator[tuple[str, Any]]:
    """Each field of a stored config, and of the configs in it."""
    if not is_object(config):
        yield where, config
        return
    for name, value in config.items():
        yield from _flat(value, _inside(where, name))
