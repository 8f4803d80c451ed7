"""The exported scripts' numpy: the same numbers as the package's own preparation, windows, restoration and parts."""

import gzip
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from importlib import import_module
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import nibabel
import numpy as np
import pytest
import torch

from unpaired.data.dataset import NORMALIZATIONS, Modality
from unpaired.data.images import Image
from unpaired.data.postprocess import keep_largest_component, shifted, smoothed
from unpaired.data.preprocess import Preprocessing, apply
from unpaired.data.restore import restore_slabs
from unpaired.export.export import STANDALONE
from unpaired.inference.turning import turned, turned_back
from unpaired.inference.windows import probability_boxes, whole

MODULES = ("pipeline", "components", "probabilities", "turns")
SETTINGS = [
    Preprocessing(),
    Preprocessing(plane="coronal", spacing_mm=(3.0, 1.1, None)),
    Preprocessing(plane="sagittal", spacing_mm=(None, 2.5, 2.0), roi="body", roi_margin_mm=3),
    Preprocessing(plane="axial", roi="center", size=(None, 40, 12)),
    Preprocessing(plane="axial", roi="body", roi_size_mm=(50.0, None, 30.0), spacing_mm=(1.7, 1.7, 1.7)),
]


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The script as it is exported, which finds its neighbor in its own folder."""
    monkeypatch.syspath_prepend(str(STANDALONE))
    import pipeline  # pyright: ignore[reportMissingImports]

    assert Path(pipeline.__file__).parent == STANDALONE
    yield pipeline
    for name in MODULES:
        del sys.modules[name]


def scans() -> Iterator[Image]:
    """Every storage order, oblique and straight, with air around a body that isn't in the middle; no two alike."""
    rng = np.random.default_rng(0)
    for number, (flips, order) in enumerate(product(product([1, -1], repeat=3), [(0, 1, 2), (1, 2, 0), (2, 0, 1)])):
        shape = tuple(int(size) for size in rng.integers(9, 30, 3))
        array = rng.normal(0, 5, shape)
        low = [size // 4 for size in shape]
        array[tuple(slice(a, a + max(3, size // 2)) for a, size in zip(low, shape, strict=True))] += 300
        matrix = np.eye(4)
        matrix[:3, :3] = np.diag(np.array(flips) * rng.uniform(0.7, 4, 3))[:, order]
        if number % 2:
            turn = np.linalg.qr(np.eye(3) + 0.2 * rng.normal(size=(3, 3)))[0]
            matrix[:3, :3] = turn @ matrix[:3, :3]
        matrix[:3, 3] = rng.normal(0, 50, 3)
        yield Image(array.astype(np.float32 if number % 3 else np.int16), matrix)


def facts_of(modality: Modality) -> dict[str, Any]:
    return {**asdict(modality), "label_values": [0, 7, 300]}


@pytest.mark.parametrize("settings", SETTINGS)
def test_preparation_and_the_way_back(pipeline: ModuleType, settings: Preprocessing) -> None:
    rng = np.random.default_rng(1)
    modality = Modality(clip=(-200.0, 250.0))
    for image in scans():
        expected, geometry = apply(image, settings, modality)
        volume, way = pipeline.prepare(image.array, image.affine, asdict(settings), facts_of(modality))
        np.testing.assert_allclose(volume, expected, rtol=0, atol=1e-6)
        assert way == (geometry.shape, geometry.axes, geometry.flips, list(geometry.crop), geometry.grid)
        probabilities = rng.random((3, *volume.shape)).astype(np.float32)
        cut = len(volume) // 2
        slabs = [probabilities[:, :cut], probabilities[:, cut:]]
        np.testing.assert_array_equal(pipeline.restore(slabs, way), restore_slabs(slabs, geometry))


def test_the_body_of_a_scan_that_is_thinner_than_it_is_looked_at(pipeline: ModuleType) -> None:
    array = np.random.default_rng(0).normal(0, 5, (60, 50, 2)).astype(np.float32)
    array[20:45, 11:31] += 300
    settings = Preprocessing(roi="body")
    expected, geometry = apply(Image(array, np.eye(4)), settings, Modality())
    volume, (*_, crop, _) = pipeline.prepare(array, np.eye(4), asdict(settings), facts_of(Modality()))
    assert tuple(crop) == geometry.crop
    assert volume.shape < (2, 60, 50)
    np.testing.assert_allclose(volume, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", NORMALIZATIONS)
def test_values(pipeline: ModuleType, kind: str) -> None:
    modality = Modality(kind, clip_percentiles=(2.0, 97.0))
    image = next(scans())
    image.array[:3] = 0
    expected, _ = apply(image, Preprocessing(), modality)
    volume, _ = pipeline.prepare(image.array, image.affine, asdict(Preprocessing()), facts_of(modality))
    np.testing.assert_allclose(volume, expected, rtol=0, atol=1e-6)
    assert kind == "none" or np.abs(volume).max() < 100


@pytest.mark.parametrize(
    ("patch", "context", "overlap"), [((8, 16), 3, 0.5), ((8, 16), 1, 0.0), ((4, 8, 40), 1, 0.25), ((30, 8, 8), 1, 0.6)]
)
def test_windows(pipeline: ModuleType, patch: tuple[int, ...], context: int, overlap: float) -> None:
    volume = np.random.default_rng(2).normal(size=(11, 21, 16)).astype(np.float32)
    kernel = torch.randn(3, context, generator=torch.Generator().manual_seed(0))

    def compute(images: torch.Tensor) -> torch.Tensor:
        return torch.einsum("kc,bc...->bk...", kernel, images) + images[:, :1].cumsum(2)

    expected = whole(
        probability_boxes(compute, volume, patch_size=patch, context_slices=context, overlap=overlap), volume.shape
    )
    model = {"patch_size": list(patch), "context_slices": context, "overlap": overlap, "background_log_odds": 0.0}
    slabs = list(pipeline.probability_slabs(volume, model, lambda x: compute(torch.from_numpy(x)).numpy()))
    np.testing.assert_allclose(np.concatenate(slabs, axis=1), expected, atol=1e-5)
    assert len(patch) == 2 or patch[0] > len(volume) or len(slabs) > 1


def test_parts(pipeline: ModuleType) -> None:
    """Noise has many parts with odd shapes; a spiral is one part whose ends meet late."""
    rng = np.random.default_rng(3)
    for share in (0.05, 0.1, 0.3):
        labels = (rng.random((14, 15, 16)) < share).astype(np.uint8) * rng.integers(1, 3, (14, 15, 16), dtype=np.uint8)
        np.testing.assert_array_equal(
            pipeline.keep_largest(labels.copy(), [1, 2]), keep_largest_component(labels, [1, 2])
        )
        np.testing.assert_array_equal(pipeline.keep_largest(labels.copy(), [2]), keep_largest_component(labels, [2]))
    spiral = np.zeros((1, 9, 9), np.uint8)
    for ring in range(0, 4, 2):
        spiral[0, ring : 9 - ring, ring : 9 - ring] = 1
        spiral[0, ring + 1 : 8 - ring, ring + 1 : 8 - ring] = 0
        spiral[0, ring + 1, ring] = 0
        spiral[0, ring + 2, ring + 1] = 1
    np.testing.assert_array_equal(pipeline.keep_largest(spiral.copy(), [1]), keep_largest_component(spiral, [1]))
    assert not pipeline.keep_largest(np.zeros((2, 2, 2), np.uint8), [1]).any()


def test_smoothing_is_that_of_the_package(pipeline: ModuleType) -> None:
    image = next(scans())
    settings = Preprocessing(plane="coronal", spacing_mm=(3.0, 1.1, None))
    volume, geometry = pipeline.prepare(image.array, image.affine, asdict(settings), facts_of(Modality()))
    _, ours = apply(image, settings, Modality())
    values = np.random.default_rng(0).random((3, *volume.shape), np.float32)
    (slab,) = pipeline.smoothed(np.array_split(values, 2, axis=1), image.affine, geometry, 2.5)
    np.testing.assert_allclose(slab, smoothed(values, ours.spacing_mm, 2.5), atol=1e-6)
    (slab,) = pipeline.smoothed([values], image.affine, geometry, 30.0)  # farther than any axis is long
    np.testing.assert_allclose(slab, smoothed(values, ours.spacing_mm, 30.0), atol=1e-6)
    assert pipeline.smoothed([values], image.affine, geometry, 0.0)[0] is values


def test_log_odds_of_background_are_those_of_the_package(pipeline: ModuleType) -> None:
    values = np.random.default_rng(0).dirichlet((1, 1, 1), size=(2, 6, 4)).transpose(3, 0, 1, 2).astype(np.float32)
    np.testing.assert_allclose(pipeline.shifted(values, 0.5), shifted(values, 0.5), atol=1e-6)
    np.testing.assert_array_equal(pipeline.shifted(values, 0.0), values)
    for number in (1000.0, -11.0, float("nan")):
        with pytest.raises(ValueError, match=r"expected background_log_odds from -10 to 10 in model\.json, got"):
            pipeline.shifted(values, number)


def test_label_values_and_refusals(pipeline: ModuleType) -> None:
    image = next(scans())
    model = {
        "modalities": {"ct": facts_of(Modality())},
        "preprocessing": asdict(replace(Preprocessing(), plane="axial")),
        "patch_size": [8, 8],
        "context_slices": 1,
        "overlap": 0.0,
        "background_log_odds": 0.0,
        "smoothing_mm": 0.0,
        "turned_degrees": [],
        "largest_component": [],
    }

    def second_class(images: np.ndarray) -> np.ndarray:
        return np.stack([0 * images[:, 0], images[:, 0], -images[:, 0]], axis=1)

    labels = pipeline.segment(image.array, image.affine, "ct", model, second_class)
    assert (labels.dtype, labels.shape, set(np.unique(labels))) == (np.int16, image.array.shape, {7, 300})
    holed = image.array.astype(np.float32)
    holed[0, 0, 0] = np.nan
    for array, affine, compute, words in (
        (holed, image.affine, second_class, "NaN, infinity or values beyond 3.4e"),
        (holed[0], image.affine, second_class, "three axes"),
        (image.array, np.diag([1.0, 1, 0, 1]), second_class, "invertible affine"),
        (image.array, np.diag([1e3, 1, 1, 1]), second_class, "voxel sizes of 0.0001 to 100 mm"),
        (image.array, np.eye(4) + 0.1 * np.eye(4, k=1) * (1, 1, 1, 0), second_class, "sheared"),
        (image.array.astype(complex), image.affine, second_class, "one number per voxel"),
        (image.array, image.affine, lambda x: np.full((1, 3, 8, 8), np.inf), "no answer"),
    ):
        with pytest.raises(ValueError, match=words):
            pipeline.segment(array, affine, "ct", model, compute)


def test_the_script_reads_no_damaged_file_and_no_header_of_two_minds(
    pipeline: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", ModuleType("onnxruntime"))
    monkeypatch.delitem(sys.modules, "predict", raising=False)
    predict = import_module("predict")
    array, affine = np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.diag([1.3, 1.3, 10, 1])
    image = nibabel.Nifti1Image(array, affine)
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    nibabel.save(image, tmp_path / "good.nii.gz")
    read, placed = predict.read_nifti(tmp_path / "good.nii.gz")
    np.testing.assert_array_equal(read, array)
    np.testing.assert_allclose(placed, affine, rtol=1e-6)
    content = gzip.compress(gzip.decompress((tmp_path / "good.nii.gz").read_bytes()), mtime=0)
    (tmp_path / "flipped.nii.gz").write_bytes(content[:-8] + bytes([content[-8] ^ 1]) + content[-7:])
    with pytest.raises(OSError, match="CRC"):
        predict.read_nifti(tmp_path / "flipped.nii.gz")
    (tmp_path / "cut.nii.gz").write_bytes(content[:-9])
    with pytest.raises((EOFError, OSError)):
        predict.read_nifti(tmp_path / "cut.nii.gz")
    mirrored = bytearray(gzip.decompress(content))
    mirrored[280:284] = np.float32(-1.3).tobytes()  # the sform's first number
    (tmp_path / "mirrored.nii").write_bytes(mirrored)
    with pytest.raises(ValueError, match="toward LAS by the sform, toward RAS by the qform"):
        predict.read_nifti(tmp_path / "mirrored.nii")
    (tmp_path / "model.json").write_text('{"schema": 1')
    monkeypatch.setattr(predict, "__file__", str(tmp_path / "predict.py"))
    with pytest.raises(SystemExit, match="2"):
        predict.main([str(tmp_path / "good.nii.gz"), str(tmp_path / "out"), "--modality", "ct"])
    monkeypatch.delitem(sys.modules, "predict")


def test_the_scripts_turn_as_unpaired_does(pipeline: ModuleType) -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.random((3, 4, 14, 11)).astype(np.float32)
    volume, spacing = probabilities[0], (5.0, 1.0, 1.5)

    def slabs_of(shown: np.ndarray) -> list[np.ndarray]:
        return [np.stack([shown, 1 - shown])]

    (found,) = pipeline.in_all_forms(slabs_of, volume, [-25.0, 25.0], spacing)
    (alone,) = slabs_of(volume)
    forms = [turned_back(slabs_of(turned(volume, angle, spacing))[0], angle, spacing, alone) for angle in (-25.0, 25.0)]
    np.testing.assert_allclose(found, np.mean([alone, *forms], axis=0), atol=1e-5)
    assert pipeline.in_all_forms(lambda shown: shown, volume, [], spacing) is volume
