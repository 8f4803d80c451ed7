"""Recipes by name. Every public function of a module in this folder that takes nothing and returns a Recipe is one."""

import importlib
import importlib.util
import inspect
import pkgutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from unpaired.errors import InputError, nearest
from unpaired.recipe import Recipe

_USER_ERRORS = (SyntaxError, ImportError, NameError, AttributeError, TypeError, ValueError, LookupError, OSError)
"""What somebody's own recipe file may raise."""


def all_recipes() -> dict[str, Callable[[], Recipe]]:
    """{"module/function": recipe function} of every recipe that comes with unpaired."""
    found = {}
    for info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{info.name}")
        found |= {f"{info.name}/{name}": function for name, function in _recipes_in(module).items()}
    return found


def find_recipe(name: str) -> Recipe:
    """The recipe called "module/function", or "path/to/file.py:function" for one of your own.

    Raises InputError naming the near ones if there is none.
    """
    if ".py:" in name or name.endswith(".py"):
        return _recipe_from_file(name)
    recipes = all_recipes()
    if name not in recipes:
        raise InputError(f"there is no recipe {name!r}; {nearest(name, list(recipes))} (`unpaired recipes` lists all)")
    return recipes[name]()


def _recipe_from_file(name: str) -> Recipe:
    path_text, _, function = name.partition(".py:")
    path = Path(path_text if path_text.endswith(".py") else f"{path_text}.py")
    if not path.is_file():
        raise InputError(f"recipe {name!r}: found no file {path}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise InputError(f"recipe {name!r}: {path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # configs defined in the file are found again when the run folder is read
    try:
        spec.loader.exec_module(module)
    except InputError:
        raise
    except _USER_ERRORS as error:
        raise _one_line(path, error) from error
    recipes = _recipes_in(module)
    if function not in recipes:
        hint = nearest(function, sorted(recipes)) if recipes else "it has no function annotated `-> Recipe`"
        raise InputError(f"{path} has no recipe {function!r}; {hint}")
    try:
        return recipes[function]()
    except InputError:
        raise
    except _USER_ERRORS as error:
        raise _one_line(path, error) from error


def _one_line(path: Path, error: Exception) -> InputError:
    """What is wrong in a recipe file, and in which line of it."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    where = f", line {lines[-1]}" if lines else ""
    reason = " ".join(str(error).split())
    return InputError(f"recipe file {path}{where}: {type(error).__name__}: {reason}; correct it there")


def _recipes_in(module: ModuleType) -> dict[str, Callable[[], Recipe]]:
    return {
        name: function
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if not name.startswith("_")
        and function.__module__ == module.__name__
        and function.__annotations__.get("return") in (Recipe, "Recipe")
        and not inspect.signature(function).parameters
    }
