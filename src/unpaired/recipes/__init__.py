"""Recipes by name. Every public function of a module in this folder that needs nothing and returns a Recipe is one."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from unpaired.consent.modules import Trust, load_file, require_there
from unpaired.consent.own_code import called, lacking, returns, why_not
from unpaired.errors import InputError, nearest
from unpaired.recipe import Recipe, read_recipe
from unpaired.runs.folder import RunFolder
from unpaired.runs.model_file import SUFFIX, by_its_name, holds_runs, names_of, run_folders


def all_recipes() -> dict[str, Callable[[], Recipe]]:
    """{"module/function": recipe function} of every recipe that comes with unpaired."""
    recipes: dict[str, Callable[[], Recipe]] = {}
    for info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{info.name}")
        recipes |= {f"{info.name}/{name}": function for name, function in _recipes_in(module).items()}
    return recipes


def list_recipes() -> dict[str, str]:
    """{"module/function": what it is, in one line} of every recipe that comes with unpaired; `find_recipe` takes these
    names."""
    return {name: (function.__doc__ or "").strip().splitlines()[0] for name, function in all_recipes().items()}


def find_recipe(name: str, trust: Trust = ()) -> Recipe:
    """The recipe called "module/function", "path/to/file.py:function" for one of your own, or that of a run.

    A run is named by its folder, its recipe.json, or a model file that it was packed into; `trust` are modules outside
    the package that it may use. A folder that is called like a recipe of the package doesn't hide it: write
    "./phantom/csa" for the folder. Raises InputError naming the near ones if there is no such recipe, and where runs
    that a path holds have different ones, `ConsentError` for a run with code not in `trust`.
    """
    require_there(trust)
    recipes = all_recipes()
    if name in recipes:
        return recipes[name]()
    if holds_runs(name):
        return _recipe_of_runs(name, trust)
    for suffix, what in ((".json", "the recipe.json of a run"), (SUFFIX, "a model file")):
        if name.endswith(suffix) and not Path(name).is_file():
            raise InputError(f"expected {what} at {name}, found no file; correct the path")
    if name.endswith(".json"):
        return read_recipe(Path(name), trust)
    if ".py:" in name or name.endswith(".py"):
        return _recipe_from_file(name)
    called = [full for full in recipes if full.rpartition("/")[2] == name]
    hint = f"did you mean {' or '.join(called)}?" if called else nearest(name, list(recipes))
    raise InputError(f"there is no recipe {name!r}; {hint} (`unpaired recipes` lists all)")


def _recipe_of_runs(path: str, trust: Trust) -> Recipe:
    """What all runs that a path stands for were trained by. Raises InputError where they differ."""
    recipes: list[Recipe] = []
    folders = run_folders(path)
    for folder, name in zip(folders, names_of(path, folders), strict=True):
        with by_its_name(folder, name):
            recipes.append(read_recipe(RunFolder(folder).recipe_file, trust))
    if any(recipe != recipes[0] for recipe in recipes):
        raise InputError(f"{path} holds {len(recipes)} runs, which were trained by different recipes; name one of them")
    return recipes[0]


def _recipe_from_file(name: str) -> Recipe:
    path_text, _, function = name.partition(".py:")
    path = Path(path_text if path_text.endswith(".py") else f"{path_text}.py")
    if not path.is_file():
        raise InputError(f"recipe {name!r}: found no file {path}; check the path")
    module = load_file(path, again=True)
    recipes = _recipes_in(module)
    if not function and recipes:
        raise InputError(f"{path} holds recipes: name one of them, such as {path}:{sorted(recipes)[0]}")
    if function not in recipes:
        raise InputError(why_not(path, module, function, Recipe, sorted(recipes), ()))
    return called(str(path.resolve()), Recipe, recipes[function])


def _recipes_in(module: ModuleType) -> dict[str, Callable[[], Recipe]]:
    return {
        name: function
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if not name.startswith("_")
        and function.__module__ == module.__name__
        and returns(function, Recipe)
        and not lacking(function)
    }
