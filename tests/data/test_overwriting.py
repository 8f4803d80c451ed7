"""Results are refused, before they are computed, where they would replace others or can't be written."""

from collections.abc import Callable
from pathlib import Path

import pytest

from unpaired.data.overwriting import require_own_file, require_own_folder, subject
from unpaired.errors import UnwritableError
from unpaired.planning.recipe_file import require_new_file
from unpaired.scores.places import require_free_place

ASKED: list[Callable[[Path], None]] = [
    lambda place: require_own_folder(place / "out", "tables.md", subject("compare", place)),
    lambda place: require_own_file(place / "page.html", subject("report", place)),
    lambda place: require_free_place(place / "scores", place),
    lambda place: require_new_file(place / "plan.py"),
]


@pytest.mark.parametrize("ask", ASKED)
def test_a_place_that_cant_be_written_is_told_before_the_work(tmp_path: Path, ask: Callable[[Path], None]) -> None:
    ask(tmp_path / "new")  # would be made
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(
        UnwritableError, match=r"Not a directory; .*/file is a file where a folder was expected; choose"
    ):
        ask(tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
