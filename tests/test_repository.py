"""Workflows, issue forms, the navigation of the site and the lists of scripts hold together."""

import ast
import importlib
import importlib.util
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from unpaired.cli import COMMANDS

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = [file for file in sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")) if file.stem != "config"]
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
SCRIPTS = [
    file for folder in ("benchmarks", "studies", "studies/peers") for file in sorted((ROOT / folder).glob("*.py"))
]
IMPORTED = {"side_by_side", "peer_run"}
"""Not scripts: what several of them measure with, and what all peers share."""


def read(file: Path) -> Any:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_an_action_is_pinned_to_a_commit_and_says_its_version(file: Path) -> None:
    used = re.findall(r"uses: (.+)", file.read_text(encoding="utf-8"))
    assert used
    assert not [action for action in used if not action.startswith("./") and not PINNED.fullmatch(action.strip())]


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_a_job_ends_and_may_write_nothing_it_does_not_have_to(file: Path) -> None:
    workflow = read(file)
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        assert "timeout-minutes" in job or "uses" in job, name
        assert job.get("permissions", {}) in ({}, {"id-token": "write"}), name
        assert ("permissions" in job) == (name == "publish"), name


def test_ci_tests_the_pythons_that_the_package_is_for() -> None:
    matrix = read(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]["test"]["strategy"]["matrix"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    claimed = [match[1] for text in project["classifiers"] if (match := re.fullmatch(r".*Python :: (3\.\d+)", text))]
    assert matrix["python"] == claimed
    assert project["requires-python"] == f">={claimed[0]}"
    others = [(entry["os"], entry["python"]) for entry in matrix["include"]]
    assert others == [(os, claimed[end]) for os in ("macos-latest", "windows-latest") for end in (0, -1)]


def test_what_is_published_has_passed_ci() -> None:
    jobs = read(ROOT / ".github" / "workflows" / "release.yml")["jobs"]
    assert jobs["ci"]["uses"] == "./.github/workflows/ci.yml"
    assert set(jobs["publish"]["needs"]) == {"ci", "tag"}
    assert jobs["publish"]["environment"] == "pypi"


@pytest.mark.parametrize("file", FORMS, ids=lambda file: file.stem)
def test_an_issue_form_asks_under_names_of_their_own(file: Path) -> None:
    form = read(file)
    assert {"name", "description", "labels", "body"} == set(form)
    questions = [part for part in form["body"] if part["type"] != "markdown"]
    names = [question["id"] for question in questions]
    assert len(names) == len(set(names)) > 1
    assert any(question.get("validations", {}).get("required") for question in questions)
    assert all(question["attributes"]["label"] for question in questions)


def pages(entries: Any) -> list[str]:
    """The files of a navigation, or of a part of it."""
    if isinstance(entries, str):
        return [entries]
    if isinstance(entries, dict):
        return [page for entry in entries.values() for page in pages(entry)]
    return [page for entry in entries for page in pages(entry)]


def test_every_page_of_the_site_is_in_its_navigation_once() -> None:
    docs = ROOT / "docs"
    assert sorted(pages(read(ROOT / "mkdocs.yml")["nav"])) == sorted(
        page.relative_to(docs).as_posix() for page in docs.rglob("*.md")
    )


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_says_its_command_and_stands_in_the_list(script: Path) -> None:
    page = (script.parent / "README.md").read_text(encoding="utf-8")
    assert re.search(rf"^\| \[`{script.stem}`\]\({script.name}\) \|", page, re.M) or script.stem in IMPORTED
    if script.stem not in IMPORTED:
        docstring = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""
        assert f"python {script.relative_to(ROOT).as_posix()}" in docstring


@pytest.mark.parametrize(
    "script", [*SCRIPTS, *sorted((ROOT / "docs" / "images").glob("*.py"))], ids=lambda path: path.stem
)
def test_what_a_script_takes_from_the_package_exists(script: Path) -> None:
    imports = [
        node for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))) if isinstance(node, ast.ImportFrom)
    ]
    names = [(node.module, alias.name) for node in imports for alias in node.names]
    for module, name in names:
        if module and module.split(".")[0] == "unpaired":
            assert hasattr(importlib.import_module(module), name) or importlib.util.find_spec(f"{module}.{name}")


def test_a_command_that_a_text_or_message_names_exists() -> None:
    known = {word for command in COMMANDS for word in (command, command.split()[0])}
    texts = [*ROOT.glob("*.md"), *(ROOT / ".github").rglob("*.*"), *(ROOT / "src").rglob("*.py")]
    texts += [page for folder in ("docs", "benchmarks", "studies") for page in (ROOT / folder).rglob("*.md")]
    for text in texts:
        named = re.findall(r"`unpaired ([a-z][a-z-]*(?: [a-z-]+)?)", text.read_text(encoding="utf-8"))
        assert all(words in known or words.split()[0] in known for words in named), (text, named)


def test_no_two_files_of_tests_have_one_name() -> None:
    """pytest takes files of one name in two folders for one module, where a run collects both."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
