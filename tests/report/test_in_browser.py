"""The page in a real browser, from disk: no complaint, no request, and the viewer draws what the files hold."""

import numpy as np
import pytest
from chromium import NO_WEBGL, find_chromium, launched

from undrawn import undrawn
from unpaired.data.dataset import CaseEntry, Dataset, Modality
from unpaired.data.images import write_image
from unpaired.figures.style import class_color
from unpaired.report.page import write_run_page
from unpaired.scores.evaluate import evaluate_dataset

pytestmark = pytest.mark.skipif(
    find_chromium() is None, reason="needs Chromium (apt-get install chromium, or name it in the variable CHROMIUM)"
)
READY = "document.getElementById('viewer-box').dataset.state === 'ready'"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with launched(find_chromium(), tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def bodies(world, tmp_path_factory):
    """A run of three cases of one anatomy: "block" lies to the patient's left, in front. Two are stored along RAS and
    LPS axes; "askew" is turned as a short-axis view of a heart (the directions are those of a real one)."""
    folder = tmp_path_factory.mktemp("bodies")
    x, y, z = np.mgrid[:40, :40, :10]
    inside = (x - 20) ** 2 + (y - 20) ** 2 < 330
    reference = np.zeros((40, 40, 10), np.uint8)
    reference[6:16, 24:34, 4:8] = 1
    prediction = np.zeros_like(reference)
    prediction[8:18, 24:34, 4:8] = 1
    prediction[24:30, 8:14, 4:8] = 2
    image = (inside * 100 + x + y + z).astype(np.int16)
    affine = np.diag([2.0, 2.0, 5.0, 1.0])
    affine[:3, 3] = -40, -40, -20
    turned = affine @ np.array([[-1, 0, 0, 39], [0, -1, 0, 39], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    cases = []
    left, _, right = np.linalg.svd([[-0.637, -0.52, 0.569], [-0.702, 0.088, -0.706], [-0.318, 0.85, 0.421]])
    askew = np.diag([2.0, 2.0, 5.0, 1.0])
    askew[:3, :3] = left @ right @ askew[:3, :3]
    for name, matrix, step in (("ras", affine, 1), ("lps", turned, -1), ("askew", askew, 1)):
        files = [folder / f"{name}.nii.gz", folder / f"{name}_label.nii.gz", folder / "predictions" / f"{name}.nii.gz"]
        for file, array in zip(files, (image, reference, prediction), strict=True):
            write_image(file, array[::step, ::step], matrix)
        cases.append(CaseEntry(name, name, "ct", files[0], files[1], split="test"))
    dataset = Dataset("bodies", ("background", "block", "<i>other</i>"), {"ct": Modality()}, tuple(cases))
    evaluation = evaluate_dataset(dataset, folder / "predictions")
    with undrawn(whole=True):
        return write_run_page(world[2], dataset, folder / "predictions", evaluation, folder / "page.html")


@pytest.fixture(scope="module")
def page(world, evaluation, tmp_path_factory):
    dataset, predictions, run = world
    return write_run_page(run, dataset, predictions, evaluation, tmp_path_factory.mktemp("page") / "page.html")


@pytest.fixture(scope="module")
def opened(bodies, tmp_path_factory):
    """A browser of its own, with the viewer open, so that not every test has to start it."""
    with launched(find_chromium(), tmp_path_factory.mktemp("profile")) as browser:
        browser.open(bodies, width=640, height=500)
        # Before it starts: drawing in 3D without a graphics card takes seconds.
        browser.run("document.getElementById('viewer-view').value = 'acquired'")
        browser.run("document.getElementById('viewer-open').click()")
        browser.wait(READY)
        yield browser


@pytest.fixture
def viewer(opened):
    """The open viewer with the first case's acquired slices, everything as at the start."""
    choose(opened, "view", "acquired")
    choose(opened, "opacity", 45)
    choose(opened, "case", 0)
    labels(opened, "both")
    return opened


def choose(browser, control, value):
    """Set a control of the viewer as a person would, and let it draw."""
    browser.run(
        f"(() => {{ const e = document.getElementById('viewer-{control}'); e.value = '{value}';"
        "for (const kind of ['input', 'change']) e.dispatchEvent(new Event(kind, {bubbles: true})) })()"
    )
    browser.wait(READY)
    settle(browser)


def labels(browser, value):
    browser.run(f"document.querySelector('input[name=viewer-labels][value={value}]').click()")
    settle(browser)


def settle(browser):
    browser.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def scan(browser):
    """What the viewer shows, with black where the stage's edge may have the mark of focus."""
    picture = browser.picture(".stage")
    inner = np.zeros_like(picture)
    inner[6:-6, 6:-6] = picture[6:-6, 6:-6]
    return inner


def colored(picture):
    """Where a picture is not gray: where labels were drawn."""
    return np.ptp(picture, axis=2) > 40


def like(picture, number, tolerance=45):
    """Where a picture has the color of a class, as the overlays draw it."""
    color = [int(class_color(number)[at : at + 2], 16) for at in (1, 3, 5)]
    return (np.abs(picture - color) < tolerance).all(axis=2)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1300, 420])
def test_a_page_loads_whole_from_disk(browser, page, theme, width):
    browser.open(page, width=width, theme=theme)
    assert browser.run("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert browser.run("document.images.length") > 8
    assert browser.run("document.documentElement.scrollWidth") <= width
    background = browser.picture("h1")[0, 0]
    assert (background > 200).all() if theme == "light" else (background < 60).all()
    assert browser.complaints() == []
    assert browser.requests() == [page.resolve().as_uri()]


@pytest.mark.parametrize(("width", "theme"), [(700, "light"), (420, "dark")])
def test_the_viewer_opens_by_keyboard_and_draws(browser, bodies, theme, width):
    browser.open(bodies, width=width, height=520, theme=theme)
    browser.run("document.getElementById('viewer-open').focus()")
    browser.press("Enter")
    browser.wait(READY)
    settle(browser)
    stage = scan(browser)
    assert len(np.unique(stage.reshape(-1, 3), axis=0)) > 50
    assert colored(stage).mean() > 0.002
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run("document.activeElement.id") == "viewer-canvas"
    assert browser.complaints() == []
    assert browser.requests() == [bodies.resolve().as_uri()]


@pytest.mark.parametrize("case", [0, 1])
def test_left_is_on_the_right_and_front_is_up(viewer, case):
    """As in the overlays, for files of both axis orders: the block lies to the patient's left and in front."""
    choose(viewer, "case", case)
    labels(viewer, "none")
    bare = scan(viewer)
    assert not colored(bare).any()
    columns = np.flatnonzero((bare.max(axis=2) > 80).sum(axis=0) > 20)  # the body
    rows = np.flatnonzero((bare.max(axis=2) > 80).sum(axis=1) > 20)
    labels(viewer, "reference")
    places = np.argwhere(like(scan(viewer), 1))
    assert len(places) > 30
    assert places[:, 0].max() < rows.mean()
    assert places[:, 1].min() > columns.mean()


def test_acquired_slices_are_those_of_an_oblique_scan_too(viewer):
    """The body is round in them, and an ellipse in any other plane."""
    choose(viewer, "case", 2)
    labels(viewer, "none")
    body = scan(viewer).max(axis=2) > 120
    rows, columns = np.flatnonzero(body.mean(axis=1) > 0.1), np.flatnonzero(body.mean(axis=0) > 0.1)
    assert np.ptp(rows) == pytest.approx(np.ptp(columns), rel=0.15)
    choose(viewer, "view", "coronal")
    coronal = scan(viewer)
    choose(viewer, "view", "sagittal")
    sagittal = scan(viewer)
    assert not np.array_equal(coronal, sagittal)


def test_prediction_is_a_fill_and_reference_an_outline(viewer):
    labels(viewer, "prediction")
    fill = colored(scan(viewer))
    labels(viewer, "reference")
    outline = like(scan(viewer), 1)
    rows, columns = np.flatnonzero(outline.any(axis=1)), np.flatnonzero(outline.any(axis=0))
    height, width = np.ptp(rows) // 3, np.ptp(columns) // 3
    inner = (slice(rows[0] + height, rows[-1] - height), slice(columns[0] + width, columns[-1] - width))
    assert fill[inner].mean() > 0.9
    assert outline[inner].mean() < 0.1
    labels(viewer, "both")
    both = scan(viewer)
    assert colored(both)[inner].mean() > 0.9
    assert like(both, 1).sum() >= 0.9 * outline.sum()


def test_fill_opacity_and_gray_values_follow_their_controls(viewer):
    labels(viewer, "prediction")
    choose(viewer, "opacity", 10)
    weak = scan(viewer)
    choose(viewer, "opacity", 90)
    strong = scan(viewer)
    assert np.ptp(strong, axis=2).sum() > 2 * np.ptp(weak, axis=2).sum()
    labels(viewer, "none")
    before = scan(viewer)
    choose(viewer, "high", 60)
    brighter = scan(viewer)
    assert brighter.mean() > before.mean() + 3
    viewer.run("document.getElementById('viewer-reset').click()")
    settle(viewer)
    assert np.array_equal(scan(viewer), before)


def test_the_crosshair_says_where_it_is_and_what_is_there(viewer):
    """It starts in the block, in the slice that is most wrong; the arrows and page keys move it by a voxel."""
    place = "document.getElementById('viewer-place').textContent"
    start = viewer.run(place)
    assert "prediction:" in start
    assert "reference:" in start
    positions = []
    for key, axis, step in (("ArrowRight", 0, 2), ("ArrowUp", 1, 2), ("PageUp", 2, 5)):
        before = millimeters(viewer.run(place))
        viewer.press(key)
        settle(viewer)
        moved = millimeters(viewer.run(place)) - before
        assert abs(moved[axis]) == abs(moved).sum() == step
        positions.append(viewer.run(place))
    assert len(set(positions)) == 3


@pytest.mark.parametrize("view", ["axial", "coronal", "sagittal"])
def test_arrows_move_the_crosshair_their_way_on_the_screen(viewer, view):
    labels(viewer, "none")
    choose(viewer, "view", view)
    row, column = crosshair(viewer)
    for key, rows, columns in (("ArrowRight", 0, 1), ("ArrowUp", -1, 0), ("ArrowLeft", 0, -1), ("ArrowDown", 1, 0)):
        viewer.press(key)
        settle(viewer)
        after = crosshair(viewer)
        assert (np.sign(after[0] - row), np.sign(after[1] - column)) == (rows, columns), key
        row, column = after


def test_the_words_at_the_crosshair_are_the_files(viewer):
    """Clicking into the block of both maps names it in both; the other class only in the prediction."""
    labels(viewer, "reference")
    outline = np.argwhere(like(scan(viewer), 1))
    click(viewer, outline.mean(axis=0))
    assert viewer.run("document.getElementById('viewer-place').textContent").endswith(
        "prediction: block · reference: block"
    )
    labels(viewer, "prediction")
    choose(viewer, "opacity", 100)
    other = np.argwhere(like(scan(viewer), 2))
    click(viewer, other.mean(axis=0))
    assert viewer.run("document.getElementById('viewer-place').textContent").endswith(
        "prediction: <i>other</i> · reference: background"
    )


def test_another_case_is_unpacked_when_it_is_chosen(viewer):
    labels(viewer, "none")
    viewer.press("PageUp")
    first = scan(viewer)
    choose(viewer, "case", 1)
    second = scan(viewer)
    assert not np.array_equal(first, second)
    assert len(np.unique(second.reshape(-1, 3), axis=0)) > 20
    assert viewer.complaints() == []


def test_three_dimensions_show_the_labels(viewer):
    choose(viewer, "view", "render")
    stage = scan(viewer)
    assert colored(stage).sum() > 500


def test_without_webgl_the_page_says_so(page, tmp_path):
    with launched(find_chromium(), tmp_path, NO_WEBGL) as browser:
        browser.open(page)
        browser.run("document.getElementById('viewer-open').click()")
        browser.wait("document.getElementById('viewer-box').dataset.state === 'unsupported'")
        message = "document.getElementById('viewer-message')"
        assert "needs WebGL2" in browser.run(f"{message}.textContent")
        assert browser.run(f"{message}.getBoundingClientRect().height") > 10
        assert browser.complaints() == []


def test_without_scripts_the_page_says_so(browser, page):
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(page)
        assert browser.run("document.querySelector('noscript').getBoundingClientRect().height") > 10
        assert browser.run("document.getElementById('viewer-box').hidden")
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)


def crosshair(browser):
    """(row, column) of the stage where the crosshair's white lines meet: the brightest line each way."""
    gray = scan(browser).min(axis=2)
    inside = gray[:, gray.max(axis=0) > 0]
    return int(inside.mean(axis=1).argmax()), int(gray.mean(axis=0).argmax())


def millimeters(text):
    return np.array([float(part.split()[1]) for part in text.split(" mm")[0].split(", ")])


def click(browser, place):
    """Click at (row, column) of the stage."""
    x, y = browser.run(
        "(() => { const b = document.querySelector('.stage').getBoundingClientRect(); return [b.x, b.y] })()"
    )
    for kind in ("mousePressed", "mouseReleased"):
        browser.call("Input.dispatchMouseEvent", type=kind, x=x + place[1], y=y + place[0], button="left", clickCount=1)
    settle(browser)
