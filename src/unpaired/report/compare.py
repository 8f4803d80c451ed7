"""`compare` as a person calls it: methods by where they lie, with tables, figures and a page in one folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from unpaired.choices import several
from unpaired.comparison.comparison import DEFAULT_SCORES
from unpaired.comparison.contenders import folder_of, parse_contender
from unpaired.comparison.files import FILES, PAGE, write_comparison
from unpaired.comparison.methods import ComparedMethods, compare_methods, presets_of, tolerances_of
from unpaired.comparison.papers.tables import paper_table
from unpaired.data.overwriting import require_own_folder, subject, write_about
from unpaired.errors import InputError
from unpaired.files import remove, together
from unpaired.report.comparison_page import write_comparison_report
from unpaired.report.viewer import VIEWER_MB, require_budget
from unpaired.runs.folder import RunFolder, place_of
from unpaired.runs.model_file import require_no_model
from unpaired.scores.reading import Reading
from unpaired.scores.scorer import Scorer
from unpaired.scores.scores import Others, Policy, Surface
from unpaired.scores.scoring import Scoring


def compare(
    methods: RunFolder | str | Path | Sequence[RunFolder | str | Path],
    *,
    out: str | Path | None = "comparison",
    baseline: str | None = None,
    scores: Sequence[str] = DEFAULT_SCORES,
    reference: RunFolder | str | Path | None = None,
    classes: str | None = None,
    prediction_classes: str | None = None,
    only: Sequence[str] = (),
    others: Others = "refuse",
    split: str | None = None,
    policy: Policy = "diagonal",
    surface: Surface = "voxel",
    common: bool = False,
    correct_over: Literal["methods", "table"] = "methods",
    group: bool = False,
    paper: Sequence[str] = (),
    report: bool = True,
    viewer_mb: float = VIEWER_MB,
    workers: int = 2,
) -> ComparedMethods:
    """Compare methods that scored the same cases: tables for a paper, paired tests per patient, figures, one page.

    methods: two or more of PATH, NAME=PATH, or NAME=PATH,PATH with a path per seed; a path is a run folder or another
    with scores.json, or a folder of predictions.  out: the folder for tables (Markdown, LaTeX, CSV, JSON), figures and
    page, never over the comparison of other methods; None writes nothing.  baseline: the method that the others are
    tested against (default: the first).  scores: what to compare; the first also ranks the worst cases.

    For folders of predictions, `reference` is a manifest, a run folder (its test cases) or a folder of label maps,
    whose `classes` are "1:LV,2:myo"; `prediction_classes`, `others`, `split`, `policy`, `surface` and `workers` are
    those of `evaluate`.  only: compare these classes alone.  common: leave out what a method failed at or lacks,
    instead of refusing to compare.  correct_over: p values are corrected over the "methods" in a column, or over a
    score's whole "table".  group: take runs without a NAME whose recipes differ in the seed alone (or the split) as
    one method.  paper: also lay out as these tables of papers, beside their numbers.  report: also draw the figures
    and write the page, whose viewer holds `viewer_mb` megabytes of scans.

    Raises InputError for methods that are not comparable (see `require_comparable`), where predictions or references
    changed since they were scored, and before anything is scored where `out` holds another comparison.
    """
    require_budget(viewer_mb)
    texts = [place_of(method) for method in several(methods)]
    about = subject("compare", *_folders(texts), None if reference is None else Path(place_of(reference)))
    if out is not None:
        require_own_folder(Path(out), FILES[0], about)
    reading = Reading.of(several(only), others, prediction_classes)
    scorer = None
    if reference is not None:
        presets = presets_of([paper_table(name) for name in several(paper)])
        scoring = Scoring(policy, surface, tolerances_of(several(scores)), presets=presets)
        scorer = Scorer.of(reference, classes, split, scoring, reading, workers)
    elif (classes, prediction_classes, others, split) != (None, None, "refuse", None):
        raise InputError(
            "classes, prediction classes, other values and a split are for predictions that are scored here, against a "
            "--reference; without one the methods' own scores are read: evaluate anew with other choices"
        )
    compared = compare_methods(
        texts,
        baseline=baseline,
        scores=several(scores),
        scorer=scorer,
        only=several(only),
        common=common,
        correct_over=correct_over,
        group=group,
        paper=several(paper),
        workers=workers,
    )
    if out is not None:
        with together():
            write_about(Path(out), about)
            write_comparison(compared.comparison, Path(out), compared.layouts)
            if report:
                page = Path(out) / PAGE
                shown = compared.dataset, compared.predictions
                write_comparison_report(compared.comparison, page, *shown, viewer_mb, compared.layouts)
            else:  # an earlier one may show other scores than the tables now hold
                remove(Path(out) / PAGE)
    return compared


def _folders(texts: Sequence[str]) -> list[Path]:
    """The folders that methods were given by. Raises InputError for a model, which was scored nowhere."""
    places = [place for text in texts for place in parse_contender(text)[1]]
    for place in places:
        require_no_model(
            place, "predict with it (`unpaired predict MODEL DATA OUT`) and compare OUT, with --reference DATA"
        )
    return [folder_of(place) for place in places]
