"""Means and paired differences of localization by hand, the families of the correction, and the files."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from unpaired.analyses.localization.comparison import ALL, MEAN, Place, compare_localization
from unpaired.analyses.localization.figure import draw_localization
from unpaired.analyses.localization.scores import Row
from unpaired.analyses.localization.tables import FILES, by_class, by_layer, markdown, overview, write_localization
from unpaired.errors import InputError
from unpaired.figures.style import DARK, svg
from unpaired.statistics import holm, signed_rank

CLASSES = ("background", "LV", "RV")
PATIENTS = tuple("abcdefg")


def rows_of(gain: float = 0.0, layers=("l", "k"), seed: int = 0) -> list[Row]:
    """Two cases of the first patient, one of the others; the second class is missing in the last patient."""
    rng = np.random.default_rng(seed)
    rows = []
    for patient in (PATIENTS[0], *PATIENTS):
        case = f"{patient}{sum(row.patient == patient for row in rows)}"
        for layer in layers:
            for name in CLASSES:
                value = float(rng.uniform(0.2, 0.4)) + (gain if name != "background" else 0.0)
                if (patient, name) != (PATIENTS[-1], "RV"):
                    rows.append(
                        Row(case, patient, "ct", layer, name, 4, 0.1, 0.9, value, 0, None, None, value / 2, value / 4)
                    )
    return rows


def by_hand(rows: list[Row], patient: str, layer: str | None = None) -> float:
    """Mean over classes of the mean over layers and cases."""
    values = {}
    for name in CLASSES[1:]:
        own = [r.best for r in rows if (r.patient, r.class_name) == (patient, name) and layer in (None, r.layer)]
        if own:
            values[name] = sum(own) / len(own)
    return sum(values.values()) / len(values)


def test_means_and_differences_are_those_by_hand():
    rows = {"msbn": rows_of(), "csa": rows_of(0.05, seed=1)}
    comparison = compare_localization(rows, CLASSES)
    for layer in (None, "l"):
        place = Place("best", "ct", layer or ALL, MEAN)
        ours, theirs = ([by_hand(rows[name], p, layer) for p in PATIENTS] for name in ("msbn", "csa"))
        one = comparison.summaries[place, "csa"]
        assert (one.patients, one.chance, one.ceiling) == (7, pytest.approx(0.1), pytest.approx(0.9))
        assert one.mean == pytest.approx(np.mean(theirs))
        assert one.std == pytest.approx(np.std(theirs, ddof=1))
        gaps = np.subtract(theirs, ours)
        gap = comparison.differences[place, "csa"]
        assert gap.mean == pytest.approx(gaps.mean())
        assert gap.p == signed_rank(gaps).p
        assert (gap.better, gap.worse) == ((gaps > 0).sum(), (gaps < 0).sum())
        assert gap.interval is not None
        assert gap.interval.low < gap.mean < gap.interval.high
    assert (place, "msbn") not in comparison.differences
    assert not any(place.kind == "shared" for place, _ in comparison.summaries)


def test_layers_are_corrected_together_and_all_layers_alone():
    rows = {"a": rows_of(), "b": rows_of(0.3, seed=1), "c": rows_of(-0.02, seed=2)}
    comparison = compare_localization(rows, CLASSES)
    alone = [comparison.differences[Place("best", "ct", ALL, MEAN), name] for name in ("b", "c")]
    assert [one.p_holm for one in alone] == holm([one.p for one in alone])
    together = [
        comparison.differences[Place("best", "ct", layer, MEAN), name] for layer in ("l", "k") for name in ("b", "c")
    ]
    assert [one.p_holm for one in together] == holm([one.p for one in together])


def test_background_is_in_no_mean():
    rows = rows_of()
    changed = [replace(row, best=0.99) if row.class_name == "background" else row for row in rows]
    place = Place("best", "ct", ALL, MEAN)
    found = [compare_localization({"a": one}, CLASSES).summaries[place, "a"].mean for one in (rows, changed)]
    assert found[0] == found[1]


def test_what_is_not_comparable_is_refused_in_one_line():
    with pytest.raises(InputError, match="no run 'cas'; did you mean csa"):
        compare_localization({"csa": rows_of()}, CLASSES, "cas")
    with pytest.raises(InputError, match="compare the same cases and layers"):
        compare_localization({"a": rows_of(), "b": rows_of(layers=("l",))}, CLASSES)
    for nothing in ({}, {"a": []}):
        with pytest.raises(InputError, match="expected rows"):
            compare_localization(nothing, CLASSES)


def test_few_patients_are_warned_of():
    few = [row for row in rows_of() if row.patient in "abc"]
    (warning,) = compare_localization({"a": few, "b": few}, CLASSES).warnings()
    assert "so few patients (3)" in warning
    assert not list(compare_localization({"a": rows_of(), "b": rows_of()}, CLASSES).warnings())
    assert not list(compare_localization({"a": few}, CLASSES).warnings())


def test_the_files_hold_what_was_computed(tmp_path):
    comparison = compare_localization({"msbn": rows_of(), "csa": rows_of(0.05, seed=1)}, CLASSES)
    assert write_localization(comparison, {"ct": "validation"}, tmp_path) == list(FILES)
    table = list(csv.DictReader((tmp_path / "localization.csv").read_text(encoding="utf-8").splitlines()))
    assert len(table) == 2 * len(rows_of())
    assert float(table[0]["best"]) == rows_of()[0].best
    assert table[0]["shared"] == ""
    document = json.loads((tmp_path / "localization.json").read_text(encoding="utf-8"))
    assert document["chosen_on"] == {"ct": "validation"}
    (stored,) = [
        one
        for one in document["differences"]
        if (one["kind"], one["layer"], one["class_name"], one["method"]) == ("best", ALL, MEAN, "csa")
    ]
    assert stored["mean"] == comparison.differences[Place("best", "ct", ALL, MEAN), "csa"].mean
    patients = list(csv.DictReader((tmp_path / "localization_patients.csv").read_text(encoding="utf-8").splitlines()))
    of = [
        row
        for row in patients
        if (row["kind"], row["layer"], row["class_name"], row["run"]) == ("best", ALL, MEAN, "csa")
    ]
    assert np.mean([float(row["ap"]) for row in of]) == pytest.approx(
        comparison.summaries[Place("best", "ct", ALL, MEAN), "csa"].mean
    )


def test_tables_for_people():
    comparison = compare_localization({"msbn": rows_of(), "csa": rows_of(0.05, seed=1)}, CLASSES)
    text = markdown(comparison, {"ct": "validation"})
    assert "on validation patients of the same modality" in text
    assert "## AP % of the class's best channel, all layers" in text
    assert "## AP % of the channel chosen in the other modalities" not in text
    for table in (overview(comparison, "best"), by_layer(comparison, "ct"), by_class(comparison, "ct")):
        assert table.rows
    alone = overview(compare_localization({"msbn": rows_of()}, CLASSES), "best")
    assert alone.head == ["modality", "run", "patients", "AP", "chance", "ceiling"]
    assert [row[:3] for row in alone.rows] == [["ct", "msbn", "7"]]


def test_levels_and_differences_are_drawn():
    comparison = compare_localization({"msbn": rows_of(), "csa": rows_of(0.05, seed=1)}, CLASSES)
    figure = draw_localization(comparison, "ct", theme=DARK)
    levels, differences = figure.axes
    assert len(levels.lines) == 2 * 2 + 2  # a run's layers, and all together; chance and ceiling
    assert [text.get_text() for text in differences.get_xticklabels()] == ["l", "k", "all layers"]
    assert svg(figure).count(b"<path") > 50
