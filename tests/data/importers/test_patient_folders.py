"""A folder a patient, or a modality: who and what a scan is, told by names alone, or asked for in one line."""

from pathlib import Path
from typing import Any

import pytest

from unpaired.cli import main
from unpaired.data.importers.catalog import import_dataset
from unpaired.errors import InputError

CLASSES = {1: "liver"}


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        file = folder / (name if "." in name else f"{name}.nii.gz")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return folder


def imported(folder: Path, **options: Any) -> tuple[str, list[tuple[str, str, str, str | None]]]:
    """The layout, and (id, patient, modality, label's path below the folder) of each case."""
    result = import_dataset(folder, folder.parent / "m.json", **{"classes": CLASSES, **options})
    rows = []
    for case in result.dataset.cases:
        label = None if case.label is None else case.label.relative_to(folder).as_posix().removesuffix(".nii.gz")
        rows.append((case.id, case.patient, case.modality, label))
    return result.layout, rows


TREES = {
    "scans called by their modality": (
        ["P1/LGE", "P1/LGE_seg", "P1/bSSFP", "P2/LGE", "P3/bSSFP", "P3/labels/bSSFP"],
        [
            ("P1_lge", "P1", "lge", "P1/LGE_seg"),
            ("P1_bssfp", "P1", "bssfp", None),
            ("P2_lge", "P2", "lge", None),
            ("P3_bssfp", "P3", "bssfp", "P3/labels/bSSFP"),
        ],
    ),
    "the patient in both, label maps that say no more than that": (
        ["p01/p01_ct", "p01/p01_seg", "p02/p02_T2_tra", "p02/mask", "p03/p03_ct"],
        [
            ("p01_ct", "p01", "ct", "p01/p01_seg"),
            ("p02_t2", "p02", "t2", "p02/mask"),
            ("p03_ct", "p03", "ct", None),
        ],
    ),
    "sessions, dates and series numbers": (
        ["all/a_ses-1/2020/CT/s3", "all/a_ses-2/2021/CT/s9", "all/b/2020/MR_T2/s1", "all/b/2020/MR_T2/seg"],
        [
            ("a_ses-1_ct", "a", "ct", None),
            ("a_ses-2_ct", "a", "ct", None),
            ("b_t2", "b", "t2", "all/b/2020/MR_T2/seg"),
        ],
    ),
    "two of one word are told apart by their names": (
        ["a/T1", "a/T1_post", "b/T1", "b/T1_post", "b/T1_post_seg"],
        [
            ("a_t1", "a", "t1", None),
            ("a_t1_post", "a", "t1_post", None),
            ("b_t1", "b", "t1", None),
            ("b_t1_post", "b", "t1_post", "b/T1_post_seg"),
        ],
    ),
    "no word of a modality": (
        ["a/venous", "a/arterial", "b/venous", "b/arterial", "c/venous", "c/venous_label"],
        [
            ("a_arterial", "a", "arterial", None),
            ("a_venous", "a", "venous", None),
            ("b_arterial", "b", "arterial", None),
            ("b_venous", "b", "venous", None),
            ("c_venous", "c", "venous", "c/venous_label"),
        ],
    ),
    "a patient who is called as a modality is": (
        ["C0/ct", "C1/ct", "C2/mr", "C2/mr_seg"],
        [("C0_ct", "C0", "ct", None), ("C1_ct", "C1", "ct", None), ("C2_mr", "C2", "mr", "C2/mr_seg")],
    ),
    "two scans of a modality": (
        ["train/a/ct_1", "train/a/ct_2", "test/b/mr_1"],
        [("a_ct_1", "a", "ct", None), ("a_ct_2", "a", "ct", None), ("b_mr", "b", "mr", None)],
    ),
}


@pytest.mark.parametrize("name", TREES)
def test_a_folder_for_each_patient(name: str, tmp_path: Path) -> None:
    files, expected = TREES[name]
    layout, rows = imported(touch(tmp_path / "d", *files))
    assert layout == "patients"
    assert sorted(rows) == sorted(expected)


def test_a_folder_for_each_modality(tmp_path: Path) -> None:
    layout, rows = imported(touch(tmp_path / "a", "venous/p1", "venous/p2", "venous/p3", "arterial/p1", "arterial/p2"))
    assert layout == "folders"
    assert {(patient, modality) for _, patient, modality, _ in rows} >= {("p1", "venous"), ("p1", "arterial")}
    layout, rows = imported(
        touch(tmp_path / "b", "ct/p1/image", "ct/p1/label", "ct/p2/image", "mr/p3/2020/mr", "mr/p4/mr")
    )
    assert (layout, rows) == (
        "folders",
        [
            ("p1", "p1", "ct", "ct/p1/label"),
            ("p2", "p2", "ct", None),
            ("p3_2020_mr", "p3", "mr", None),
            ("p4_mr", "p4", "mr", None),
        ],
    )
    with pytest.raises(InputError, match="would both be the case"):
        imported(touch(tmp_path / "c", "ct/p1", "ct/more/p1", "mr/p2"))


SITES = [f"site{site}/p{number}_ct" for site in "AB" for number in range(5)]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            SITES,
            r"\(siteA, siteB\) aren't called after modalities; say where these stand, such as --modality-from '\(ct\)'",
        ),
        ([f"p{n}/s{n}" for n in range(9)], "if folders are patients, say unpaired import patients"),
        (["a/ct", "a/liver", "b/ct", "b/spleen"], r"\(a, b\) aren't called after modalities"),
        (["a/ct", "a/mr", "a/seg", "b/ct"], "a label map of ct or mr. call it after its scan, such as ct_seg.nii.gz"),
        (["a/ct", "b/ct", "b/mr_seg"], "no scan 'mr' lies beside it"),
        (
            ["a/image", "b/image"],
            r"a/image.nii.gz: its name doesn't say which modality it is; say it by --modality-from",
        ),
        (
            ["a/ct", "a/liver", "b/ct", "b/liver"],
            "liver.nii.gz: its name doesn't say .* call a label map after its scan",
        ),
    ],
)
def test_what_names_dont_tell_is_asked_for_in_one_line(files: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message) as caught:
        imported(touch(tmp_path / "d", *files))
    assert "\n" not in str(caught.value)


def test_a_person_says_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = touch(tmp_path / "d", "a/image", "b/image", "b/image_seg")
    assert imported(folder, modalities=["ct"])[1] == [("a_ct", "a", "ct", None), ("b_ct", "b", "ct", "b/image_seg")]
    folder = touch(tmp_path / "e", *(f"p{n}/{'ct' if n % 2 else 'mr'}s{n}" for n in range(9)))
    _, rows = imported(folder, layout="patients", modality_from="(ct|mr)s")
    assert rows[:2] == [("p0_mr", "p0", "mr", None), ("p1_ct", "p1", "ct", None)]
    folder = touch(tmp_path / "f", "a/ct", "a/liver", "b/ct", "b/liver")
    assert [row[0] for row in imported(folder, modalities=["ct"])[1]] == ["a_ct", "b_ct"]
    arguments = ["import", "auto", str(folder), str(tmp_path / "m.json"), "--classes", "1:x", "--modalities", "ct"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "patients: a folder for each of 2 patients, with scans such as ct, liver" in printed
    assert "a patient is a folder's name without its session" in printed
    with pytest.raises(InputError, match="expected a folder for each patient"):
        imported(touch(tmp_path / "g", "x"), layout="patients")
