"""What a command takes, by its signature, and which of the words that were typed stand for what."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter, signature
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import tyro


@dataclass(frozen=True)
class Argument:
    """One that has a value: how its help writes it, the type of each word, and how many words there are.

    `fewest` is 0 where a list without anything says something, because it is not empty otherwise; `most` None is any
    number.
    """

    metavar: str
    type: Any
    fewest: int
    most: int | None
    required: bool


@dataclass(frozen=True)
class Taken:
    """What a command takes: {name: what stands without an option}, {option: its value}, and flags."""

    names: Mapping[str, Argument]
    options: Mapping[str, Argument]
    flags: tuple[str, ...]


@dataclass(frozen=True)
class Given:
    """Typed words: those without an option, (option, those after it), and options that the command doesn't have."""

    plain: tuple[str, ...]
    options: tuple[tuple[str, tuple[str, ...]], ...]
    unknown: tuple[str, ...]


def taken_by(command: Callable[..., Any]) -> Taken:
    """What the signature of a command says that it takes, as its help writes it."""
    names: dict[str, Argument] = {}
    options: dict[str, Argument] = {}
    flags: list[str] = []
    hints = get_type_hints(command, include_extras=True)
    for name, parameter in signature(command).parameters.items():
        hint = hints[name]
        said = [each for each in get_args(hint)[1:] if hasattr(each, "metavar")]
        metavar = next((each.metavar for each in said if each.metavar), "PATH" if hint is Path else name.upper())
        option = "--" + next((each.name for each in said if each.name), name.replace("_", "-"))
        if parameter.kind is Parameter.POSITIONAL_ONLY:
            names[metavar] = _argument(metavar, hint, parameter.default)
        elif hint is bool:
            flags += [option, f"--no-{option[2:]}"]
        else:
            options[option] = _argument(metavar, hint, parameter.default)
    return Taken(names, options, tuple(flags))


def _argument(metavar: str, hint: Any, default: Any) -> Argument:
    kind, *said = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    kind = next((each for each in get_args(kind) if NoneType in get_args(kind) and each is not NoneType), kind)
    required = default is Parameter.empty
    if get_origin(kind) is not tuple:
        return Argument(metavar, kind, 1, 1, required)
    each, *others = get_args(kind)
    if tyro.conf.UseAppendAction in said:
        return Argument(metavar, each, 1, 1, required)
    if Ellipsis in others:
        return Argument(metavar, each, 0 if default and not required else 1, None, required)
    return Argument(metavar, each, len(others) + 1, len(others) + 1, required)


def given_to(taken: Taken, words: Sequence[str]) -> Given:
    """Which typed words stand for what. An option takes as many words as it may, up to the next option; behind `--`
    stands none."""
    plain: list[str] = []
    options: list[tuple[str, list[str]]] = []
    unknown: list[str] = []
    after, room = plain, 0
    end = list(words).index("--") if "--" in words else len(words)
    for word in words[:end]:
        name, equals, value = word.partition("=")
        option, values = name.replace("_", "-"), [word]
        if option in taken.options:
            options.append((option, []))
            after, values = options[-1][1], [value] if equals else []
            most = taken.options[option].most
            room = len(words) if most is None else most
        elif option in taken.flags or _is_option(name):
            unknown += [] if option in taken.flags else [name]
            values, room = [], 0
        (after if room else plain).extend(values)
        room -= min(room, len(values))
    plain += words[end + 1 :]
    return Given(tuple(plain), tuple((option, tuple(after)) for option, after in options), tuple(unknown))


def _is_option(word: str) -> bool:
    """Whether a word looks like an option, which a negative number doesn't."""
    return word.startswith("-") and word.lstrip("-")[:1].isalpha() and word.lstrip("-") not in ("inf", "nan")
