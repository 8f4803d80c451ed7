"""What may be compared, and the one line that says why something may not."""

from dataclasses import replace
from pathlib import Path

import pytest

from unpaired.comparison.contenders import (
    Contender,
    folder_of,
    parse_contender,
    predictions_of,
    read_contender,
    require_comparable,
)
from unpaired.errors import InputError
from unpaired.scores.scores import Evaluation, Failure, Score
from unpaired.scores.tables import write_evaluation

SCORES = ("dice",)


def row(case, name="LV", dice=0.9, status="scored", ml=5.0, modality="ct"):
    return Score(case, case, modality, name, status, dice, 1.0, 1.0, 1.0, 1.0, 4.0, ml)


def method(name, *cases, failures=(), **changes):
    return Contender(name, (Evaluation([row(case) for case in cases], list(failures), **changes),))


def refused(*methods, scores=SCORES, common=False):
    with pytest.raises(InputError) as error:
        require_comparable(methods, scores, common)
    assert "\n" not in str(error.value)
    return str(error.value)


# ---- reading


def test_names_and_paths(tmp_path):
    assert parse_contender("runs/csa") == ("csa", (Path("runs/csa"),))
    assert parse_contender("runs/csa/predictions") == ("csa", (Path("runs/csa/predictions"),))
    assert parse_contender("ours=runs/a,runs/b") == ("ours", (Path("runs/a"), Path("runs/b")))
    odd = tmp_path / "lr=0.1,x"
    odd.mkdir()
    assert parse_contender(str(odd)) == ("lr=0.1,x", (odd,))
    assert parse_contender(f"ours={odd}") == ("ours", (odd,))


@pytest.mark.parametrize("text", ["", "ours=", "=runs/a", "ours=,"])
def test_a_method_without_name_or_path(text):
    with pytest.raises(InputError, match="expected a method as PATH"):
        parse_contender(text)


@pytest.mark.parametrize("place", ["", "evaluation", "evaluation/scores.json"])
def test_scores_are_found_from_run_folder_scores_folder_and_file(tmp_path, place):
    one = method("a", "x", "y").seeds[0]
    write_evaluation(one, tmp_path / "run" / "evaluation")
    found = read_contender(str(tmp_path / "run" / place))
    assert found.name == "run"
    assert found.seeds == (one,)
    assert folder_of(found.places[0]) == tmp_path / "run"
    (tmp_path / "run" / "predictions").mkdir()
    assert predictions_of(found.places[0]) == tmp_path / "run" / "predictions"


def test_scores_beside_a_folder_of_predictions_are_named(tmp_path: Path) -> None:
    predictions = tmp_path / "turned"
    predictions.mkdir()
    with pytest.raises(InputError, match=r"turned holds no scores .* write them with `unpaired evaluate`"):
        read_contender(str(predictions))
    write_evaluation(method("a", "x").seeds[0], tmp_path / "turned_evaluation")
    with pytest.raises(InputError, match=r"holds no scores; its own lie beside it, name .*turned_evaluation$"):
        read_contender(str(predictions))


def test_predictions_are_scored_where_a_reference_is_known(tmp_path):
    folder = tmp_path / "theirs" / "predictions"
    folder.mkdir(parents=True)
    asked = []

    def score(path):
        asked.append(path)
        return method("a", "x").seeds[0]

    assert read_contender(str(tmp_path / "theirs"), score).name == "theirs"
    assert read_contender(str(folder), score).name == "theirs"
    assert asked == [folder, folder]
    assert predictions_of(folder) == folder
    assert folder_of(folder) == tmp_path / "theirs"
    with pytest.raises(InputError, match="--reference"):
        read_contender(str(folder))
    with pytest.raises(InputError, match="found no folder"):
        read_contender(str(tmp_path / "gone"), score)


# ---- what is comparable


def test_equal_evaluations_are_kept_whole():
    kept, left_out = require_comparable([method("a", "x", "y"), method("b", "y", "x")], SCORES)
    assert [len(one.seeds[0].scores) for one in kept] == [2, 2]
    assert left_out == []


def test_cases_that_only_one_has_are_named():
    message = refused(method("a", "x", "y"), method("b", "x", "z"))
    assert "a lacks 1" in message
    assert "z (not among its cases)" in message
    assert "b lacks 1" in message
    assert "y (" in message
    assert "--common" in message


def test_many_differing_cases_are_counted():
    message = refused(method("a", *map(str, range(30))), method("b", "0"))
    assert "b lacks 29" in message
    assert "and 23 more" in message


def test_a_failure_makes_a_method_incomparable_until_told_otherwise():
    broken = method("b", "x", failures=[Failure("y", "y.nii.gz: truncated")])
    assert "y (y.nii.gz: truncated)" in refused(method("a", "x", "y"), broken)
    kept, left_out = require_comparable([method("a", "x", "y"), broken], SCORES, common=True)
    assert [[row.case for row in one.seeds[0].scores] for one in kept] == [["x"], ["x"]]
    assert [(item.case, item.method, item.reason) for item in left_out] == [("y", "b", "y.nii.gz: truncated")]
    assert kept[1].seeds[0].failures == []


def test_a_case_that_all_failed_at_is_left_out_too():
    both = [method(name, "x", failures=[Failure("y", "gone")]) for name in "ab"]
    assert "a lacks 1" in refused(*both)
    _, left_out = require_comparable(both, SCORES, common=True)
    assert [(item.case, item.method) for item in left_out] == [("y", "a"), ("y", "b")]


def test_classes_that_only_one_scored():
    more = Contender("b", (Evaluation([row("x"), row("x", "RV")], []),))
    assert "x/RV" in refused(method("a", "x"), more)
    kept, left_out = require_comparable([method("a", "x"), more], SCORES, common=True)
    assert [row.class_name for row in kept[1].seeds[0].scores] == ["LV"]
    assert left_out[0].class_name == "RV"


def test_nothing_in_common():
    assert "no scored case in common" in refused(method("a", "x"), method("b", "y"), common=True)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"policy": "excluded"}, "policy for empty masks 'diagonal', b with 'excluded'"),
        ({"surface": "area"}, "surface 'voxel', b with 'area'"),
    ],
)
@pytest.mark.parametrize("common", [False, True])
def test_scores_of_other_definitions_are_never_compared(changes, words, common):
    assert words in refused(method("a", "x"), method("b", "x", **changes), common=common)


def test_tolerances_matter_only_where_they_are_compared():
    a, b = method("a", "x", tolerances_mm=(1.0, 2.0)), method("b", "x", tolerances_mm=(2.0,))
    require_comparable([a, b], ["dice", "nsd@2"])
    assert "'nsd@1'" in refused(a, b, scores=["nsd@1"])
    own = [method(name, "x", class_tolerances_mm={"LV": mm}) for name, mm in (("a", 1.0), ("b", 2.0))]
    require_comparable(own, ["dice"])
    assert "different tolerances" in refused(*own, scores=["nsd@own"])


def test_another_reference_shows_in_its_volumes():
    other = Contender("b", (Evaluation([row("x", ml=5.1)], []),))
    assert "5.000 ml in a, 5.100 ml in b" in refused(method("a", "x"), other, common=True)
    present = Contender("b", (Evaluation([row("x", dice=None, status="not_applicable", ml=0.0)], []),))
    assert "reference of LV in case x" in refused(method("a", "x"), present)


def test_an_invented_structure_and_none_have_the_same_reference():
    invented = Contender("a", (Evaluation([row("x", dice=0.0, status="false_positive", ml=0.0)], []),))
    none = Contender("b", (Evaluation([replace(row("x"), status="not_applicable", dice=None, reference_ml=None)], []),))
    require_comparable([invented, none], SCORES)


def test_a_case_of_another_patient_or_modality():
    other = Contender("b", (Evaluation([row("x", modality="mr")], []),))
    assert "x is ct of patient x in a, but mr" in refused(method("a", "x"), other)


def test_seeds_are_held_to_the_same_rules_and_named_by_their_folder():
    seeds = (method("a", "x", "y").seeds[0], method("a", "x").seeds[0])
    assert "a (seed 1) lacks" in refused(Contender("a", seeds), method("b", "x", "y"))
    placed = Contender("a", seeds, (Path("runs/a0"), Path("runs/a1")))
    assert "a (runs/a1) lacks" in refused(placed, method("b", "x", "y"))


def test_names_that_do_not_tell_methods_apart():
    assert "two methods are called 'a'" in refused(method("a", "x"), method("a", "x"))
    assert "two methods or more" in refused(method("a", "x"))
    assert "b has no scores" in refused(method("a", "x"), method("b"))
