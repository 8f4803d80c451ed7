"""Where the page of a run goes: its own page in the run, those of other predictions beside them, over no other."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from undrawn import undrawn
from unpaired.data.dataset import Dataset
from unpaired.data.manifest import write_dataset
from unpaired.errors import InputError
from unpaired.report.report import write_report
from unpaired.scores.evaluate import evaluate_dataset
from unpaired.scores.places import evaluation_folder
from unpaired.scores.tables import write_evaluation


@pytest.fixture(autouse=True)
def pixels() -> Iterator[None]:
    with undrawn():
        yield


@pytest.fixture
def scored(world: tuple[Dataset, Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """A run with its predictions, and a second folder of predictions elsewhere; both are scored."""
    dataset, predictions, run = world
    copy, others = tmp_path / "run", tmp_path / "elsewhere" / "others"
    shutil.copytree(run, copy)
    shutil.copytree(predictions, others)
    write_dataset(dataset, copy / "dataset.json")
    for folder in (copy / "predictions", others):
        write_evaluation(evaluate_dataset(dataset, folder, "test"), evaluation_folder(folder))
    return copy, others


def test_predictions_that_are_not_the_runs_own_get_a_page_beside_them(scored: tuple[Path, Path]) -> None:
    run, others = scored
    assert write_report(run, viewer_mb=0) == run / "report.html"
    before = (run / "report.html").read_bytes()
    page = write_report(run, predictions=others, viewer_mb=0)
    assert page == others.with_name("others_report.html")
    assert (run / "report.html").read_bytes() == before
    assert write_report(run, predictions=others, viewer_mb=0) == page, "the same again"
    assert str(run).encode() not in page.read_bytes()[:4096], "a page is given away: no paths in its head"


def test_no_other_file_is_written_over(scored: tuple[Path, Path]) -> None:
    run, others = scored
    page = write_report(run, out=run.parent / "page.html", viewer_mb=0)
    for out in (page, run / "recipe.json", run):
        with pytest.raises(InputError, match="is there, and report didn't make it of"):
            write_report(run, predictions=others, out=out, viewer_mb=0)
    moved = run.rename(run.with_name("moved"))
    assert write_report(moved, viewer_mb=0) == moved / "report.html", "a run's own page goes with it"
