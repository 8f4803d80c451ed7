"""Functions and classes that build networks, named "module:name": which of them a document may name.

A class of LIBRARIES needs nobody's consent: an `nn.Module` of that library is built from numbers and words. Everything
else runs with consent alone (`consent.modules`).
"""

import importlib
import inspect
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from unpaired.consent.modules import Trust, trusted_module
from unpaired.errors import InputError, nearest

LIBRARIES = ("torch.nn", "monai.networks.nets", "dynamic_network_architectures.architectures")
FETCHING = ("pretrained", "backbone", "model", "model_name", "path_or_repo_id", "url", "weights")
"""Classes with an argument of such a name get files from somewhere, or look functions up: not without consent."""


class NamesCode:
    """Marks a config's field that names a function or class as "module:name": `Annotated[str, NamesCode()]`."""


def require_factory(name: str, where: str, trust: Trust = ()) -> None:
    """Raise InputError unless what a document at `where` names may be called; its module may be imported for that."""
    module_name, _ = split_name(name, where)
    if not (_of_library(module_name) and _is_plain_network(name)):
        trusted_module(module_name, where, trust)


def find_factory(name: str) -> Callable[..., Any]:
    """The function or class that "module:name" means. Raises InputError if that module has none of its own."""
    module_name, attribute = split_name(name, "factory")
    try:
        module = importlib.import_module(module_name)
    except BaseException as error:
        if isinstance(error, InputError) or not isinstance(error, Exception):
            raise
        reason = " ".join(str(error).split())
        raise InputError(f"factory {name}: {reason}; install it, or say --trust {module_name} where it lies") from error
    if not hasattr(module, attribute):
        raise InputError(f"factory {name}: {module_name} has no {attribute!r}; {nearest(attribute, dir(module))}")
    factory = getattr(module, attribute)
    home = str(getattr(factory, "__module__", ""))
    if not callable(factory) or home.partition(".")[0] != module_name.partition(".")[0]:
        raise InputError(
            f"factory {name}: expected a function or class of that module, got {type(factory).__name__} "
            f"{attribute!r}{f' of {home}' if home else ''}; name it where it is defined"
        )
    return factory


def split_name(name: str, where: str) -> tuple[str, str]:
    """("module", "name") of "module:name". Raises InputError for anything else, dots in the name included."""
    module_name, _, attribute = name.partition(":")
    if not attribute.isidentifier() or not all(part.isidentifier() for part in module_name.split(".")):
        raise InputError(f'{where}: expected "module:function" such as "monai.networks.nets:UNet", got {name!r}')
    return module_name, attribute


def _of_library(module_name: str) -> bool:
    """Whether a module is one of LIBRARIES, and that library is installed, not a folder that happens to lie here."""
    inside = any(module_name == library or module_name.startswith(f"{library}.") for library in LIBRARIES)
    if not inside:
        return False
    spec = find_spec(module_name.partition(".")[0])
    return spec is not None and spec.origin is not None and Path(spec.origin).resolve().parents[1] != Path.cwd()


def _is_plain_network(name: str) -> bool:
    from torch import nn

    module_name, _ = split_name(name, "factory")
    try:
        factory: Any = find_factory(name)
    except InputError:
        return False
    if not (isinstance(factory, type) and issubclass(factory, nn.Module)):
        return False
    library = next(library for library in LIBRARIES if module_name.startswith(library))
    parameters = inspect.signature(factory).parameters.values()
    fetches = any(part.name.startswith(FETCHING) or part.kind is part.VAR_KEYWORD for part in parameters)
    return factory.__module__.startswith(library) and not fetches
