"""Scores for people and programs: CSV (one row per case and class), JSON, a terminal table, Markdown.

A mean is never shown without its counts, and there is no number where nothing was scored.
"""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from unpaired.errors import InputError
from unpaired.evaluation.scores import POLICIES, SCORE_FIELDS, STATUSES, Evaluation, Failure, Score, Summary
from unpaired.files import read_json, write_text

SCHEMA = 1
MEAN = "mean"
HEADINGS = ("modality", "class", "Dice", "HD95 mm", "ASSD mm", "n", "scored", "missed", "false positive")


@dataclass(frozen=True)
class SummaryRow:
    """The means of one class in one modality; class "mean" is over all foreground classes and cases together."""

    modality: str
    class_name: str
    dice: Summary
    hd95: Summary
    assd: Summary

    @property
    def cells(self) -> tuple[str, ...]:
        """The texts under `HEADINGS`; a dash where there is no number."""
        counts = (self.dice.n, self.dice.n_scored, self.dice.n_missed, self.dice.n_false_positive)
        numbers = (_text(self.dice.value, 3), _text(self.hd95.value, 2), _text(self.assd.value, 2))
        return (self.modality, self.class_name, *numbers, *(str(count) for count in counts))


def summary_rows(evaluation: Evaluation) -> Iterator[SummaryRow]:
    """For each modality a row per class and, where there are several, one for their mean."""
    for modality in evaluation.modalities:
        names = list(dict.fromkeys(row.class_name for row in evaluation.rows(modality)))
        for name in [*names, None] if len(names) > 1 else names:
            dice, hd95, assd = (evaluation.mean(score, modality, name) for score in ("dice", "hd95", "assd"))
            yield SummaryRow(modality, MEAN if name is None else name, dice, hd95, assd)


def definitions(evaluation: Evaluation) -> str:
    """One sentence that says how the numbers were computed."""
    empty = {
        "diagonal": "a missed or false positive class counts with Dice 0 and the image diagonal as its distance",
        "excluded": "a missed or false positive class counts with Dice 0 and is left out of the distances",
    }[evaluation.policy]
    return (
        "Distances in mm on the reference's own grid; HD95 is the larger of the two directed 95th percentiles, ASSD "
        f"pools both surfaces ({evaluation.surface} surface); {empty}."
    )


def score_table(evaluation: Evaluation) -> Table:
    """The means per modality and class as a table for the terminal, with the definitions and failures below it."""
    caption = definitions(evaluation)
    if evaluation.failures:
        caption += f"\n{_failed(evaluation)}: these cases are in none of the means."
    table = Table(box=SIMPLE_HEAD, pad_edge=False, caption=caption, caption_justify="left")
    for heading in HEADINGS:
        name = heading in ("modality", "class")
        table.add_column(heading, justify="left" if name else "right", min_width=len(max(heading.split(), key=len)))
    for row in summary_rows(evaluation):
        cells = [Text(cell) for cell in row.cells]  # names are not markup
        table.add_row(*cells, style="bold" if row.class_name == MEAN else None, end_section=row.class_name == MEAN)
    return table


def markdown_table(evaluation: Evaluation) -> str:
    """The means per modality and class as a Markdown table, followed by the definitions and the failures."""
    lines = [
        "| " + " | ".join(HEADINGS) + " |",
        "|---|---|" + "---:|" * (len(HEADINGS) - 2),
    ]
    for row in summary_rows(evaluation):
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in row.cells) + " |")
    lines += ["", definitions(evaluation)]
    if evaluation.failures:
        lines += ["", f"**{_failed(evaluation)}** (in none of the means):", ""]
        lines += [f"- `{failure.case}`: {failure.message}" for failure in evaluation.failures]
    return "\n".join(lines) + "\n"


def write_evaluation(evaluation: Evaluation, folder: Path) -> Path:
    """Write `scores.csv` (a row per case and class) and `scores.json` (all there is) into `folder`; returns it."""
    text = io.StringIO()
    writer = csv.DictWriter(text, SCORE_FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(score) for score in evaluation.scores)
    write_text(folder / "scores.csv", text.getvalue())
    write_text(folder / "scores.json", json.dumps(evaluation_to_json(evaluation), indent=1) + "\n")
    return folder


def evaluation_to_json(evaluation: Evaluation) -> dict[str, Any]:
    """The definitions, the means, every score and every failure as JSON values."""
    return {
        "schema": SCHEMA,
        "policy": evaluation.policy,
        "surface": evaluation.surface,
        "definitions": definitions(evaluation),
        "summary": [asdict(row) for row in summary_rows(evaluation)],
        "scores": [asdict(score) for score in evaluation.scores],
        "failures": [asdict(failure) for failure in evaluation.failures],
    }


def read_evaluation(folder: Path) -> Evaluation:
    """Read back what `write_evaluation` wrote. Raises InputError if it isn't there or isn't whole."""
    path = folder / "scores.json"
    if not path.is_file():
        raise InputError(f"expected scores at {path}, found no file; write them with `unpaired evaluate`")
    document = read_json(path, "run `unpaired evaluate` again")
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise InputError(f"{path}: expected scores of schema {SCHEMA}; run `unpaired evaluate` again")
    try:
        evaluation = Evaluation(
            [Score(**score) for score in document["scores"]],
            [Failure(**failure) for failure in document["failures"]],
            document["policy"],
            document["surface"],
        )
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: not the scores of this version ({error}); run `unpaired evaluate` again") from error
    if evaluation.policy not in POLICIES or any(score.status not in STATUSES for score in evaluation.scores):
        raise InputError(f"{path}: a policy or status is unknown to this version; run `unpaired evaluate` again")
    return evaluation


def _failed(evaluation: Evaluation) -> str:
    count = len(evaluation.failures)
    return f"{count} case{'s' if count > 1 else ''} failed"


def _text(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
