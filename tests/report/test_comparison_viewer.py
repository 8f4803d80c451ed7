"""A comparison's viewer: the telling cases first, each scan once, every method's label map or why not."""

import json

import pytest

from undrawn import undrawn
from unpaired.comparison.comparison import compare
from unpaired.comparison.contenders import Contender
from unpaired.errors import InputError
from unpaired.report.comparison_page import write_comparison_report
from unpaired.report.comparison_viewer import build_comparison_viewer, ranked_cases
from unpaired.report.viewer import MEGABYTE


@pytest.fixture(scope="module")
def comparison(rivals):
    return compare(rivals[1], ["dice"])


@pytest.fixture(scope="module")
def viewer(rivals, comparison):
    return build_comparison_viewer(comparison, rivals[0], rivals[2])


def test_the_largest_losses_come_first_in_turns_of_the_modalities(comparison):
    """ "bad" is shifted by 0, 1, 2, 3 voxels in a, b, c, d, and without RV in b_mr (which costs half of its mean)."""
    chosen = list(ranked_cases(comparison))
    assert [(item.case, item.method) for item in chosen] == [
        ("d_ct", "bad"),
        ("b_mr", "bad"),
        ("c_ct", "bad"),
        ("d_mr", "bad"),
    ]
    # d: LV overlaps in 5 of 8 columns, RV in 1 of 4; b_mr: LV in 7 of 8, no RV; c: LV in 6 of 8, RV in 2 of 4
    assert [item.why for item in chosen] == [
        f"bad loses {loss:.2f} Dice % against good" for loss in (56.25, 56.25, 37.5, 56.25)
    ]


def test_a_gain_and_the_hardest_case_are_shown_too(rivals):
    good, bad, _ = rivals[1]
    chosen = list(ranked_cases(compare([bad, good], ["dice"])))
    assert [(item.case, item.why) for item in chosen] == [
        ("d_ct", "good gains 56.25 Dice % against bad"),
        ("d_mr", "good gains 56.25 Dice % against bad"),
        ("b_mr", "the hardest: 71.88 Dice % on average"),
    ]
    same = [Contender(name, good.seeds, good.places) for name in ("one", "two")]
    assert [item.why for item in ranked_cases(compare(same, ["dice"]))] == ["the hardest: 100.00 Dice % on average"] * 2


def test_each_scan_is_there_once_with_every_method(viewer, comparison, rivals):
    assert viewer.methods == {"method-0": "good", "method-1": "bad", "method-2": "<odd> &"}
    assert viewer.left_out == []
    for case in viewer.cases:
        assert list(case.volumes.labels) == ["method-0", "method-1", "method-2", "reference"]
        assert case.volumes.labels["method-0"] == case.volumes.labels["reference"]
        assert case.volumes.labels["method-1"] != case.volumes.labels["reference"]
        assert case.volumes.labels["method-2"] == case.volumes.labels["method-1"], "the seed that does worst"
    facts = json.loads(viewer.facts)
    assert facts["methods"] == [{"id": key, "name": name} for key, name in viewer.methods.items()]
    with undrawn():
        page = write_comparison_report(comparison, rivals[3] / "once" / "page.html", rivals[0], rivals[2])
    text = page.read_text(encoding="utf-8")
    assert text.count('-image"') == len(viewer.cases)
    assert sum(text.count(f">{case.volumes.image}<") for case in viewer.cases[:1]) >= 1


def test_the_budget_holds_for_all_maps_together(viewer, comparison, rivals):
    size = viewer.cases[0].volumes.size
    small = build_comparison_viewer(comparison, rivals[0], rivals[2], 2.5 * size / MEGABYTE)
    assert 0 < small.megabytes <= 2.5 * size / MEGABYTE
    named = [case.case for case in small.cases] + [case for case, _ in small.left_out]
    assert sorted(named) == sorted(case.case for case in viewer.cases)
    assert all("no room left" in reason for _, reason in small.left_out)
    assert build_comparison_viewer(comparison, rivals[0], rivals[2], 0).cases == []
    with pytest.raises(InputError, match="megabytes"):
        build_comparison_viewer(comparison, rivals[0], rivals[2], -1)


def test_a_method_whose_label_map_is_gone_is_named_and_the_others_are_shown(viewer, comparison, rivals, tmp_path):
    found = build_comparison_viewer(comparison, rivals[0], {**rivals[2], "bad": [tmp_path]})
    assert len(found.cases) == len(viewer.cases)
    assert all(list(case.volumes.labels) == ["method-0", "method-2", "reference"] for case in found.cases)
    assert [name for name, _ in found.left_out] == [f"{case.case}, bad" for case in viewer.cases]
    assert all("no longer in" in reason for _, reason in found.left_out)


def test_without_scans_or_label_maps_it_is_empty_and_says_why(comparison, rivals):
    nothing = build_comparison_viewer(comparison, None, rivals[2])
    assert nothing.cases == []
    assert {reason for _, reason in nothing.left_out} == {
        "no manifest says where the images are; compare run folders, or name one with --reference"
    }
    unknown = build_comparison_viewer(comparison, rivals[0], {})
    assert unknown.cases == []
    assert {reason for _, reason in unknown.left_out} == {"nothing says where its label maps are"}
