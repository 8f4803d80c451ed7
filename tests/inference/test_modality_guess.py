"""What an image is where nobody says it: certain, in doubt, unreadable; by the values of a run's own scans."""

from pathlib import Path

import numpy as np
import pytest

from unpaired.data.dataset import Dataset
from unpaired.data.fingerprint import CaseFingerprint
from unpaired.data.image import Image
from unpaired.data.images import write_image
from unpaired.data.scan_values import scan_values
from unpaired.errors import InputError
from unpaired.inference.jobs import Job, plan
from unpaired.inference.modality_guess import with_modalities
from unpaired.recipes.phantom import csa
from unpaired.runs.fingerprint import write_fingerprint
from unpaired.runs.run import Run

AFFINE = np.diag([1.0, 1.0, 4.0, 1.0])
RNG = np.random.default_rng(0)


def ct() -> np.ndarray:
    values = RNG.normal(40, 30, size=(20, 20, 6))
    values[:, :6] = RNG.normal(-1000, 10, size=(20, 6, 6))
    return values.astype(np.int16)


def mr() -> np.ndarray:
    return RNG.uniform(0, 900, size=(20, 20, 6)).astype(np.int16)


@pytest.fixture
def run(phantom: Dataset, tmp_path: Path) -> Run:
    """A run that knows ct, bssfp and lge by two scans each."""
    run = Run.create(tmp_path / "run", csa(), phantom)
    scans = [(name, make) for name, make in (("ct", ct), ("bssfp", mr), ("lge", mr)) for _ in range(2)]
    write_fingerprint(
        run,
        {
            f"{name}_{number}": CaseFingerprint(name, "0", None, scan_values(Image(make(), AFFINE)))
            for number, (name, make) in enumerate(scans)
        },
    )
    return run


def jobs(folder: Path, **images: np.ndarray) -> list[Job]:
    for name, array in images.items():
        write_image(folder / "scans" / f"{name}.nii.gz", array, AFFINE)
    return plan(folder / "scans", folder / "out", "bssfp")


def test_a_ct_is_told_from_mr(run: Run, tmp_path: Path) -> None:
    said: list[str] = []
    decided = with_modalities(run, jobs(tmp_path, a=ct()), said.append)
    assert [job.modality for job in decided] == ["ct"]
    assert said[0].endswith(
        "a.nii.gz: ct, the only modality of the run that values and voxel sizes allow (--modality says it)"
    )
    (tmp_path / "scans" / "broken.nii.gz").write_bytes(b"no scan")  # predicting it says so
    decided = with_modalities(run, jobs(tmp_path, b=ct()), said.append)
    assert {job.name: job.modality for job in decided} == {"a": "ct", "b": "ct", "broken": "bssfp"}
    assert said[1].startswith("2 of 3 images: ct, ")


def test_what_may_be_several_or_none_is_asked(run: Run, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"^which modality\? .*a\.nii\.gz may be bssfp or lge; name it with --modality \(.*lge"
    ):
        with_modalities(run, jobs(tmp_path, a=mr(), b=ct()), print)
    write_image(tmp_path / "far" / "a.nii.gz", ct(), np.diag([9.0, 9.0, 40.0, 1.0]))
    with pytest.raises(InputError, match=r"a\.nii\.gz may be none of them"):
        with_modalities(run, plan(tmp_path / "far", tmp_path / "out", "ct"), print)


def test_mr_beside_ct_is_told_too_and_a_single_modality_needs_no_look(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Run, "modalities", ("ct", "lge"))
    assert [job.modality for job in with_modalities(run, jobs(tmp_path, a=mr(), b=ct()), lambda line: None)] == [
        "lge",
        "ct",
    ]
    monkeypatch.setattr(Run, "modalities", ("lge",))
    given = jobs(tmp_path, a=mr())
    assert with_modalities(run, given, print) == given
