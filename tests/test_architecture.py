"""The house keeps its shape: who may import whom, no cycles, no drawers without a name, short files, a quick start."""

import ast
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from functools import cache, lru_cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "unpaired"
EVERYBODY = {"errors", "failures", "files", "json_values", "choices", ""}  # "" is the package itself (its version)
NETWORK_PARTS = {"networks.network"}

# part -> what it may import, besides itself and EVERYBODY. An entry "a.b" allows that module or room alone.
ALLOWED = {
    "": {
        "export",
        "comparison",
        "consent",
        "data",
        "demo",
        "dicom",
        "experiments",
        "inference",
        "pacs",
        "phantom",
        "planning",
        "recipe",
        "recipes",
        "report",
        "runs",
        "scores",
        "analyses",
        "training",
    },
    "errors": set(),
    "failures": set(),
    "files": set(),
    "json_values": set(),
    "choices": set(),
    "shapes": set(),
    "statistics": set(),
    "slurm": set(),
    "tables": set(),
    "documents": set(),
    "consent": {"documents"},
    "configs": {"consent", "documents"},
    "overrides": {"configs"},
    "data": {"documents", "tables", "shapes", "configs", "dicom.importing", "dicom.one_series"},
    "phantom": {"data", "dicom.codes"},
    "dicom": {"data", "tables", "figures.segmentation_page"},
    "pacs": {"consent", "data", "dicom", "inference", "runs"},
    "networks": {"shapes", "configs", "consent.factories"},
    "methods": {
        "shapes",
        "configs",
        "data.batch",
        "data.randomization",
        "data.smooth_maps",
        "networks.external_attention",
        "networks.class_embeddings",
        *NETWORK_PARTS,
    },
    "recipe": {
        "configs",
        "overrides",
        "consent",
        "data.preprocess",
        "data.augment",
        "data.randomization",
        "data.postprocess",
        "methods.method",
        *NETWORK_PARTS,
    },
    "recipes": {"consent", "recipe", "data", "networks", "methods", "runs.folder", "runs.model_file"},
    "planning": {
        "configs",
        "documents",
        "data",
        "dicom.codes",
        "recipe",
        "methods.supervised",
        "methods.weak_to_strong",
        "networks.unet",
        "tables",
    },
    "runs": {
        "documents",
        "tables",
        "configs",
        "consent",
        "recipe",
        "methods",
        "data.content",
        "data.dataset",
        "data.fingerprint",
        "data.manifest",
        "data.postprocess",
        "dicom.codes",
        "networks.class_rows",
        "networks.weights",
        *NETWORK_PARTS,
    },
    "scores": {"documents", "tables", "data", "statistics", "runs.folder", "runs.model_file", "figures.style"},
    "comparison": {
        "documents",
        "tables",
        "scores",
        "statistics",
        "figures.style",
        "data.dataset",
        "data.manifest",
        "runs.budget",
        "runs.difference",
        "runs.facts",
        "runs.folder",
    },
    "inference": {
        "configs",
        "consent",
        "documents",
        "shapes",
        "data",
        "dicom",
        "methods",
        "recipe",
        "runs",
        "slurm",
        "scores.trust",
        "networks.network",
        "networks.one_modality",
        "networks.norm_kernels",
        "networks.norm_statistics",
    },
    "export": {
        "configs",
        "consent",
        "data.dataset",
        "data.demographics",
        "data.fingerprint",
        "data.manifest",
        "data.manifest_json",
        "data.simulated",
        "data.split",
        "documents",
        "recipe",
        "runs",
        "inference",
        "methods",
        "networks.one_modality",
        "scores.tables",
        "tables",
    },
    "training": {
        "configs",
        "overrides",
        "consent",
        "recipes",
        "recipe",
        "runs",
        "data",
        "methods",
        "inference",
        "scores",
        "planning",
        "networks.network",
        "networks.norm_kernels",
        "networks.norm_statistics",
        "networks.weights",
        "tables",
        "failures",
        "figures.case_view",
        "figures.training_picture",
    },
    "figures": {"data"},
    "analyses": {
        "consent",
        "data",
        "recipe",
        "runs",
        "inference",
        "scores",
        "comparison",
        "figures",
        "statistics",
        "tables",
        "methods",
        *NETWORK_PARTS,
        "training.batches",
        "training.cases",
        "training.processes",
    },
    "report": {"consent", "planning", "runs", "data", "scores", "comparison", "analyses", "figures", "tables"},
    "demo": {"data", "inference", "phantom", "report", "runs", "scores", "tables", "training"},
    "experiments": {
        "comparison",
        "configs",
        "consent",
        "data",
        "documents",
        "figures.style",
        "inference",
        "methods",
        "networks",
        "overrides",
        "recipe",
        "recipes",
        "report",
        "runs",
        "scores",
        "slurm",
        "analyses.misalignment",
        "tables",
        "training",
    },
    "commands": {
        "consent",
        "data",
        "dicom.listing",
        "inference.jobs",
        "recipe",
        "planning.tables",
        "scores",
        "training",
    },
    "cli": {"commands"},
}
FILE_LINES = 300
FUNCTION_LINES = 40
"""Of its code, without signature and docstring: what a function takes and promises may have its lines."""
# Longer than that today. This list only shrinks: who shortens one takes it off.
LONG_FILES: set[str] = set()
LONG_FUNCTIONS: set[str] = set()
FORBIDDEN_NAMES = {"utils", "util", "helpers", "common", "misc", "tools"}
FILES = sorted(SOURCE.rglob("*.py"))


def module_name(path: Path) -> str:
    """`data.manifest` for src/unpaired/data/manifest.py; "" for the package itself."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@lru_cache(maxsize=1)
def tree_of(path: Path) -> ast.Module:
    """A file's syntax tree, kept until another file's is asked for."""
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module", autouse=True)
def facts() -> None:
    """All that tests here ask about a file, of one file after the other, so that each is parsed once."""
    for path in FILES:
        for ask in (imports_of, lengths_of_functions, classes_of, texts_in, returned_by_public_functions, writes_json):
            ask(path)


@cache
def imports_of(path: Path) -> set[str]:
    """Every module of the package that a file imports, at the top or inside functions."""
    found = set()
    for node in ast.walk(tree_of(path)):
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


def test_a_file_imports_only_what_its_room_may() -> None:
    forbidden: list[str] = []
    for path in FILES:
        part = module_name(path).split(".")[0]
        assert part in ALLOWED, f"{part} is a new room: give it a row in ALLOWED and in the architecture"
        allowed = ALLOWED[part] | EVERYBODY | {part}
        for module in imports_of(path):
            rooms = (".".join(module.split(".")[:depth]) for depth in (1, 2, 3))
            if not any(room in allowed for room in rooms):
                forbidden.append(f"{module_name(path)} may not import {module}")
    assert not forbidden


def test_every_permission_to_import_is_used() -> None:
    imported: dict[str, set[str]] = {part: set() for part in ALLOWED}
    for path in FILES:
        imported[module_name(path).split(".")[0]] |= imports_of(path)
    stale = [
        f"{part} -> {permission}"
        for part, permissions in ALLOWED.items()
        for permission in permissions
        if not any(f"{module}.".startswith(f"{permission}.") for module in imported[part])
    ]
    assert not stale, "nobody uses these: take them out of ALLOWED and the architecture"


def test_the_architecture_says_the_same() -> None:
    """The table of rooms in the documentation, row for row."""
    text = (ROOT / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \|.*\| (.+) \|$", text, flags=re.MULTILINE)
    documented = {room: set(re.findall(r"`([\w.]+)`", permissions)) for room, permissions in rows}
    rooms = {part: permissions for part, permissions in ALLOWED.items() if part not in EVERYBODY}
    assert documented == rooms


def test_there_are_no_import_cycles() -> None:
    graph = {module_name(path): imports_of(path) - {module_name(path)} for path in FILES}
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"import cycle: {' -> '.join(error.args[1])}")
    assert len(order) >= len(FILES)


UPWARD = {("data", "dicom")}
"""(room, the room above it that it imports all the same): trees and series of DICOM are layouts of `data.importers`."""


def test_rooms_lie_above_each_other() -> None:
    """What a room builds on builds on nothing of that room, but for `UPWARD`."""
    graph: dict[str, set[str]] = {part: set() for part in ALLOWED}
    for path in FILES:
        part = module_name(path).split(".")[0]
        graph[part] |= {module.split(".")[0] for module in imports_of(path)} - {part, ""}
    for low, high in UPWARD:
        graph[low].remove(high)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"rooms import each other: {' -> '.join(error.args[1])}")


def test_no_file_is_a_drawer_without_a_name() -> None:
    assert not [path for path in FILES if path.stem in FORBIDDEN_NAMES or path.stem.endswith("_3d")]


@cache
def lengths_of_functions(path: Path) -> dict[str, int]:
    """{name: lines of code} of each function of a file; of several of one name, the longest."""
    return dict(sorted(functions_of(tree_of(path)), key=lambda function: function[1]))


def functions_of(tree: ast.AST, above: str = "") -> Iterator[tuple[str, int]]:
    """(name with its classes and functions around it, lines of its code) of each function in a tree."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{above}.{node.name}".strip(".")
            if not isinstance(node, ast.ClassDef) and node.end_lineno is not None:
                code = node.body[1:] if ast.get_docstring(node) is not None else node.body
                yield name, node.end_lineno - code[0].lineno + 1 if code else 0
            yield from functions_of(node, name)
        else:
            yield from functions_of(node, above)


def test_files_are_read_in_one_sitting() -> None:
    lengths = {module_name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    long = {name: lines for name, lines in lengths.items() if lines > FILE_LINES}
    check_budget(long, LONG_FILES, FILE_LINES)


def test_functions_are_read_at_a_glance() -> None:
    long = {
        f"{module_name(path)}.{name}": lines
        for path in FILES
        for name, lines in lengths_of_functions(path).items()
        if lines > FUNCTION_LINES
    }
    check_budget(long, LONG_FUNCTIONS, FUNCTION_LINES)


def check_budget(long: dict[str, int], exceptions: set[str], limit: int) -> None:
    new = {name: lines for name, lines in long.items() if name not in exceptions}
    assert not new, f"more than {limit} lines: split along an idea"
    stale = exceptions - set(long)
    assert not stale, f"no longer above {limit} lines: take them off the list of exceptions"


VAGUE = {"one", "found", "ours", "thing", "things", "stuff"}
"""Say what a thing is in the field's words: a case, a scan, the label maps, the baseline's value."""


def names_in(path: Path) -> set[str]:
    """Every name in a file's code: of variables, parameters, attributes, functions."""
    with path.open("rb") as file:
        return {token.string for token in tokenize.tokenize(file.readline) if token.type == tokenize.NAME}


def test_a_name_says_what_a_thing_is() -> None:
    vague = {module_name(path): names_in(path) & VAGUE for path in FILES}
    assert not {module: names for module, names in vague.items() if names}


def test_a_vague_name_is_seen_wherever_it_stands_in_code(tmp_path: Path) -> None:
    file = tmp_path / "x.py"
    file.write_text('"""One is found."""\ndef f(ours):  # one\n    return ["one" for thing in ours.found]\n')
    assert names_in(file) & VAGUE == {"ours", "thing", "found"}


def test_the_measure_of_functions_leaves_signatures_and_docstrings_out() -> None:
    code = (
        'class A:\n    @property\n    def f(self):\n        """One.\n\n        Two."""\n'
        "        def g(): return 1\n\n        return g\n"
    )
    assert dict(functions_of(ast.parse(code))) == {"A.f": 3, "A.f.g": 1}


LIGHT = ("unpaired", "unpaired.cli", "unpaired.scores.evaluate", "unpaired.comparison.files", "unpaired.runs.facts")


@pytest.mark.parametrize("statement", [f"import {module}" for module in LIGHT])
def test_the_start_up_path_leaves_torch_alone(statement: str) -> None:
    heavy = {"torch", "monai", "lightning_fabric", "SimpleITK"}
    heavy |= {"msgspec"} if statement in ("import unpaired", "import unpaired.cli") else set()
    code = f"{statement}; import sys; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_names_of_a_run_folder_need_nothing_that_takes_time() -> None:
    heavy = "{'torch', 'numpy', 'rich', 'tyro', 'msgspec'}"
    code = f"import unpaired.runs.folder, sys; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


NAMES_OF_FILES = {"data.dataset", "runs.folder", "scores.files", "comparison.files", "data.prediction_record"}


def test_files_of_runs_and_evaluations_are_named_in_one_place() -> None:
    """A name such as "recipe.json" is a constant of the module that owns it, and spelled nowhere else."""
    named = {
        value
        for owner in NAMES_OF_FILES
        for value in texts_in(source_of(owner))
        if Path(value).suffix in (".json", ".csv", ".pt", ".html")
    }
    assert {"dataset.json", "recipe.json", "resume.pt", "scores.json", "comparison.json", ".prediction.json"} <= named
    spelled = {
        f"{module_name(path)}: {text}"
        for path in FILES
        if module_name(path) not in NAMES_OF_FILES
        for text in texts_in(path)
        if text in named
    }
    assert not spelled


ANALYSIS = {"computation", "scores", "tables", "figure", "analysis"}
"""The files of a study, as far as it has something to put there."""
MORE_OF_AN_ANALYSIS = {
    "localization": {"comparison"},
    "partners": {"alignment", "cases", "pairing", "results"},
    "misalignment": set(),
}
TABLES_ELSEWHERE = {"comparison.papers.formats", "scores.trust.calibration_files"}
"""Tables that stand with what they are written to, or read from."""


def test_analyses_are_laid_out_alike() -> None:
    folders = [path for path in (SOURCE / "analyses").iterdir() if (path / "__init__.py").is_file()]
    for folder in folders:
        names = {path.stem for path in folder.glob("*.py")} - {"__init__"}
        assert names - ANALYSIS == MORE_OF_AN_ANALYSIS.get(folder.name, set()), folder.name
        assert names >= {"computation", "figure"} or folder.name in ("diagnosis", "misalignment")


@cache
def returned_by_public_functions(path: Path) -> set[str]:
    """The names of what the functions of a module, but for private ones, return."""
    functions = [
        node for node in tree_of(path).body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    ]
    return {ast.unparse(function.returns) for function in functions if function.returns is not None}


def test_tables_and_figures_stand_where_one_looks_for_them() -> None:
    """A table in `tables.py` beside its numbers; a plot in `figure.py` beside its numbers, a picture of scans in
    `figures/`."""
    rooms = ("comparison", "experiments", "figures", "planning", "report", "scores", "analyses", "training")
    names = {path: module_name(path) for path in FILES if module_name(path).split(".")[0] in rooms}
    returned = {name: returned_by_public_functions(path) for path, name in names.items()}
    tables = {name for name, kinds in returned.items() if "Table" in kinds and name.split(".")[-1] != "tables"}
    assert tables == TABLES_ELSEWHERE
    drawn = {name for name, kinds in returned.items() if "Figure" in kinds and not name.startswith("figures.")}
    assert not [name for name in drawn if not name.endswith(("figure", "figures"))]


@cache
def writes_json(path: Path) -> bool:
    """Whether a file turns a value into a JSON file."""
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name | ast.Attribute)
        and (node.func.id if isinstance(node.func, ast.Name) else node.func.attr)
        in ("write_text", "write_bytes", "dump")
        and any(word in ast.unparse(node) for word in ("dumps(", "json.dump("))
        for node in ast.walk(tree_of(path))
    )


def test_documents_are_written_by_one_writer() -> None:
    """`files.write_json` alone turns a value into a JSON file; but for a bundle's, which is as MONAI writes it."""
    assert {module_name(path) for path in FILES if writes_json(path)} == {"export.bundle"}


@cache
def classes_of(path: Path) -> dict[str, set[str]]:
    """{name: its bases} of a file's classes."""
    nodes = [node for node in tree_of(path).body if isinstance(node, ast.ClassDef)]
    return {node.name: {ast.unparse(base) for base in node.bases} for node in nodes}


CONFIG_BASES = {"MethodConfig", "NetworkConfig", "SegmentationTerms", "TransformerConfig"}
"""What several configs have in common; none is stored itself."""


def test_a_stored_recipe_names_every_config_class() -> None:
    """Whoever moves a class learns by `tests/runs/test_stored_recipes.py` that runs name it where it was."""
    classes = {name: bases for path in FILES for name, bases in classes_of(path).items()}
    configs = {"Config"}
    while more := {name for name, bases in classes.items() if bases & configs} - configs:
        configs |= more
    stored = (ROOT / "tests" / "golden" / "stored_recipes.json").read_text(encoding="utf-8")
    missing = {name for name in configs - {"Config"} - CONFIG_BASES if f':{name}"' not in stored}
    assert not missing, "add a recipe with each, as `recipe.to_json` has it, to tests/golden/stored_recipes.json"


def source_of(module: str) -> Path:
    return SOURCE.joinpath(*module.split(".")).with_suffix(".py")


@cache
def texts_in(path: Path) -> set[str]:
    """The string constants of a file without its docstrings and messages: those that are one word."""
    nodes = ast.walk(tree_of(path))
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return {text for text in texts if text and not any(letter.isspace() for letter in text)}


def test_the_import_checker_sees_a_forbidden_import(tmp_path: Path) -> None:
    file = tmp_path / "x.py"
    file.write_text("def f():\n    from unpaired.networks.fcn import FCN\n    import unpaired.training.loop\n")
    assert imports_of(file) == {"networks.fcn", "training.loop"}
