"""Localization as files: Markdown for people, CSV and JSON for programs. Shares in percent where people read them."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from unpaired import tables
from unpaired.analyses.localization.comparison import (
    ALL,
    MEAN,
    LocalizationComparison,
    Place,
)
from unpaired.analyses.localization.scores import KINDS, Row
from unpaired.comparison.cells import p_text
from unpaired.files import write_json, write_text
from unpaired.statistics import PairedDifference
from unpaired.tables import DASH, Table, csv_records, markdown_text

SCHEMA = 1
FILES = ("localization.md", "localization.csv", "localization_patients.csv", "localization.json")
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
    return tables.percent(value, 1, signed)


def markdown(comparison: LocalizationComparison, choosing: Mapping[str, str]) -> str:
    """All tables that people read; `choosing` {modality: which patients chose the channels}."""
    parts = ["# How well do feature maps localize their class?"]
    parts.append("\n".join(f"- {text}" for text in definitions(choosing)))
    parts += [f"> {markdown_text(text)}" for text in comparison.warnings()]
    parts += [overview(comparison, kind).markdown(level=2).rstrip() for kind in reported_kinds(comparison)]
    for modality in comparison.modalities:
        table = by_layer(comparison, modality)
        titled = replace(table, title=f"By layer: {modality}, AP % of {KIND_NAMES['best']}")
        parts.append(titled.markdown(level=2).rstrip())
    return "\n\n".join(parts) + "\n"


def definitions(choosing: Mapping[str, str]) -> list[str]:
    """What the numbers mean, a sentence or two each."""
    sides = dict.fromkeys(choosing.values())
    return [text.format(choosing=" or ".join(f"{side} patients" for side in sides)) for text in DEFINITIONS]


def reported_kinds(comparison: LocalizationComparison) -> list[str]:
    """The kinds that there are numbers of ("shared" needs two modalities)."""
    return [kind for kind in KINDS if any(place.kind == kind for place, _ in comparison.summaries)]


def overview(comparison: LocalizationComparison, kind: str) -> Table:
    """All layers and foreground classes together: a row per modality and run, with its difference to the baseline."""
    rows: list[list[str]] = []
    for modality in comparison.modalities:
        place = Place(kind, modality, ALL, MEAN)
        for name in comparison.names:
            summary = comparison.summaries.get((place, name))
            if summary is not None:
                numbers = [spread(summary.mean, summary.std), percent(summary.chance), percent(summary.ceiling)]
                gap = _difference_cells(comparison, place, name)
                rows.append([modality, name, str(summary.patients), *numbers, *gap])
    head = ["modality", "run", "patients", "AP", "chance", "ceiling"]
    if comparison.others:
        head += [f"minus {comparison.baseline}", "95 % interval", "better / worse", "p", "p Holm"]
    return Table(head, rows, "llr", f"AP % of {KIND_NAMES[kind]}, all layers and foreground classes")


def by_layer(comparison: LocalizationComparison, modality: str, kind: str = "best") -> Table:
    """Foreground classes together: a row per layer, each run's AP and its difference to the baseline."""
    rows: list[list[str]] = []
    for layer in (*comparison.layers, ALL):
        place = Place(kind, modality, layer, MEAN)
        baseline = comparison.summaries.get((place, comparison.baseline))
        if baseline is None:
            continue
        summaries = [comparison.summaries.get((place, name)) for name in comparison.names]
        gaps = [comparison.differences.get((place, name)) for name in comparison.others]
        rows.append(
            [layer, percent(baseline.chance), percent(baseline.ceiling)]
            + [DASH if summary is None else percent(summary.mean) for summary in summaries]
            + [gap_text(gap) for gap in gaps]
        )
    minus = [f"{name} − {comparison.baseline}" for name in comparison.others]
    return Table(["layer", "chance", "ceiling", *comparison.names, *minus], rows, "lr", KIND_NAMES[kind])


def by_class(comparison: LocalizationComparison, modality: str) -> Table:
    """All layers together: a row per class and run, a column per kind."""
    rows: list[list[str]] = []
    for class_name in (*comparison.classes[1:], comparison.classes[0]):
        for name in comparison.names:
            places = [Place(kind, modality, ALL, class_name) for kind in KINDS]
            summaries = [comparison.summaries.get((place, name)) for place in places]
            known = next((summary for summary in summaries if summary is not None), None)
            if known is not None:
                texts = [DASH if summary is None else spread(summary.mean, summary.std) for summary in summaries]
                rows.append([class_name, name, percent(known.chance), *texts])
    return Table(["class", "run", "chance", *(KIND_HEADS[kind] for kind in KINDS)], rows, "llr", modality)


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


def write_localization(comparison: LocalizationComparison, choosing: Mapping[str, str], folder: Path) -> list[str]:
    """Write `FILES` into `folder` and return their names; files of those names are replaced."""
    write_text(folder / FILES[0], markdown(comparison, choosing))
    write_text(folder / FILES[1], csv_records(_case_rows(comparison), ["run", *(field.name for field in fields(Row))]))
    write_text(folder / FILES[2], csv_records(_patient_rows(comparison), [*Place._fields, "run", "patient", "ap"]))
    write_json(folder / FILES[3], to_json(comparison, choosing))
    return list(FILES)


def _case_rows(comparison: LocalizationComparison) -> Iterator[dict[str, Any]]:
    for name, rows in comparison.rows.items():
        for row in rows:
            yield {"run": name, **asdict(row)}


def _patient_rows(comparison: LocalizationComparison) -> Iterator[dict[str, Any]]:
    """What the tests were made of: a patient's value at each place."""
    for (place, name), values in comparison.values.items():
        for patient, value in values.items():
            yield {**place._asdict(), "run": name, "patient": patient, "ap": value}
