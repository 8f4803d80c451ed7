"""Scores for people and programs: CSV (one row per case and class), JSON, a terminal table, Markdown.

A mean is never shown without its counts, and there is no number where nothing was scored.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from unpaired.documents import read
from unpaired.errors import InputError
from unpaired.files import together, write_json, write_text
from unpaired.scores.files import CASE_TABLE, PATIENT_TABLE, SCORES
from unpaired.scores.presets import PRESETS
from unpaired.scores.scores import (
    SCORE_FIELDS,
    STATUSES,
    Evaluation,
    Summary,
)
from unpaired.scores.summaries import MEAN, SummaryRow, UnitRow, summary_rows, unit_rows
from unpaired.tables import DASH, Table, TableCell, csv_records

SCHEMA = 2
SHOWN = ("dice", "hd95", "assd")
"""The columns of a table that was asked for no others."""
ROUNDING = 1e-6
DISTANCES = ("hd", "hd95", "assd", "masd")
COUNTS = ("n", "scored", "missed", "false positive")
HEADINGS = ("modality", "class", "Dice", "HD95 mm", "ASSD mm", *COUNTS)
TITLES = {
    "dice": "Dice",
    "iou": "IoU",
    "hd": "HD mm",
    "hd95": "HD95 mm",
    "assd": "ASSD mm",
    "masd": "MASD mm",
    "volume_difference_ml": "volume off ml",
    "relative_volume_difference": "volume off rel.",
}


def heading(score: str) -> str:
    """What stands above a score's column: "HD95 mm", "NSD 2 mm", "transunet Dice"."""
    if score in TITLES:
        return TITLES[score]
    preset, colon, name = score.rpartition(":")
    if colon:
        return f"{preset} {heading(name.split('_')[0])}".removesuffix(" mm") + _unit(name)
    return (
        "NSD own" if score == "nsd@own" else f"NSD {score.removeprefix('nsd@')} mm" if "@" in score else score.upper()
    )


def _unit(name: str) -> str:
    return {"voxels": " vox", "mm": " mm"}.get(name.partition("_")[2], "")


def cells(row: SummaryRow, shown: Sequence[str] = SHOWN) -> tuple[str, ...]:
    """The texts of a row: modality, class, the scores `shown`, the counts; a dash where there is no number."""
    dice = row.dice
    counts = (dice.n, dice.n_scored, dice.n_missed, dice.n_false_positive)
    return (row.modality, row.class_name, *(_cell(score, row.means[score]) for score in shown), *map(str, counts))


def definitions(evaluation: Evaluation, shown: Sequence[str] | None = None) -> str:
    """A few sentences that say how the numbers were computed: all, or of those scores that are `shown`."""
    empty = {
        "diagonal": "a missed or false positive class counts with Dice 0 and the image diagonal as its distance",
        "excluded": "a missed or false positive class counts with Dice 0 and is left out of the distances",
    }[evaluation.policy]
    text = (
        "Distances in mm on the reference's own grid; HD95 is the larger of the two directed 95th percentiles, ASSD "
        f"pools both surfaces ({evaluation.surface} surface{AREA if evaluation.surface == 'area' else ''}); {empty}."
    )
    if shown is not None and not any(name in DISTANCES or "@" in name for name in shown):
        text = "A missed or false positive class counts with Dice 0."
    if evaluation.class_tolerances_mm and (shown is None or "nsd@own" in shown):
        own = ", ".join(f"{name} {tolerance:g}" for name, tolerance in evaluation.class_tolerances_mm.items())
        text += f" NSD own: each class at its own tolerance in mm ({own})."
    return " ".join([text, *evaluation.remarks, *(PRESETS[name] for name in evaluation.presets)])


AREA = ", elements weighted by their area"
VOLUMES = (
    "Volume off: by how much the prediction's volume is larger or smaller than the reference's, in ml or (rel.) as a "
    "share of the reference's."
)


def score_table(evaluation: Evaluation, shown: Sequence[str] = SHOWN) -> Table:
    """The means per modality and class; below them how they were computed, and how many cases failed.

    `shown` names the scores; the presets' columns always follow. Raises InputError for an unknown score.
    """
    shown = _columns(evaluation, shown)
    rows = list(summary_rows(evaluation))
    notes = [definitions(evaluation, shown), *([VOLUMES] if any("volume" in name for name in shown) else [])]
    if evaluation.failures:
        names = [failure.case for failure in evaluation.failures]
        what = "1 case failed and is" if len(names) == 1 else f"{len(names)} cases failed and are"
        notes.append(f"{what} in none of the means: {', '.join(names)}")
    return Table(
        _headings(shown),
        [
            [TableCell(text, style="bold" if row.class_name == MEAN else "") for text in cells(row, shown)]
            for row in rows
        ],
        "llr",
        notes=notes,
        sections={place for place, row in enumerate(rows) if row.class_name == MEAN},
    )


def write_evaluation(evaluation: Evaluation, folder: Path) -> Path:
    """Write `scores.csv` (a row per case and class), `patients.csv` (a row per patient and modality) and
    `scores.json` (all there is) into `folder`; returns it."""
    more = [name for name in evaluation.score_names if ":" in name or "@" in name]
    rows = [{**{key: getattr(row, key) for key in SCORE_FIELDS}, **row.nsd, **row.presets} for row in evaluation.scores]
    counts = ("n", "n_scored", "n_missed", "n_false_positive")
    names = ["patient", "modality", *evaluation.score_names, *counts]
    units = [{**asdict(unit), **unit.means} for unit in unit_rows(evaluation, "patient")]
    with together():
        write_text(folder / CASE_TABLE, csv_records(rows, [*SCORE_FIELDS, *more]))
        write_text(folder / PATIENT_TABLE, csv_records(units, names))
        write_json(folder / SCORES, evaluation_to_json(evaluation))
    return folder


def evaluation_to_json(evaluation: Evaluation) -> dict[str, Any]:
    """The definitions, the means per class, patient and case, every score and every failure as JSON values."""
    return {
        "schema": SCHEMA,
        "policy": evaluation.policy,
        "surface": evaluation.surface,
        "tolerances_mm": list(evaluation.tolerances_mm),
        "class_tolerances_mm": dict(evaluation.class_tolerances_mm),
        "presets": list(evaluation.presets),
        "definitions": definitions(evaluation),
        "remarks": list(evaluation.remarks),
        "predictions": evaluation.predictions,
        "summary": [asdict(row) for row in summary_rows(evaluation)],
        "patients": [_unit_document(row) for row in unit_rows(evaluation, "patient")],
        "cases": [_unit_document(row) for row in unit_rows(evaluation, "case")],
        "scores": [asdict(score) for score in evaluation.scores],
        "failures": [asdict(failure) for failure in evaluation.failures],
        "files": [asdict(files) for files in evaluation.files],
    }


def read_evaluation(folder: Path) -> Evaluation:
    """Read back what `write_evaluation` wrote. Raises InputError if it isn't there, isn't whole, or is of an older
    version (the scores have to be made again: files of schema 1 lack IoU, NSD and volume differences)."""
    path = folder / SCORES
    if not path.is_file():
        raise InputError(f"expected scores at {path}, found no file; write them with `unpaired evaluate`")
    evaluation = read(path, Evaluation, "run `unpaired evaluate` again", schema=SCHEMA)
    known = set(evaluation.presets) <= set(PRESETS)
    if not known or any(score.status not in STATUSES for score in evaluation.scores):
        raise InputError(f"{path}: a preset or status is unknown to this version; run `unpaired evaluate` again")
    if problem := next(_impossible(evaluation), None):
        raise InputError(f"{path}: {problem}; run `unpaired evaluate` again")
    return evaluation


def _impossible(evaluation: Evaluation) -> Iterator[str]:
    """What no evaluation says, of a file that was edited or damaged."""
    seen: set[tuple[str, str]] = set()
    for row in evaluation.scores:
        where = f"{row.class_name} in case {row.case}"
        if (row.case, row.class_name) in seen:
            yield f"expected {where} once, found it twice"
        seen.add((row.case, row.class_name))
        if row.status == "scored" and row.dice is None:
            yield f"expected a Dice for {where}, which is scored, found none"
        for name in (*SCORE_FIELDS[SCORE_FIELDS.index("dice") :], *row.nsd):
            value, share = row.value(name), name in ("dice", "iou") or name in row.nsd
            if value is not None and not 0 <= value <= (1 + ROUNDING if share else math.inf):
                yield f"expected {name} of {where} {'from 0 to 1' if share else 'of 0 or more'}, found {value:g}"


def _columns(evaluation: Evaluation, shown: Sequence[str]) -> tuple[str, ...]:
    for name in shown:
        evaluation.require_score(name)
    presets = [name for name in evaluation.score_names if ":" in name]
    return tuple(dict.fromkeys([*shown, *presets]))


def _headings(shown: Sequence[str]) -> tuple[str, ...]:
    return ("modality", "class", *map(heading, shown), *COUNTS)


def _unit_document(row: UnitRow) -> dict[str, Any]:
    document = asdict(row)
    return document if row.case else {key: value for key, value in document.items() if key != "case"}


def _cell(score: str, summary: Summary) -> str:
    name = score.rpartition(":")[2]
    digits = 3 if name in ("dice", "iou", "relative_volume_difference") or name.startswith("nsd") else 2
    return DASH if summary.value is None else f"{summary.value:.{digits}f}"
