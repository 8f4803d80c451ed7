"""A plan as a Python file that a person reads and edits: one recipe function, a comment behind each number."""

import textwrap
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

from unpaired.configs import Config
from unpaired.errors import InputError
from unpaired.files import require_writable, write_text
from unpaired.planning.plan import Plan

FUNCTION = "planned"
WIDTH = 110


def recipe_code(plan: Plan, dataset: str, version: str) -> str:
    """The text of a module with the plan's recipe as the function `planned`; it imports nothing but this package."""
    imports: dict[str, set[str]] = {"unpaired.recipe": {"Recipe"}}
    body = _call(plan.recipe, plan, "", imports, indent=4)
    lines = [f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(imports.items())]
    about = textwrap.fill(" ".join(f"{dataset}: {plan.summary}".split()), WIDTH).replace("\\", "/").replace('"', "'")
    dimensions = textwrap.fill(plan.reasons.get("dimensions", ""), WIDTH, initial_indent="# ", subsequent_indent="# ")
    return (
        f'"""{about}\n\nPlanned by unpaired {version} from the fingerprint of the dataset. A comment says which fact '
        "decided a\nnumber; `unpaired recipes FILE.py:planned` shows all numbers, those left at their defaults too.\n"
        '"""\n\n'
        + "\n".join(lines)
        + f'\n\n\ndef {FUNCTION}() -> Recipe:\n    """{_one_line(plan.summary.split(":")[0])}."""\n'
        + textwrap.indent(dimensions, "    ")
        + f"\n    return {body}\n"
    )


def write_recipe(plan: Plan, path: str | Path, dataset: str, version: str) -> None:
    """Write `recipe_code` to a .py file, atomically. Raises InputError for another suffix, and a file that is there."""
    require_new_file(path)
    write_text(Path(path), recipe_code(plan, dataset, version))


def require_new_file(path: str | Path) -> None:
    """Raise InputError where no plan can be written: another suffix than .py, a file that is there, no leave."""
    path = Path(path)
    require_writable(path)
    if path.suffix != ".py":
        raise InputError(f"{path}: a plan is a Python file; name it .py")
    if path.exists():
        raise InputError(f"{path} is there already, perhaps with changes of yours; name another file or delete it")


def _call(config: Config, plan: Plan, place: str, imports: dict[str, set[str]], indent: int) -> str:
    """The call that builds a config: what differs from the defaults, and what the plan has a reason for."""
    kind = type(config)
    imports.setdefault(kind.__module__, set()).add(kind.__name__)
    inner = " " * (indent + 4)
    lines: list[str] = []
    for part in fields(config):
        value, name = getattr(config, part.name), f"{place}{part.name}"
        reason = plan.reasons.get(name, "")
        nested = isinstance(value, Config)
        if not reason and not (nested and _has_reason(name, plan)) and _is_default(part, value):
            continue
        if reason:
            lines += textwrap.wrap(
                _one_line(reason), WIDTH, initial_indent=f"{inner}# ", subsequent_indent=f"{inner}# "
            )
        code = _call(value, plan, f"{name}.", imports, indent + 4) if nested else repr(value)
        lines.append(f"{inner}{part.name}={code},")
    return f"{kind.__name__}()" if not lines else f"{kind.__name__}(\n" + "\n".join(lines) + "\n" + " " * indent + ")"


def _has_reason(name: str, plan: Plan) -> bool:
    return any(key.startswith(f"{name}.") for key in plan.reasons)


def _is_default(part: "Field[Any]", value: Any) -> bool:
    if part.default is not MISSING:
        return bool(value == part.default)
    return part.default_factory is not MISSING and bool(value == part.default_factory())


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("\\", "/").replace('"', "'")
