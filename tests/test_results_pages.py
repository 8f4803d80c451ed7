"""The tables of docs/results/ are those that the stored numbers give; a study's numbers become such a table."""

import importlib.util
import itertools
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from unpaired.errors import InputError

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "studies" / "results_pages.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("results_pages", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["results_pages"] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def test_every_page_says_what_its_numbers_say(script: ModuleType) -> None:
    pages = [page for page in script.PAGES.glob("*.md") if script.MARKED.search(page.read_text(encoding="utf-8"))]
    assert "scarce-labels.md" in [page.name for page in pages]
    for page in pages:
        text, numbers = page.read_text(encoding="utf-8"), script.read_numbers(page.with_suffix(".json"))
        assert script.page_with_numbers(text, numbers, page.name) == text, f"run `make results`: {page.name} differs"
        marked = [match["name"] for match in script.MARKED.finditer(text)]
        assert sorted(marked) == sorted(numbers.names)


def test_no_table_of_numbers_is_typed(script: ModuleType) -> None:
    """Tables outside the marks say what was done, in two columns; what came of it stands between marks."""
    for page in script.PAGES.glob("*.md"):
        typed = script.MARKED.sub("", page.read_text(encoding="utf-8"))
        heads = [line for line, rule in itertools.pairwise(typed.splitlines()) if rule.startswith("|---|")]
        assert set(heads) <= {"| what | value |", "| | |"}, page.name


def test_a_plain_table_shows_its_best_numbers_and_its_marks(script: ModuleType) -> None:
    rows = (("a_b", "90.5 ± 1.0*", "3.1"), ("c", "91.0 ± 2.0†", "2.4"), ("d", "–", "2.4"))
    table = script.PlainTable("ten minutes.", ("row", "Dice", "HD95"), rows, "lr", ("", "max", "min"))
    assert script.rendered_plain(table).splitlines() == [
        "Budget: ten minutes.",
        "",
        "| row | Dice | HD95 |",
        "|---|---:|---:|",
        r"| a\_b | 90.5 ± 1.0\* | 3.1 |",
        "| c | **91.0 ± 2.0**† | **2.4** |",
        "| d | – | **2.4** |",
    ]
    with pytest.raises(InputError, match="where their numbers are from"):
        script.Numbers({}, {"a": table})


def test_every_file_of_numbers_is_of_a_page(script: ModuleType) -> None:
    assert all(file.with_suffix(".md").is_file() for file in script.PAGES.glob("*.json"))


def cell(method: str, name: str, mean: float, **more: Any) -> dict[str, Any]:
    fields = dict.fromkeys(("difference", "interval_low", "interval_high", "better", "worse", "p_holm"))
    return {"score": "dice", "modality": "lge", "class": name, "method": method, "patients": 8, "mean": mean} | (
        fields | more
    )


def test_a_studys_numbers_become_a_table(script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = {"difference": 0.02, "interval_low": -0.01, "interval_high": 0.05, "better": 6, "worse": 2, "p_holm": 0.0391}
    columns = [
        cell("MSBN", "LV", 0.9),
        cell("MSBN", "mean", 0.8),
        cell("CSA", "LV", 0.91),
        cell("CSA", "mean", 0.82, **own),
    ]
    rows = [
        {"row": "MSBN", "steps": [800], "done": 5, "training_seconds": 1500.0},
        {"row": "CSA", "steps": [750], "done": 5, "training_seconds": 1515.0},
        {"row": "failed", "steps": [750], "done": 0, "training_seconds": 0.0},
    ]
    study = {
        "notes": ["Budget: 5 minutes a run."],
        "rows": rows,
        "comparison": {"baseline": "MSBN", "columns": columns},
    }
    assert script.rendered(script.from_study(study)).splitlines() == [
        "Budget: 5 minutes a run.",
        "",
        "| row | steps, minutes | lge (8) |",
        "|---|---:|---:|",
        "| MSBN | 800, 5.0 | 80.0 (90.0) |",
        "| CSA | 750, 5.0 | **82.0 (91.0)** |",
        "",
        "Against MSBN, paired by patient:",
        "",
        "| row | patients | difference | 95 % interval | better / worse | p Holm |",
        "|---|---|---:|---:|---:|---:|",
        "| CSA | lge | +2.00 | -1.00 to +5.00 | 6 / 2 | 0.039 |",
    ]


def test_a_comparisons_numbers_become_a_table_of_the_budget_that_is_told(script: ModuleType) -> None:
    own = {"difference": -0.02, "interval_low": -0.05, "interval_high": 0.01, "better": 2, "worse": 6, "p_holm": 0.0391}
    columns = [cell("all", "mean", 0.8), cell("none", "mean", 0.78, **own), cell("none", "mean", 7.0, score="hd95")]
    compared = {"methods": [{"name": "all"}, {"name": "none"}], "baseline": "all", "columns": columns}
    assert script.rendered(script.from_comparison(compared, "four folds.")).splitlines() == [
        "Budget: four folds.",
        "",
        "| row | lge (8) |",
        "|---|---:|",
        "| all | **80.0** |",
        "| none | 78.0 |",
        "",
        "Against all, paired by patient:",
        "",
        "| row | patients | difference | 95 % interval | better / worse | p Holm |",
        "|---|---|---:|---:|---:|---:|",
        "| none | lge | -2.00 | -5.00 to +1.00 | 2 / 6 | 0.039 |",
    ]


def test_what_is_not_there_is_said(script: ModuleType) -> None:
    with pytest.raises(InputError, match="compared nothing yet"):
        script.from_study({"rows": [], "notes": []})
    page = "<!-- numbers: a -->\n<!-- end of numbers -->\n"
    with pytest.raises(InputError, match=r"x\.md wants a table 'a', and there are b"):
        script.page_with_numbers(page, script.Numbers({"b": script.ResultTable("", {}, ())}), "x.md")
