"""The MS-CMRSeg importer: the public layout, in one folder or several, complete or not."""

import os
from pathlib import Path

import pytest

from unpaired.data.dataset import Modality
from unpaired.data.importers.mscmrseg import import_mscmrseg
from unpaired.data.manifest import read_dataset, write_dataset
from unpaired.errors import InputError


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_reads_the_public_layout(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "bSSFP/patient2_C0.nii.gz",
        "bSSFP/patient2_C0_manual.nii.gz",
        "bSSFP/patient10_C0.nii.gz",
        "bSSFP/patient10_C0_manual.nii.gz",
        "LGE/patient2_LGE.nii.gz",
        "LGE/patient2_LGE_manual.nii.gz",
        "LGE/patient30_LGE.nii",
        "readme.txt",
        "LGE/patientX_LGE.nii.gz",
    )
    dataset = import_mscmrseg(tmp_path)
    assert [case.id for case in dataset.cases] == [
        "patient2_bssfp",
        "patient2_lge",
        "patient10_bssfp",
        "patient30_lge",
    ]
    assert [case.patient for case in dataset.cases] == ["patient2", "patient2", "patient10", "patient30"]
    assert dict(dataset.modalities) == {"bssfp": Modality("zscore_slice"), "lge": Modality("zscore_slice")}
    assert dataset.classes == ("background", "LV", "myo", "RV")
    assert dataset.source_values("lge") == [0, 500, 200, 600]
    assert dataset.case("patient30_lge").label is None
    assert dataset.case("patient2_lge").label == tmp_path.resolve() / "LGE/patient2_LGE_manual.nii.gz"
    assert all(case.split is None for case in dataset.cases)


def test_written_and_read_back_it_is_the_same(tmp_path: Path) -> None:
    touch(tmp_path, "data/patient1_C0.nii.gz", "data/patient1_C0_manual.nii.gz", "data/patient1_T2.nii.gz")
    dataset = import_mscmrseg(tmp_path / "data")
    assert list(dataset.modalities) == ["bssfp", "t2"]
    back = read_dataset(write_dataset(dataset, tmp_path / "data" / "out.json"))
    assert back == dataset


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "the folder is empty"),
        (["liver.nii.gz", "notes/a.txt"], "found liver.nii.gz, notes and no such name"),
        (["a/patient1_C0.nii.gz", "b/patient1_C0.nii.gz"], "second time"),
        (["patient1_C0.nii.gz", "patient2_LGE_manual.nii.gz"], "label map without its image patient2_LGE"),
    ],
)
def test_wrong_folders_get_one_line(tmp_path: Path, names: list[str], message: str) -> None:
    touch(tmp_path, *names)
    with pytest.raises(InputError, match=message) as caught:
        import_mscmrseg(tmp_path)
    assert "\n" not in str(caught.value)


def test_missing_folder_and_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found nothing"):
        import_mscmrseg(tmp_path / "none")
    touch(tmp_path, "file")
    with pytest.raises(InputError, match="found a file"):
        import_mscmrseg(tmp_path / "file")


@pytest.mark.skipif("UNPAIRED_DATA" not in os.environ, reason="needs the real scans that UNPAIRED_DATA names")
def test_real_scans() -> None:
    dataset = import_mscmrseg(Path(os.environ["UNPAIRED_DATA"]) / "ms-cmrseg")
    assert len(dataset.of("bssfp", labeled=True)) == 28
    assert len(dataset.of("lge", labeled=True)) == 36
    assert {case.patient for case in dataset.of("bssfp")} < {case.patient for case in dataset.of("lge")}
