"""`unpaired import dicom`: series and their segmentations as a dataset; what is bad costs itself alone."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

import unpaired
from synthetic_dicom import item, lps, oblique, volume, write_series
from synthetic_seg import write_seg
from unpaired.cli import main
from unpaired.data.dataset import Dataset
from unpaired.data.demographics import Demographics
from unpaired.data.images import read_image, read_label_map, write_image
from unpaired.data.importers.catalog import recognize_layout
from unpaired.dicom.index import Series
from unpaired.dicom.structure_set_writer import write_structure_set
from unpaired.dicom.tree import list_dicom
from unpaired.dicom.volume import read_volume
from unpaired.errors import InputError, UnwritableError

pytest.importorskip("highdicom")
SHAPE = (9, 7, 5)


def labels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 3, SHAPE).astype(np.uint8)


def masks_of(label_map: np.ndarray) -> np.ndarray:
    return np.stack([number == label_map.T for number in (1, 2)], axis=-1)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CT with a SEG of liver and spleen, an MR with contours of the liver, an MR with nothing; two patients."""
    tree = tmp_path_factory.mktemp("planted")
    write_series(tree / "a", volume(SHAPE), lps(turn=oblique()), series="1")
    who = {"PatientID": "0815", "PatientAge": "063Y", "PatientSex": "F", "ManufacturerModelName": "Avanto"}
    write_series(tree / "b" / "deep", volume(SHAPE, seed=1), lps(), "MR", series="2", **who)
    unknown = {"PatientID": "0815", "PatientAge": "000Y", "Manufacturer": "UNKNOWN", "ManufacturerModelName": "Avanto"}
    write_series(tree / "c", volume(SHAPE, seed=2), lps(), "MR", series="3", **unknown)
    ct, mr = (of_number(tree, number) for number in (1, 2))
    write_seg(tree / "a" / "seg.dcm", ct.files, masks_of(labels(1)))
    write_structure_set(tree / "rt.dcm", labels(2) // 2, mr, {1: "Liver"})
    (tree / "notes.txt").write_text("no DICOM")
    return tree


@pytest.fixture
def tree(planted: Path, tmp_path: Path) -> Path:
    """A copy, to change."""
    return shutil.copytree(planted, tmp_path / "tree")


def of_number(tree: Path, number: int) -> Series:
    (series,) = (series for series in list_dicom(tree).volumes() if series.number == number)
    return series


def imported(tree: Path, out: Path, **options: object) -> tuple[Dataset, list[str]]:
    warnings: list[str] = []
    result = unpaired.import_dataset(tree, out, "dicom", warn=warnings.append, **options)  # type: ignore[arg-type]
    return unpaired.read_dataset(result.manifest), warnings


def test_series_and_segmentations_become_a_dataset(tree: Path, tmp_path: Path) -> None:
    dataset, warnings = imported(tree, tmp_path / "data.json", segmentations=True)
    assert warnings == []
    assert dataset.classes == ("background", "liver", "spleen")
    ct, mr, unlabeled = sorted(dataset.cases, key=lambda case: case.id.rsplit("_", 1)[-1])
    assert [case.modality for case in (ct, mr, unlabeled)] == ["ct", "mr", "mr"]
    assert (ct.annotated, mr.annotated, unlabeled.label) == (("liver", "spleen"), ("liver",), None)
    assert mr.patient == unlabeled.patient != ct.patient
    assert "Doe" not in (tmp_path / "data.json").read_text()
    assert mr.demographics == Demographics(63, "F", scanner="ACME Avanto")
    assert unlabeled.demographics == Demographics(sex="F", scanner="Avanto")
    for case, number, expected in ((ct, 1, labels(1)), (mr, 2, labels(2) // 2)):
        image, scan = read_image(case.image), read_volume(of_number(tree, number))
        assert np.array_equal(image.array, scan.array)
        assert np.allclose(image.affine, scan.affine, atol=1e-4)
        assert case.label is not None
        label_map = read_label_map(case.label)
        assert np.array_equal(label_map.array, expected)
        assert np.allclose(label_map.affine, image.affine)


def test_it_is_recognized_and_its_command_says_what_it_wrote(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert recognize_layout(tree)[0].name == "dicom"
    for file in (tree / "a").iterdir():
        file.rename(file.with_suffix(""))
    assert recognize_layout(tree / "a")[0].name == "dicom"
    assert main(["import", "dicom", str(tree), str(tmp_path / "data.json"), "--segmentations"]) == 0
    out = capsys.readouterr().out
    assert "ct: 1 case, 1 labeled, 1 patient" in out
    assert "mr: 2 cases, 1 labeled, 1 patient" in out
    assert main(["verify", str(tmp_path / "data.json"), "--workers", "0"]) in (0, 1)


def test_what_is_there_already_is_kept(tree: Path, tmp_path: Path) -> None:
    dataset, _ = imported(tree, tmp_path / "data.json", segmentations=True)
    before = {case.id: case.image.stat().st_mtime_ns for case in dataset.cases}
    again, _ = imported(tree, tmp_path / "data.json", segmentations=True)
    assert {case.id: case.image.stat().st_mtime_ns for case in again.cases} == before


def test_classes_choose_segments_and_their_values(tree: Path, tmp_path: Path) -> None:
    dataset, _ = imported(tree, tmp_path / "data.json", segmentations=True, classes={7: "liver"})
    assert dataset.classes == ("background", "liver")
    (ct,) = (case for case in dataset.cases if case.modality == "ct")
    assert ct.label is not None
    assert np.array_equal(read_label_map(ct.label).array, np.where(labels(1) == 1, 7, 0))
    with pytest.raises(InputError, match="no segmentation shows 'livver'; did you mean liver"):
        imported(tree, tmp_path / "other.json", segmentations=True, classes={1: "livver"})


def test_without_segmentations_all_is_unlabeled_and_somebody_names_the_classes(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--segmentations wasn't asked for"):
        imported(tree, tmp_path / "data.json")
    dataset, _ = imported(tree, tmp_path / "data.json", classes={1: "liver"})
    assert [case.label for case in dataset.cases] == [None] * 3


def test_a_class_drawn_twice_and_segments_that_overlap_leave_that_scan_unlabeled(tree: Path, tmp_path: Path) -> None:
    ct = of_number(tree, 1)
    write_seg(tree / "a" / "seg2.dcm", ct.files, masks_of(labels(3))[..., :1], ["liver"])
    dataset, warnings = imported(tree, tmp_path / "data.json", segmentations=True)
    assert [case.label is None for case in dataset.cases if case.modality == "ct"] == [True]
    assert [case.label is None for case in dataset.cases if case.modality == "mr"].count(False) == 1
    (line,) = warnings
    assert "stays unlabeled: 'liver' is drawn twice" in line
    (tree / "a" / "seg2.dcm").unlink()
    overlapping = np.ones((*SHAPE[::-1], 2), bool)
    write_seg(tree / "a" / "seg.dcm", ct.files, overlapping)
    _, warnings = imported(tree, tmp_path / "data2.json", segmentations=True)
    assert "'my liver' and 'my spleen' overlap" in warnings[0]
    write_seg(tree / "a" / "seg.dcm", ct.files, overlapping, ["liver", "liver"])
    dataset, warnings = imported(tree, tmp_path / "data3.json", segmentations=True)
    (case,) = (case for case in dataset.cases if case.modality == "ct")
    assert case.label is not None, "two lesions may touch"
    assert (read_label_map(case.label).array == dataset.classes.index("liver")).all()
    assert warnings == []


def test_an_object_that_names_one_series_and_images_of_another_is_left_out_and_reserved_names_are_said(
    tree: Path, tmp_path: Path
) -> None:
    """Both lie on one grid in one space, as PET and CT do: nothing else would tell."""
    write_series(tree / "again", volume(SHAPE, seed=5), lps(turn=oblique()), series="4")
    (tree / "rt.dcm").unlink()
    file = dcmread(tree / "a" / "seg.dcm")
    file.ReferencedSeriesSequence[0].SeriesInstanceUID = of_number(tree, 4).uid
    file.save_as(tree / "a" / "seg.dcm")
    with pytest.raises(InputError, match="no series has a segmentation that can be read"):
        imported(tree, tmp_path / "data.json", segmentations=True, classes={1: "liver"})
    write_structure_set(tree / "rt.dcm", labels(2), of_number(tree, 2), {1: "Liver", 2: "All"})
    dataset, warnings = imported(tree, tmp_path / "data.json", segmentations=True)
    assert [case.modality for case in dataset.cases if case.label] == ["mr"]
    assert [line.rpartition(".dcm: ")[2].split(";")[0] for line in warnings] == [
        f"names series {of_number(tree, 4).uid}, but images of series {of_number(tree, 1).uid}",
        "'All' left out: which means every class",
    ]


def test_regions_in_other_letters_are_one_class_and_those_without_contours_were_not_looked_for(
    tree: Path, tmp_path: Path
) -> None:
    write_structure_set(tree / "rt.dcm", labels(2) // 2, of_number(tree, 2), {1: "Widget", 2: "Gadget"})
    write_structure_set(tree / "a" / "seg.dcm", labels(1), of_number(tree, 1), {1: "widget", 2: "GADGET"})
    dataset, warnings = imported(tree, tmp_path / "data.json", segmentations=True)
    assert dataset.classes == ("background", "GADGET", "Widget")
    assert {case.annotated for case in dataset.cases if case.label} == {("GADGET", "Widget"), ("Widget",)}
    assert warnings == []
    dataset, warnings = imported(tree, tmp_path / "named.json", segmentations=True, classes={3: "gadget"})
    (labeled,) = (case for case in dataset.cases if case.label)
    assert labeled.label is not None
    assert np.array_equal(read_label_map(labeled.label).array, np.where(labels(1) == 2, 3, 0))
    assert [line.partition(" stays unlabeled: ")[2] for line in warnings] == [
        f"{tree / 'rt.dcm'}: nothing is drawn of gadget"
    ]


def test_two_objects_of_other_classes_go_together(tree: Path, tmp_path: Path) -> None:
    ct = of_number(tree, 1)
    write_seg(tree / "a" / "seg.dcm", ct.files, masks_of(labels(1))[..., :1], ["liver"])
    write_seg(tree / "a" / "seg2.dcm", ct.files, masks_of(labels(1))[..., 1:], ["spleen"])
    dataset, warnings = imported(tree, tmp_path / "data.json", segmentations=True)
    assert warnings == []
    (case,) = (case for case in dataset.cases if case.modality == "ct")
    assert case.label is not None
    assert np.array_equal(read_label_map(case.label).array, labels(1))


def test_a_damaged_file_and_a_segmentation_of_nothing_cost_themselves_alone(tree: Path, tmp_path: Path) -> None:
    (tree / "broken.dcm").write_bytes((tree / "a" / "seg.dcm").read_bytes()[:700])
    lost = write_series(tmp_path / "elsewhere", volume(SHAPE), lps(), series="9")
    write_seg(tree / "lost.dcm", lost, masks_of(labels(4)))
    dataset, warnings = imported(tree, tmp_path / "data.json", segmentations=True)
    assert sum(case.label is not None for case in dataset.cases) == 2
    assert any("lost.dcm" in line and "add that series" in line for line in warnings)


@pytest.mark.parametrize("full_at", [1, 2])
def test_a_full_disk_ends_the_import_and_is_no_lack_of_a_scan_or_label(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full_at: int
) -> None:
    written: list[Path] = []

    def full(path: Path, *arguments: object) -> None:
        written.append(path)
        if len(written) == full_at:
            raise UnwritableError(f"can't write {path}: No space left on device")
        write_image(path, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("unpaired.dicom.importing.write_image", full)
    with pytest.raises(UnwritableError, match="No space left"):
        imported(tree, tmp_path / "out.json", segmentations=True)
    assert not (tmp_path / "out.json").exists()
    monkeypatch.undo()
    dataset, _ = imported(tree, tmp_path / "out.json", segmentations=True)
    assert [case.label is not None for case in dataset.cases] == [True, True, False]


def test_a_tree_without_volumes_is_refused(tmp_path: Path) -> None:
    write_series(tmp_path / "tree", volume((9, 7, 1)), lps())
    with pytest.raises(InputError, match="expected DICOM series that are volumes, found none"):
        imported(tmp_path / "tree", tmp_path / "data.json", segmentations=True)
    write_series(tmp_path / "equal", volume(), lps(), RescaleSlope="0", RescaleIntercept="0")
    with pytest.raises(InputError, match="none of its 1 series can be read; the lines above say why"):
        imported(tmp_path / "equal", tmp_path / "data.json", classes={1: "liver"})


def test_references_are_found_by_images_and_wrong_ones_cost_a_line_each(tree: Path, tmp_path: Path) -> None:
    """A SEG that names images alone labels its series; what names others, or lies elsewhere, is left out."""
    seg, contours = dcmread(tree / "a" / "seg.dcm"), dcmread(tree / "rt.dcm")
    del seg.ReferencedSeriesSequence
    del contours.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence
    seg.save_as(tree / "a" / "seg.dcm")
    contours.save_as(tree / "rt.dcm")
    space, elsewhere, nowhere = (dcmread(tree / "a" / "seg.dcm") for _ in range(3))
    space.FrameOfReferenceUID = "1.2.3"
    elsewhere.ReferencedSeriesSequence = [item(SeriesInstanceUID="1.2.3.4")]
    del nowhere.SourceImageSequence
    for group in nowhere.PerFrameFunctionalGroupsSequence:
        del group.DerivationImageSequence
    for number, file in enumerate((space, elsewhere, nowhere)):
        file.SOPInstanceUID = f"1.2.{number}"
        file.save_as(tree / f"{number}.dcm")
    dataset, warnings = imported(tree, tmp_path / "data.json", segmentations=True)
    assert sorted(case.modality for case in dataset.cases if case.label) == ["ct", "mr"]
    assert [line.split(": ", 2)[2].split(" (")[0] for line in sorted(warnings)] == [
        "lies in another frame of reference",
        f"was drawn on series 1.2.3.4, not in {tree}; add that series",
        "names neither a series nor images that it was drawn on",
    ]
