"""The viewer holds what it should, keeps its budget, says what it leaves out, and NiiVue is NiiVue."""

import hashlib
import json
import re
from pathlib import Path

import pytest

import unpaired.report
from unpaired.errors import InputError
from unpaired.report.viewer import MEGABYTE, build_viewer, wanted_cases

FOLDER = Path(unpaired.report.__file__).parent


def test_worst_cases_come_first_and_every_troubled_one_is_wanted(world, evaluation):
    assert [item.case for item in wanted_cases(world[0], evaluation)] == ["c_ct", "e_mr", "b_ct", "a_ct"]


def test_all_cases_fit_a_large_budget(world, evaluation):
    dataset, predictions, _ = world
    viewer = build_viewer(dataset, predictions, evaluation)
    assert [case.case for case in viewer.cases] == ["c_ct", "e_mr", "b_ct", "a_ct"]
    assert [case.number for case in viewer.cases] == [0, 1, 2, 3]
    assert viewer.left_out == []
    assert viewer.megabytes == sum(case.volumes.size for case in viewer.cases) / MEGABYTE
    assert {case.axis for case in viewer.cases} == {2}
    facts = json.loads(viewer.facts)
    assert facts["classes"][0] == {"name": "LV", "color": "#E69F00"}
    assert facts["cases"][0]["has"] == ["prediction", "reference"]


def test_a_budget_is_kept_and_what_it_left_out_is_named(world, evaluation):
    dataset, predictions, _ = world
    size = build_viewer(dataset, predictions, evaluation).cases[0].volumes.size
    viewer = build_viewer(dataset, predictions, evaluation, 2.5 * size / MEGABYTE)
    assert viewer.megabytes <= 2.5 * size / MEGABYTE
    named = [case.case for case in viewer.cases] + [case for case, _ in viewer.left_out]
    assert sorted(named) == ["a_ct", "b_ct", "c_ct", "e_mr"]
    assert all("no room" in reason for _, reason in viewer.left_out)
    assert build_viewer(dataset, predictions, evaluation, 0).cases == []


@pytest.mark.parametrize("budget", [-1.0, float("nan"), float("inf")])
def test_a_budget_that_is_none_is_refused(world, evaluation, budget):
    with pytest.raises(InputError, match="megabytes"):
        build_viewer(world[0], world[1], evaluation, budget)


def test_a_case_whose_files_are_gone_is_left_out_by_name(world, evaluation, tmp_path):
    viewer = build_viewer(world[0], tmp_path, evaluation)
    assert viewer.cases == []
    assert len(viewer.left_out) == 4
    assert "no longer in" in viewer.left_out[0][1]


def test_facts_cannot_end_their_element(world, evaluation):
    dataset, predictions, _ = world
    viewer = build_viewer(dataset, predictions, evaluation)
    viewer.classes.append(("</script><b>", "#000000"))
    assert "<" not in viewer.facts
    assert json.loads(viewer.facts)["classes"][-1]["name"] == "</script><b>"


def test_niivue_is_the_published_file():
    """The sum in its README, and the version it names there, are those of the file."""
    bundle = (FOLDER / "niivue" / "niivue.umd.js").read_bytes()
    readme = (FOLDER / "niivue" / "README.md").read_text(encoding="utf-8")
    assert hashlib.sha256(bundle).hexdigest() in readme
    version = re.search(r"`@niivue/niivue` (\d+\.\d+\.\d+)", readme).group(1)
    assert f'"{version}"'.encode() in bundle
    licenses = (FOLDER / "niivue" / "LICENSES.txt").read_text(encoding="utf-8")
    assert "BSD 2-Clause License" in licenses
    assert f"@niivue/niivue {version}" in licenses
