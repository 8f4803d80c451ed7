"""What stands in the cells of a comparison's tables: numbers with units, marks, counts; the same in every format."""

from collections.abc import Sequence

from unpaired.comparison.comparison import Comparison
from unpaired.comparison.notes import BETTER_MARK, WORSE_MARK
from unpaired.comparison.records import Cell, Column, Key
from unpaired.scores.scores import higher_is_better
from unpaired.scores.tables import heading
from unpaired.statistics import Interval, PairedDifference
from unpaired.tables import DASH, TableCell

DIGITS = 2
TEST_HEADINGS = (
    "score",
    "modality",
    "class",
    "method",
    "patients",
    "difference",
    "95 % interval",
    "better / worse",
    "effect",
    "p",
    "p Holm",
)
INTERVAL_PLACE = TEST_HEADINGS.index("95 % interval") + 1
SEED_HEADINGS = ("95 %, seeds too", "each seed")
"""Where methods were trained more than once: the one beside the interval of patients alone, the other last."""
SEEDS_SHOWN = 3


def percent(score: str) -> bool:
    """Whether a score is a share, which tables print in percent."""
    return higher_is_better(score) or score == "relative_volume_difference"


def title(score: str) -> str:
    """A score with its unit and which direction is better: "Dice %, higher is better"."""
    return f"{short_title(score)}, {'higher' if higher_is_better(score) else 'lower'} is better"


def short_title(score: str) -> str:
    """A score with its unit: "Dice %", "HD95 mm"."""
    return f"{heading(score)} %" if percent(score) else heading(score)


def number(score: str, value: float | None, signed: bool = False) -> str:
    """A value as tables print it: two digits, shares in percent, a dash for None."""
    if value is None:
        return DASH
    return _fixed(value * (100 if percent(score) else 1), signed)


def cell_text(score: str, cell: Cell) -> str:
    """ "91.55 ± 3.20"; without the spread where there is none."""
    if cell.mean is None:
        return DASH
    return number(score, cell.mean) + ("" if cell.std is None else f" ± {number(score, cell.std)}")


def best_methods(comparison: Comparison, score: str, column: Column) -> list[str]:
    """The methods with the best mean of a column, as printed: equal digits are equally good."""
    means = {name: comparison.cells[Key(score, column, name)].mean for name in comparison.names}
    known = {name: float(number(score, mean)) for name, mean in means.items() if mean is not None}
    if len(known) < 2:
        return []
    best = max(known.values()) if higher_is_better(score) else min(known.values())
    return [name for name, value in known.items() if value == best]


def mark(difference: PairedDifference | None) -> str:
    """The sign after a cell: significantly better or worse than the baseline, or nothing."""
    if difference is None or not difference.significant or not difference.effect:
        return ""
    return BETTER_MARK if difference.effect > 0 else WORSE_MARK


def table_cell(comparison: Comparison, key: Key) -> TableCell:
    """A method's cell in a column: its mean, whether it is a best one, the mark of its difference to the baseline."""
    text = cell_text(key.score, comparison.cells[key])
    best = key.method in best_methods(comparison, key.score, key.column)
    return TableCell(text, best, mark(comparison.differences.get(key)))


def row_name(comparison: Comparison, name: str) -> str:
    """A method as a row is called: its name, with the number of folds and seeds where there are several."""
    runs = comparison.replicates[name]
    return f"{name} ({runs})" if runs.runs > 1 else name


def count_text(comparison: Comparison, name: str) -> tuple[str, str]:
    """("2 of 54", "0"): structures that a method missed and invented, over all modalities and runs."""
    rows = [row for run in comparison.contender(name).seeds for row in run.scores]
    missed, invented = (sum(row.status == status for row in rows) for status in ("missed", "false_positive"))
    true = sum(row.status in ("scored", "missed") for row in rows)
    return f"{missed} of {true}", str(invented)


def test_headings(comparison: Comparison) -> tuple[str, ...]:
    """What stands above the table of tests, with `SEED_HEADINGS` where methods were trained more than once."""
    return _with_seeds(TEST_HEADINGS, *SEED_HEADINGS) if comparison.several_seeds else TEST_HEADINGS


def test_cells(comparison: Comparison, key: Key) -> tuple[str, ...]:
    """A row of the table of tests: a text under each of `test_headings`."""
    cells, seeds = _test_cells(key, comparison.differences[key]), comparison.seed_differences[key]
    if not comparison.several_seeds:
        return cells
    return _with_seeds(cells, interval_text(key.score, seeds.interval), seeds_text(key.score, seeds.by_seed))


def _with_seeds(cells: tuple[str, ...], interval: str, by_seed: str) -> tuple[str, ...]:
    return (*cells[:INTERVAL_PLACE], interval, *cells[INTERVAL_PLACE:], by_seed)


def interval_text(score: str, interval: Interval | None) -> str:
    """ "-0.31 to +2.45"; a dash for None."""
    if interval is None:
        return DASH
    return " to ".join(number(score, end, signed=True) for end in (interval.low, interval.high))


def seeds_text(score: str, differences: Sequence[float]) -> str:
    """ "+1.50, -2.18": what each pair of trainings gives alone; of more than three the lowest and the highest."""
    if not differences:
        return DASH
    if len(differences) <= SEEDS_SHOWN:
        return ", ".join(number(score, difference, signed=True) for difference in differences)
    low, high = (number(score, end(differences), signed=True) for end in (min, max))
    return f"{low} to {high} ({len(differences)})"


def _test_cells(key: Key, difference: PairedDifference) -> tuple[str, ...]:
    score = key.score
    return (
        short_title(score),
        key.column.modality,
        key.column.class_name,
        key.method,
        str(difference.patients),
        number(score, difference.mean, signed=True),
        interval_text(score, difference.interval),
        f"{difference.better} / {difference.worse}" + (f", {difference.equal} equal" if difference.equal else ""),
        DASH if difference.effect is None else _fixed(difference.effect, signed=True),
        p_text(difference.p),
        p_text(difference.p_holm) + mark(difference),
    )


def p_text(p: float | None) -> str:
    """A p value with two digits that count; below 0.0001 just that."""
    return DASH if p is None else "<0.0001" if p < 1e-4 else f"{p:.2g}" if p < 0.1 else f"{p:.2f}"


def _fixed(value: float, signed: bool) -> str:
    """Two digits, with a sign if asked for; zero has none."""
    text = f"{value:{'+' if signed else ''}.{DIGITS}f}"
    return text.lstrip("+-") if float(text) == 0 else text
