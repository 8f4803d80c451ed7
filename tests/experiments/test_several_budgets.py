"""A study at several budgets: what is written, and what goes when nothing holds any more."""

from pathlib import Path

from tiny_study import tiny_study

from unpaired.experiments.budgets import made_by_budget
from unpaired.experiments.results import StudyResults
from unpaired.experiments.study import Study

EARLIER = ("curve.csv", "curve.md", "study.html", "figures/curve.svg", "figures/curve.png")


def nothing_compared(study: Study, folder: Path) -> StudyResults:
    return StudyResults(folder, (), (f"{study.minutes:g} minutes: nothing is done",), None, [])


def with_an_earlier_curve(folder: Path) -> Path:
    for name in (*EARLIER, "curve.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("of rows that have changed since")
    return folder


def test_an_earlier_curve_goes_where_there_is_none_now(tmp_path: Path) -> None:
    folder = with_an_earlier_curve(tmp_path)
    studies = [tiny_study(minutes=minutes) for minutes in (2.0, 1.0)]
    made_by_budget(studies, folder, nothing_compared, print)
    assert {path.name for path in folder.rglob("*") if path.is_file()} == {"curve.txt", "study.json"}
    assert "2 minutes: nothing is done" in (folder / "study.json").read_text()


def test_an_estimate_or_a_shard_changes_nothing(tmp_path: Path) -> None:
    folder = with_an_earlier_curve(tmp_path)
    made_by_budget([tiny_study(minutes=1.0)], folder, nothing_compared, print, write=False)
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == {
        *EARLIER,
        "curve.txt",
    }
