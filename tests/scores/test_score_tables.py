"""Tables never show a number without its counts, and files read back what was written."""

import csv
import io
import json
import re

import pytest
from rich.console import Console

from unpaired.errors import InputError
from unpaired.scores.scores import Evaluation, Failure, Score
from unpaired.scores.tables import read_evaluation, score_table, write_evaluation

EVALUATION = Evaluation(
    [
        Score("a", "p1", "ct", "LV", "scored", 0.9, 5.0, 4.0, 1.25, 1.3, 10.0, 11.0),
        Score("a", "p1", "ct", "RV", "missed", 0.0, 99.0, 99.0, 99.0, 99.0, 0.0, 3.0),
        Score("b", "p2", "mr", "LV", "not_applicable"),
    ],
    [Failure("c", "c.nii.gz: truncated")],
)


def printed(evaluation):
    console = Console(file=io.StringIO(), width=140)
    console.print(score_table(evaluation))
    return console.file.getvalue()


def test_markdown_shows_counts_and_no_number_where_nothing_was_scored():
    lines = score_table(EVALUATION).markdown().splitlines()
    assert lines[2] == "| ct | LV | 0.900 | 4.00 | 1.25 | 1 | 1 | 0 | 0 |"
    assert lines[3] == "| ct | RV | – | – | – | 1 | 0 | 1 | 0 |"
    assert lines[4] == "| ct | mean | 0.450 | 51.50 | 50.12 | 2 | 1 | 1 | 0 |"
    assert lines[5] == "| mr | LV | – | – | – | 0 | 0 | 0 | 0 |"
    assert "voxel surface" in lines[7]
    assert "image diagonal" in lines[7]
    assert lines[-1] == "1 case failed and is in none of the means: c"


def test_terminal_table_says_the_same():
    text = printed(EVALUATION)
    assert "0.450" in text
    assert "1 case failed and is in none of the means: c" in text
    assert "left out of the distances" in printed(Evaluation(EVALUATION.scores, [], "excluded"))


def test_a_column_of_volumes_says_what_is_off():
    shown = score_table(EVALUATION, ["dice", "relative_volume_difference"]).markdown().splitlines()
    assert any(
        line.startswith("Volume off: by how much the prediction's volume is larger or smaller") for line in shown
    )
    assert "Volume off" not in score_table(EVALUATION).markdown()


def test_a_table_without_distances_explains_none():
    for shown in (["dice"], ["dice", "iou"], ["volume_difference_ml"]):
        text = score_table(EVALUATION, shown).markdown()
        assert "A missed or false positive class counts with Dice 0." in text
        assert "istance" not in text
    for shown in (["assd"], ["dice", "hd"]):
        assert "Distances in mm" in score_table(EVALUATION, shown).markdown()


def test_a_class_name_with_a_bar_does_not_break_the_markdown():
    evaluation = Evaluation([Score("a", "p", "ct", "L|R", "missed", 0.0)], [])
    assert "L\\|R" in score_table(evaluation).markdown()


def test_markup_in_names_is_printed_as_it_is():
    assert "[red]" in printed(Evaluation([Score("a", "p", "ct", "[red]LV", "missed", 0.0)], []))


def test_written_scores_read_back_equal(tmp_path):
    write_evaluation(EVALUATION, tmp_path / "new" / "scores")
    assert read_evaluation(tmp_path / "new" / "scores") == EVALUATION
    assert sorted(file.name for file in (tmp_path / "new" / "scores").iterdir()) == [
        "patients.csv",
        "scores.csv",
        "scores.json",
    ]


def test_csv_has_a_row_per_case_and_class_and_empty_cells_for_no_number(tmp_path):
    write_evaluation(EVALUATION, tmp_path)
    with (tmp_path / "scores.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["scored", "missed", "not_applicable"]
    assert (rows[0]["dice"], rows[0]["reference_ml"]) == ("0.9", "11.0")
    assert rows[2]["dice"] == ""


def test_an_evaluation_of_failures_only_can_be_written_and_printed(tmp_path):
    evaluation = Evaluation([], EVALUATION.failures, "excluded")
    write_evaluation(evaluation, tmp_path)
    assert read_evaluation(tmp_path) == evaluation
    assert "1 case failed and is in none of the means: c" in printed(evaluation)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "expected JSON"),
        ("[]", "schema 2, found none"),
        ('{"schema": 1}', "schema 2, found schema 1"),
        ('{"schema": 2}', "'scores'"),
        ('{"schema": 2, "scores": [{"x": 1}]}', r"scores\[0\]: unknown field 'x'"),
        (
            '{"schema": 2, "scores": [], "failures": [], "policy": "zero", "surface": "voxel", "tolerances_mm": [], '
            '"class_tolerances_mm": {}, "presets": []}',
            "policy: expected 'diagonal' or 'excluded', got 'zero'",
        ),
    ],
)
def test_bad_score_files_are_named(tmp_path, text, message):
    (tmp_path / "scores.json").write_text(text)
    with pytest.raises(InputError, match=message):
        read_evaluation(tmp_path)


def test_missing_scores_are_named(tmp_path):
    with pytest.raises(InputError, match="unpaired evaluate"):
        read_evaluation(tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dice": 2.5}, "expected dice of LV in case a from 0 to 1, found 2.5"),
        ({"dice": -1.0}, "expected dice of LV in case a from 0 to 1, found -1"),
        ({"dice": None}, "expected a Dice for LV in case a, which is scored, found none"),
        ({"hd95": -5.0}, "expected hd95 of LV in case a of 0 or more, found -5"),
        ({"nsd": {"nsd@1": 1.5}}, "expected nsd@1 of LV in case a from 0 to 1, found 1.5"),
        ({"class_name": "RV"}, "expected RV in case a once, found it twice"),
    ],
)
def test_scores_that_cannot_be_are_not_compared(change, words, tmp_path):
    write_evaluation(EVALUATION, tmp_path)
    document = json.loads((tmp_path / "scores.json").read_text())
    document["scores"][0] |= change
    (tmp_path / "scores.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=rf"scores.json: {re.escape(words)}; run `unpaired evaluate` again"):
        read_evaluation(tmp_path)
