"""CHAOS and BTCV as officially laid out, written here: grays, slice order, sides, shared grounds; both joined."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 (its own documentation's name)
from nibabel.funcs import as_closest_canonical
from nibabel.nifti1 import Nifti1Image
from PIL import Image as Picture

from dicom.test_one_series import write_slice
from itk_locale import locale_kept
from unpaired.commands.data import import_, join
from unpaired.data.checks.verify import verify
from unpaired.data.dataset import encode_values
from unpaired.data.images import read_image, read_label_map
from unpaired.data.importers.btcv import TEST, import_btcv
from unpaired.data.importers.btcv import VALUES as BTCV_VALUES
from unpaired.data.importers.chaos import GRAYS, ORGANS, VALUES, gray_values, import_chaos
from unpaired.data.join import join_datasets
from unpaired.data.manifest import read_dataset, write_dataset
from unpaired.errors import InputError

PRINTED = {"liver": 63, "right kidney": 126, "left kidney": 189, "spleen": 252}
SHAPE = (24, 20, 8)
"""Columns (toward the left), rows (toward the back), slices (upward)."""


def anatomy():
    """(column, row, slice) of `VALUES`: liver right and up, spleen left and up, kidneys below."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:9, 3:14, 4:8] = VALUES["liver"]
    labels[17:22, 9:16, 5:8] = VALUES["spleen"]
    labels[5:8, 13:17, 1:4] = VALUES["right kidney"]
    labels[15:18, 13:17, 1:5] = VALUES["left kidney"]
    return labels


def scan(labels, seed=0):
    """Noise of 0..100 around organs of one value each."""
    values = np.random.default_rng(seed).integers(0, 100, labels.shape)
    for value in (1, 2, 3, 4):
        values[labels == value] = 150 + 40 * value
    return values


def write_dicom(folder, volume, names, modality="MR", descending=False):
    """Slice k at height 6 k mm, in a file called `names[k]`, or from the top down."""
    for number in range(volume.shape[2]):
        name = names[::-1][number] if descending else names[number]
        write_slice(folder / name, volume[:, :, number].T, (-40.0, -30.0, 6.0 * number), modality=modality)


def write_ground(folder, labels, names, grays=PRINTED, descending=False):
    folder.mkdir(parents=True)
    for number in range(labels.shape[2]):
        pixels = np.zeros(labels.shape[:2], np.uint8)
        for organ, value in VALUES.items():
            pixels[labels[:, :, number] == value] = grays.get(organ, 0)
        name = names[::-1][number] if descending else names[number]
        Picture.fromarray(pixels.T.copy()).save(folder / name)


def numbered(pattern, numbers=range(1, SHAPE[2] + 1)):
    return [pattern.format(number) for number in numbers]


def official(root, numbers=("1", "13", "21"), descending=True):
    """MR with PNGs named as their DICOM files, T1 with one Ground for both phases, CT with names of two kinds."""
    labels = anatomy()
    for seed, number in enumerate(numbers):
        t2 = root / "Train_Sets" / "MR" / number / "T2SPIR"
        write_dicom(t2 / "DICOM_anon", scan(labels, seed), numbered("IMG-0002-{:05}.dcm"), descending=descending)
        write_ground(t2 / "Ground", labels, numbered("IMG-0002-{:05}.png"), descending=descending)
        t1 = root / "Train_Sets" / "MR" / number / "T1DUAL"
        even, odd = range(2, 18, 2), range(1, 17, 2)
        write_dicom(t1 / "DICOM_anon" / "InPhase", scan(labels, 10 + seed), numbered("IMG-0004-{:05}.dcm", even))
        write_dicom(t1 / "DICOM_anon" / "OutPhase", scan(labels, 20 + seed), numbered("IMG-0004-{:05}.dcm", odd))
        write_ground(t1 / "Ground", labels, numbered("IMG-0004-{:05}.png", even))
    ct = root / "Train_Sets" / "CT" / "1"
    names = [f"i{number:04},0000b.dcm" for number in range(SHAPE[2])]
    write_dicom(ct / "DICOM_anon", scan(labels, 30), names, modality="CT", descending=descending)
    only_liver = np.where(labels == VALUES["liver"], labels, 0)
    pngs = numbered("liver_GT_{:03}.png", range(SHAPE[2]))
    write_ground(ct / "Ground", only_liver, pngs, {"liver": 255}, descending)
    test = root / "Test_Sets" / "MR" / "3" / "T2SPIR"
    write_dicom(test / "DICOM_anon", scan(labels, 40), numbered("IMG-0002-{:05}.dcm"))
    return root


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    return official(tmp_path_factory.mktemp("chaos"))


@pytest.fixture(scope="module")
def imported(layout, tmp_path_factory):
    return import_chaos(layout, tmp_path_factory.mktemp("converted"))


def labels_of(dataset, case):
    path = dataset.case(case).label
    assert path is not None
    return read_label_map(path)


# ---- the official layout


def test_cases_patients_modalities_and_the_published_split(imported):
    assert {name: len(imported.of(name)) for name in imported.modalities} == {"t2": 4, "t1-in": 3, "t1-out": 3, "ct": 1}
    assert imported.classes == ("background", *ORGANS)
    assert {case.patient for case in imported.of("t1-in")} == {"mr1", "mr13", "mr21"}
    assert [case.patient for case in imported.of("ct")] == ["ct1"], "a CT and an MR of one number are two people"
    assert {case.id: case.split for case in imported.of("t2")} == {
        "mr1_t2": "test",
        "mr13_t2": "test",
        "mr21_t2": "train",
        "mr3_t2": None,
    }
    assert imported.case("mr3_t2").label is None
    assert read_dataset(write_dataset(imported, imported.cases[0].image.parent / "chaos.json")) == imported


@pytest.mark.parametrize("case", ["mr1_t2", "mr13_t1-in", "mr13_t1-out", "mr21_t2"])
def test_labels_lie_where_the_anatomy_does(imported, case):
    entry = imported.case(case)
    image, label = read_image(entry.image), labels_of(imported, case)
    np.testing.assert_array_equal(label.array, anatomy())
    np.testing.assert_allclose(image.affine, label.affine)
    assert image.affine[:3, 0] == pytest.approx([-2, 0, 0]), "columns count toward the patient's left"
    assert image.affine[:3, 3] == pytest.approx([40, 30, 0])
    assert (image.array[label.array == VALUES["liver"]] == 190).all()


def test_ct_has_the_liver_alone_and_says_so(imported):
    entry = imported.case("ct1")
    np.testing.assert_array_equal(labels_of(imported, entry.id).array, (anatomy() == VALUES["liver"]).astype(np.uint8))
    assert entry.annotated == ("liver",)
    encoded = encode_values(imported, entry)
    assert encoded[VALUES["liver"]] == (1,)
    assert encoded[0] == (0, 2, 3, 4), "what was not looked for is not background"


def test_the_imported_dataset_passes_verification_but_for_the_small_phantom(imported):
    errors = [finding for finding in verify(imported, workers=1) if finding.severity == "error"]
    assert errors == []


def test_modalities_can_be_chosen_and_finished_files_are_kept(layout, tmp_path):
    first = import_chaos(layout, tmp_path, ["t2"])
    assert list(first.modalities) == ["t2"]
    assert not list(tmp_path.glob("*t1*"))
    times = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(times) == 4 + 3 + 4, "images, label maps of three of them, and what each was made of"
    assert import_chaos(layout, tmp_path, ["t2"]) == first
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == times
    with pytest.raises(InputError, match=r"no modality 't3'; did you mean t2"):
        import_chaos(layout, tmp_path, ["t3"])


def test_another_chaos_of_the_same_numbers_is_never_taken_for_the_first(layout, tmp_path):
    out = tmp_path / "out"
    root = official(tmp_path / "b", ("1",))
    import_chaos(root, out, ["t2"])
    with pytest.raises(InputError, match=r"mr\d_t2\.nii\.gz was converted from .*; write the manifest under another"):
        import_chaos(layout, out, ["t2"])
    ground = root / "Train_Sets" / "MR" / "1" / "T2SPIR" / "Ground"
    corrected = anatomy()
    corrected[17:20, 9:16, 5:8] = 0
    shutil.rmtree(ground)
    write_ground(ground, corrected, numbered("IMG-0002-{:05}.png"), descending=True)
    again = import_chaos(root, out, ["t2"])
    np.testing.assert_array_equal(labels_of(again, "mr1_t2").array, corrected)


def test_order_of_files_against_order_of_positions_makes_no_difference(tmp_path):
    for descending in (False, True):
        root = official(tmp_path / str(descending), ("2",), descending)
        dataset = import_chaos(root, tmp_path / f"out{descending}", ["t2", "ct"])
        np.testing.assert_array_equal(labels_of(dataset, "mr2_t2").array, anatomy())
        np.testing.assert_array_equal(labels_of(dataset, "ct1").array > 0, anatomy() == VALUES["liver"])


# ---- grays


def test_every_gray_in_the_accepted_ranges_is_its_organ():
    for organ, (low, high) in GRAYS.items():
        pixels = np.arange(low, high + 1, dtype=np.uint8)
        assert (gray_values(pixels, False, Path("x")) == VALUES[organ]).all()
    assert gray_values(np.array([0, 63, 126, 189, 252], np.uint8), False, Path("x")).tolist() == [0, 1, 2, 3, 4]
    assert gray_values(np.array([0, 1, 255], np.uint8), True, Path("x")).tolist() == [0, 1, 1]


@pytest.mark.parametrize("gray", [1, 54, 71, 109, 136, 174, 201, 239])
def test_a_gray_between_them_is_an_error_that_names_it(gray):
    with pytest.raises(InputError, match=rf"a\.png: gray value {gray} means no organ"):
        gray_values(np.array([0, gray], np.uint8), False, Path("a.png"))


# ---- what is refused


@pytest.fixture
def one(tmp_path):
    return official(tmp_path / "one", ("1",)), tmp_path / "out"


def refused(one, modalities=("t2",)):
    with pytest.raises(InputError) as error:
        import_chaos(one[0], one[1], list(modalities))
    assert "\n" not in str(error.value)
    return str(error.value)


def ground_of(one, kind="MR/1/T2SPIR"):
    return one[0] / "Train_Sets" / kind / "Ground"


def test_pngs_in_reverse_slice_order(one):
    ground = ground_of(one, "CT/1")
    pngs = sorted(ground.iterdir())
    for path in pngs:
        path.rename(path.with_suffix(".old"))
    for old, new in zip(pngs, pngs[::-1], strict=True):
        old.with_suffix(".old").rename(new)
    assert "fits its series better in reverse slice order" in refused(one, ("ct",))


def test_mirrored_pngs(one):
    for path in ground_of(one).iterdir():
        with Picture.open(path) as picture:
            mirrored = np.asarray(picture)[:, ::-1]
        Picture.fromarray(mirrored.copy()).save(path)
    assert "fits its series better in reverse left-right order" in refused(one)


def test_a_mirrored_patient(one):
    """Image and labels agree, but the header says that the left is on the right."""
    for path in (one[0] / "Train_Sets/MR/1/T2SPIR").rglob("*.*"):
        if path.suffix == ".dcm":
            content = read_slice_array(path)
            number = int(path.stem[-5:]) - 1
            write_slice(path, content[:, ::-1], (-40.0, -30.0, 6.0 * (SHAPE[2] - 1 - number)), modality="MR")
        else:
            with Picture.open(path) as picture:
                mirrored = np.asarray(picture)[:, ::-1]
            Picture.fromarray(mirrored.copy()).save(path)
    assert "the liver lies to the patient's left of the spleen" in refused(one)


def read_slice_array(path):
    with locale_kept():
        return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[0]


def test_a_patient_upside_down(one):
    for number, path in enumerate(sorted((one[0] / "Train_Sets/MR/1/T2SPIR/DICOM_anon").iterdir())):
        write_slice(path, read_slice_array(path), (-40.0, -30.0, 6.0 * number), modality="MR")
    assert "the liver lies below the right kidney" in refused(one)


def test_a_ground_that_does_not_fit(one):
    ground = ground_of(one)
    png = sorted(ground.iterdir())[0]
    png.unlink()
    assert "7 PNG for 8 slices" in refused(one)
    Picture.fromarray(np.zeros((20, 23), np.uint8)).save(png)
    assert "(23, 20) pixels, IMG-0002-00001.dcm has (24, 20)" in refused(one)
    png.write_bytes(b"no picture")
    assert "not a PNG file" in refused(one)


def test_a_ground_without_a_liver(one):
    for path in ground_of(one).iterdir():
        Picture.fromarray(np.zeros((20, 24), np.uint8)).save(path)
    assert "no liver in any slice" in refused(one)


def test_phases_on_different_grids(one):
    folder = one[0] / "Train_Sets/MR/1/T1DUAL/DICOM_anon/OutPhase"
    for number, path in enumerate(sorted(folder.iterdir())):
        write_slice(path, read_slice_array(path), (-20.0, -30.0, 6.0 * number), modality="MR")
    assert "isn't on the grid of" in refused(one, ("t1-out",))


def test_folders_that_are_not_chaos(one, tmp_path):
    moved = tmp_path / "moved" / "DICOM_anon"
    shutil.move(one[0] / "Train_Sets/MR/1/T2SPIR/DICOM_anon", moved)
    with pytest.raises(InputError, match="keep CHAOS's own folders"):
        import_chaos(tmp_path / "moved", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="the folder is empty"):
        import_chaos(tmp_path / "empty", tmp_path / "out")
    with pytest.raises(InputError, match="found nothing"):
        import_chaos(tmp_path / "nowhere", tmp_path / "out")


def test_a_scan_that_is_there_twice(one, tmp_path):
    shutil.copytree(one[0] / "Train_Sets", one[0] / "Copy")
    assert "found a second time" in refused(one)


# ---- copies as NIfTI


def touch(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


def test_copies_are_referred_to_with_values_of_both_kinds(tmp_path):
    touch(tmp_path / "copies", "image_1.nii.gz", "label_1.nii.gz", "image_2.nii.gz", "label_2.nii.gz", "image_3.nii.gz")
    dataset = import_chaos(tmp_path / "copies", tmp_path / "unused")
    assert [(case.id, case.split) for case in dataset.cases] == [
        ("mr1_t2", "test"),
        ("mr2_t2", "train"),
        ("mr3_t2", None),
    ]
    assert not (tmp_path / "unused").exists()
    encoded = encode_values(dataset, dataset.cases[0])
    assert [encoded[value] for value in (0, 1, 2, 3, 4)] == [(0,), (1,), (3,), (4,), (2,)]
    assert [encoded[value] for value in PRINTED.values()] == [(1,), (3,), (4,), (2,)]
    assert dataset.source_values("t2") == [0, 1, 4, 2, 3], "predictions carry the copies' values, not grays"


# ---- real scans


def upright(image):
    """(array, affine) with axes toward right, front and head."""
    nifti = as_closest_canonical(Nifti1Image(image.array.astype(np.float32), image.affine))
    return np.asanyarray(nifti.dataobj), nifti.affine


@pytest.mark.skipif("UNPAIRED_DATA" not in os.environ, reason="needs the real scans that UNPAIRED_DATA names")
def test_real_scans_as_copies_and_written_back_into_the_official_layout(tmp_path):
    copies = import_chaos(Path(os.environ["UNPAIRED_DATA"]) / "chaos-mr-t2", tmp_path / "unused")
    assert len(copies.of("t2", labeled=True)) == 16
    assert [finding for finding in verify(copies, workers=1) if finding.severity == "error"] == []
    for entry in copies.cases[:2]:
        image, labels = read_image(entry.image), labels_of(copies, entry.id)
        number = entry.patient.removeprefix("mr")
        folder = tmp_path / "Train_Sets" / "MR" / number / "T2SPIR"
        spacing = np.linalg.norm(image.affine[:3, :3], axis=0)
        axes = np.diag([-1, -1, 1]) @ image.affine[:3, :3] / spacing
        names = numbered("IMG-0002-{:05}.dcm", range(1, image.array.shape[2] + 1))
        for k, name in enumerate(names):
            position = np.diag([-1, -1, 1]) @ (image.affine @ [0, 0, k, 1])[:3]
            orientation = (*axes[:, 0], *axes[:, 1])
            pixels = image.array[:, :, k].T
            write_slice(folder / "DICOM_anon" / name, pixels, position, orientation, "MR", spacing[:2])
        meaning = encode_values(copies, entry)
        organs = np.vectorize(lambda value, of=meaning: VALUES.get(copies.classes[of[value][0]], 0))(labels.array)
        write_ground(folder / "Ground", organs, [name.replace(".dcm", ".png") for name in names])
    official_ones = import_chaos(tmp_path, tmp_path / "converted", ["t2"])
    assert [case.id for case in official_ones.cases] == [case.id for case in copies.cases[:2]]
    for case in official_ones.cases:
        for ours, theirs in (
            (read_image(case.image), read_image(copies.case(case.id).image)),
            (labels_of(official_ones, case.id), labels_of(copies, case.id)),
        ):
            (array, affine), (expected, expected_affine) = upright(ours), upright(theirs)
            np.testing.assert_allclose(affine, expected_affine, atol=1e-3)
            np.testing.assert_array_equal(array, expected)


# ---- BTCV


def btcv(folder):
    touch(folder / "img", *[f"img{n:04}.nii.gz" for n in (*range(1, 11), *range(21, 41), *range(61, 64))])
    touch(folder / "label", *[f"label{n:04}.nii.gz" for n in (*range(1, 11), *range(21, 41))])
    return folder


def test_btcv_official_files_with_the_split_of_the_papers(tmp_path):
    dataset = import_btcv(btcv(tmp_path))
    assert len(dataset.of("ct", labeled=True)) == 30
    assert len(dataset.of("ct", labeled=False)) == 3
    assert [case.id for case in dataset.of("ct", "test")] == [f"btcv{n}" for n in TEST]
    assert len(dataset.of("ct", "train")) == 24
    assert read_dataset(write_dataset(dataset, tmp_path / "btcv.json")) == dataset


def test_btcv_values_stand_for_their_organs(tmp_path):
    four, thirteen = import_btcv(btcv(tmp_path)), import_btcv(tmp_path, "thirteen")
    names = {value: four.classes[members[0]] for value, members in encode_values(four, four.cases[0]).items()}
    assert {value: name for value, name in names.items() if name != "background"} == {
        1: "spleen",
        2: "right kidney",
        3: "left kidney",
        6: "liver",
    }
    assert set(names) == set(range(14))
    assert thirteen.classes[1:] == tuple(BTCV_VALUES)
    assert encode_values(thirteen, thirteen.cases[0]) == {value: (value,) for value in range(14)}
    assert thirteen.classes[8:12] == ("aorta", "inferior vena cava", "portal and splenic veins", "pancreas")


def test_btcv_copies_have_no_published_split(tmp_path):
    touch(tmp_path, "image_0.nii.gz", "label_0.nii.gz", "image_30.nii.gz", "label_30.nii.gz")
    dataset = import_btcv(tmp_path)
    assert [(case.id, case.split) for case in dataset.cases] == [("btcv0", None), ("btcv30", None)]
    (tmp_path / "image_0.nii.gz").unlink()
    with pytest.raises(InputError, match=r"label map without its image image_0\.nii\.gz"):
        import_btcv(tmp_path)


# ---- both together


def test_the_joint_dataset_of_four_organs(imported, tmp_path):
    ct = import_btcv(btcv(tmp_path))
    both = join_datasets([ct, imported], "abdomen")
    assert both.classes == ("background", *ORGANS)
    assert list(both.modalities) == ["ct", "t2", "t1-in", "t1-out"]
    assert len(both.cases) == 33 + 11
    assert both.case("btcv1").annotated is None
    assert both.case("ct1").annotated == ("liver",)
    assert {both.case(name).split for name in ("btcv1", "mr1_t2")} == {"test"}
    assert encode_values(both, both.case("btcv1"))[6] == encode_values(both, both.case("mr1_t2"))[1] == (1,)
    again = read_dataset(write_dataset(both, tmp_path / "both.json"))
    assert again.label_maps == both.label_maps
    assert [(case.id, case.annotated) for case in again.cases] == [(case.id, case.annotated) for case in both.cases]


def test_classes_that_only_one_dataset_has_were_not_looked_for_in_the_other(imported, tmp_path):
    both = join_datasets([import_btcv(btcv(tmp_path), "thirteen"), imported], "abdomen")
    case = both.case("mr1_t2")
    assert both.case("btcv1").annotated is None
    assert sorted(case.annotated or ()) == sorted(ORGANS)
    unseen = {both.classes.index(name) for name in BTCV_VALUES if name not in ORGANS}
    assert set(encode_values(both, case)[0]) == {0, *unseen}


def test_what_can_not_be_joined(imported, tmp_path):
    from dataclasses import replace

    from unpaired.data.dataset import Modality

    ct = import_btcv(btcv(tmp_path))
    for other, words in (
        ([], "two datasets or more to join, got 1"),
        ([ct], "two cases are called btcv1"),
        ([replace(imported, classes=("nothing", *ORGANS))], "calls its background 'nothing'"),
        ([replace(imported, modalities={"ct": Modality("minmax")})], "modality ct has the options"),
        ([replace(imported, classes=("background", "Liver"))], "class 'liver' comes again as 'Liver'.* write it alike"),
    ):
        with pytest.raises(InputError, match=words):
            join_datasets([ct, *other], "x")


def test_label_maps_of_one_name_stay_apart(imported):
    from dataclasses import replace

    table = {0: ("background",), 5: ("liver",)}
    cases = tuple(replace(case, id=f"b{case.id}") for case in imported.cases)
    other = replace(imported, name="b", cases=cases, label_maps={"chaos": table})
    both = join_datasets([imported, other], "x")
    assert both.label_map_of(both.case("bmr1_t2")) == table
    assert both.label_map_of(both.case("mr1_t2")) == imported.label_maps["chaos"]


def test_the_commands(layout, tmp_path, capsys):
    btcv(tmp_path / "btcv")
    assert import_("chaos", layout, tmp_path / "chaos.json", modalities=("t2",)) == 0
    assert import_("btcv", tmp_path / "btcv", tmp_path / "btcv.json") == 0
    assert (tmp_path / "chaos" / "mr1_t2_label.nii.gz").is_file()
    assert join((tmp_path / "btcv.json", tmp_path / "chaos.json"), out=tmp_path / "abdomen.json") == 0
    both = read_dataset(tmp_path / "abdomen.json")
    assert (both.name, list(both.modalities)) == ("abdomen", ["ct", "t2"])
    said = capsys.readouterr().out
    assert "t2: 4 cases, 3 labeled, 4 patients" in said
    assert "note" not in said
    renamed = json.loads((tmp_path / "chaos.json").read_text(encoding="utf-8"))
    for case, patient in zip(renamed["cases"], ("BTCV-1", *"xyz"), strict=True):
        case["patient"] = patient
    (tmp_path / "renamed.json").write_text(json.dumps(renamed), encoding="utf-8")
    assert join((tmp_path / "btcv.json", tmp_path / "renamed.json"), out=tmp_path / "abdomen.json") == 0
    said = capsys.readouterr().out
    assert "note: patients 'btcv1' and 'BTCV-1' may be one person each; if so, give one name\n" in said
    with pytest.raises(InputError, match="no modality 'pet'"):
        import_("btcv", tmp_path / "btcv", tmp_path / "b.json", modalities=("pet",))
