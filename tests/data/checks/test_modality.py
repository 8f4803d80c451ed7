"""A CT given as MR and an MR given as CT are doubted; whatever could be of the modality is not."""

from dataclasses import replace

import numpy as np
import pytest

from unpaired.data.checks.modality import KnownModality, doubt, most_alike, unusual_spacing
from unpaired.data.dataset import Dataset, Modality
from unpaired.data.image import Image
from unpaired.data.images import read_image
from unpaired.data.scan_values import ScanValues, scan_values

CLIP = Modality(clip=(-175.0, 250.0))


def body(air: float, fat: float, tissue: float, noise: float, seed: int = 0, spacing: float = 1.0) -> ScanValues:
    """A ball of tissue with a shell of fat in air."""
    ahead = np.linspace(-1, 1, 32)
    radius = np.sqrt(sum(axis**2 for axis in np.meshgrid(ahead, ahead, ahead)))
    array = np.select([radius < 0.6, radius < 0.75], [tissue, fat], air)
    array = array + np.random.default_rng(seed).normal(0, noise, array.shape)
    return scan_values(Image(array.astype(np.float32), np.diag([spacing, spacing, spacing, 1.0])))


def ct(seed: int = 0) -> ScanValues:
    return body(-1000, -100, 50, 20, seed)


def mr(scale: float = 300, seed: int = 0) -> ScanValues:
    values = body(0.02, 0.9, 0.5, 0.01, seed)
    return rescaled(replace(values, lowest=0.0, percentiles=(0.0, *values.percentiles[1:])), scale)


def rescaled(scan: ScanValues, scale: float, shift: float = 0.0) -> ScanValues:
    """As if every value had been multiplied and shifted, where nothing falls below -20."""
    a, b, c, d, e = (max(0.0, value * scale + shift) for value in scan.percentiles)
    percentiles = (a, b, c, d, e)
    return replace(scan, highest=scan.highest * scale + shift, percentiles=percentiles, negative=0.0, air=0.0)


def run(
    cts: list[ScanValues], mrs: list[ScanValues], names: tuple[str, str] = ("ct", "mr")
) -> dict[str, KnownModality]:
    return {names[0]: KnownModality(names[0], CLIP, cts), names[1]: KnownModality(names[1], Modality(), mrs)}


def test_the_numbers_of_a_scan_are_those_of_its_array() -> None:
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4) * 100 - 1000
    values = scan_values(Image(array, np.diag([3.0, 1.0, 2.0, 1.0])))
    assert (values.lowest, values.highest) == (-1000, 1300)
    assert values.percentiles == tuple(np.percentile(array, (0.5, 5, 50, 95, 99.5)))
    assert values.at_lowest == 1 / 24
    assert values.air == 6 / 24  # -1000, -900, ... -500
    assert values.negative == 10 / 24
    assert values.spacing_mm == (1, 2, 3)
    assert values.extent_mm == (3, 8, 6)


def test_a_large_scan_is_sampled_evenly() -> None:
    array = np.full((200, 200, 30), -1000, np.int16)
    array[100:] = 40
    values = scan_values(Image(array, np.eye(4)))
    assert values.air == pytest.approx(0.5, abs=0.01)
    array[7, 7, 7] = -2000
    assert scan_values(Image(array, np.eye(4))).lowest == -2000


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("names", [("ct", "mr"), ("a", "b")])
def test_each_given_as_the_other_is_doubted(count: int, names: tuple[str, str]) -> None:
    known = run([ct(seed) for seed in range(count)], [mr(seed=seed) for seed in range(count)], names)
    said = doubt(ct(9), names[1], known)
    assert said is not None
    assert "below -500, as air in CT does" in said
    assert f"none of the {count} {names[1]} scans in training" in said
    said = doubt(mr(seed=9), names[0], known)
    assert said is not None
    assert f"every one of the {count} {names[0]} scans in training has" in said
    assert doubt(ct(9), names[0], known) is None
    assert doubt(mr(seed=9), names[1], known) is None


@pytest.mark.parametrize("scale", [0.001, 1, 5000, 60000])
def test_another_scale_is_no_reason(scale: float) -> None:
    """Scanners and exporters scale MR as they like, and z-scores don't care."""
    assert doubt(mr(scale), "mr", run([ct()], [mr(300), mr(320)])) is None


def test_a_ct_without_air_around_it_may_be_one() -> None:
    """A tight crop has fat, if no air."""
    crop = replace(ct(), lowest=-130, percentiles=(-120, -100, 40, 80, 120), air=0.0, negative=0.3)
    assert doubt(crop, "ct", run([ct()], [mr()])) is None
    assert doubt(ct(), "ct", run([crop], [mr()])) is None
    said = doubt(crop, "mr", run([crop, crop], [mr()]))
    assert said is not None
    assert "as in ct" in said


def test_what_the_modality_itself_has_is_no_reason() -> None:
    """Phase images and differences have negative values everywhere."""
    phase = body(-2000, 100, 1000, 50)
    assert doubt(ct(), "phase", {"phase": KnownModality("phase", Modality(), [phase])}) is None
    assert doubt(phase, "phase", run([ct()], [phase], ("ct", "phase"))) is None


def test_a_ct_that_was_scaled_to_nothing_is_doubted() -> None:
    known = {"ct": KnownModality("ct", CLIP, [ct()])}
    small = replace(ct(), lowest=-1.0, highest=0.5, percentiles=(-1.0, -1.0, -0.1, 0.05, 0.06), air=0.0, negative=0.01)
    said = doubt(small, "ct", known)
    assert said is not None
    assert "window -175..250 of ct leaves next to nothing" in said


def test_without_known_scans_names_and_windows_decide() -> None:
    known = run([], [])
    assert "no MR has any" in (doubt(ct(), "mr", known) or "")
    assert "that a CT has" in (doubt(mr(), "ct", known) or "")
    strange = {"target": KnownModality("target", Modality(), []), "source": KnownModality("source", Modality(), [])}
    assert doubt(ct(), "target", strange) is None
    assert doubt(mr(), "source", strange) is None
    pictures = {"ct": KnownModality("ct", Modality(), [])}  # trained on gray levels, who knows: there is no window
    assert doubt(mr(), "ct", pictures) is None
    assert doubt(mr(0.001), "ct", known) is None


@pytest.mark.parametrize("name", ["ct", "cta", "cbct", "ct-contrast", "liver_ct", "ncct"])
def test_names_of_ct(name: str) -> None:
    assert KnownModality(name, CLIP, []).is_called_ct
    assert not KnownModality(name, CLIP, []).is_called_mr


@pytest.mark.parametrize("name", ["mr", "mri", "t1", "t1-in", "t2", "bssfp", "lge", "flair", "dce-mr"])
def test_names_of_mr(name: str) -> None:
    assert KnownModality(name, Modality(), []).is_called_mr
    assert not KnownModality(name, Modality(), []).is_called_ct


def test_only_the_kind_of_most_scans_speaks_for_a_modality() -> None:
    assert most_alike([]) == []
    assert most_alike([ct(), mr()]) == []
    scans = [mr(seed=1), ct(), mr(seed=2)]
    assert most_alike(scans) == [scans[0], scans[2]]


def test_voxels_of_another_size_are_worth_a_word() -> None:
    own = KnownModality("mr", Modality(), [mr()])
    assert unusual_spacing(mr(), own) is None
    said = unusual_spacing(replace(mr(), spacing_mm=(1.0, 1.0, 8.0)), own)
    assert said == "its voxels of 1 x 1 x 8 mm are far from those of mr in training (1 x 1 x 1 mm)"


def test_no_scan_of_the_phantom_is_doubted_and_each_ct_is_told(phantom: Dataset) -> None:
    """Every case against the others of its modality, as a run with and without many scans would know them."""
    scans = {case.id: scan_values(read_image(case.image)) for case in phantom.cases}
    for case in phantom.cases:
        for kept in (1, 3):
            known = {
                name: KnownModality(
                    name, options, [scans[each.id] for each in phantom.of(name) if each.id != case.id][:kept]
                )
                for name, options in phantom.modalities.items()
            }
            for name in phantom.modalities:
                wrong = (case.modality == "ct") != (name == "ct")
                assert (doubt(scans[case.id], name, known) is not None) == wrong, (case.id, name)
