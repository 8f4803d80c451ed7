"""`features` as a person calls it: what networks have learned, with tables, figures and a page in one folder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unpaired.analyses.features import Study, study
from unpaired.analyses.localization.tables import overview, to_json
from unpaired.analyses.plan import Options, own_run, read_members
from unpaired.choices import several
from unpaired.consent.modules import Trust
from unpaired.data.dataset import Dataset
from unpaired.data.manifest import as_dataset
from unpaired.data.overwriting import require_own_folder, subject, write_about
from unpaired.files import require_writable, together
from unpaired.report.features_page import write_features
from unpaired.runs.folder import FEATURES_PAGE, RunFolder, place_of
from unpaired.tables import Table


@dataclass(frozen=True)
class StudiedFeatures:
    """What `features` found, and the page that shows it."""

    study: Study
    page: Path

    @property
    def notes(self) -> list[str]:
        """What was left out and why, a line each."""
        return self.study.notes

    @property
    def failures(self) -> list[tuple[str, str]]:
        """(case, one line) of those that could not be read; they are in no number."""
        return self.study.failures

    def table(self) -> Table | None:
        """How well the best channels localize, over all layers and classes; None without a network to look into."""
        return None if self.study.comparison is None else overview(self.study.comparison, "best")

    def to_json(self) -> dict[str, Any]:
        """The localization as JSON values, shares from 0 to 1."""
        comparison = self.study.comparison
        document = {} if comparison is None else to_json(comparison, self.study.choosing)
        return {"folder": str(self.page.parent), **document}


def features(
    runs: RunFolder | str | Path | Sequence[RunFolder | str | Path],
    *,
    data: Dataset | str | Path | None = None,
    out: str | Path | None = None,
    layers: Sequence[str] = (),
    pair: tuple[str, str] | None = None,
    layer: str | None = None,
    baseline: str | None = None,
    split: str = "test",
    choose_on: str | None = None,
    weights: str = "best",
    device: str = "auto",
    trust: Trust = (),
    say: Callable[[str], None] = lambda line: None,
) -> StudiedFeatures:
    """Look into networks: how well feature maps localize classes, affinities across modalities, predictions in a grid.

    runs: run folders, as PATH or NAME=PATH; a folder of predictions joins the grid of segmentations alone.  data: the
    dataset or its manifest, if images have moved since training, or for bare predictions.  out: the folder for page,
    tables and figures (default: `features` in the run; of several runs or a model file, in this
    folder).

    layers: those to look at (default: all that the runs share).  pair: the two layers of the affinity matrices
    (default: the first pair that a run's method compares).  layer: the one whose feature maps are drawn (default: the
    first of the pair).  baseline: the run that the others are compared with (default: the first).  split: the side to
    report. choose_on: the side whose patients choose each class's channel (default: validation, or train if it is
    empty). weights: "best" (by validation Dice) or "last".  trust: modules of your own that the runs may use.

    `say` gets a line for each step. A case that can't be read is among `failures`. Raises InputError, before any
    network runs, for what can't be looked at.
    """
    members = read_members([place_of(run) for run in several(runs)], trust)
    options = Options(tuple(several(layers)) or None, pair, layer, 3, choose_on, split, baseline, weights, device)
    only = own_run(member.run for member in members)
    folder = Path(out) if out else Path("features") if only is None else only.features
    about = subject("features", *(member.run.folder if member.run else member.predictions for member in members))
    if out or only is None:  # a run's own folder is its own, wherever the run was moved
        require_own_folder(folder, FEATURES_PAGE, about)
    require_writable(folder / FEATURES_PAGE)
    studied = study(members, None if data is None else as_dataset(data), options, say)
    with together():
        if out or only is None:
            write_about(folder, about)
        page = write_features(
            folder,
            studied.comparison,
            studied.choosing,
            studied.maps,
            studied.affinities,
            studied.grid,
            [*studied.notes, *(f"left out, {case}: {why}" for case, why in studied.failures)],
            studied.attention.correlations,
            studied.attention.attention,
            studied.attention.distances,
        )
    return StudiedFeatures(studied, page)
