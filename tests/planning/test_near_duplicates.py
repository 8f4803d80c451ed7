"""One scan under two patients' names: found rescaled, noisy, cropped and coarser; others are not."""

from pathlib import Path

import numpy as np
import pytest

from unpaired import inspect_dataset
from unpaired.cli import main
from unpaired.data.dataset import CaseEntry, Dataset, Modality
from unpaired.data.images import write_image
from unpaired.data.manifest import write_dataset
from unpaired.planning import near_duplicates
from unpaired.planning.case_facts import block_means
from unpaired.planning.near_duplicates import Alike


def body(middle: tuple[float, float], organ: tuple[float, float]) -> np.ndarray:
    """A bright ellipse with a dark organ, each at a place of the patient's own; 64 x 64 x 16 voxels (x, y, z)."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, count) for count in (64, 64, 16)), indexing="ij")
    trunk = ((x - middle[0]) ** 2 + (1.5 * (y - middle[1])) ** 2 < 0.5) * (1.0 - 0.2 * z)
    dark = (x - organ[0]) ** 2 + (y - organ[1]) ** 2 + z**2 < 0.1
    return (trunk - 0.8 * (trunk > 0) * dark).astype(np.float32)


@pytest.fixture
def study(tmp_path: Path) -> Dataset:
    """Of patient p1 a scan, and the same one in other forms under other names; two other people, and p1 once more."""
    first = body((0.0, 0.0), (0.4, 0.1))
    noise = np.random.default_rng(0).normal(size=first.shape).astype(np.float32)
    scans = {
        "p1_scan": first,
        "p2_rescaled": 300 * first + 7,
        "p3_noisy": first + 0.1 * noise,
        "p4_cropped": first[1:-1, 1:-1],
        "p5_coarse": first.reshape(32, 2, 32, 2, 16).mean(axis=(1, 3)),
        "p6_other": body((0.15, 0.0), (-0.4, 0.0)),
        "p7_other": body((-0.1, 0.15), (0.0, -0.2)),
        "p1_again": first,
    }
    for name, array in scans.items():
        write_image(tmp_path / f"{name}.nii.gz", array, np.diag([2.0, 2.0, 5.0, 1.0]))
    cases = [CaseEntry(name, name.split("_")[0], "mr", tmp_path / f"{name}.nii.gz") for name in scans]
    cases.append(CaseEntry("of_ct", "p9", "ct", tmp_path / "p1_scan.nii.gz"))
    return Dataset("study", ("background", "organ"), {"mr": Modality(), "ct": Modality()}, tuple(cases))


def test_pairs_of_different_patients_are_found(study: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    alike = inspect_dataset(study).alike
    same = ["p1_scan", "p2_rescaled", "p3_noisy", "p4_cropped", "p5_coarse", "p1_again"]
    expected = {(a, b) for place, a in enumerate(same) for b in same[place + 1 :] if {a, b} != {"p1_scan", "p1_again"}}
    assert {(pair.first, pair.second) for pair in alike} == expected
    assert Alike("p1_scan", "p2_rescaled", 1.0) in alike
    monkeypatch.setattr(near_duplicates, "ROWS", 3)
    assert inspect_dataset(study).alike == alike


def test_a_person_is_told(study: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = write_dataset(study, tmp_path / "data.json")
    assert main(["inspect", str(manifest), "--page", str(tmp_path / "page.html"), "--workers", "1"]) == 0
    line = "p1_scan (patient p1) and p2_rescaled (patient p2) look like one scan (correlation 1.000); if they are, drop"
    assert f"warning: {line}" in capsys.readouterr().out
    assert line in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_block_means_by_hand() -> None:
    volume = np.arange(2 * 20 * 3, dtype=np.int16).reshape(2, 20, 3)
    means = block_means(volume)
    assert means.shape == (2, 16, 3)
    starts = [place * 20 // 16 for place in range(17)]
    for row in range(16):
        expected = volume[:, starts[row] : starts[row + 1]].mean(axis=1)
        np.testing.assert_allclose(means[:, row], expected)
