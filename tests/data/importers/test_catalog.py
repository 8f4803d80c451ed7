"""Every layout of `unpaired import`, in the smallest folder that has it: recognized, read, written, and refused."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import nibabel as nib
import numpy as np
import pytest

import unpaired
from unpaired.cli import main
from unpaired.commands.arguments import Layout
from unpaired.data.dataset import Modality
from unpaired.data.images import read_image, write_image
from unpaired.data.importers import catalog
from unpaired.data.importers.catalog import AUTO, LAYOUTS, OTHER_NAMES, import_dataset, recognize_layout
from unpaired.data.importers.listing import list_files
from unpaired.errors import InputError

LIVER = {"background": 0, "liver": 1}


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def describe(path: Path, **description: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(description), encoding="utf-8")


def label_map(path: Path, *values: int) -> None:
    array = np.zeros((4, 4, 2), np.uint8)
    array.flat[: len(values)] = values
    write_image(path, array, np.eye(4))


def nnunet(folder: Path) -> Path:
    describe(
        folder / "dataset.json", channel_names={"0": "CT"}, labels=LIVER, file_ending=".nii.gz", licence="CC BY 4.0"
    )
    touch(folder, "imagesTr/a_0000.nii.gz", "imagesTr/b_0000.nii.gz", "labelsTr/a.nii.gz")
    return touch(folder, "imagesTs/c_0000.nii.gz", "imagesTs/d_0000.nii.gz", "labelsTs/c.nii.gz")


def decathlon(folder: Path) -> Path:
    describe(
        folder / "dataset.json",
        name="Heart",
        modality={"0": "MRI"},
        labels={"0": "background", "1": "left atrium"},
        training=[{"image": "./imagesTr/la_1.nii.gz", "label": "./labelsTr/la_1.nii.gz"}],
        test=["./imagesTs/la_2.nii.gz"],
    )
    return touch(folder, "imagesTr/la_1.nii.gz", "labelsTr/la_1.nii.gz", "imagesTs/la_2.nii.gz")


def bids(folder: Path) -> Path:
    describe(folder / "dataset_description.json", Name="Knees", License="CC0")
    touch(folder, "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz", "sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz")
    touch(
        folder, "sub-02/anat/sub-02_T1w.nii.gz", "sub-02/anat/sub-02_ce-gd_T1w.nii.gz", "sub-02/func/sub-02_bold.nii.gz"
    )
    manual = folder / "derivatives" / "manual"
    touch(manual, "sub-01/ses-2/anat/sub-01_ses-2_dseg.nii.gz", "sub-02/anat/sub-02_T1w_label-liver_seg.nii.gz")
    (manual / "dseg.tsv").write_text("index\tname\n0\tbackground\n1\tliver\n", encoding="utf-8")
    (folder / "participants.tsv").write_text("participant_id\tsplit\nsub-01\ttrain\nsub-02\tother\n", encoding="utf-8")
    return folder


def structures(folder: Path) -> Path:
    (folder / "s1" / "segmentations").mkdir(parents=True)
    touch(folder, "s1/ct.nii.gz", "s2/mri.nii.gz")
    label_map(folder / "s1" / "segmentations" / "liver.nii.gz", 1, 1, 0)
    label_map(folder / "s1" / "segmentations" / "spleen.nii.gz", 0, 1, 1)
    label_map(folder / "s2" / "segmentations" / "liver.nii.gz", 0, 0, 0, 1)
    (folder / "meta.csv").write_text("image_id;age;split\ns1;60;train\ns2;50;val\n", encoding="utf-8")
    return folder


def modality_folders(folder: Path) -> Path:
    touch(folder, "CT/p1.nii.gz", "CT/p2.nii.gz", "mr/images/p1_ses-1.nii.gz", "mr/images/p3.nii.gz")
    label_map(folder / "CT" / "p1_seg.nii.gz", 1, 2)
    label_map(folder / "mr" / "labels" / "p3.nii.gz", 2)
    return folder


def table(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cases.csv").write_text("patient,modality,image\np1,ct,a.nii.gz\n", encoding="utf-8")
    describe(folder / "cases.json", classes=["background", "liver"])
    return folder / "cases.csv"


FOLDERS: dict[str, Callable[[Path], Path]] = {
    "nnunet": nnunet,
    "datalist": decathlon,
    "bids": bids,
    "totalsegmentator": structures,
    "patients": lambda folder: touch(folder, "p1/ct.nii.gz", "p1/ct_seg.nii.gz", "p2/mr.nii.gz"),
    "folders": modality_folders,
    "table": table,
    "mscmrseg": lambda folder: touch(folder, "a/patient1_C0.nii.gz", "a/patient1_C0_manual.nii.gz"),
    "mmwhs": lambda folder: touch(folder, "ct_train_1001_image.nii.gz", "ct_train_1001_label.nii.gz"),
    "chaos": lambda folder: touch(folder, "Train_Sets/MR/1/T2SPIR/DICOM_anon/IMG-0001.dcm"),
    "amos": lambda folder: touch(folder, "imagesTr/amos_0001.nii.gz", "labelsTr/amos_0001.nii.gz"),
    "btcv": lambda folder: touch(folder, "img/img0001.nii.gz", "label/label0001.nii.gz"),
    "dicom": lambda folder: touch(folder, "study/series/IM0001.dcm", "study/seg.dcm"),
}


def test_every_layout_is_recognized(tmp_path: Path) -> None:
    assert set(FOLDERS) == {layout.name for layout in LAYOUTS}
    for name, make in FOLDERS.items():
        layout, reason = recognize_layout(make(tmp_path / name))
        assert layout.name == name, reason
        assert reason


def test_the_command_offers_every_layout() -> None:
    assert set(get_args(get_args(Layout)[0])) == {AUTO, *(layout.name for layout in LAYOUTS), *OTHER_NAMES}


def test_layouts_have_the_names_that_people_give_them(tmp_path: Path) -> None:
    folder = decathlon(tmp_path / "d")
    for name in OTHER_NAMES:
        assert import_dataset(folder, tmp_path / "m.json", name).layout == "datalist"


def test_nnunet(tmp_path: Path) -> None:
    dataset = import_dataset(nnunet(tmp_path / "Dataset001_Liver"), tmp_path / "d.json").dataset
    assert dataset.name == "Dataset001_Liver"
    assert dataset.classes == ("background", "liver")
    assert dataset.about == "CC BY 4.0"
    assert dataset.modalities == {"ct": Modality("minmax", clip=(-1000.0, 1000.0))}
    assert [(case.id, case.label is not None, case.split) for case in dataset.cases] == [
        ("a", True, None),
        ("b", False, None),
        ("c", True, "test"),
        ("d", False, None),
    ]
    assert unpaired.read_dataset(tmp_path / "d.json") == dataset


def test_channels_of_nnunet_are_modalities_of_one_patient(tmp_path: Path) -> None:
    describe(
        tmp_path / "d" / "dataset.json", modality={"0": "FLAIR", "1": "T1 ce"}, labels={"0": "background", "1": "x"}
    )
    touch(tmp_path / "d", *(f"imagesTr/p_1_000{channel}.nii.gz" for channel in (0, 1)), "labelsTr/p_1.nii.gz")
    cases = import_dataset(tmp_path / "d", tmp_path / "m.json").dataset.cases
    assert [(case.id, case.patient, case.modality) for case in cases] == [
        ("p_1_flair", "p_1", "flair"),
        ("p_1_t1-ce", "p_1", "t1-ce"),
    ]
    assert cases[0].label == cases[1].label


def test_several_datasets_of_nnunet_are_joined(tmp_path: Path) -> None:
    nnunet(tmp_path / "raw" / "Dataset001_CT")
    describe(
        tmp_path / "raw" / "Dataset002_MR" / "dataset.json",
        channel_names={"0": "MR"},
        labels={"background": 0, "spleen": 1},
    )
    touch(tmp_path / "raw" / "Dataset002_MR", "imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz")
    dataset = import_dataset(tmp_path / "raw", tmp_path / "m.json").dataset
    assert dataset.classes == ("background", "liver", "spleen")
    assert list(dataset.modalities) == ["ct", "mr"]
    ids = [case.id for case in dataset.cases]
    assert ids == ["Dataset001_CT_a", "b", "c", "d", "Dataset002_MR_a"]
    assert dataset.case("Dataset002_MR_a").annotated == ("spleen",)
    assert dataset.label_map_of(dataset.case("Dataset002_MR_a"))[1] == ("spleen",)


def test_the_table_of_nnunet_says_where_files_are(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    describe(
        folder / "dataset.json",
        channel_names={"0": "MR"},
        labels=LIVER,
        dataset={"one": {"images": ["../scans/x.nii.gz"], "label": "../scans/y.nii.gz"}},
    )
    touch(folder, "imagesTr/x_0000.nii.gz")
    (case,) = import_dataset(folder, tmp_path / "m.json").dataset.cases
    assert (case.id, case.image) == ("one", (tmp_path / "scans" / "x.nii.gz").resolve())


def test_decathlon(tmp_path: Path) -> None:
    dataset = import_dataset(decathlon(tmp_path / "d"), tmp_path / "m.json").dataset
    assert (dataset.name, dataset.classes) == ("Heart", ("background", "left atrium"))
    assert [(case.id, case.modality, case.label is not None, case.split) for case in dataset.cases] == [
        ("la_1", "mri", True, None),
        ("la_2", "mri", False, None),
    ]


def test_a_datalist_whose_entries_say_modality_and_patient(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    entries = [
        {"image": "a.nii.gz", "label": "b.nii.gz", "modality": "CT", "patient": "p1", "fold": 2},
        {"image": "c_ses-2.nii.gz", "modality": "T2"},
    ]
    describe(path, labels=["background", "liver"], training=entries, validation=[{**entries[0], "image": "v.nii.gz"}])
    dataset = import_dataset(path, tmp_path / "m.json").dataset
    assert [(case.id, case.patient, case.modality, case.fold, case.split) for case in dataset.cases] == [
        ("a", "p1", "ct", 2, None),
        ("c_ses-2", "c", "t2", None, None),
        ("v", "p1", "ct", 2, "validation"),
    ]


def test_a_datalist_counts_patients_and_folds_from_0_and_as_text(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    entries = [{"image": f"{name}.nii.gz", "modality": "CT", "patient": 0, "fold": fold} for name, fold in ("a0", "b1")]
    describe(path, labels=["background", "liver"], training=entries)
    cases = import_dataset(path, tmp_path / "m.json").dataset.cases
    assert [(case.id, case.patient, case.fold) for case in cases] == [("a", "0", 0), ("b", "0", 1)]
    for wrong in ("x", 1.5, True, [1]):
        describe(path, labels=["background", "liver"], training=[{**entries[0], "fold": wrong}])
        with pytest.raises(InputError, match=r"training\[0\]: expected a whole number as fold, got"):
            import_dataset(path, tmp_path / "n.json")
    describe(path, labels=["background", "liver"], training=[entries[0]], validation=[entries[0]])
    with pytest.raises(InputError, match=r"a.nii.gz is listed twice, as the case 'a'; take one out"):
        import_dataset(path, tmp_path / "n.json")


def test_a_datalist_says_which_scans_are_simulated(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    entries = [{"image": f"{name}.nii.gz", "label": "b.nii.gz", "modality": "CT"} for name in "ac"]
    describe(path, labels=["background", "liver"], training=[entries[0], {**entries[1], "simulated": True}])
    assert [case.simulated for case in import_dataset(path, tmp_path / "m.json").dataset.cases] == [False, True]
    describe(path, labels=["background", "liver"], training=[{**entries[1], "simulated": "false"}])
    with pytest.raises(InputError, match="simulated must be true or false, got 'false'"):
        import_dataset(path, tmp_path / "n.json")


def test_channels_of_a_4d_scan_become_files(tmp_path: Path) -> None:
    array = np.arange(2 * 3 * 4 * 2, dtype=np.int16).reshape(2, 3, 4, 2)
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    nib.Nifti1Image(array, affine).to_filename(tmp_path / "brats.nii.gz")
    path = tmp_path / "list.json"
    training = [{"image": "brats.nii.gz"}]
    describe(path, labels=LIVER, modality={"0": "FLAIR", "1": "T1w"}, training=training)
    dataset = import_dataset(path, tmp_path / "out" / "m.json").dataset
    assert [(case.id, case.modality, case.patient) for case in dataset.cases] == [
        ("brats_flair", "flair", "brats"),
        ("brats_t1w", "t1w", "brats"),
    ]
    for channel, case in enumerate(dataset.cases):
        assert case.image.parent == (tmp_path / "out" / "m").resolve()
        image = read_image(case.image)
        np.testing.assert_array_equal(image.array, array[..., channel])
        np.testing.assert_allclose(image.affine, affine)
    describe(path, labels=LIVER, modality={"0": "T1w", "1": "FLAIR"}, training=training)
    swapped = import_dataset(path, tmp_path / "out" / "m.json").dataset
    np.testing.assert_array_equal(read_image(swapped.case("brats_t1w").image).array, array[..., 0])
    describe(path, labels=LIVER, modality={"0": "a", "1": "b", "2": "c"}, training=training)
    with pytest.raises(InputError, match="expected 3 channels"):
        import_dataset(path, tmp_path / "out2" / "m.json")


def test_bids(tmp_path: Path) -> None:
    dataset = import_dataset(bids(tmp_path / "d"), tmp_path / "m.json").dataset
    assert (dataset.name, dataset.about, dataset.classes) == ("Knees", "CC0", ("background", "liver"))
    assert [(case.id, case.patient, case.modality, case.label is not None, case.split) for case in dataset.cases] == [
        ("sub-01_ses-1_T1w", "sub-01", "t1w", False, "train"),
        ("sub-01_ses-2_T1w", "sub-01", "t1w", True, "train"),
        ("sub-02_T1w", "sub-02", "t1w", True, None),
        ("sub-02_ce-gd_T1w", "sub-02", "t1w-ce", False, None),
    ]


def test_a_label_map_of_bids_that_fits_two_scans_is_refused(tmp_path: Path) -> None:
    folder = touch(tmp_path, "sub-1/anat/sub-1_T1w.nii.gz", "sub-1/anat/sub-1_T2w.nii.gz")
    touch(folder, "derivatives/x/sub-1/anat/sub-1_dseg.nii.gz")
    with pytest.raises(InputError, match=r"fits sub-1_T1w.nii.gz and sub-1_T2w.nii.gz"):
        import_dataset(folder, tmp_path / "m.json", classes={1: "liver"})


def test_structures_of_one_file_each(tmp_path: Path) -> None:
    dataset = import_dataset(structures(tmp_path / "d"), tmp_path / "m.json").dataset
    assert dataset.classes == ("background", "liver", "spleen")
    first, second = dataset.cases
    assert (first.modality, first.split, first.annotated) == ("ct", "train", None)
    assert (second.modality, second.split, second.annotated) == ("mr", "validation", ("liver",))
    assert first.label is not None
    assert read_image(first.label).array.flat[:3].tolist() == [1, 2, 2]  # where they overlap, the later one
    written = first.label.stat().st_mtime_ns
    import_dataset(tmp_path / "d", tmp_path / "m.json")
    assert first.label.stat().st_mtime_ns == written
    some = import_dataset(tmp_path / "d", tmp_path / "m.json", classes={5: "spleen"}).dataset
    assert some.classes == ("background", "spleen")
    assert [case.label is None for case in some.cases] == [False, True]
    assert some.cases[0].label is not None
    assert read_image(some.cases[0].label).array.flat[:3].tolist() == [0, 5, 5]
    with pytest.raises(InputError, match="no subject has a structure 'lver'; did you mean liver"):
        import_dataset(tmp_path / "d", tmp_path / "m.json", classes={1: "lver"})


def test_a_folder_for_each_modality(tmp_path: Path) -> None:
    folder = modality_folders(tmp_path / "d")
    with pytest.raises(InputError, match=r"hold the values 0, 1, 2; name the classes: --classes 1:NAME,2:NAME"):
        import_dataset(folder, tmp_path / "m.json")
    dataset = import_dataset(folder, tmp_path / "m.json", classes={1: "liver", 2: "spleen"}).dataset
    assert [(case.id, case.patient, case.modality, case.label and case.label.name) for case in dataset.cases] == [
        ("p1", "p1", "ct", "p1_seg.nii.gz"),
        ("p2", "p2", "ct", None),
        ("p1_ses-1", "p1", "mr", None),
        ("p3", "p3", "mr", "p3.nii.gz"),
    ]


def test_scans_in_no_modality_s_folder(tmp_path: Path) -> None:
    folder = touch(tmp_path / "d", "a_ct.nii.gz", "b_mr.nii.gz")
    with pytest.raises(InputError, match=r"--modality-from '\(ct\|mr\)'"):
        import_dataset(folder, tmp_path / "m.json", classes={1: "liver"})
    cases = import_dataset(
        folder, tmp_path / "m.json", modality_from="_(ct|mr)", patient_from="^(.)", classes={1: "liver"}
    ).dataset.cases
    assert [(case.patient, case.modality) for case in cases] == [("a", "ct"), ("b", "mr")]
    cases = import_dataset(folder, tmp_path / "m.json", modalities=["t2"], classes={1: "liver"}).dataset.cases
    assert {case.modality for case in cases} == {"t2"}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["ct/a.nii.gz", "ct/b_seg.nii.gz"], "no scan 'b' lies beside it"),
        (["ct/a.nii.gz", "ct/a_seg.nii.gz", "ct/labels/a.nii.gz"], "a second label map of 'a'"),
        (["ct/a.nii.gz", "ct/a.nrrd"], "both be the case"),
    ],
)
def test_folders_that_contradict_themselves(tmp_path: Path, files: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        import_dataset(touch(tmp_path / "d", *files), tmp_path / "m.json", classes={1: "x"})


def test_what_cannot_be_imported_gets_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = nnunet(tmp_path / "d")
    for source, out, layout, options, message in [
        (tmp_path / "none", "m.json", "auto", {}, "got nothing at this path"),
        (touch(tmp_path / "e", "notes.txt"), "m.json", "auto", {}, "expected one of the layouts mscmrseg, mmwhs"),
        (folder, "m.json", "nnUNet", {}, "unknown layout 'nnUNet'; did you mean nnunet"),
        (folder, "m.json", "auto", {"modalities": ["mr"]}, "has no modality 'mr'"),
        (folder, "m.json", "auto", {"modality_from": "("}, "--modality-from '\\(' is not a regular expression"),
        (folder, "m.json", "auto", {"patient_from": "(q)"}, "--patient-from '\\(q\\)' finds no patient in this path"),
        (folder, "d", "auto", {}, "would overwrite the manifest"),
    ]:
        with pytest.raises(InputError, match=message) as caught:
            import_dataset(source, tmp_path / out, layout, **options)
        assert "\n" not in str(caught.value)
    assert main(["import", "auto", str(tmp_path / "e"), str(tmp_path / "m.json")]) == 2
    assert "expected one of the layouts" in capsys.readouterr().err


def test_the_command_says_what_it_saw(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = modality_folders(tmp_path / "d")
    arguments = [str(folder), str(tmp_path / "m.json"), "--classes", "1:liver,2:spleen"]
    assert main(["import", "auto", *arguments]) == 0
    printed = capsys.readouterr().out
    assert "folders: a folder of scans for each of ct, mr" in printed
    assert "a patient is a case's name without its session" in printed
    assert "ct: 2 cases, 1 labeled, 2 patients" in printed


def test_linked_folders_and_links_to_nowhere_are_files_too(tmp_path: Path) -> None:
    """DataLad fetches files later, and people link patients' folders: none of it may vanish without a word."""
    touch(tmp_path / "store" / "p2", "scan.nii.gz")
    root = tmp_path / "data"
    (root / "p1").mkdir(parents=True)
    (root / "p1" / "scan.nii.gz").symlink_to("../../not/fetched.nii.gz")
    (root / "p2").symlink_to(tmp_path / "store" / "p2")
    (root / "p2" / "circle").symlink_to(root)
    (root / "circle.nii").symlink_to("circle.nii")
    assert list_files(root).files == ("circle.nii", "p1/scan.nii.gz", "p2/scan.nii.gz")


def test_a_folder_that_cannot_be_listed_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a/scan.nii.gz", "b/scan.nii.gz")
    scandir = os.scandir

    def refused(path: Path) -> Any:
        if Path(path).name == "b":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(InputError, match=r"b: can't be listed \(Permission denied\)"):
        list_files(tmp_path)


def test_a_large_dataset_is_imported_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A first look ends early (`MOST`); what is imported does not."""
    monkeypatch.setattr(catalog, "MOST", 3)
    names = [f"{modality}/p{number}.nii.gz" for modality in ("ct", "mr") for number in range(6)]
    touch(tmp_path / "d", *names)
    dataset = import_dataset(tmp_path / "d", tmp_path / "m.json", classes={1: "liver"}).dataset
    assert len(dataset.cases) == len(names)
