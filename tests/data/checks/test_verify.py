"""Each rule has a bad example that must trip it; a clean dataset trips none."""

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from unpaired.data.checks.findings import Finding
from unpaired.data.checks.verify import verify
from unpaired.data.dataset import CaseEntry, Dataset, Modality
from unpaired.data.images import write_image
from unpaired.errors import told_apart

CLASSES = ("background", "left kidney", "right kidney", "liver")
SPACING = np.diag([2.0, 2.0, 5.0, 1.0])
SHAPE = (24, 20, 8)


def organs(scale: int = 1) -> np.ndarray:
    """RAS axes: the first one counts toward the patient's right."""
    label = np.zeros(SHAPE, np.uint8)
    label[3:7, 8:12, 2:5] = 1
    label[17:21, 8:12, 2:5] = 2
    label[9:15, 5 : 5 + 6 * scale, 2:7] = 3
    return label


def of_patient(number: int) -> np.ndarray:
    """No two patients are alike to the voxel."""
    label = organs()
    label[9 + number % 6, 5, 2 + number // 6] = 0
    return label


def values(modality: str, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return (generator.normal(0, 300, SHAPE) - (300 if modality == "ct" else -900)).astype(np.float32)


@pytest.fixture
def clean(tmp_path: Path) -> Dataset:
    """Three patients in each of two modalities, one of them in the test split."""
    cases = []
    for number, modality in enumerate(["ct"] * 4 + ["t2"] * 4):
        name = f"{modality}{number}"
        image, label = tmp_path / f"{name}.nii.gz", tmp_path / f"{name}_label.nii.gz"
        write_image(image, values(modality, number), SPACING)
        write_image(label, of_patient(number), SPACING)
        split = "test" if number % 4 == 3 else "train"
        cases.append(CaseEntry(name, f"patient{number}", modality, image, label, split=split))
    return Dataset("clean", CLASSES, {"ct": Modality(), "t2": Modality()}, tuple(cases))


def changed(dataset: Dataset, position: int, **fields: object) -> Dataset:
    cases = list(dataset.cases)
    cases[position] = replace(cases[position], **fields)
    return replace(dataset, cases=tuple(cases))


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, findings
    assert "\n" not in findings[0].message
    return findings[0]


def test_a_clean_dataset_has_no_findings(clean: Dataset) -> None:
    seen = []
    assert verify(clean, progress=lambda done, total, case: seen.append((done, total, case))) == []
    assert seen == [(number + 1, 8, case.id) for number, case in enumerate(clean.cases)]
    assert verify(changed(clean, 0, label=None)) == []  # an unlabeled case is no fault


def test_missing_and_unreadable_files(clean: Dataset) -> None:
    clean.cases[0].image.write_bytes(clean.cases[0].image.read_bytes()[:-40])
    write = nib.Nifti1Image(np.zeros((3, 4, 5, 2), np.uint8), np.eye(4))
    nib.save(write, clean.cases[1].image)
    nib.save(nib.Nifti1Image(np.zeros(SHAPE, np.complex64), SPACING), clean.cases[4].image)
    assert clean.cases[5].label is not None
    clean.cases[5].label.unlink()
    clean.cases[6].image.unlink()
    found = {finding.case: finding for finding in verify(clean) if finding.severity == "error"}
    expected = {"ct0": "truncated", "ct1": "4D", "t24": "complex", "t25": "found none", "t26": "found none"}
    assert set(found) == set(expected)
    for case, words in expected.items():
        assert found[case].rule == ("missing" if case in ("t25", "t26") else "unreadable")
        assert words in found[case].message
        assert str(found[case].file) in found[case].message


@pytest.mark.parametrize(
    ("affine", "rule", "words"),
    [
        (np.diag([2.0, 2.0, 0.0, 1.0]), "affine", "invertible"),
        (np.array([[2.0, 0, 1.8, 0], [0, 2, 0, 0], [0, 0, 5, 0], [0, 0, 0, 1]]), "affine", "sheared by 19.8 degrees"),
    ],
)
def test_bad_affines(clean: Dataset, affine: np.ndarray, rule: str, words: str) -> None:
    image = nib.Nifti1Image(values("ct", 0), None)
    image.header.set_sform(affine, code=1)
    clean.cases[0].image.with_suffix("").write_bytes(image.to_bytes())
    bad = changed(clean, 0, image=clean.cases[0].image.with_suffix(""))
    finding = next(finding for finding in verify(bad) if finding.case == "ct0")
    assert (finding.severity, finding.rule) == ("error", rule)
    assert words in finding.message


def test_headers_that_contradict_themselves(clean: Dataset) -> None:
    """An sform of ones, as in copies of ACDC, is resolved with a warning; a header without codes is refused."""
    image = nib.Nifti1Image(values("ct", 0), SPACING)
    image.set_qform(SPACING, code=1)
    path = clean.cases[0].image.with_suffix("")
    for changes, severity, rule, words in (
        ({"srow_x": [1, 0, 0, 0], "srow_y": [0, 1, 0, 0], "srow_z": [0, 0, 1, 0]}, "warning", "header", "1 x 1 x 1 mm"),
        ({"sform_code": 0, "qform_code": 0}, "error", "affine", "neither sform nor qform has a code"),
    ):
        content = bytearray(image.to_bytes())
        header = nib.Nifti1Header(bytes(content[:348]), check=False)
        for name, value in changes.items():
            header[name] = value
        content[:348] = header.binaryblock
        path.write_bytes(content)
        finding = next(finding for finding in verify(changed(clean, 0, image=path)) if finding.case == "ct0")
        assert (finding.severity, finding.rule) == (severity, rule)
        assert words in finding.message


def test_shape_and_corners(clean: Dataset) -> None:
    first, second = clean.cases[0].label, clean.cases[1].label
    assert first is not None
    assert second is not None
    write_image(first, organs()[:-1], SPACING)
    moved = SPACING.copy()
    moved[1, 3] = 1.2  # 0.6 voxels
    write_image(second, of_patient(1), moved)
    shape, corners = verify(clean)
    assert (shape.case, shape.rule, shape.severity) == ("ct0", "shape", "error")
    assert "(23, 20, 8)" in shape.message
    assert (corners.case, corners.rule, corners.severity) == ("ct1", "corners", "error")
    assert "0.6 voxels" in corners.message
    moved[1, 3] = 0.8  # 0.4 voxels are allowed
    write_image(second, of_patient(1), moved)
    write_image(first, of_patient(0), SPACING)
    assert verify(clean) == []


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_no_numbers(clean: Dataset, bad: float) -> None:
    image = values("ct", 0)
    image[1, 2, 3] = bad
    write_image(clean.cases[0].image, image, SPACING)
    finding = only(verify(clean))
    assert (finding.severity, finding.rule, finding.case) == ("error", "nan", "ct0")
    assert "ct0.nii.gz: NaN or infinity in 1 of 3840 voxels" in finding.message


def test_numbers_that_float32_cannot_hold_are_told_from_infinity(clean: Dataset) -> None:
    image = values("t2", 4).astype(np.float64)
    image[1, 2, 3] = -1e39
    write_image(clean.cases[4].image, image, SPACING)
    finding = only(verify(clean))
    assert (finding.severity, finding.rule, finding.case) == ("error", "nan", "t24")
    assert "t24.nii.gz: values such as -1e+39 in 1 of 3840 voxels, expected none beyond 3.4e+38" in finding.message


@pytest.mark.parametrize("position", [0, 4])
def test_a_scan_that_shows_nothing(clean: Dataset, position: int) -> None:
    case, image = clean.cases[position], values("ct", 0)
    write_image(case.image, np.full(SHAPE, -7, np.int16), SPACING)
    blank = only(verify(clean))
    assert (blank.severity, blank.rule, blank.case) == ("error", "constant", case.id)
    assert blank.message == "every voxel is -7: a blank scan; export it again, or leave the case out"
    write_image(case.image, 500 * organs().clip(0, 1).astype(np.int16), SPACING)
    mask = only(verify(clean))
    assert (mask.severity, mask.rule, mask.case) == ("error", "constant", case.id)
    assert "every voxel is 0 or 500: a mask, no scan" in mask.message
    image[organs() > 0] = -20.5
    write_image(case.image, image + (900 if position else -300), SPACING)
    hidden = only(verify(clean))
    assert (hidden.severity, hidden.rule, hidden.case) == ("warning", "constant", case.id)
    assert f"labeled voxels are {879.5 if position else -320.5}: nothing is seen" in hidden.message
    few = np.zeros(SHAPE, np.uint8)
    few[9:12, 5:8, 2:5] = 3
    write_image(case.label or "", few, SPACING)
    assert "constant" not in {finding.rule for finding in verify(clean)}


def test_unknown_label_value(clean: Dataset) -> None:
    label = organs()
    label[0, 0, 0] = 77
    file = clean.cases[0].label
    assert file is not None
    write_image(file, label, SPACING)
    finding = only(verify(clean))
    assert (finding.severity, finding.rule) == ("error", "label-value")
    for words in ("77", str(file), "label_maps"):
        assert words in finding.message
    write_image(file, organs() + np.float32(0.5), SPACING)
    assert only(verify(clean)).rule == "unreadable"


def test_label_without_foreground(clean: Dataset) -> None:
    file = clean.cases[3].label
    assert file is not None
    write_image(file, np.zeros(SHAPE, np.uint8), SPACING)
    finding = only(verify(clean))
    assert (finding.severity, finding.rule, finding.case) == ("error", "empty-label", "ct3")


def test_a_patient_on_both_sides(clean: Dataset) -> None:
    finding = only(verify(changed(clean, 7, patient="patient0")))
    assert (finding.severity, finding.rule, finding.case) == ("error", "patient-split", "t27")
    assert "patient0" in finding.message


def test_simulated_scans_beside_those_of_patients(clean: Dataset) -> None:
    named = only(verify(changed(clean, 1, patient="patient0", simulated=True)))
    assert (named.severity, named.rule, named.case) == ("error", "simulated", "ct1")
    assert "patient0 was scanned in case ct0" in named.message
    tested = only(verify(changed(clean, 3, simulated=True)))
    assert (tested.severity, tested.rule, tested.case) == ("warning", "simulated", "ct3")
    assert "in test" in tested.message
    assert not verify(replace(clean, cases=tuple(replace(case, simulated=True) for case in clean.cases)))


def test_simulated_scans_are_no_measure_of_patients(clean: Dataset) -> None:
    """A phantom of other voxels and sizes, of which there are more than patients."""
    other, cases = np.diag([5.0, 5.0, 5.0, 1.0]), list(clean.cases)
    for case in clean.of("ct"):
        image, label = (case.image.with_name(f"s_{case.id}{end}.nii.gz") for end in ("", "_label"))
        write_image(image, values("ct", 10 + int(case.id[2:])), other)
        write_image(label, organs(), other)
        cases += [
            replace(case, id=f"s{n}{case.id}", patient=f"s{n}{case.id}", image=image, label=label, simulated=True)
            for n in range(1 if case.split == "test" else 2)
        ]
    cases = [replace(case, split="train") for case in cases]
    found = verify(replace(clean, cases=tuple(cases)))
    assert not {finding.rule for finding in found} & {"spacing", "organ-size"}


def test_the_same_image_twice(clean: Dataset) -> None:
    write_image(clean.cases[3].image, values("ct", 0), SPACING)  # other bytes on disk are no excuse
    finding = only(verify(clean))
    assert (finding.severity, finding.rule, finding.case) == ("error", "duplicate", "ct3")
    assert "ct0" in finding.message
    same_side = only(verify(changed(clean, 3, split="train")))
    assert (same_side.severity, same_side.rule) == ("warning", "duplicate")


def test_the_same_label_map_twice(clean: Dataset) -> None:
    finding = only(verify(changed(clean, 1, label=clean.cases[0].label)))
    assert (finding.severity, finding.rule, finding.case) == ("warning", "duplicate-label", "ct1")
    assert "the same label map as case ct0" in finding.message
    assert "patients patient0 and patient1" in finding.message
    write_image(clean.cases[1].label or "", of_patient(0).astype(np.int16), SPACING)  # another file is no excuse
    assert only(verify(clean)) == replace(finding, file=clean.cases[1].label)
    assert not verify(changed(clean, 1, patient="patient0")), "one patient's scans may share one"
    write_image(clean.cases[1].image, values("ct", 0), SPACING)
    assert [each.rule for each in verify(clean)] == ["duplicate"], "one scan twice is told once"
    few = np.zeros(SHAPE, np.uint8)
    few[9:12, 5:8, 2:5] = 3
    for case in clean.cases[:2]:
        write_image(case.label or "", few, SPACING)
    assert "duplicate-label" not in {finding.rule for finding in verify(clean)}, "27 voxels may be alike by chance"


def test_the_same_label_map_of_simulated_scans(clean: Dataset) -> None:
    both = changed(changed(clean, 0, simulated=True), 1, simulated=True, label=clean.cases[0].label)
    assert "duplicate-label" not in {finding.rule for finding in verify(both)}


@pytest.mark.parametrize(
    ("window", "severity", "words"),
    [
        ((5000.0, 6000.0), "error", "and the window 5000..6000 of ct (clip in the manifest) makes all of them one"),
        ((-9000.0, -5000.0), "error", "makes all of them one"),
        ((0.0, 1000.0), "warning", "all 275 labeled voxels lie in -400..-300, and the window 0..1000 of ct"),
        ((-5000.0, -400.0), "warning", "makes them one value: nothing is seen of what is labeled"),
        ((-350.0, 1000.0), None, ""),
    ],
)
def test_a_window_that_leaves_nothing(clean: Dataset, window: tuple[float, float], severity: str, words: str) -> None:
    scan = values("ct", 0)
    scan[of_patient(0) > 0] = np.linspace(-400, -300, int((of_patient(0) > 0).sum()))
    write_image(clean.cases[0].image, scan, SPACING)
    alone = replace(clean, cases=clean.cases[:1], modalities={"ct": Modality(clip=window)})
    found = [finding for finding in verify(alone) if finding.rule == "constant"]
    assert [finding.severity for finding in found] == ([severity] if severity else [])
    assert not found or words in found[0].message


def test_ct_that_is_none(clean: Dataset) -> None:
    write_image(clean.cases[0].image, np.random.default_rng(0).integers(0, 255, SHAPE).astype(np.uint8), SPACING)
    write_image(clean.cases[1].image, values("t2", 1), SPACING)
    findings = verify(clean)
    assert [(finding.severity, finding.rule, finding.case) for finding in findings] == [
        ("warning", "ct-values", "ct0"),
        ("warning", "ct-values", "ct1"),
    ]
    assert "gray levels" in findings[0].message
    assert "without air" in findings[1].message


def test_mirrored_patient(clean: Dataset) -> None:
    file = clean.cases[0].label
    assert file is not None
    write_image(file, organs()[::-1].copy(), SPACING)
    finding = only(verify(clean))
    assert (finding.severity, finding.rule, finding.case) == ("warning", "sides", "ct0")
    assert "left kidney lies 28 mm to the patient's right" in finding.message


def test_odd_spacing(clean: Dataset) -> None:
    file = clean.cases[1].label
    assert file is not None
    odd = np.diag([2.0, 2.0, 11.0, 1.0])
    write_image(clean.cases[1].image, values("ct", 1), odd)
    write_image(file, organs(), odd)
    finding = only(verify(clean))
    assert (finding.severity, finding.rule, finding.case) == ("warning", "spacing", "ct1")
    assert "2 x 2 x 11 mm" in finding.message


def test_stale_spacing_of_a_whole_modality(clean: Dataset) -> None:
    stale = np.diag([3.4, 3.4, 5.0, 1.0])
    for case in clean.of("t2"):
        assert case.label is not None
        write_image(case.image, values("t2", int(case.id[2:])), stale)
        write_image(case.label, of_patient(int(case.id[2:])), stale)
    finding = only(verify(clean))
    assert (finding.severity, finding.rule) == ("warning", "organ-size")
    assert "2.9 times larger in mm^3 in t2 than in ct" in finding.message


def test_a_label_map_that_cannot_be_understood_may_hold_any_class(clean: Dataset) -> None:
    for case in clean.of("ct")[:2]:
        assert case.label is not None
        write_image(case.label, np.where(organs() == 3, 99, organs()).astype(np.uint8), SPACING)
    findings = verify(clean)
    assert [finding.rule for finding in findings] == ["label-value", "label-value"]


def test_too_few_labeled_cases(clean: Dataset) -> None:
    bad = changed(changed(clean, 0, label=None), 1, label=None)
    finding = only(verify(bad))
    assert (finding.severity, finding.rule, finding.case) == ("warning", "few-labeled", None)
    assert "ct: 1 labeled training case with left kidney, right kidney, liver, expected 2" in finding.message
    label = clean.cases[2].label
    assert label is not None
    write_image(label, organs() * (organs() != 3), SPACING)
    assert [finding.message.split(",")[0] for finding in verify(bad)] == [
        "ct: no labeled training cases with liver",
        "ct: 1 labeled training case with left kidney",
    ]


def test_partly_annotated_and_merged_labels_are_no_fault(clean: Dataset) -> None:
    partly = replace(clean, cases=tuple(replace(case, annotated=("liver",)) for case in clean.cases))
    for case in partly.cases:
        assert case.label is not None
        write_image(case.label, (of_patient(int(case.id[2:])) == 3).astype(np.uint8) * 3, SPACING)
    assert verify(partly) == []


def test_processes_find_the_same(clean: Dataset) -> None:
    clean.cases[0].image.write_bytes(b"broken")
    alone = verify(clean)
    assert alone
    assert verify(clean, workers=2) == alone


def test_two_readers_of_one_modality_whose_numbers_mean_different_organs(clean: Dataset) -> None:
    a = {0: ("background",), 1: ("left kidney",), 2: ("right kidney",), 3: ("liver",)}
    b = {0: ("background",), 2: ("left kidney",), 1: ("right kidney",), 3: ("liver",)}
    label = clean.cases[0].label
    assert label is not None
    write_image(label, np.array([0, 2, 1, 3], np.uint8)[organs()], SPACING)
    finding = only(verify(changed(replace(clean, label_maps={"a": a, "b": b, "identity": a}), 0, label_map="b")))
    assert (finding.severity, finding.rule) == ("warning", "label-values")
    assert "label maps of ct disagree: 2 is right kidney in identity and left kidney in b" in finding.message


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", "01"),
        ("1", "1.0"),
        ("017", "17.0 "),
        ("P1", "p1"),
        ("p1 ", "p1"),
        ("p_1", "p1"),
        ("Patient 070", "patient-70"),
        ("ｐ１", "P1"),
        ("Ä1", "ä01"),
        ("Mu\u0308ller", "M\u00fcller"),
        ("p\u200b1", "p1"),
    ],
)
def test_one_person_under_two_names(clean: Dataset, one: str, other: str) -> None:
    found = only(verify(changed(changed(clean, 0, patient=one), 3, patient=other)))
    assert (found.severity, found.rule, found.case) == ("warning", "similar-patients", clean.cases[3].id)
    here, there = told_apart(other, one)
    assert f"patient {here} here, {there} in case {clean.cases[0].id}" in found.message
    assert "these two are in test and in train" in found.message


@pytest.mark.parametrize(
    ("one", "other"), [("p1", "p11"), ("1-1", "11"), ("p0", "p"), ("pa", "pb"), ("?", "!"), ("p1a", "p1b")]
)
def test_two_persons_with_names_of_their_own(clean: Dataset, one: str, other: str) -> None:
    assert verify(changed(changed(clean, 0, patient=one), 1, patient=other)) == []


def test_one_structure_under_two_names(clean: Dataset) -> None:
    finding = only(verify(replace(clean, classes=(*clean.classes[:-1], clean.classes[1].upper()))))
    assert (finding.severity, finding.rule, finding.case) == ("warning", "similar-classes", None)
    assert f"classes {clean.classes[1]!r} and {clean.classes[1].upper()!r} differ in spelling" in finding.message


def ct_like(seed: int) -> np.ndarray:
    """Half air, half tissue."""
    array = np.random.default_rng(seed).normal(40, 20, SHAPE)
    array[:12] -= 1000
    return array.astype(np.float32)


def test_a_case_listed_under_another_modality(clean: Dataset) -> None:
    for case in clean.cases:
        array = ct_like(int(case.id[-1])) if case.modality == "ct" else abs(values("t2", int(case.id[-1])))
        write_image(case.image, array, SPACING)
    assert verify(clean) == []
    write_image(clean.cases[5].image, ct_like(9), SPACING)
    finding = only(verify(clean))
    assert (finding.severity, finding.rule, finding.case) == ("warning", "modality", "t25")
    assert "listed as t2, but 50% of its voxels lie at or below -500" in finding.message
    assert "none of the 3 t2 scans beside it has any" in finding.message
    write_image(clean.cases[5].image, abs(values("t2", 5)), SPACING)
    write_image(clean.cases[2].image, abs(values("t2", 2)), SPACING)
    assert "correct the modality" in only(verify(clean)).message  # an MR as ct: told by the rule of CT's values
    others = replace(
        clean,
        modalities={"a": Modality(), "b": Modality()},
        cases=tuple(replace(case, modality={"ct": "a", "t2": "b"}[case.modality]) for case in clean.cases),
    )
    finding = only(verify(others))
    assert (finding.rule, finding.case) == ("modality", "ct2")
    assert "that every one of the 3 a scans beside it has" in finding.message


def test_a_whole_modality_that_is_none(clean: Dataset) -> None:
    for case in clean.cases[4:]:
        write_image(case.image, ct_like(int(case.id[-1])), SPACING)
    findings = verify(changed(clean, 0, modality="t2"))
    assert {finding.rule for finding in findings} <= {"modality", "few-labeled"}
    for case in clean.cases[4:]:
        write_image(case.image, ct_like(int(case.id[-1])), SPACING)
    alone = replace(clean, cases=clean.cases[4:5], modalities={"t2": Modality()})
    assert [finding.rule for finding in verify(alone) if finding.rule == "modality"] == ["modality"]
