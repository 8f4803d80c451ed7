"""The house keeps its shape: who may import whom, no cycles, no drawers without a name, a quick start."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "unpaired"
EVERYBODY = {"errors", "failures", "files", ""}  # "" is the package itself (its version)
NETWORK_PARTS = {"networks.network"}

# part -> what it may import, besides itself and EVERYBODY. An entry "a.b" allows that module or room alone.
ALLOWED = {
    "": {"data", "recipe", "recipes", "runs", "training", "inference", "scores"},
    "errors": set(),
    "failures": set(),
    "files": set(),
    "shapes": set(),
    "statistics": set(),
    "data": {"shapes"},
    "phantom": {"data"},
    "networks": {"shapes"},
    "methods": {
        "shapes",
        "data.batch",
        "networks.external_attention",
        "networks.class_embeddings",
        *NETWORK_PARTS,
    },
    "recipe": {
        "data.dataset",
        "data.preprocess",
        "data.augment",
        "data.postprocess",
        "methods.method",
        *NETWORK_PARTS,
    },
    "recipes": {"recipe", "data", "networks", "methods"},
    "runs": {"recipe", "methods", "data.dataset", "data.manifest", "networks.weights", *NETWORK_PARTS},
    "scores": {"data", "statistics"},
    "comparison": {"scores", "statistics", "figures.style", "data.dataset", "runs.facts"},
    "inference": {"shapes", "data", "methods", "recipe", "runs", "scores.trust", "networks.weights", *NETWORK_PARTS},
    "training": {"recipe", "runs", "data", "methods", "inference", "scores", "networks.weights"},
    "figures": {"data", "scores"},
    "studies": {
        "data",
        "recipe",
        "runs",
        "inference",
        "scores",
        "comparison",
        "figures",
        "statistics",
        "methods",
        "networks.weights",
        *NETWORK_PARTS,
    },
    "report": {"runs", "data", "scores", "comparison", "studies", "figures"},
    "commands": {
        "data",
        "phantom",
        "recipe",
        "recipes",
        "runs",
        "training",
        "inference",
        "scores",
        "comparison",
        "studies",
        "report",
    },
    "cli": {"commands"},
}
FORBIDDEN_NAMES = {"utils", "util", "helpers", "common", "misc", "tools"}
FILES = sorted(SOURCE.rglob("*.py"))


def module_name(path: Path) -> str:
    """`data.manifest` for src/unpaired/data/manifest.py; "" for the package itself."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> set[str]:
    """Every module of the package that a file imports, at the top or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "unpaired":
            inside = node.module.removeprefix("unpaired").removeprefix(".")
            names = [alias.name for alias in node.names]
            for name in names:
                child = f"{inside}.{name}".strip(".")
                is_module = (SOURCE / Path(*child.split("."))).with_suffix(".py").exists()
                found.add(child if is_module else inside)
        elif isinstance(node, ast.Import):
            found |= {
                a.name.removeprefix("unpaired").removeprefix(".") for a in node.names if a.name.startswith("unpaired")
            }
    return found


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_a_file_imports_only_what_its_room_may(path: Path) -> None:
    part = module_name(path).split(".")[0]
    assert part in ALLOWED, f"{part} is a new room: give it a row in ALLOWED and in the architecture"
    allowed = ALLOWED[part] | EVERYBODY | {part}
    for module in imports_of(path):
        rooms = (".".join(module.split(".")[:depth]) for depth in (1, 2, 3))
        fits = any(room in allowed for room in rooms)
        assert fits, f"{module_name(path)} may not import {module}"


def test_there_are_no_import_cycles() -> None:
    graph = {module_name(path): imports_of(path) - {module_name(path)} for path in FILES}
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"import cycle: {' -> '.join(error.args[1])}")
    assert len(order) >= len(FILES)


def test_no_file_is_a_drawer_without_a_name() -> None:
    assert not [path for path in FILES if path.stem in FORBIDDEN_NAMES or path.stem.endswith("_3d")]


LIGHT = ("unpaired", "unpaired.cli", "unpaired.scores.evaluate", "unpaired.comparison.files", "unpaired.runs.facts")


@pytest.mark.parametrize("statement", [f"import {module}" for module in LIGHT])
def test_the_start_up_path_leaves_torch_alone(statement: str) -> None:
    heavy = {"torch", "monai", "lightning_fabric", "SimpleITK"}
    code = f"{statement}; import sys; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_import_checker_sees_a_forbidden_import(tmp_path: Path) -> None:
    file = tmp_path / "x.py"
    file.write_text("def f():\n    from unpaired.networks.fcn import FCN\n    import unpaired.training.loop\n")
    assert imports_of(file) == {"networks.fcn", "training.loop"}
