"""The phantom: physics against plain Bloch loops, anatomy against adults, files against the road of real data."""

import hashlib
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from unpaired.data.dataset import Dataset, Modality
from unpaired.data.images import read_image, write_image
from unpaired.data.join import join_datasets
from unpaired.data.manifest import read_dataset
from unpaired.errors import InputError
from unpaired.phantom.acquisition import Scan, simulate
from unpaired.phantom.canvas import Canvas, Waves, ellipsoid, tube
from unpaired.phantom.physics import (
    TISSUES,
    add_ct_noise,
    add_rician_noise,
    bssfp_signal,
    bssfp_values,
    coil_sensitivity,
    inversion_recovery_signal,
    lge_values,
    nulling_inversion_ms,
    spin_echo_signal,
    t2_values,
)
from unpaired.phantom.write import SIZES, write_phantom

TINY = SIZES["tiny"]
ADULT_ML = {"LV": (60, 230), "myo": (70, 210), "RV": (80, 260), "LA": (30, 130), "AA": (25, 110)}
ADULT_ORGANS_ML = {
    "liver": (900, 2500),
    "spleen": (90, 420),
    "left kidney": (80, 260),
    "right kidney": (80, 260),
}


# --- physics ---------------------------------------------------------------------------------------------------------


def rotation(degrees: float) -> np.ndarray:
    angle = np.deg2rad(degrees)
    return np.array([[1, 0, 0], [0, np.cos(angle), np.sin(angle)], [0, -np.sin(angle), np.cos(angle)]])


@pytest.mark.parametrize(("t1", "t2", "flip"), [(1441.0, 240.0, 50.0), (1030.0, 52.0, 60.0), (288.0, 165.0, 35.0)])
def test_bssfp_signal_is_the_steady_state_of_a_bloch_simulation(t1: float, t2: float, flip: float) -> None:
    repetition, echo = 3.2, 1.6
    magnetization = np.array([0.0, 0.0, 1.0])
    sign, after_pulse = 1, magnetization
    for _ in range(6000):
        after_pulse = rotation(sign * flip) @ magnetization
        transverse = after_pulse * np.exp(-repetition / t2)
        along = 1 + (after_pulse[2] - 1) * np.exp(-repetition / t1)
        magnetization = np.array([transverse[0], transverse[1], along])
        sign = -sign
    signal = np.hypot(*after_pulse[:2]) * np.exp(-echo / t2)
    assert bssfp_signal(t1, t2, flip, repetition, echo) == pytest.approx(signal, rel=1e-6)


def test_inversion_recovery_is_what_small_steps_of_relaxation_give() -> None:
    t1, inversion, repetition, step = 400.0, 250.0, 1700.0, 0.05
    along = 1.0
    for _ in range(4):
        along = -along
        for _ in range(round(inversion / step)):
            along += (1 - along) * step / t1
        signal = abs(along)
        along = 0.0  # a 90 degree readout uses up what is there
        for _ in range(round((repetition - inversion) / step)):
            along += (1 - along) * step / t1
    assert inversion_recovery_signal(t1, inversion, repetition) == pytest.approx(signal, abs=2e-4)


@pytest.mark.parametrize("t1", [200.0, 410.0, 1000.0])
def test_the_nulling_time_nulls(t1: float) -> None:
    assert inversion_recovery_signal(t1, nulling_inversion_ms(t1, 1700.0), 1700.0) == pytest.approx(0, abs=1e-12)
    assert nulling_inversion_ms(t1, 1e9) == pytest.approx(t1 * np.log(2))


def test_spin_echo_limits() -> None:
    assert spin_echo_signal(1000.0, 80.0, 1e9, 0.0) == pytest.approx(1)
    assert spin_echo_signal(1000.0, 80.0, 1e9, 80.0) == pytest.approx(np.exp(-1))
    assert spin_echo_signal(1000.0, 80.0, 0.0, 10.0) == 0
    # Half of the magnetization is back after T1 ln 2, and half of the signal left after T2 ln 2.
    assert spin_echo_signal(1000.0, 80.0, 1000 * np.log(2), 80 * np.log(2)) == pytest.approx(1 / 4)


def test_a_coil_sees_half_at_its_reach_and_a_fifth_at_twice_that() -> None:
    points = np.array([[10.0, 10.0, 10.0, 16.0], [-5.0, 45.0, -5.0, 27.0], [2.0, 2.0, 102.0, 26.0]], np.float32)
    seen = coil_sensitivity(points, np.array([10.0, -5.0, 2.0]), 50.0)  # 0, 50, 100 and hypot(6, 32, 24) mm away
    np.testing.assert_allclose(seen, [1, 1 / 2, 1 / 5, 1 / (1 + (6**2 + 32**2 + 24**2) / 50**2)], rtol=1e-5)


@pytest.mark.parametrize("seed", range(20))
def test_tissues_are_ordered_as_readers_know_them(seed: int) -> None:
    bssfp = bssfp_values(np.random.default_rng(seed))
    assert bssfp["arterial blood"] > bssfp["venous blood"] > 1.3 * bssfp["myocardium"] > 5 * bssfp["lung"]
    assert bssfp["fat"] > 1.5 * bssfp["myocardium"]
    lge = lge_values(np.random.default_rng(seed))
    assert lge["scar"] > lge["arterial blood"] > 2.5 * lge["myocardium"]
    assert lge["scar"] > 2 * lge["no-reflow"]
    t2 = t2_values(np.random.default_rng(seed))
    assert t2["fluid"] > t2["renal cortex"] > t2["liver"] > t2["fat"]
    assert t2["spleen"] > t2["liver"] > t2["arterial blood"]
    for values in (bssfp, lge, t2):
        assert set(values) == set(TISSUES)
        assert values["air"] == 0


def test_rician_noise_has_the_mean_of_air_and_of_signal() -> None:
    rng = np.random.default_rng(0)
    sigma = 7.0
    air = add_rician_noise(np.zeros(400_000, np.float32), sigma, rng)
    assert air.mean() == pytest.approx(sigma * np.sqrt(np.pi / 2), rel=5e-3)
    bright = add_rician_noise(np.full(400_000, 500, np.float32), sigma, rng)
    assert bright.mean() == pytest.approx(np.sqrt(500**2 + sigma**2), rel=1e-3)
    assert bright.std() == pytest.approx(sigma, rel=1e-2)


def test_ct_noise_has_its_size_and_is_correlated_in_plane_only() -> None:
    noise = add_ct_noise(np.zeros((64, 64, 40), np.float32), 20.0, 0.8, np.random.default_rng(0))
    assert noise.std() == pytest.approx(20, rel=1e-3)
    assert np.corrcoef(noise[1:].ravel(), noise[:-1].ravel())[0, 1] > 0.5
    assert abs(np.corrcoef(noise[..., 1:].ravel(), noise[..., :-1].ravel())[0, 1]) < 0.03


# --- canvas ----------------------------------------------------------------------------------------------------------


def test_waves_on_a_grid_equal_a_plain_sum_and_are_standard() -> None:
    waves = Waves(np.random.default_rng(3), 20, 60, 16)
    affine = np.array([[1.5, 0.2, 0, -20], [0, 2, 0.3, 5], [0.1, 0, 4, 7], [0, 0, 0, 1.0]])
    field = waves.on((5, 4, 3), affine)
    for index in np.ndindex(5, 4, 3):
        point = affine[:3, :3] @ index + affine[:3, 3]
        expected = sum(
            np.cos(vector @ point + phase) for vector, phase in zip(waves.vectors, waves.phases, strict=True)
        ) * np.sqrt(2 / 16)
        assert field[index] == pytest.approx(expected, abs=1e-4)
    large = waves.on((80, 80, 80), np.diag([5.0, 5.0, 5.0, 1.0]))
    assert abs(large.mean()) < 0.05
    assert large.std() == pytest.approx(1, abs=0.05)


def test_distances_of_a_sphere_and_a_tube_are_exact() -> None:
    points = np.random.default_rng(0).normal(0, 20, (3, 200)).astype(np.float32)
    away = np.linalg.norm(points - np.array([[1.0], [2.0], [3.0]]), axis=0)
    np.testing.assert_allclose(ellipsoid(points, (1, 2, 3), (10, 10, 10)), np.maximum(away - 10, -10), atol=1e-3)
    beyond = np.maximum(np.abs(points[2]) - 15, 0)
    expected = np.sqrt(points[0] ** 2 + points[1] ** 2 + beyond**2) - 4
    np.testing.assert_allclose(tube(points, (0, 0, -15), (0, 0, 15), 4), expected, atol=1e-4)


def test_a_painted_sphere_keeps_its_volume_in_image_and_labels() -> None:
    affine = np.diag([-2.0, 2.0, 3.0, 1.0])
    affine[:3, 3] = (40, -40, -45)
    canvas = Canvas((41, 41, 31), affine, {"air": 0.0, "liver": 100.0}, 2.0)
    canvas.ellipsoid("liver", (3, -4, 2), (20, 20, 20), 1)
    volume = 4 / 3 * np.pi * 20**3
    assert canvas.image.sum() / 100 * 12 == pytest.approx(volume, rel=0.02)
    assert canvas.labels.sum() * 12 == pytest.approx(volume, rel=0.02)
    center = affine[:3, :3] @ np.argwhere(canvas.labels).mean(0) + affine[:3, 3]
    np.testing.assert_allclose(center, (3, -4, 2), atol=0.2)
    canvas.ellipsoid("liver", (500, 0, 0), (20, 20, 20), 1)  # outside: nothing happens
    assert canvas.labels.sum() * 12 == pytest.approx(volume, rel=0.02)


# --- the dataset -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def heart(whole_phantom: Dataset) -> Path:
    """Do not write into it."""
    return whole_phantom.cases[0].image.parent.parent


@pytest.fixture(scope="module")
def abdomen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("abdomen")
    write_phantom(folder, anatomy="abdomen", size="tiny", patients={"train": 2})
    return folder


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def volumes_ml(folder: Path) -> list[dict[str, float]]:
    dataset = read_dataset(folder)
    result = []
    for case in dataset.cases:
        image, label = nib.load(case.image), nib.load(str(case.label))
        assert image.shape == label.shape
        np.testing.assert_array_equal(image.affine, label.affine)
        values = np.asarray(label.dataobj)
        table = {value: names[0] for value, names in dataset.label_map_of(case).items()}
        assert set(np.unique(values).tolist()) <= set(table)
        voxel_ml = abs(np.linalg.det(label.affine[:3, :3])) / 1000
        result.append({name: float((values == value).sum() * voxel_ml) for value, name in table.items()})
    return result


def test_manifest_reads_back_and_no_patient_is_scanned_twice(heart: Path) -> None:
    dataset = read_dataset(heart)
    assert dataset.classes == ("background", "LV", "myo", "RV", "LA", "AA")
    assert list(dataset.modalities) == ["ct", "bssfp", "lge"]
    assert len({case.patient for case in dataset.cases}) == len(dataset.cases) == 12
    for modality in dataset.modalities:
        assert [len(dataset.of(modality, split)) for split in ("train", "validation", "test")] == [2, 1, 1]
    assert dataset.source_values("ct") == [0, 500, 205, 600, 420, 820]
    assert dataset.source_values("lge") == [0, 500, 200, 600, 420, 820]
    assert dataset.label_sets() == tuple((number,) for number in range(6))


def test_hearts_are_adults(heart: Path) -> None:
    cases = read_dataset(heart).cases
    for case, volumes in zip(cases, volumes_ml(heart), strict=True):
        for name, (low, high) in ADULT_ML.items():
            # A short-axis stack ends in the middle of the atrium and the aorta, as real ones do.
            cut = case.modality != "ct" and name in ("LA", "AA")
            assert (0.25 if cut else 1) * low < volumes[name] < high, (case.id, name, volumes)


def test_abdomens_are_adults(abdomen: Path) -> None:
    dataset = read_dataset(abdomen)
    assert dataset.source_values("t2") == [0, 63, 252, 189, 126]
    assert dataset.source_values("ct") == [0, 6, 1, 3, 2]
    for volumes in volumes_ml(abdomen):
        for name, (low, high) in ADULT_ORGANS_ML.items():
            assert low < volumes[name] < high, (name, volumes)


def test_organs_lie_where_the_affine_says(abdomen: Path, heart: Path) -> None:
    def center(dataset_folder: Path, case_id: str, name: str) -> np.ndarray:
        dataset = read_dataset(dataset_folder)
        case = dataset.case(case_id)
        label = nib.load(str(case.label))
        (value,) = [value for value, names in dataset.label_map_of(case).items() if names == (name,)]
        return label.affine[:3, :3] @ np.argwhere(np.asarray(label.dataobj) == value).mean(0) + label.affine[:3, 3]

    for case in read_dataset(abdomen).cases:
        right = {name: center(abdomen, case.id, name)[0] for name in ("liver", "spleen", "left kidney", "right kidney")}
        assert min(right["liver"], right["right kidney"]) > 20 > -20 > max(right["spleen"], right["left kidney"])
    for case in read_dataset(heart).cases:
        ventricle, right, aorta = (center(heart, case.id, name) for name in ("LV", "RV", "AA"))
        assert right[0] > ventricle[0] + 15, "the right ventricle is to the right"
        assert right[1] > ventricle[1] + 15, "and in front"
        assert aorta[2] > ventricle[2] + 25, "the ascending aorta is above"


def test_mr_stacks_are_oblique_and_ct_is_axial(heart: Path) -> None:
    codes = set()
    for case in read_dataset(heart).cases:
        affine = nib.load(case.image).affine
        directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
        np.testing.assert_allclose(directions.T @ directions, np.eye(3), atol=1e-6)
        assert (np.abs(directions).max(0) > 0.999).all() == (case.modality == "ct")
        codes.add("".join(nib.aff2axcodes(affine)))
    assert len(codes) > 1


def test_contrast_of_the_written_images(heart: Path) -> None:
    dataset = read_dataset(heart)
    for case in dataset.cases:
        image = np.asarray(nib.load(case.image).dataobj).astype(float)
        label = np.asarray(nib.load(str(case.label)).dataobj)
        table = {names[0]: value for value, names in dataset.label_map_of(case).items()}
        median = {name: np.median(image[label == value]) for name, value in table.items()}
        assert median["LV"] > 1.4 * median["myo"], case.id
        assert median["AA"] > 1.4 * median["myo"], case.id
        if case.modality == "lge":
            assert median["LV"] > 1.8 * median["myo"], case.id
        if case.modality == "ct":
            assert 60 < median["myo"] < 160
            assert 220 < median["LV"] < 460
            assert image.min() >= -1024
        else:
            assert image.min() >= 0


def test_scars_are_bright_and_in_the_myocardium() -> None:
    bright = []
    for number in range(1, 9):
        image, label, _ = simulate(Scan("heart", "lge", number, TINY, "axial", 0))
        blood = np.median(image[label == 500])
        bright.append(float((image[label == 200] > 0.8 * blood).mean()))
    assert max(bright) > 0.12, "some patients have an infarct"
    assert min(bright) < 0.08, "others have none"


def test_patients_differ(heart: Path) -> None:
    labels = [np.asarray(nib.load(str(case.label)).dataobj) for case in read_dataset(heart).of("lge")]
    for one, other in combinations(labels, 2):
        assert (one != other).mean() > 0.01


def test_same_arguments_same_bytes_whatever_the_workers(heart: Path, tmp_path: Path) -> None:
    write_phantom(tmp_path / "heart", size="tiny", modalities=["ct", "lge"], patients={"train": 1}, workers=2)
    write_phantom(tmp_path / "again", size="tiny", modalities=["ct", "lge"], patients={"train": 1})
    first, second = digests(tmp_path / "heart"), digests(tmp_path / "again")
    first.pop("dataset.json"), second.pop("dataset.json")
    assert first == second
    assert first["ct/ct001.nii.gz"] == digests(heart)["ct/ct001.nii.gz"], "one modality alone gives the same patients"


def test_a_phantom_goes_on_and_replaces_no_scan_of_a_patient(tmp_path: Path) -> None:
    options = {"size": "tiny", "modalities": ["bssfp"], "patients": {"train": 2}}
    write_phantom(tmp_path, **options)
    whole = digests(tmp_path)
    for name in ("dataset.json", "bssfp/bssfp001.nii.gz", "bssfp/bssfp002_label.nii.gz"):
        (tmp_path / name).unlink()
    write_phantom(tmp_path, **options)
    assert digests(tmp_path) == whole
    for name in ("dataset.json", "bssfp/bssfp001.nii.gz"):
        (tmp_path / name).unlink()
    moved = read_image(tmp_path / "bssfp/bssfp002.nii.gz")
    write_image(tmp_path / "moved.nii.gz", moved.array, moved.affine + 2 * np.eye(4, k=3))
    files = (tmp_path / "bssfp/bssfp002_label.nii.gz", tmp_path / "moved.nii.gz")
    for content in (b"a patient's", *[file.read_bytes() for file in files]):
        (tmp_path / "bssfp/bssfp002.nii.gz").write_bytes(content)
        before = digests(tmp_path)
        with pytest.raises(InputError, match=r"bssfp002\.nii\.gz is there and is another scan than the phantom's"):
            write_phantom(tmp_path, **options)
        assert digests(tmp_path) == before


def test_another_seed_gives_other_patients() -> None:
    one, other = (simulate(Scan("heart", "ct", 1, TINY, "axial", seed))[1] for seed in (0, 1))
    assert (one != other).any()


def test_short_axis_ct_cuts_the_ventricle_like_the_mr() -> None:
    _, _, axial = simulate(Scan("heart", "ct", 1, TINY, "axial", 0))
    image, label, oblique = simulate(Scan("heart", "ct", 1, TINY, "short_axis", 0))
    assert abs(axial[2, 2]) == pytest.approx(np.linalg.norm(axial[:3, 2]))
    assert abs(oblique[2, 2]) < 0.8 * np.linalg.norm(oblique[:3, 2])
    assert np.median(image[label == 500]) > np.median(image[label == 205])


def test_a_phantom_like_a_dataset_can_be_joined_with_it(heart: Path, tmp_path: Path) -> None:
    real = replace(
        read_dataset(heart),
        classes=("nothing", "rv", "LV", "scar", "myocardium"),
        modalities={"lge": Modality("zscore_slice"), "pet": Modality()},
        cases=(),
    )
    simulated = write_phantom(tmp_path / "mr", size="tiny", like=real, patients=["train=1"])
    assert simulated == read_dataset(tmp_path / "mr")
    assert simulated.classes == ("nothing", "rv", "LV", "myocardium"), "in the dataset's own words"
    assert simulated.modalities == {"lge": Modality("zscore_slice")}
    (case,) = simulated.cases
    known = simulated.label_map_of(case)
    whole = read_dataset(heart)
    for value, (name,) in whole.label_map_of(whole.of("lge")[0]).items():
        assert known[value] == ({"RV": "rv", "LV": "LV", "myo": "myocardium"}.get(name, "nothing"),)
    joined = join_datasets([real, simulated], "both")
    assert joined.classes == real.classes
    assert joined.cases[0].annotated == ("rv", "LV", "myocardium")


def test_spacing_can_be_chosen(tmp_path: Path) -> None:
    dataset = write_phantom(tmp_path, size="tiny", spacing_mm=5.0, modalities=["bssfp"], patients={"test": 1})
    header = nib.load(dataset.cases[0].image).header
    assert header.get_zooms()[0] == pytest.approx(5.0, rel=0.09)
    assert dataset.cases[0].split == "test"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"anatomy": "hart"}, "did you mean heart"),
        ({"modalities": ["t2"]}, "modality 't2'"),
        ({"modalities": ["ct", "ct"]}, "once each"),
        ({"modalities": []}, "at least one"),
        ({"patients": {"tain": 2}}, "did you mean train"),
        ({"patients": {"train": -1}}, "0 or more"),
        ({"patients": {"train": 0}}, "at least one patient"),
        ({"patients": ["train"]}, "expected each side once with a number, such as"),
        (
            {"like": Dataset("d", ("background", "liver"), {"ct": Modality()}, ())},
            "classes of a heart are LV, myo, RV, LA, AA; dataset d",
        ),
        ({"like": Dataset("d", ("background", "LV"), {"pet": Modality()}, ())}, "modalities of a heart are"),
        ({"like": Dataset("d", ("LV", "scar"), {"ct": Modality()}, ())}, "classes of a heart are"),
        ({"size": "huge"}, "size 'huge'"),
        ({"spacing_mm": 0.0}, "between 0.3 and 10"),
        ({"ct_plane": "coronal"}, "ct_plane"),
        ({"seed": -1}, "seed: expected a whole number of 0 or more, got -1"),
    ],
)
def test_bad_options_get_one_line(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        write_phantom(tmp_path / "none", **{"size": "tiny", **options})
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "none").exists()
