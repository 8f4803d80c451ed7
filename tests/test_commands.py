"""A command parses, calls one public function of the same power, and prints: nothing else stands in `commands/`."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

import unpaired
from unpaired.cli import COMMANDS

FOLDER = Path(unpaired.__file__).parent / "commands"
FILES = [path for path in sorted(FOLDER.glob("*.py")) if path.stem not in ("__init__", "arguments", "errors")]
"""`arguments` and `errors` hold what all commands parse and print with."""
NAMES = {
    "demo": "run_demo",  # the others but import: `unpaired.demo`, `.phantom`, `.report` and `.recipes` are modules
    "phantom": "write_phantom",
    "report": "write_report",
    "recipes": "find_recipe",
    "import": "import_dataset",  # a word of Python's own
    "inspect": "inspect_dataset",  # a module of Python's own
    "plan": "plan_training",
    "studies": "list_studies",  # `unpaired.analyses` is a module
    "export": "export_run",
    "dicom list": "list_dicom",
    "dicom fetch": "fetch_dicom",
    "dicom send": "send_dicom",
    "dicom watch": "watch_dicom",
}
"""Commands whose function has another name; all others are called alike, "few-shot" few_shot."""
ALSO = {"recipes": {"list_recipes"}, "train": {"train_folds"}}
"""Without a name, `recipes` lists all; with --folds, `train` trains several runs."""
OF_THE_OTHER = {("train", "folds")}
"""Options of a command that only its other function takes."""
PRINTING = {"json"}
"""How a command prints: no function prints."""
TELLING = {"say", "warn", "note", "tell", "progress", "show"}
"""How a function tells what happens meanwhile: the command decides where that goes."""
RENAMED = {
    ("predict", "largest_component"): "postprocessing",  # which may also be a Postprocessing
    ("predict", "norms"): "adaptive_norms",
    ("plan", "memory"): "memory_gb",
}
ONLY_PYTHON = {
    "watch_dicom": {"stopped"},  # Ctrl-C stops the command
    "study": {"worker"},  # a process of its own for each run, as a command always has
    "find_recipe": {"trust"},  # the command only shows a recipe
}
OTHER_DEFAULTS = {"workers", "name"}
"""Processes start a script anew, so a function starts none unasked; without a name `recipes` lists all."""
REFUSED = (ast.For, ast.While, ast.With, ast.Try, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.ClassDef)
CONTEXTS = {"status", "progress_bar", "stopwatch"}
READING = {
    "open",
    "read_text",
    "read_bytes",
    "write_text",
    "write_bytes",
    "mkdir",
    "unlink",
    "exists",
    "is_file",
    "is_dir",
}


def function_of(command: str) -> str:
    """The name of the public function behind a command."""
    return NAMES.get(command, command.replace("-", "_"))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_has_a_public_function_with_its_parameters(command: str) -> None:
    name = function_of(command)
    assert name in unpaired.__all__
    taken = inspect.signature(getattr(unpaired, name)).parameters
    given = inspect.signature(COMMANDS[command]).parameters
    renamed = {
        RENAMED.get((command, option), option): value
        for option, value in given.items()
        if (command, option) not in OF_THE_OTHER
    }
    printing = PRINTING - set(taken)
    assert set(renamed) - printing == set(taken) - TELLING - ONLY_PYTHON.get(name, set()) | (set(renamed) & TELLING)
    for option, parameter in renamed.items():
        if option in taken and option not in OTHER_DEFAULTS and parameter.default is not parameter.empty:
            default = taken[option].default
            assert option in RENAMED.values() or str(default) == str(parameter.default), option


def commands_in(path: Path) -> Iterator[tuple[str, ast.FunctionDef]]:
    """The functions of a file that are commands, by the command's name."""
    names = {function.__name__: command for command, function in COMMANDS.items()}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name in names:
            yield names[node.name], node


def complaints(command: str, function: ast.FunctionDef) -> list[str]:
    """What a command does besides parsing, calling its function and printing."""
    said = []
    called: list[str] = []
    for node in ast.walk(function):
        if isinstance(node, ast.With) and all(_name(item.context_expr) in CONTEXTS for item in node.items):
            continue
        if isinstance(node, ast.Try) and all(isinstance(handler.type, ast.Name) for handler in node.handlers):
            continue  # a failure that it prints
        if isinstance(node, REFUSED):
            said.append(f"line {node.lineno}: {type(node).__name__}")
        if isinstance(node, ast.Call):
            if _name(node) in READING:
                said.append(f"line {node.lineno}: {_name(node)} touches files")
            if isinstance(node.func, ast.Attribute) and _is_package(node.func.value):
                called.append(node.func.attr)
    if not set(called) <= {function_of(command), *ALSO.get(command, ())} or called.count(function_of(command)) != 1:
        said.append(f"calls {called}, expected {function_of(command)} once")
    return said


def _name(node: ast.expr) -> str:
    """The last word of what is called."""
    function = node.func if isinstance(node, ast.Call) else node
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _is_package(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "unpaired"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_command_only_parses_calls_and_prints(path: Path) -> None:
    for command, function in commands_in(path):
        assert complaints(command, function) == [], command


def test_every_command_was_looked_at() -> None:
    assert {command for path in FILES for command, _ in commands_in(path)} == set(COMMANDS)


def test_a_command_that_works_itself_would_be_found() -> None:
    code = "def verify(data):\n    for case in unpaired.read_dataset(data).cases:\n        print(open(case.image))"
    (function,) = ast.parse(code).body
    assert isinstance(function, ast.FunctionDef)
    assert complaints("verify", function) == [
        "line 2: For",
        "line 3: open touches files",
        "calls ['read_dataset'], expected verify once",
    ]


def test_who_tries_the_name_of_a_command_is_told_that_of_its_function() -> None:
    assert {command: unpaired._MEANT[command.replace(" ", "_")] for command in NAMES} == NAMES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_json_is_printed_in_one_way(path: Path) -> None:
    assert "dumps" not in path.read_text(encoding="utf-8"), "print_json prints it"
