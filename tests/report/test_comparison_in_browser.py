"""A comparison's page in a real browser: no complaint, no request, and the chosen method's label map is drawn."""

import numpy as np
import pytest
from chromium import find_chromium, launched
from test_in_browser import READY, choose, colored, labels, like, scan, settle

from undrawn import undrawn
from unpaired.comparison.comparison import compare
from unpaired.report.comparison_page import write_comparison_report

pytestmark = pytest.mark.skipif(
    find_chromium() is None, reason="needs Chromium (apt-get install chromium, or name it in the variable CHROMIUM)"
)
PLACE = "document.getElementById('viewer-place').textContent"


@pytest.fixture(scope="module")
def page(rivals):
    comparison = compare(rivals[1], ["dice"])
    predictions = {**rivals[2], "<odd> &": [rivals[3] / "nowhere"] * 2}  # one method's label maps are gone
    with undrawn(whole=True):
        return write_comparison_report(comparison, rivals[3] / "browser" / "page.html", rivals[0], predictions)


@pytest.fixture(scope="module")
def opened(page, tmp_path_factory):
    with launched(find_chromium(), tmp_path_factory.mktemp("profile")) as browser:
        browser.open(page, width=420, height=600)
        browser.run("document.getElementById('viewer-view').value = 'acquired'")
        browser.run("document.getElementById('viewer-open').focus()")
        browser.press("Enter")
        browser.wait(READY)
        settle(browser)
        yield browser


@pytest.fixture
def viewer(opened):
    """The open viewer at the first case and method, everything as at the start."""
    choose(opened, "method", "method-0")
    choose(opened, "case", 0)
    choose(opened, "opacity", 100)
    labels(opened, "prediction")
    opened.run("document.getElementById('viewer-canvas').focus()")
    return opened


def test_it_opens_by_keyboard_without_a_complaint_or_a_request(opened, page):
    assert opened.run("document.activeElement.id") == "viewer-canvas"
    assert opened.run("document.documentElement.scrollWidth") <= 420
    assert colored(scan(opened)).mean() > 0.002
    assert opened.complaints() == []
    assert opened.requests() == [page.resolve().as_uri()]


def test_another_method_is_another_picture_at_the_same_place(viewer):
    """ "bad" has everything three voxels further on in this case."""
    good, place = scan(viewer), viewer.run(PLACE).split(" · ")[0]
    choose(viewer, "method", "method-1")
    bad = scan(viewer)
    assert viewer.run(PLACE).split(" · ")[0] == place
    ours, theirs = like(good, 1), like(bad, 1)
    assert min(ours.sum(), theirs.sum()) > 200
    assert (ours != theirs).sum() > 0.2 * ours.sum()
    choose(viewer, "method", "method-0")
    assert np.array_equal(scan(viewer), good)


def test_numbers_choose_the_method(viewer):
    good = scan(viewer)
    viewer.press("2")
    settle(viewer)
    assert viewer.run("document.getElementById('viewer-method').value") == "method-1"
    assert not np.array_equal(scan(viewer), good)
    viewer.press("1")
    settle(viewer)
    assert np.array_equal(scan(viewer), good)


def test_the_reference_stays_an_outline_whatever_the_method(viewer):
    labels(viewer, "reference")
    outline = scan(viewer)
    assert colored(outline).any()
    choose(viewer, "method", "method-1")
    assert np.array_equal(scan(viewer), outline)


def test_every_method_is_named_at_the_crosshair(viewer):
    """It starts in a wrong slice of the named method, in a voxel that is labeled by it or by the reference."""
    words = [part.split(":")[0] for part in viewer.run(PLACE).split(" · ")[2:]]
    assert words == ["good", "bad", "reference"]


def test_a_method_without_a_label_map_is_no_choice_and_is_said_so(viewer):
    assert viewer.run("document.querySelector('#viewer-method option[value=method-2]').disabled")
    assert "without <odd> &" in viewer.run("document.getElementById('viewer-changes').textContent")
    before = scan(viewer)
    viewer.press("3")
    settle(viewer)
    assert viewer.run("document.getElementById('viewer-method').value") == "method-0"
    assert np.array_equal(scan(viewer), before)


def test_the_method_is_kept_from_case_to_case(viewer):
    choose(viewer, "method", "method-1")
    choose(viewer, "case", 1)
    second = scan(viewer)
    choose(viewer, "method", "method-0")
    assert not np.array_equal(scan(viewer), second)
    assert viewer.complaints() == []
