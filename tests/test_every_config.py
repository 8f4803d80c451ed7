"""Every field of every config of the package, given what it may not hold: one line that names it, from Python, `--set`
and stored JSON alike.

Classes and fields are found by walking the package, and wrong values by reading each field's type, so that a new field
is covered by itself. Annotations are checked under pytest before a config sees a value; so the values from Python are
tried in a process of their own, as a user's are.
"""

import importlib
import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import fields, replace
from functools import partial
from inspect import isabstract
from io import StringIO
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import msgspec
import pytest
from msgspec import inspect

import unpaired
from unpaired import cli
from unpaired.configs import Config, from_json, to_json
from unpaired.documents import hints_of, options
from unpaired.errors import InputError
from unpaired.overrides import override

NEEDED: dict[str, dict[str, Any]] = {
    "Recipe": {"patch_size": (32, 32), "steps": 1},
    "AdaptedConfig": {"factory": "monai.networks.nets:UNet"},
}
"""Values of fields without a default; configs are made of the first class that fits."""


def config_classes() -> list[type[Config]]:
    """Every config class of the package that can be built, in the order of their names."""
    for module in walk_packages(unpaired.__path__, "unpaired."):
        if module.name.split(".")[1] in ("networks", "methods", "data", "recipe"):
            importlib.import_module(module.name)
    found, classes = [Config], set()
    while found:
        found += (own := found.pop().__subclasses__())
        classes |= {each for each in own if each.__module__.startswith("unpaired.") and not isabstract(each)}
    return sorted(classes, key=lambda each: each.__name__)


CLASSES = config_classes()


def valid(config_class: type[Config]) -> Config:
    """A config of a class with its defaults, and the simplest of what has none."""
    values = dict(NEEDED.get(config_class.__name__, {}))
    for name, hint in hints_of(config_class).items():
        part = next(part for part in fields(config_class) if part.name == name)
        for kind in options(hint):
            required = part.default is part.default_factory
            if required and name not in values and isinstance(kind, type) and issubclass(kind, Config):
                values[name] = valid(next(each for each in CLASSES if issubclass(each, kind) and simple(each)))
    return config_class(**values)


def simple(config_class: type[Config]) -> bool:
    """Whether a config of the class needs no values."""
    return all(part.default is not part.default_factory for part in fields(config_class))


CASES = [(config_class, name) for config_class in CLASSES for name in hints_of(config_class)]


def wrong_values(config_class: type[Config], name: str) -> Iterator[Any]:
    """What a field may not hold: other types, lists that are too short or long, numbers out of range."""
    hint = hints_of(config_class)[name]
    yield from (math.nan, math.inf, {"wrong": 1}, [[["deep"]]], 10**30, -(10**30))
    yield from candidates(inspect.type_info(hint) if not takes_config(hint) else inspect.AnyType())


def takes_config(hint: Any) -> bool:
    return any(isinstance(kind, type) and issubclass(kind, Config) for kind in options(hint))


def candidates(kind: inspect.Type) -> Iterator[Any]:
    match kind:
        case inspect.Metadata():
            yield from candidates(kind.type)
        case inspect.UnionType():
            for option in kind.types:
                yield from candidates(option)
        case inspect.IntType() | inspect.FloatType():
            yield from ("wrong", True, [1], *beyond(kind))
        case inspect.BoolType():
            yield from (1, "wrong", [True])
        case inspect.StrType() | inspect.LiteralType():
            yield from (1, True, ["wrong"], "")
        case inspect.VarTupleType():
            yield from ("wrong", 1, *([right(kind.item_type)] * count for count in beyond_length(kind)))
            yield from ([value] * max(kind.min_length or 1, 1) for value in candidates(kind.item_type))
        case inspect.TupleType():
            whole = [right(item) for item in kind.item_types]
            yield from ("wrong", 1, whole[:-1], [*whole, whole[-1]])
            for place, item in enumerate(kind.item_types):
                yield from ([*whole[:place], value, *whole[place + 1 :]] for value in candidates(item))
        case inspect.DictType():
            yield from ("wrong", 1, ["wrong"])
            yield from ({"key": value} for value in candidates(kind.value_type))
        case inspect.AnyType():
            yield from ()
        case _:
            yield from ("wrong", 1)


def beyond(kind: inspect.IntType | inspect.FloatType) -> Iterator[float]:
    """Numbers just out of a range."""
    yield from (bound for bound in (kind.gt, kind.lt) if bound is not None)
    yield from (bound - 1 for bound in (kind.ge,) if bound is not None)
    yield from (bound + 1 for bound in (kind.le,) if bound is not None and bound < 2**62)


def beyond_length(kind: inspect.VarTupleType) -> Iterator[int]:
    yield from (length - 1 for length in (kind.min_length,) if length)
    yield from (length + 1 for length in (kind.max_length,) if length is not None)


def right(kind: inspect.Type) -> Any:
    """A value that fits."""
    match kind:
        case inspect.Metadata():
            return right(kind.type)
        case inspect.UnionType():
            return right(kind.types[0])
        case inspect.IntType():
            return kind.ge or 0
        case inspect.FloatType():
            return kind.ge if kind.ge is not None else (kind.gt or 0) + 0.5
        case inspect.LiteralType():
            return kind.values[0]
        case inspect.TupleType():
            return [right(item) for item in kind.item_types]
        case inspect.VarTupleType():
            return [right(kind.item_type)] * (kind.min_length or 1)
        case _:
            return "word"


def fits(config_class: type[Config], name: str, value: Any) -> bool:
    """Whether a candidate is right by chance, such as null or a word where text may stand: msgspec alone decides."""
    hint = hints_of(config_class)[name]
    if takes_config(hint) or holds_no_finite_number(value):
        return False
    try:
        msgspec.convert(value, hint, str_keys=True)
    except msgspec.ValidationError:
        return False
    return True


def holds_no_finite_number(value: Any) -> bool:
    if isinstance(value, list | dict):
        return any(map(holds_no_finite_number, value.values() if isinstance(value, dict) else value))
    return isinstance(value, float) and not math.isfinite(value)


def wrong(config_class: type[Config], name: str) -> list[Any]:
    values = [value for value in wrong_values(config_class, name) if not fits(config_class, name, value)]
    assert len(values) >= 4, f"{config_class.__name__}.{name} takes nearly anything"
    return values


def said(config_class: type[Config], name: str, value: Any, how: Callable[[], object]) -> str:
    """The one line that refuses a value; it names class and field, what was expected and what came."""
    try:
        how()
    except InputError as error:
        line = str(error)
    else:
        raise AssertionError(f"{config_class.__name__}.{name} takes {value!r}")
    assert "\n" not in line, line
    assert "expected " in line, line
    assert "got " in line, line
    return line


@pytest.mark.parametrize(("config_class", "name"), CASES, ids=lambda part: getattr(part, "__name__", part))
def test_a_wrong_value_from_json_and_the_command_line_is_one_line(config_class: type[Config], name: str) -> None:
    config = valid(config_class)
    stored = to_json(config)
    where = f"{config_class.__name__}.{name}"
    for value in wrong(config_class, name):
        line = said(config_class, name, value, partial(from_json, stored | {name: value}, "recipe"))
        assert "recipe" in line, line
        assert where in line or value == {"wrong": 1}, line  # an object without a "type" where a config belongs
        line = said(config_class, name, value, partial(override, config, [f"{name}={json.dumps(value)}"]))
        assert line.startswith(f"--set {name}: "), line
        assert where in line or not is_json(value), line


def is_json(value: Any) -> bool:
    """Whether a value can be written down as the package's JSON."""
    return not holds_no_finite_number(value) and not (isinstance(value, int) and abs(value) > 2**64)


def try_all_from_python() -> None:
    """Every wrong value of every field, given to the class by Python code."""
    for config_class, name in CASES:
        make = partial(replace, valid(config_class))
        for value in wrong(config_class, name):
            line = said(config_class, name, value, partial(make, **{name: value}))
            assert line.startswith(f"{config_class.__name__}.{name}"), line


def test_a_wrong_value_from_python_is_one_line() -> None:
    code = "import test_every_config; test_every_config.try_all_from_python()"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_walk_sees_every_part_of_a_recipe() -> None:
    names = {each.__name__ for each in CLASSES}
    assert {"Recipe", "Optimization", "Augmentation", "CSAConfig", "FCNConfig", "EAMConfig", "Ramp"} <= names
    assert len(CASES) > 150


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("method.layer_pairs=[1,2]", ("CSAConfig.layer_pairs[0]", "got 1")),
        ("modalities=[1]", ("Recipe.modalities[0]", "got 1")),
        ('patch_size=["a",3]', ("Recipe.patch_size[0]", "got 'a'")),
        ("network.pool_strides=[1,2,3]", ("FCNConfig.pool_strides[0]", "got 1")),
        ('augmentation.zoom=["x",1]', ("Augmentation.zoom[0]", "got 'x'")),
        ("method.weight=-1", ("CSAConfig.weight", "0 or more", "got -1")),
        ("optimization.decay=-3", ("Optimization.decay", "0 or more", "got -3")),
        ("modalities=" + "[" * 100_000, ("at most 50 levels",)),
        ('postprocessing={"a":1,"a":2}', ("each field once",)),
    ],
    ids=lambda part: part[:30] if isinstance(part, str) else "",
)
def test_the_command_line_says_it_in_one_line(
    assignment: str, words: tuple[str, ...], manifest: Path, tmp_path: Path
) -> None:
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = cli.main(["train", "phantom/csa", str(manifest), str(tmp_path / "run"), "--set", assignment])
    assert code == 2
    assert "Traceback" not in out.getvalue() + err.getvalue()
    (line,) = err.getvalue().strip().splitlines()
    for word in words:
        assert word in line
    assert not (tmp_path / "run").exists()
