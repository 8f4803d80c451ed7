"""The file of a plan: Python that gives the same recipe back, whatever the dataset is called."""

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from public_fingerprints import ALL, fingerprint, modality
from unpaired.errors import InputError
from unpaired.planning.plan import plan_recipe
from unpaired.planning.recipe_file import recipe_code, write_recipe
from unpaired.recipes import find_recipe


@pytest.mark.parametrize("name", list(ALL))
def test_the_file_gives_the_plan_s_recipe(name: str, tmp_path: Path) -> None:
    plan = plan_recipe(ALL[name]).with_steps(777, "it was timed")
    write_recipe(plan, tmp_path / "heart.py", name, "1.0")
    assert find_recipe(f"{tmp_path / 'heart.py'}:planned") == plan.recipe
    text = (tmp_path / "heart.py").read_text(encoding="utf-8")
    assert "# it was timed\n        steps=777," in text
    for reason in plan.reasons.values():
        words = " ".join(line.strip().removeprefix("# ") for line in text.splitlines())
        assert " ".join(reason.split()) in words
    assert max(map(len, text.splitlines())) <= 120


def test_many_classes_make_no_long_line() -> None:
    organs = tuple(f"organ {number}" for number in range(100))
    facts = replace(fingerprint(modality("ct", (9, 64, 64), (5, 1, 1))), classes=("background", *organs))
    text = recipe_code(plan_recipe(facts), "many", "1.0")
    assert max(map(len, text.splitlines())) <= 120
    assert '"""One network for slices of ct."""' in text
    assert "organ 99" in text


def test_names_can_t_become_code(tmp_path: Path) -> None:
    evil = 'x"""\nimport os\nos.system("true")\n"""\\'
    facts = fingerprint(modality("ct", (9, 64, 64), (5, 1, 1)))
    text = recipe_code(plan_recipe(facts), evil, "1.0")
    module = ast.parse(text)
    kinds = [type(node).__name__ for node in module.body]
    assert kinds == ["Expr", *["ImportFrom"] * (len(kinds) - 2), "FunctionDef"]


def test_a_file_that_is_there_is_kept(tmp_path: Path) -> None:
    plan = plan_recipe(ALL["MS-CMRSeg"])
    (tmp_path / "mine.py").write_text("# mine", encoding="utf-8")
    with pytest.raises(InputError, match="is there already"):
        write_recipe(plan, tmp_path / "mine.py", "d", "1.0")
    with pytest.raises(InputError, match=r"name it \.py"):
        write_recipe(plan, tmp_path / "mine.json", "d", "1.0")
