"""Every study that comes with unpaired, in both sizes: its rows build, its names are its own, its splits are drawn."""

from functools import cache
from pathlib import Path
from typing import get_args

import pytest

from unpaired.comparison.papers.layout import row_of
from unpaired.comparison.papers.tables import paper_table
from unpaired.errors import InputError
from unpaired.experiments.find import all_studies, find_study, list_studies
from unpaired.experiments.study import Size, Study

STUDIES = sorted(all_studies())
SIZES = get_args(Size)


@cache
def shipped(name: str, size: Size) -> Study:
    """Building a study builds its recipes: once is enough."""
    return find_study(name, size)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", STUDIES)
def test_its_rows_stand_in_the_papers_tables(name: str, size: Size) -> None:
    study = shipped(name, size)
    for paper in study.papers:
        table = paper_table(paper)
        stated = {row.name for row in study.rows if row_of(table, row.name) is not None}
        assert stated, f"no row of {name} is one of {paper}"


@pytest.mark.parametrize("name", STUDIES)
def test_both_sizes_have_the_same_rows(name: str) -> None:
    small, full = (shipped(name, size) for size in SIZES)
    assert [row.name for row in small.rows] == [row.name for row in full.rows]
    assert (small.title, small.papers, small.apart) == (full.title, full.papers, full.apart)


def test_each_is_described_in_one_line() -> None:
    assert all(text.endswith(".") and len(text) < 120 for text in list_studies().values())


def test_an_unknown_study_is_named_with_the_nearest() -> None:
    with pytest.raises(InputError, match="there is no study 'csa_tabel1'; did you mean csa_table1"):
        find_study("csa_tabel1")


def test_a_file_of_a_persons_own_has_studies(tmp_path: Path) -> None:
    file = tmp_path / "my_study_file.py"
    file.write_text(
        "from unpaired.experiments.study import Row, Size, Study\nfrom unpaired.recipes.phantom import csa, msbn\n"
        "def mine(size: Size) -> Study:\n    return Study(size, (Row('MSBN', msbn()), Row('CSA', csa())))\n"
        "def broken() -> Study:\n    return 1 / 0\n"
    )
    assert find_study(f"{file}:mine", "full").title == "full"
    with pytest.raises(InputError, match=r"my_study_file.py, line 6: ZeroDivisionError"):
        find_study(f"{file}:broken")
    with pytest.raises(InputError, match="has no study 'min'; did you mean mine"):
        find_study(f"{file}:min")
    with pytest.raises(InputError, match="found no file"):
        find_study("nowhere.py:mine")
