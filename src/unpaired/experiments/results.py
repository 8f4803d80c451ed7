"""What a study has found so far: its finished rows compared, beside the paper's table, on one page."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unpaired.comparison.files import FILES, remove_comparison, write_comparison
from unpaired.comparison.methods import ComparedMethods, compare_methods
from unpaired.comparison.run_groups import RunGroup
from unpaired.data.overwriting import ADVICE, SCHEMA, Subject, require_own_folder, write_about
from unpaired.documents import read
from unpaired.errors import UnwritableError
from unpaired.experiments.cells import Cell, Planned
from unpaired.experiments.curve import StudyCurve
from unpaired.experiments.energy import read_energy
from unpaired.experiments.estimate import Estimate
from unpaired.experiments.grid import comparable
from unpaired.experiments.misalignments import pooled_misalignment
from unpaired.experiments.status import RowStatus, row_statuses, versions_of
from unpaired.experiments.study import Study
from unpaired.experiments.tables import curve_table, estimate_table, status_table
from unpaired.files import together, write_json
from unpaired.report.comparison_page import AboutStudy, write_comparison_report
from unpaired.tables import Table

if TYPE_CHECKING:
    from rich.console import RenderableType

PAGE = "study.html"
STATUS = "study.json"
SHOWN = 5
"""How many runs of another content the notes spell out."""


@dataclass(frozen=True)
class StudyResults:
    """What became of a study: its rows, the comparison of those that can be compared (None: of fewer than two)."""

    folder: Path
    rows: tuple[RowStatus, ...]
    notes: tuple[str, ...]
    compared: ComparedMethods | None
    failures: list[tuple[str, str]]
    estimate: Estimate | None = None
    curve: StudyCurve | None = None
    """Of several budgets: each score against the minutes (None: of one budget, or nothing is compared yet)."""
    budgets: "tuple[StudyResults, ...]" = ()
    """Of several budgets: what became of each."""

    @property
    def page(self) -> Path | None:
        """The page, once there is something to compare."""
        return self.folder / PAGE if self.compared is not None or self.curve is not None else None

    def table(self) -> Table:
        """What an estimate says, or what became of each row."""
        return estimate_table(self.estimate) if self.estimate is not None else status_table(self.rows, self.notes)

    def tables(self) -> "tuple[RenderableType, ...]":
        """What a terminal shows: the comparison with its tests and notes, the papers' tables, the rows; of several
        budgets the curve and the rows, or each one's estimate."""
        if any(of_budget.estimate is not None for of_budget in self.budgets):
            return tuple(of_budget.table() for of_budget in self.budgets)
        curve = () if self.curve is None else (curve_table(self.curve),)
        return (*curve, *(() if self.compared is None else self.compared.tables()), self.table())

    def told(self) -> str:
        """Where to look, in a line; after an estimate, that nothing was run."""
        if any(each.estimate is not None for each in (self, *self.budgets)):
            return "nothing was run; the same command without --estimate does"
        return f"tables, figures, runs: {self.folder}" if self.page is None else f"page: {self.page}"

    def to_json(self) -> dict[str, Any]:
        """The rows and what is compared as JSON values."""
        rows = [
            {"row": row.name, "planned": row.planned, "done": row.done, "failed": row.failed, "steps": list(row.steps)}
            | {"training_seconds": round(row.training_seconds, 1), "other_seconds": round(row.other_seconds, 1)}
            for row in self.rows
        ]
        compared = {} if self.compared is None else {"comparison": self.compared.to_json()}
        compared |= {} if self.curve is None else {"curve": self.curve.to_json()}
        return {"rows": rows, "notes": list(self.notes), "failures": dict(self.failures), **compared}


def claim(out: Path, study: Study) -> None:
    """Make `out` the folder of a study. Raises InputError if it is another one's, or holds a comparison."""
    about = Subject("study", (study.title,))
    if not _is_an_early_claim(about.about_file(out), study):
        require_own_folder(out, FILES[0], about)
    write_about(out, about)


def _is_an_early_claim(file: Path, study: Study) -> bool:
    """Whether a folder is this study's by an early version, which took the title for a path in the current folder."""
    of = read(file, Subject, ADVICE, schema=SCHEMA).of if file.is_file() else ()
    return len(of) == 1 and of[0].endswith(str(Path("/", study.title)))


def results_of(
    study: Study, planned: Planned, done: Sequence[Cell], failures: Mapping[str, str], out: Path, viewer_mb: float
) -> StudyResults:
    """Compare the rows that are done and write tables, figures and the page into `out`; what is missing is said.

    Where nothing can be compared, nothing is left of an earlier comparison.
    """
    rows = tuple(row_statuses(study, planned, done, failures))
    by_row = {
        name: {(cell.split, cell.seed): cell for cell in done if cell.row.name == name} for name in study.compared
    }
    names, places = comparable(by_row)
    compared = None
    energy = read_energy(out)
    notes = [*_notes(study, names, places, planned), *_left_out(planned, done), *pooled_misalignment(study, done, out)]
    notes += [*([] if energy is None else [energy.note()]), *versions_of(done)]
    if len(names) > 1:
        groups = [RunGroup(name, tuple(by_row[name][place].run.folder for place in places)) for name in names]
        baseline = study.baseline if study.baseline in names else None
        compared = compare_methods(
            groups, baseline=baseline, scores=study.scores, paper=study.papers, budget=_budget(study)
        )
    results = StudyResults(out, rows, tuple(notes), compared, list(failures.items()))
    with tables_written():
        if compared is None:  # what lies there is of rows that have changed since
            remove_comparison(out, PAGE)
        else:
            write_comparison(compared.comparison, out, compared.layouts)
            write_comparison_report(
                compared.comparison,
                out / PAGE,
                compared.dataset,
                compared.predictions,
                viewer_mb,
                compared.layouts,
                AboutStudy(study.title, results.table(), results.failures),
            )
        write_json(out / STATUS, {"schema": 1, "study": study.title, **results.to_json()})
    return results


@contextmanager
def tables_written() -> Generator[None]:
    """All that the block writes of a study's results, or nothing; where the disk is full it is said what remains."""
    try:
        with together():
            yield
    except UnwritableError as error:
        raise UnwritableError(
            f"{error}. Runs and their scores are kept, and earlier tables are as they were: the same call makes the "
            "tables, with --viewer-mb 0 in least space"
        ) from error


def _left_out(planned: Planned, done: Sequence[Cell]) -> list[str]:
    """What lies there in place of missing runs and is not compared, and why: the first few, a line each."""
    complete = {cell.name for cell in done}
    differing = {cell.name: cell.difference() for cell in planned.cells if cell.name not in complete}
    notes = [f"Left out of {name}: {what}." for name, what in differing.items() if what]
    more = [f"Left out likewise: {len(notes) - SHOWN} more runs."] if len(notes) > SHOWN else []
    return [*notes[:SHOWN], *more]


def _budget(study: Study) -> str:
    return "as many steps as the recipes say" if study.minutes is None else f"{study.minutes:g} minutes a run"


def _notes(study: Study, names: Sequence[str], places: Sequence[tuple[str, int]], planned: Planned) -> list[str]:
    """What is compared, and what is missing in it."""
    notes = [f"Budget: {_budget(study)}.", *study.remarks]
    missing = [name for name in study.compared if name not in names]
    wanted = len({(cell.split, cell.seed) for cell in planned.cells})
    if missing and names:
        notes.append(f"Not compared, as no run of them fits the others yet: {', '.join(missing)}.")
    if names and len(places) < wanted:
        listed = ", ".join(f"{split} seed {seed}" for split, seed in places)
        notes.append(f"Compared are {len(places)} of {wanted} repetitions, those that all rows have: {listed}.")
    if len(names) < 2:
        notes.append("Fewer than two rows have finished a run on the same split, so nothing is compared yet.")
    return notes
