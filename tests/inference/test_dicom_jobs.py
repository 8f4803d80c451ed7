"""`predict` of a study: which series it takes and why, the DICOM SEG beside each label map, and what stops no other."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

import unpaired
from small_network import SMALL
from synthetic_dicom import write_series
from unpaired.data.dataset import Dataset
from unpaired.data.image import TO_RAS
from unpaired.data.images import read_image
from unpaired.dicom.tree import list_dicom
from unpaired.dicom.volume import read_volume
from unpaired.errors import InputError
from unpaired.inference.jobs import Remark
from unpaired.recipe import build_method
from unpaired.recipes.phantom import msbn
from unpaired.runs.run import Run

highdicom = pytest.importorskip("highdicom")
RECIPE = replace(
    msbn(),
    network=SMALL,
    patch_size=(32, 32),
    window_overlap=0.0,
)


@pytest.fixture(scope="module")
def phantom(thin_phantom: Dataset) -> Dataset:
    return thin_phantom


@pytest.fixture(scope="module")
def run(phantom: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run.create(tmp_path_factory.mktemp("runs") / "run", RECIPE, phantom)
    run.save_weights(build_method(RECIPE, run.modalities, len(phantom.classes)).network, "best")
    return run


def write_case(dataset: Dataset, modality: str, folder: Path, series: str, **attributes) -> None:
    """A case of the phantom as a DICOM series."""
    image = read_image(dataset.of(modality)[0].image)
    values = image.array if image.array.dtype.kind in "iu" else image.array * (1000 / np.abs(image.array).max())
    kind = "CT" if modality == "ct" else "MR"
    write_series(folder, values.astype(np.int16), TO_RAS @ image.affine, kind, series, **attributes)


@pytest.fixture
def study(phantom: Dataset, tmp_path: Path) -> Path:
    """A CT, an LGE and a cine that say what they are, and a localizer, in folders and without suffixes."""
    folder = tmp_path / "Doe^Jane"
    write_case(phantom, "ct", folder / "1", "1")
    write_case(phantom, "lge", folder / "2", "2", SeriesDescription="LGE_psir_sax")
    write_case(phantom, "bssfp", folder / "2", "3", ProtocolName="TRUFI retro")
    scout = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    write_case(phantom, "ct", folder / "3", "4", ImageType=scout)
    for path in list(folder.rglob("*.dcm")):
        path.rename(path.with_suffix(""))
    return folder


def predicted(run: Run, study: Path, out: Path, **options) -> tuple[unpaired.Outcome, list[str]]:
    said: list[str] = []

    def tell(event) -> None:
        said.extend(event.lines() if isinstance(event, Remark) else ())

    outcome = unpaired.predict(run, study, out, device="cpu", worker=False, tell=tell, **options)
    return outcome, said


def test_a_study_becomes_label_maps_and_segmentations(run: Run, study: Path, tmp_path: Path) -> None:
    outcome, said = predicted(run, study, tmp_path / "out")
    assert outcome.failures == []
    assert [name.rpartition("-")[0] for name in outcome.written] == ["ct-1", "lge-2", "bssfp-3"]
    assert [line for line in said if line.startswith("note: series")] == [
        "note: series 1 (CT series 1): ct, Modality CT",
        "note: series 2 (LGE_psir_sax): lge, it is called 'lge'",
        "note: series 3 (MR series 3): bssfp, it is called 'trufi'",
        "note: series 4 (CT series 4): left out, a localizer, made to plan other scans",
    ]
    index = list_dicom(study)
    for name, series in zip(outcome.written, index.series, strict=False):
        label_map = read_image(tmp_path / "out" / f"{name}.nii.gz")
        image = read_volume(series)
        assert np.allclose(label_map.affine, image.affine, atol=1e-4)  # NIfTI has float32
        record = json.loads((tmp_path / "out" / f"{name}.prediction.json").read_text())
        numbers = {value: number for number, value in enumerate(record["values"].values())}
        read = highdicom.seg.segread(tmp_path / "out" / f"{name}.dcm")
        by_source = read.get_pixels_by_source_instance(
            [frame.instance_uid for frame in series.frames], combine_segments=True
        )
        expected = np.vectorize(numbers.get)(label_map.array)
        assert np.array_equal(by_source.transpose(2, 1, 0), expected)
        assert [segment.SegmentLabel for segment in read.SegmentSequence] == list(run.dataset.classes[1:])


@pytest.mark.slow
def test_what_is_there_is_skipped_and_a_missing_object_is_written_again(run: Run, study: Path, tmp_path: Path) -> None:
    first, _ = predicted(run, study, tmp_path / "out", series=["1"])
    second, _ = predicted(run, study, tmp_path / "out", series=["1"])
    assert (first.written, second.skipped) == (second.skipped, first.written)
    path = tmp_path / "out" / f"{first.written[0]}.dcm"
    uid = pydicom.dcmread(path).SOPInstanceUID
    path.unlink()
    third, _ = predicted(run, study, tmp_path / "out", series=["1"])
    assert third.written == first.written
    assert pydicom.dcmread(path).SOPInstanceUID == uid


def test_no_patient_is_named_where_nobody_asked(run: Run, study: Path, tmp_path: Path) -> None:
    _, said = predicted(run, study, tmp_path / "out", series=["2"], deidentify=True)
    written = [path for path in (tmp_path / "out").iterdir() if path.suffix in (".json", ".dcm")]
    assert len(written) == 2
    for text in (*(path.read_bytes() for path in written), "\n".join(said).encode()):
        assert b"Doe" not in text
        assert b"4711" not in text


@pytest.mark.slow
def test_series_are_chosen_by_a_person(run: Run, study: Path, tmp_path: Path) -> None:
    uid = list_dicom(study).series[2].uid
    outcome, _ = predicted(run, study, tmp_path / "a", series=[uid[-8:]], dicom_seg="labelmap")
    assert [name.rpartition("-")[0] for name in outcome.written] == ["bssfp-3"]
    stored = pydicom.dcmread(tmp_path / "a" / f"{outcome.written[0]}.dcm")
    assert stored.SegmentationType == "LABELMAP"
    outcome, said = predicted(run, study, tmp_path / "b", modality_from="(lge)")
    assert [name.rpartition("-")[0] for name in outcome.written] == ["lge-2"]
    assert "note: series 1 (CT series 1): left out, '(lge)' finds no modality in what it is called" in said
    with pytest.raises(InputError, match=r"--series 9: expected a series number, a UID or its end"):
        predicted(run, study, tmp_path / "c", series=["9"])


def test_a_bad_series_is_a_failed_case_and_the_others_go_on(
    run: Run, study: Path, whole_phantom: Dataset, tmp_path: Path
) -> None:
    shutil.rmtree(study / "1")
    write_case(whole_phantom, "ct", study / "1", "1")
    paths = sorted((study / "1").iterdir())
    paths[2].unlink()
    outcome, _ = predicted(run, study, tmp_path / "out")
    assert len(outcome.written) == 2
    ((name, why),) = outcome.failures
    assert name.startswith("ct-1")
    assert "1 missing slice" in why


def test_a_study_without_a_fitting_series_says_so(run: Run, phantom: Dataset, tmp_path: Path) -> None:
    write_case(phantom, "ct", tmp_path / "in", "1", Modality="PT")
    with pytest.raises(InputError, match="expected a series of ct, bssfp, lge, found none that fits among 1"):
        predicted(run, tmp_path / "in", tmp_path / "out")


@pytest.mark.slow
def test_what_nothing_decides_is_left_to_a_person(run: Run, phantom: Dataset, tmp_path: Path) -> None:
    write_case(phantom, "lge", tmp_path / "in", "7")
    write_case(phantom, "ct", tmp_path / "in", "8")
    _, said = predicted(run, tmp_path / "in", tmp_path / "out")
    assert any(line.startswith("note: series 7 (MR series 7): left out, nothing decides between") for line in said)
    outcome, _ = predicted(run, tmp_path / "in", tmp_path / "lge", modality="lge", series=["7"])
    assert [name.rpartition("-")[0] for name in outcome.written] == ["lge-7"]


def test_other_images_beside_dicom_are_no_silent_choice(
    run: Run, study: Path, phantom: Dataset, tmp_path: Path
) -> None:
    (study / "scan.nii.gz").write_bytes(phantom.of("ct")[0].image.read_bytes())
    with pytest.raises(InputError, match=r"holds DICOM and other images \(scan.nii.gz\)"):
        predicted(run, study, tmp_path / "out")


def test_a_study_needs_a_folder_for_its_label_maps(run: Run, study: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name a folder instead of"):
        predicted(run, study, tmp_path / "out.nii.gz")


def test_a_list_of_paths_is_read_from_a_file(run: Run, study: Path, phantom: Dataset, tmp_path: Path) -> None:
    scans = tmp_path / "scans.txt"
    scans.write_text(f"# two of them\n{study.name}/1\n\n{study / '3'}\n")
    outcome, said = predicted(run, scans, tmp_path / "out", objects=())
    assert [name.rpartition("-")[0] for name in outcome.written] == ["ct-1"]
    assert sum(line.startswith("note: series") for line in said) == 2
    images = [case.image for case in phantom.of("ct")[:2]]
    plain, _ = predicted(run, images, tmp_path / "plain", modality="ct")
    assert plain.written == [image.name.removesuffix(".nii.gz") for image in images]
    with pytest.raises(InputError, match=r"is DICOM, .* is not; name images of one kind"):
        predicted(run, [study / "1", images[0]], tmp_path / "mixed", modality="ct")
    with pytest.raises(InputError, match="several images need a folder for their label maps"):
        predicted(run, images, tmp_path / "one.nii.gz", modality="ct")
    scans.write_text("nowhere\n")
    with pytest.raises(InputError, match=r"scans.txt: names .*nowhere, where nothing is"):
        predicted(run, scans, tmp_path / "none")
    scans.write_text("\n# nothing\n")
    with pytest.raises(InputError, match="expected paths of images, found none"):
        predicted(run, scans, tmp_path / "none")
