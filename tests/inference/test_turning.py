"""Scans turned in their slices: against scipy's rotation, and as a part of prediction."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import rotate

from small_network import SMALL
from unpaired import cli
from unpaired.data.augment import NO_AUGMENTATION
from unpaired.data.dataset import Dataset
from unpaired.data.image import Image
from unpaired.data.preprocess import Preprocessing, apply
from unpaired.data.restore import restore_probabilities
from unpaired.errors import InputError
from unpaired.inference.ensemble import Ensemble
from unpaired.inference.predictor import Predictor
from unpaired.inference.prepared import segment_prepared
from unpaired.inference.request import both_ways
from unpaired.inference.turning import SLICES, turned, turned_back
from unpaired.inference.windows import whole
from unpaired.recipe import Recipe, build_method
from unpaired.recipes.phantom import msbn
from unpaired.runs.run import Run

SCAN = Image(
    np.random.default_rng(0).normal(size=(22, 18, 3)).astype(np.float32),
    np.diag([1.0, 1.0, 6.0, 1.0]),
)
RECIPE = replace(
    msbn(),
    network=SMALL,
    preprocessing=Preprocessing(plane="axial"),
    augmentation=replace(NO_AUGMENTATION, spatial=1.0, rotation_degrees=40.0),
    patch_size=(32, 32),
)


@pytest.fixture(scope="module")
def phantom(thin_phantom: Dataset) -> Dataset:
    return thin_phantom


@pytest.fixture
def run(phantom: Dataset, tmp_path: Path) -> Run:
    return made(RECIPE, phantom, tmp_path / "run")


def made(recipe: Recipe, dataset: Dataset, folder: Path) -> Run:
    run = Run.create(folder, recipe, dataset)
    run.save_weights(build_method(recipe, run.modalities, len(dataset.classes)).network, "best")
    return run


@pytest.mark.parametrize("degrees", [-30.0, 30.0, 75.0])
def test_slices_are_turned_as_scipy_turns_them(degrees: float) -> None:
    volume = np.random.default_rng(0).normal(size=(2, SLICES + 1, 21, 21)).astype(np.float32)
    expected = rotate(volume, degrees, (2, 3), reshape=False, order=1, mode="nearest")
    got = turned(volume, degrees, (8.0, 1.5, 1.5))
    inside = np.hypot(*np.meshgrid(*[np.arange(21) - 10] * 2)) < 10
    np.testing.assert_allclose(got[..., inside], expected[..., inside], atol=1e-4)


def test_pixels_that_are_no_squares_are_turned_in_mm() -> None:
    """What is round in mm stays round: on pixels twice as high as wide it is an ellipse of pixels, before and after."""
    y, x = (np.arange(40) - 19.5)[:, None] * 2.0, (np.arange(80) - 39.5)[None] * 1.0
    below = np.exp(-((y - 12) ** 2 + x**2) / 200).astype(np.float32)[None]
    beside = np.exp(-(y**2 + (x - 12) ** 2) / 200)
    np.testing.assert_allclose(turned(below, 90.0, (5.0, 2.0, 1.0))[0], beside, atol=0.01)


def test_what_is_turned_and_turned_back_is_as_it_was_and_corners_are_the_unturned_ones() -> None:
    smooth = np.linspace(0, 1, 24, dtype=np.float32)[None, :, None] * np.ones((3, 24, 24), np.float32)
    probabilities = np.stack([smooth, 1 - smooth])
    back = turned_back(turned(probabilities, 30.0, (1, 1, 1)), 30.0, (1, 1, 1), np.full_like(probabilities, 7.0))
    corner = back == 7.0
    assert corner[..., 0, 0].all()
    assert corner[..., -1, -1].all()
    middle = np.s_[..., 7:17, 7:17]
    assert not corner[middle].any()
    at = (np.arange(24) - 11.5) / 12
    y, x = np.meshgrid(at, at, indexing="ij")
    cos, sin = np.cos(np.pi / 6), 0.5
    beyond = (np.abs(cos * y - sin * x) > 1) | (np.abs(sin * y + cos * x) > 1)
    assert (corner == beyond).all(), "what the turned slice shows is taken of it, to its border"
    np.testing.assert_allclose(back[middle], probabilities[middle], atol=1e-5)
    kept = turned_back(turned(probabilities, 30.0, (1, 1, 1)), 30.0, (1, 1, 1), probabilities)
    np.testing.assert_allclose(kept.sum(axis=0), 1, atol=1e-5)


def test_turned_predictions_are_averaged(run: Run) -> None:
    plain, three = Predictor(run, device="cpu"), Predictor(run, device="cpu", turned=(30,))
    assert (plain.turned, three.turned, three.forms) == ((), (-30.0, 30.0), 3)
    volume, geometry = apply(SCAN, RECIPE.preprocessing, run.dataset.modalities["ct"])
    spacing = geometry.spacing_mm

    def said(shown: np.ndarray) -> np.ndarray:
        return whole(segment_prepared(plain.method, RECIPE, shown, "ct", "cpu"), volume.shape).numpy()

    members = [
        alone := said(volume),
        *(turned_back(said(turned(volume, angle, spacing)), angle, spacing, alone) for angle in (-30.0, 30.0)),
    ]
    result = Ensemble([three]).segment_case(SCAN, "ct")
    np.testing.assert_allclose(result.parts[0].probabilities, np.mean(members, axis=0), atol=1e-6)
    np.testing.assert_array_equal(result.label_map, restore_probabilities(result.parts[0].probabilities, geometry))
    np.testing.assert_array_equal(result.members[0], plain.segment(SCAN, "ct"))
    np.testing.assert_array_equal(three.segment(SCAN, "ct"), result.label_map)
    assert len(result.members) == 3
    mirrored = Predictor(run, device="cpu", turned=(30,), mirror_anyway=True)
    *_, first, second = (values for values, _ in mirrored.members(SCAN, "ct"))
    np.testing.assert_allclose([first, second], members[1:], atol=1e-6)  # corners of the scan as it is, unmirrored
    assert (result.label_map != result.members[0]).any()


def test_the_recipe_says_whether_scans_are_turned(phantom: Dataset, tmp_path: Path) -> None:
    run = made(replace(RECIPE, turned_degrees=(20.0, 40.0)), phantom, tmp_path / "turned")
    assert Predictor(run, device="cpu").turned == (-20.0, 20.0, -40.0, 40.0)
    assert Predictor(run, device="cpu", turned=(0,)).turned == ()
    mixed = Ensemble([Predictor(run, device="cpu"), Predictor(run, device="cpu", turned=(0,), mirror_anyway=True)])
    assert mixed.size == 5 + 4


def test_both_ways() -> None:
    assert both_ways([15, 30, 15]) == (-15.0, 15.0, -30.0, 30.0)
    assert both_ways([0]) == ()
    for wrong in (-1, 180):
        with pytest.raises(InputError, match=f"turned: expected angles of 0 or more and below 180 .*, got {wrong}"):
            both_ways([wrong])
    assert len(both_ways([10, 20, 30, 40])) == 8
    with pytest.raises(InputError, match=r"turned: expected up to 4 angles, each of which is two more .*, got 5; one"):
        both_ways([10, 20, 30, 40, 50])


def test_angles_that_training_never_saw_are_refused(run: Run, phantom: Dataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"turned by at most 40 degrees .*, so slices turned by 50 are strange"):
        Predictor(run, device="cpu", turned=(50,))
    with pytest.raises(InputError, match=r"recipe.turned_degrees: expected at most .*, 40, .* got 45"):
        replace(RECIPE, turned_degrees=(45.0,))
    still = made(replace(RECIPE, augmentation=NO_AUGMENTATION), phantom, tmp_path / "still")
    with pytest.raises(InputError, match="by at most 0 degrees"):
        Predictor(still, device="cpu", turned=(10,))


def test_the_command_turns_scans(run: Run, manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["predict", str(run.folder), str(manifest), str(tmp_path / "out"), "--split", "test", "--device", "cpu"]
    assert cli.main([*asked, "--no-worker", "--turned", "30"]) == 0
    assert (tmp_path / "out" / "uncertainty.csv").is_file()
    assert "3 written" in capsys.readouterr().out
    assert cli.main([*asked, "--no-worker", "--turned", "30"]) == 0
    assert "3 skipped" in capsys.readouterr().out
    assert cli.main([*asked, "--no-worker"]) == 1
    assert "turned [[-30.0, 30.0]] there, None here" in " ".join(capsys.readouterr().err.split())
    assert cli.main([*asked, "--turned", "200"]) == 2
    assert "expected angles of 0 or more and below 180 degrees" in capsys.readouterr().err
