"""What the documentation shows is true: its Python runs, its commands parse, its files exist."""

import ast
import functools
import importlib.util
import inspect
import json
import pkgutil
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import numpy as np
import pytest
import torch

import unpaired
from few_slices import OF_FEW_SLICES
from small_network import LAYERS, SMALL
from test_architecture import ALLOWED, EVERYBODY
from undrawn import undrawn
from unpaired import cli
from unpaired.data.dataset import COLUMNS, Dataset, Modality
from unpaired.data.image import Rule
from unpaired.data.images import read_image, write_image
from unpaired.data.importers.catalog import LAYOUTS
from unpaired.errors import InputError
from unpaired.methods.class_specific_affinity import CSAConfig
from unpaired.networks.pretrained import read_checkpoint
from unpaired.phantom.write import SIZES
from unpaired.recipe import Recipe, build_method, override
from unpaired.recipes import find_recipe
from unpaired.training.planned import AUTO

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "unpaired"
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *(ROOT / folder / "README.md" for folder in ("benchmarks", "studies")),
]
SPELLED_WRONG_ON_PURPOSE = {"phantom/csq"}


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(text: str, *languages: str) -> list[str]:
    """The fenced code blocks of some languages."""
    return [body for language, body in re.findall(r"^```(\w*)\n(.*?)^```", text, re.M | re.S) if language in languages]


def small(recipe: Recipe) -> Recipe:
    return replace(
        recipe,
        network=SMALL,
        method=CSAConfig(layer_pairs=(LAYERS,)),
        patch_size=(48, 48),
        batch_size=2,
        steps=2,
        validate_every=2,
    )


# ---- the Python of the README and of CONTRIBUTING


def test_the_readmes_python_runs(manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = blocks(text_of("README.md"), "python")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "phantom").symlink_to(manifest.parent)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(unpaired, "find_recipe", lambda name: small(find_recipe(name)))
    # In this process: starting others, which `inference/test_watch.py` and `training/` do, takes longer than the rest.
    monkeypatch.setattr(unpaired, "train", partial(unpaired.train, workers=0))
    monkeypatch.setattr(unpaired, "predict", partial(unpaired.predict, worker=False))
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["label_map"].shape == names["image"].array.shape
    assert names["evaluation"].modalities == ["ct", "bssfp", "lge"]
    assert not names["evaluation"].failures


def test_the_networks_of_the_how_to_are_built() -> None:
    recipe, _, folding, loading, monai, mine, nnunets = blocks(text_of("docs/how-to/networks.md"), "python")
    for needs_files in (folding, loading):
        compile(needs_files, "networks.md", "exec")
        exec("\n".join(line for line in needs_files.splitlines() if line.startswith("from ")), {})
    names: dict[str, Any] = {}
    exec(compile(recipe, "networks.md", "exec"), names)
    shown = names["smaller"]()
    assert shown.method.layer_pairs[0][0] in replace(shown.network, width=2).build(["ct"], 1, 3, 2).feature_names
    exec(compile(mine, "networks.md", "exec"), names)
    assert names["MyNetwork"](channels=1, classes=3, spatial_dims=3)(torch.zeros(1, 1, 4, 4, 4)).shape[1] == 3
    compile(nnunets, "networks.md", "exec")
    pytest.importorskip("monai")
    exec(compile(monai, "networks.md", "exec"), names)
    assert names["network"].build(["ct", "mr"], 1, 3, 2).size_multiples == (8, 8)


def test_weights_are_taken_out_of_a_file_that_needs_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name, kernel = "encoder.stages.0.blocks.0.conv1.conv.weight", torch.ones(2, 2, 3, 3)
    weights = {name: kernel, f"decoder.{name}": kernel, name.replace("conv.", "all_modules.0."): kernel}
    torch.save({"network_weights": weights, "_best_ema": np.float64(0.5)}, "checkpoint_final.pth")
    with pytest.raises(InputError, match="more than tensors"):
        read_checkpoint("checkpoint_final.pth")
    exec(compile(blocks(text_of("docs/how-to/networks.md"), "python")[1], "networks.md", "exec"), {})
    tensors, _ = read_checkpoint("resenc.safetensors")
    assert list(tensors) == [name]
    assert torch.equal(tensors[name], kernel)


@pytest.fixture
def examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    """CONTRIBUTING's example modules, loaded under the names that they would have in the package."""
    loaded = {}
    method, network, importer, _ = blocks(text_of("CONTRIBUTING.md"), "python")
    for name, code in {
        "unpaired.methods.mean_alignment": method,
        "unpaired.networks.two_layers": network,
        "unpaired.data.importers.folders": importer,
    }.items():
        file = tmp_path / f"{name}.py"
        file.write_text(code, encoding="utf-8")
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None
        assert spec.loader is not None
        loaded[name] = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, loaded[name])
        spec.loader.exec_module(loaded[name])
    return loaded


def test_contributings_method_network_and_recipe_train(
    examples: dict[str, ModuleType], phantom: Dataset, tmp_path: Path
) -> None:
    file = tmp_path / "my_recipes.py"
    file.write_text(blocks(text_of("CONTRIBUTING.md"), "python")[3], encoding="utf-8")
    recipe = replace(
        find_recipe(f"{file}:mean_alignment"), patch_size=(48, 48), batch_size=2, steps=10, validate_every=10
    )
    run = unpaired.train(recipe, phantom, tmp_path / "run", device="cpu", workers=0, show=False)
    last = run.rows("log")[-1]
    parts = [float(value) for name, value in last.items() if re.match(r"term/(dice|ce)/", name)]
    assert float(last["term/spread"]) > 0
    assert float(last["loss"]) == pytest.approx(sum(parts) + 0.1 * float(last["term/spread"]), rel=1e-4)


def test_contributings_method_names_a_missing_layer(examples: dict[str, ModuleType]) -> None:
    network = examples["unpaired.networks.two_layers"].TwoLayersConfig().build(["ct", "mr"], 1, 3, 2)
    with pytest.raises(InputError, match="no feature map 'group9'"):
        examples["unpaired.methods.mean_alignment"].MeanAlignmentConfig().build(network, 3)


def test_contributings_importer_finds_cases(examples: dict[str, ModuleType], phantom: Dataset, tmp_path: Path) -> None:
    import_folders = examples["unpaired.data.importers.folders"].import_folders
    image = unpaired.read_image(phantom.cases[0].image)
    for name in ("ct/p1.nii.gz", "ct/p1_seg.nii.gz", "mr/p2.nii.gz"):
        write_image(tmp_path / "study" / name, image.array, image.affine)
    dataset = import_folders(tmp_path / "study", ("background", "heart"))
    assert [(c.id, c.patient, c.label is None) for c in dataset.cases] == [
        ("p1_ct", "p1", False),
        ("p2_mr", "p2", True),
    ]
    with pytest.raises(InputError, match="expected images"):
        import_folders(tmp_path / "study" / "ct", ("background", "heart"))


@pytest.mark.parametrize("page", ["docs/tutorial.md", "docs/how-to/recipes.md"])
def test_recipes_shown_in_the_docs_load(page: str, tmp_path: Path) -> None:
    (code,) = blocks(text_of(page), "python")
    (tmp_path / "my_recipes.py").write_text(code, encoding="utf-8")
    assert find_recipe(f"{tmp_path / 'my_recipes.py'}:abdomen").steps == 40_000


def test_the_recipe_on_the_page_of_multiresunet_builds(tmp_path: Path) -> None:
    (code,) = blocks(text_of("docs/methods/multiresunet.md"), "python")
    (tmp_path / "multires.py").write_text(code, encoding="utf-8")
    recipe = find_recipe(f"{tmp_path / 'multires.py'}:multires")
    with torch.device("meta"):
        assert build_method(recipe, ("ct", "mr"), 3).network.feature_names[0] == "encoder1"


def test_json_in_the_docs_is_json() -> None:
    found = [block for page in PAGES for block in blocks(page.read_text(encoding="utf-8"), "json")]
    assert found
    for block in found:
        json.loads(block)


# ---- commands


def commands() -> Iterator[tuple[str, list[str]]]:
    """(where, arguments) of every `unpaired ...` line in code of pages, docstrings of scripts and recipes, and CI."""
    shown = {page: blocks(page.read_text(encoding="utf-8"), "bash", "console") for page in PAGES}
    scripts = [ROOT / "benchmarks", ROOT / "studies", ROOT / "docs" / "images", SOURCE / "recipes"]
    for file in (file for folder in scripts for file in sorted(folder.glob("*.py"))):
        docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
        shown[file] = ["\n".join(line.strip() for line in docstring.splitlines())]
    for file in sorted((ROOT / ".github" / "workflows").glob("*.yml")):
        shown[file] = ["\n".join(line.strip() for line in file.read_text(encoding="utf-8").splitlines())]
    for page, texts in shown.items():
        for line in "\n".join(texts).replace("\\\n", " ").splitlines():
            match = re.match(r"(?:\$ |srun )?(?:\.venv/bin/)?unpaired ([a-z-].*)", line)
            if match:
                yield str(page.relative_to(ROOT)), shlex.split(match[1], comments=True)


def pages_by_command() -> dict[tuple[str, ...], list[str]]:
    """Where each command line is shown: several pages may show the same."""
    pages: dict[tuple[str, ...], list[str]] = {}
    for page, arguments in commands():
        pages.setdefault(tuple(arguments), []).append(page)
    return pages


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(list(arguments), id=f"{', '.join(sorted(set(pages)))}: {' '.join(arguments)}")
        for arguments, pages in pages_by_command().items()
    ],
)
def test_a_shown_command_parses(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    if arguments[-1:] == ["--help"]:
        with pytest.raises(SystemExit) as stop:
            cli.main(arguments)
        assert stop.value.code == 0
        return
    seen: dict[str, Any] = {}
    shown = [name for name in (" ".join(arguments[:2]), arguments[0]) if name in cli.COMMANDS]
    assert shown, "no such command"
    monkeypatch.setitem(cli.COMMANDS, shown[0], recorded(cli.COMMANDS[shown[0]], seen))
    assert cli.main(arguments) == 0
    assert bool(seen.get("changes")) == ("--set" in arguments), "what is changed is looked at below"
    recipe = seen.get("recipe") or (seen.get("name") if arguments[0] == "recipes" else None)
    if recipe and recipe != AUTO and ".py:" not in recipe and recipe not in SPELLED_WRONG_ON_PURPOSE:
        override(find_recipe(recipe), seen.get("changes", ()))


def recorded(command: Any, seen: dict[str, Any]) -> Any:
    """A command that only notes what it was given, with the signature of the real one."""
    names = list(inspect.signature(command).parameters)

    @functools.wraps(command)
    def note(*values: Any, **named: Any) -> int:
        seen.update(zip(names, values, strict=False), **named)
        return 0

    return note


def test_a_command_that_does_not_exist_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "COMMANDS", {name: recorded(command, {}) for name, command in cli.COMMANDS.items()})
    for arguments in (["segment", "x"], ["train", "phantom/csa", "data", "run", "--epochs", "3"]):
        assert cli.main(arguments) == 2


def test_every_command_is_shown_somewhere() -> None:
    shown = {" ".join(arguments[:count]) for _, arguments in commands() for count in (1, 2)}
    assert set(cli.COMMANDS) <= shown | {"demo"}
    assert "unpaired demo" in text_of("docs/tutorial.md")


def test_the_reference_shows_every_command() -> None:
    shown = re.findall(r"^::: (unpaired\.[\w.]+)$", text_of("docs/reference/commands.md"), re.M)
    assert {command.__module__ for command in cli.COMMANDS.values()} == set(shown)


# ---- files, fields


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)


def anchors(page: Path) -> set[str]:
    """What its headings are called in links, here and in the site."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.M)
    words = [re.sub(r"[^\w\s-]", "", re.sub(r"\[(.+?)\]\(.*?\)", r"\1", heading)) for heading in headings]
    return {re.sub(r"\s+", "-", heading.strip().lower()) for heading in words}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_pictures_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if not target.startswith(("http://", "https://")):
            file, _, anchor = target.partition("#")
            linked = page.parent / file if file else page
            assert linked.exists(), f"{page}: {target}"
            assert not anchor or anchor in anchors(linked), f"{page}: {target}"


def test_a_heading_that_does_not_exist_would_be_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# What `a/b` is\n```bash\n# no heading\n```\n## Beside a [paper's](x.md) table\n")
    assert anchors(page) == {"what-ab-is", "beside-a-papers-table"}


def test_the_readmes_tree_is_the_repository() -> None:
    tree = text_of("README.md").split("## What is where")[1].split("```")[1]
    folders: list[Path] = []
    shown = set()
    for line in tree.strip().splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        name = line.split()[0]
        path = Path(*folders[:depth], name)
        assert (ROOT / path).exists(), path
        folders[depth:] = [path] if depth == 0 else [Path(name)]
        shown.add(path)
    for path in SOURCE.iterdir():
        if path.name != "__pycache__":
            assert path.relative_to(ROOT) in shown, f"{path.name} is missing in the README's tree"


def test_paths_named_in_the_architecture_exist() -> None:
    for page in ("docs/explanation/architecture.md", "CONTRIBUTING.md"):
        for named in re.findall(r"`((?:src|tests|docs)/[\w/.]+)`", text_of(page)):
            assert (ROOT / named).exists() or Path(named).stem in ("mean_alignment", "two_layers", "folders"), named
    for name in re.findall(r"\b(data|training|inference|networks|methods)/(\w+): ", text_of(page)):
        assert (SOURCE / "/".join(name)).with_suffix(".py").exists(), name


def named_in_prose() -> Iterator[tuple[str, str]]:
    """(page, name) of every `unpaired.module.name` and `room/file.py` of the package that a page names."""
    rooms = "|".join(["unpaired", *(path.name for path in SOURCE.iterdir() if path.is_dir())])
    for page in PAGES:
        if page.name != "CHANGELOG.md":
            text = page.read_text(encoding="utf-8")
            for name in re.findall(rf"`(unpaired(?:\.\w+)+|(?:{rooms})/[\w/]+\.py)[`(]", text):
                yield str(page.relative_to(ROOT)), name


@pytest.mark.parametrize(("page", "name"), sorted(set(named_in_prose())), ids=str)
def test_code_that_prose_names_exists(page: str, name: str) -> None:
    if name.endswith(".py"):
        assert (SOURCE / name.removeprefix("unpaired/")).exists() or (ROOT / name).exists()
    else:
        assert pkgutil.resolve_name(name) is not None


def test_the_architectures_table_is_the_one_that_is_checked() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", text_of("docs/explanation/architecture.md"), re.M)
    shown = {room: set(re.findall(r"`([\w.]+)`", cell)) for room, cell in rows if room != "cli"}
    assert shown == {room: allowed for room, allowed in ALLOWED.items() if room not in {"", "cli", *EVERYBODY}}


def test_the_reference_shows_modules_that_exist_and_no_room_is_left_out() -> None:
    shown = {m for page in PAGES for m in re.findall(r"^::: unpaired\.([\w.]+)$", page.read_text("utf-8"), re.M)}
    for module in shown:
        assert is_module(module) or is_module(module.rpartition(".")[0]), module
    rooms = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert rooms == {module.split(".")[0] for module in shown} & rooms


def is_module(name: str) -> bool:
    path = SOURCE / Path(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def test_the_api_page_shows_exactly_the_public_names() -> None:
    shown = re.findall(r"^::: (unpaired\.[\w.]+)$", text_of("docs/reference/api.md"), re.M)
    assert sorted(shown) == sorted(f"unpaired.{home}.{name}" for name, home in unpaired._HOME.items())


@pytest.mark.slow
@pytest.mark.usefixtures("shallow_fcn")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_api_page_is_a_script_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its examples, in order, in an empty folder; what they leave there is what the commands would."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(SIZES, "tiny", OF_FEW_SLICES)
    names: dict[str, Any] = {}
    with undrawn():
        for code in blocks(text_of("docs/reference/api.md"), "python"):
            exec(compile(code, "api.md", "exec"), names)
    assert names["label_map"].shape == names["image"].array.shape
    assert np.array_equal(read_image(Path("copy.nii.gz")).array, names["image"].array)
    assert names["dataset"].of(split="test")
    assert names["run"].recipe.steps == 3
    assert {path.name for path in tmp_path.iterdir()} >= {"comparison", "partners", "runs", "split.json"}
    assert names["page"].is_file()


def test_lists_are_set_off() -> None:
    """A list that follows text or code without an empty line is shown as one paragraph, its dashes in the middle."""
    for page in PAGES:
        before, in_code = "", False
        for number, line in enumerate(page.read_text("utf-8").splitlines(), start=1):
            begins = re.match(r"(-|\d+\.) ", line) and not re.match(r"\s|-|\d+\.|#|$", before)
            assert in_code or not begins, f"{page}:{number}: an empty line is missing before the list"
            in_code ^= line.startswith("```")
            before = line


def test_the_manifest_reference_names_every_field() -> None:
    page = text_of("docs/how-to/import.md")
    for name in (*COLUMNS, *(field.name for field in fields(Modality)), *(f.name for f in fields(Dataset))):
        assert f"| `{name}` |" in page, name


def test_the_manual_of_import_names_every_layout() -> None:
    page = text_of("docs/how-to/import.md")
    rows = {name for row in re.findall(r"^\| (`\w+`[^|]*) \|", page, re.M) for name in re.findall(r"\w+", row)}
    assert {layout.name for layout in LAYOUTS} <= rows


def test_the_manual_of_verify_names_its_rules() -> None:
    source = "".join(file.read_text(encoding="utf-8") for file in (SOURCE / "data").rglob("*.py"))
    rules = set(re.findall(r"case_(?:error|warning)\(\s*\"([a-z-]+)\"", source))
    rules |= set(re.findall(r"Finding\(\s*\"\w+\",\s*\"([a-z-]+)\"", source))
    rules |= {*get_args(Rule), "shape", "corners"}  # these are handed over as values
    table = text_of("docs/how-to/import.md").split("## Verify")[1]
    named = {name for row in re.findall(r"^\| (`.*?`) \|", table, re.M) for name in re.findall(r"`([a-z-]+)`", row)}
    assert named == rules


# ---- the lazy names


def test_every_public_name_is_there() -> None:
    for name in unpaired.__all__:
        assert getattr(unpaired, name).__name__ == name
        assert name in dir(unpaired)
    with pytest.raises(AttributeError, match=r"no attribute .trian.; did you mean train"):
        _ = unpaired.trian  # pyright: ignore
    with pytest.raises(AttributeError, match=r"no attribute .read_run.; did you mean Run\?"):
        _ = unpaired.read_run  # pyright: ignore


def test_type_checkers_see_the_names_where_python_finds_them() -> None:
    tree = ast.parse((SOURCE / "__init__.py").read_text(encoding="utf-8"))
    (guarded,) = [node for node in tree.body if isinstance(node, ast.If)]
    imported = {
        alias.name: node.module for node in guarded.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert imported == {name: f"unpaired.{home}" for name, home in unpaired._HOME.items()}
    assert sorted(imported) == sorted(unpaired.__all__)
