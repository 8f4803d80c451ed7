"""Localization as files: Markdown for people, CSV and JSON for programs. Shares in percent where people read them."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from rich.table import Table

from unpaired.files import write_text
from unpaired.statistics import PairedDifference
from unpaired.studies.localization.comparison import (
    ALL,
    MEAN,
    LocalizationComparison,
    Place,
    values_at,
)
from unpaired.studies.localization.scores import KINDS, Row

SCHEMA = 1
FILES = ("localization.md", "localization.csv", "localization_patients.csv", "localization.json")
DASH = "–"
KIND_NAMES = {
    "best": "the class's best channel",
    "shared": "the channel chosen in the other modalities",
    "mean": "a channel on average",
    "map": "the mean map",
}
KIND_HEADS = {"best": "best channel", "shared": "shared channel", "mean": "average channel", "map": "mean map"}
"""The same where there is little room."""
DEFINITIONS = (
    "A channel's saliency is |activation|, repeated to the image's grid; average precision (AP) ranks all voxels of a "
    "case by it, ties together, against the class's mask.",
    "The class's best channel: chosen by mean AP on {choosing} of the same modality, reported on test patients. The "
    "channel chosen in the other modalities: likewise, on their patients. A channel on average: the mean of all "
    "channels' AP. The mean map: the AP of the channels' mean.",
    "Chance is the class's share of the voxels, the AP of a map without contrast. The ceiling is the best that any map "
    "of the layer's grid can have.",
    "Means over patients; a patient's value is the mean over the patient's cases, of each over its foreground classes "
    "and layers.",
    "Differences: paired by patient, mean with its 95 % bootstrap interval, exact two-sided Wilcoxon signed-rank test, "
    "Holm's correction over the runs compared (and over the layers in the tables by layer).",
)


def percent(value: float | None, signed: bool = False) -> str:
    """A share in percent with one digit, a dash for None."""
    return DASH if value is None else f"{100 * value:{'+' if signed else ''}.1f}"


def p_text(p: float | None) -> str:
    """A p value with two digits that count."""
    return DASH if p is None else f"{p:.2f}" if p >= 0.1 else f"{p:.2g}"


def markdown(comparison: LocalizationComparison, choosing: Mapping[str, str]) -> str:
    """All tables that people read; `choosing` {modality: which patients chose the channels}."""
    parts = ["# How well do feature maps localize their class?", ""]
    parts += [f"- {text}" for text in definitions(choosing)] + [""]
    parts += [f"> {text}" for text in comparison.warnings()]
    for kind in KINDS:
        if any(place.kind == kind for place, _ in comparison.summaries):
            parts += ["", f"## AP %, {KIND_NAMES[kind]}", "", *_lines(*overview(comparison, kind))]
    for modality in comparison.modalities:
        parts += [
            "",
            f"## By layer: {modality}, AP % of {KIND_NAMES['best']}",
            "",
            *_lines(*by_layer(comparison, modality)),
        ]
    return "\n".join(parts) + "\n"


def definitions(choosing: Mapping[str, str]) -> list[str]:
    """What the numbers mean, a sentence or two each."""
    sides = dict.fromkeys(choosing.values())
    return [text.format(choosing=" or ".join(f"{side} patients" for side in sides)) for text in DEFINITIONS]


def overview(comparison: LocalizationComparison, kind: str) -> tuple[list[str], list[list[str]]]:
    """Heading and rows: all layers and foreground classes together, a row per modality and run."""
    head = ["modality", "run", "patients", "AP", "chance", "ceiling", *difference_heading(comparison)]
    rows = []
    for modality in comparison.modalities:
        place = Place(kind, modality, ALL, MEAN)
        for name in comparison.names:
            one = comparison.summaries.get((place, name))
            if one is not None:
                cells = [spread(one.mean, one.std), percent(one.chance), percent(one.ceiling)]
                rows.append([modality, name, str(one.patients), *cells, *_difference_cells(comparison, place, name)])
    return head, rows


def by_layer(
    comparison: LocalizationComparison, modality: str, kind: str = "best"
) -> tuple[list[str], list[list[str]]]:
    """Heading and rows: foreground classes together, a row per layer, each run's AP and its difference."""
    head = [
        "layer",
        "chance",
        "ceiling",
        *comparison.names,
        *(f"{name} − {comparison.baseline}" for name in comparison.others),
    ]
    rows = []
    for layer in (*comparison.layers, ALL):
        place = Place(kind, modality, layer, MEAN)
        first = comparison.summaries.get((place, comparison.baseline))
        if first is None:
            continue
        found = [comparison.summaries.get((place, name)) for name in comparison.names]
        gaps = [comparison.differences.get((place, name)) for name in comparison.others]
        rows.append(
            [layer, percent(first.chance), percent(first.ceiling)]
            + [DASH if one is None else percent(one.mean) for one in found]
            + [gap_text(gap) for gap in gaps]
        )
    return head, rows


def by_class(comparison: LocalizationComparison, modality: str) -> tuple[list[str], list[list[str]]]:
    """Heading and rows: all layers together, a row per class and run, a column per kind."""
    head = ["class", "run", "chance", *(KIND_HEADS[kind] for kind in KINDS)]
    rows = []
    for class_name in (*comparison.classes[1:], comparison.classes[0]):
        for name in comparison.names:
            found = [comparison.summaries.get((Place(kind, modality, ALL, class_name), name)) for kind in KINDS]
            known = next((one for one in found if one is not None), None)
            if known is not None:
                cells = [DASH if one is None else spread(one.mean, one.std) for one in found]
                rows.append([class_name, name, percent(known.chance), *cells])
    return head, rows


def difference_heading(comparison: LocalizationComparison) -> list[str]:
    """The headings of what `overview` says of differences; none for a single run."""
    if not comparison.others:
        return []
    return [f"minus {comparison.baseline}", "95 % interval", "better / worse", "p", "p Holm"]


def spread(mean: float, std: float | None) -> str:
    """ "43.1 ± 5.0" """
    return percent(mean) + ("" if std is None else f" ± {percent(std)}")


def gap_text(gap: PairedDifference | None) -> str:
    """ "+1.2 (p 0.03)", p after Holm's correction."""
    return DASH if gap is None else f"{percent(gap.mean, signed=True)} (p {p_text(gap.p_holm)})"


def _difference_cells(comparison: LocalizationComparison, place: Place, name: str) -> list[str]:
    if not comparison.others:
        return []
    gap = comparison.differences.get((place, name))
    if gap is None:
        return [DASH] * 5
    ends = None if gap.interval is None else (gap.interval.low, gap.interval.high)
    interval = DASH if ends is None else f"{percent(ends[0], True)} to {percent(ends[1], True)}"
    return [percent(gap.mean, True), interval, f"{gap.better} / {gap.worse}", p_text(gap.p), p_text(gap.p_holm)]


def to_json(comparison: LocalizationComparison, choosing: Mapping[str, str]) -> dict[str, Any]:
    """Everything as JSON values, shares from 0 to 1."""
    return {
        "schema": SCHEMA,
        "runs": comparison.names,
        "baseline": comparison.baseline,
        "classes": list(comparison.classes),
        "layers": list(comparison.layers),
        "modalities": list(comparison.modalities),
        "chosen_on": dict(choosing),
        "definitions": definitions(choosing),
        "warnings": list(comparison.warnings()),
        "summaries": [
            {**place._asdict(), "method": name, **asdict(summary)}
            for (place, name), summary in comparison.summaries.items()
        ],
        "differences": [
            {**place._asdict(), "method": name, **asdict(gap)} for (place, name), gap in comparison.differences.items()
        ],
    }


def terminal(comparison: LocalizationComparison) -> Table:
    """The overview of each class's best channel for a terminal."""
    head, rows = overview(comparison, "best")
    table = Table(title=f"AP % of {KIND_NAMES['best']}, all layers and foreground classes", title_justify="left")
    for place, text in enumerate(head):
        table.add_column(text, justify="left" if place < 2 else "right")
    for row in rows:
        table.add_row(*row)
    return table


def write_localization(comparison: LocalizationComparison, choosing: Mapping[str, str], folder: Path) -> list[str]:
    """Write `FILES` into `folder` and return their names; files of those names are replaced."""
    write_text(folder / FILES[0], markdown(comparison, choosing))
    write_text(folder / FILES[1], _csv(["run", *(field.name for field in fields(Row))], _case_rows(comparison)))
    write_text(folder / FILES[2], _csv([*Place._fields, "run", "patient", "ap"], _patient_rows(comparison)))
    document = to_json(comparison, choosing)
    write_text(folder / FILES[3], json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    return list(FILES)


def _case_rows(comparison: LocalizationComparison) -> Iterator[dict[str, Any]]:
    for name, rows in comparison.rows.items():
        for row in rows:
            yield {"run": name, **asdict(row)}


def _patient_rows(comparison: LocalizationComparison) -> Iterator[dict[str, Any]]:
    """What the tests were made of: a patient's value at each place."""
    for place, name in comparison.summaries:
        for patient, value in values_at(comparison.rows[name], place, comparison.classes).items():
            yield {**place._asdict(), "run": name, "patient": patient, "ap": value}


def _csv(head: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=head, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "|".join("---" if place == 0 else "---:" for place in range(len(head))) + "|"
    for row in rows:
        yield f"| {' | '.join(row)} |"
