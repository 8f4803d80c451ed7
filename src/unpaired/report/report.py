"""`write_report` as a person calls it: a run whose test cases were predicted and evaluated."""

from pathlib import Path

from unpaired.data.overwriting import Subject, require_own_file, subject
from unpaired.files import require_writable
from unpaired.report.page import write_run_page
from unpaired.report.viewer import VIEWER_MB
from unpaired.runs.folder import REPORT
from unpaired.runs.model_file import require_no_model
from unpaired.runs.run import Run
from unpaired.scores.files import SCORES
from unpaired.scores.freshness import require_fresh
from unpaired.scores.places import evaluation_folder
from unpaired.scores.tables import read_evaluation


def write_report(
    run: Run | str | Path,
    *,
    predictions: str | Path | None = None,
    out: str | Path | None = None,
    viewer_mb: float = VIEWER_MB,
) -> Path:
    """Write one HTML page about a run, from its predictions and scores, and return it: it opens from disk, offline.

    run: a run whose test cases were predicted and evaluated, or its folder.  predictions: the folder of its
    predictions, with their scores beside it where `evaluate` puts them (default: `predictions` in the run).  out: the
    page (default: report.html in the run; of predictions in another folder NAME, NAME_report.html beside it), never
    over another page.  viewer_mb: how many megabytes of scans the page's viewer may hold; 0 leaves it out.

    Raises InputError without predictions or scores, and where predictions or references changed since they were scored.
    """
    if not isinstance(run, Run) and predictions is None:
        require_no_model(run, "name label maps of it that `unpaired evaluate` has scored: --predictions OUT")
    trained = run if isinstance(run, Run) else Run(run)
    folder = Path(predictions) if predictions else trained.predictions
    scores = evaluation_folder(folder)
    evaluation = read_evaluation(scores)
    references = {case.id: case.label for case in trained.dataset.cases if case.label is not None}
    require_fresh(evaluation, scores / SCORES, folder, references)
    page, about = _page(trained, folder, out)
    return write_run_page(trained.folder, trained.dataset, folder, evaluation, page, viewer_mb, about)


def _page(run: Run, predictions: Path, out: str | Path | None) -> tuple[Path, Subject]:
    """Where the page goes, and what it is about; a run's own page is its own, wherever the run was moved."""
    about = subject("report", run.folder, predictions)
    own = predictions.resolve() == run.predictions.resolve()
    page = (
        Path(out)
        if out
        else run.report
        if own
        else predictions.resolve().with_name(f"{predictions.resolve().name}_{REPORT}")
    )
    if not own or page.resolve() != run.report.resolve():
        require_own_file(page, about)
    require_writable(page)
    return page, about
