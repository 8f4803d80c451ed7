"""The fingerprint of small written scans, by hand; of the phantom, in full; what can't be read, in one line."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from public_fingerprints import modality
from unpaired import Fingerprint, inspect_dataset
from unpaired.cli import main
from unpaired.data.dataset import CaseEntry, Dataset, Modality
from unpaired.data.images import write_image
from unpaired.data.manifest import read_dataset, write_dataset
from unpaired.errors import InputError
from unpaired.planning.case_facts import CaseFacts
from unpaired.planning.fingerprint import read_fingerprint, take_fingerprint
from unpaired.planning.near_duplicates import Alike
from unpaired.planning.tables import modality_table, organ_table


@pytest.fixture
def study(tmp_path: Path) -> Dataset:
    """Two scans of 4 x 10 x 20 voxels of 5 x 1 x 2 mm (slices along the file's last axis), one of them labeled."""
    affine = np.diag([2.0, 1.0, 5.0, 1.0])
    scan = np.zeros((20, 10, 4), np.int16)
    scan[5:15, 2:8] = 100
    organs = np.zeros((20, 10, 4), np.uint8)
    organs[8:12, 4:6, 1:3] = 3  # 16 voxels of 10 cubic millimetres
    scan[organs == 3] = 250
    write_image(tmp_path / "a.nii.gz", scan, affine)
    write_image(tmp_path / "b.nii.gz", scan, affine)
    write_image(tmp_path / "a_seg.nii.gz", organs, affine)
    cases = (
        CaseEntry("a", "p1", "mr", tmp_path / "a.nii.gz", tmp_path / "a_seg.nii.gz", "file"),
        CaseEntry("b", "p2", "mr", tmp_path / "b.nii.gz"),
    )
    table = {"file": {0: ("background",), 3: ("organ",)}}
    return Dataset("study", ("background", "organ", "other"), {"mr": Modality()}, cases, table)


def test_facts_of_a_case_by_hand(study: Dataset) -> None:
    fingerprint, pictures = take_fingerprint(study)
    labeled, unlabeled = fingerprint.cases
    assert labeled.shape == (4, 10, 20)
    assert labeled.spacing_mm == (5, 1, 2)
    assert (labeled.plane, labeled.axes) == ("axial", "RAS")
    assert labeled.volumes_ml == {"organ": pytest.approx(16 * 10 / 1000)}
    assert labeled.percentiles == (250,) * 7
    assert (labeled.mean, labeled.std) == (250, 0)
    assert not unlabeled.labeled
    assert unlabeled.volumes_ml == {}
    assert 100 <= unlabeled.percentiles[-1] <= 250
    assert pictures["a"].outline.any()
    assert not pictures["b"].outline.any()


def test_facts_of_a_modality(study: Dataset) -> None:
    facts = take_fingerprint(study)[0].of("mr")
    assert (facts.cases, facts.patients, facts.labeled_patients) == (2, 2, 1)
    assert facts.labeled_with == {"organ": 1, "other": 0}
    assert facts.volumes_ml == {"organ": pytest.approx(0.16)}
    assert facts.spacing_range == ((5, 1, 2), (5, 1, 2))
    assert facts.planes == {"axial": 2}


def test_a_modality_of_simulated_scans_beside_patients_has_no_patient(study: Dataset) -> None:
    labeled, patient = study.cases
    cases = (replace(labeled, modality="lge", simulated=True), patient)
    fingerprint, _ = take_fingerprint(replace(study, modalities={"mr": Modality(), "lge": Modality()}, cases=cases))
    facts = fingerprint.of("lge")
    assert (facts.patients, facts.labeled_patients, facts.simulated_patients) == (0, 0, 1)
    assert facts.volumes_ml == {"organ": pytest.approx(0.16)}, "what is known of it is of simulated scans"
    table = modality_table(fingerprint)
    place = table.head.index("simulated")
    assert [row[place] for row in table.rows] == ["0", "1"]
    assert "simulated" not in modality_table(take_fingerprint(study)[0]).head


def facts_of(name: str, patient: str, side: int, labeled: bool = True, organ: float | None = None) -> CaseFacts:
    """A CT of side x side x side voxels of side / 10 mm, the slices twice as far apart."""
    step, volumes = side / 10, {} if organ is None else {"organ": organ}
    sizes = (side, side, side), (2 * step, step, step), "axial", "LPS"
    body = side / 100, (2 * step * side, step * side, step * side)
    return CaseFacts(name, patient, "ct", labeled, *sizes, (float(side),) * 7, side, 1, *body, volumes)


CASES = (
    facts_of("a1", "a", 10, organ=1.0),
    facts_of("a2", "a", 20, organ=9.0),
    facts_of("b", "b", 60, labeled=False),
    facts_of("c", "c", 30, organ=2.0),
    facts_of("s1", "s", 90, organ=70.0),
    facts_of("s2", "s", 90),
)
"""Four scans of three patients, and two of one who was simulated."""


@pytest.fixture
def taken() -> Fingerprint:
    """Of `CASES` and one more, which looks like c."""
    alike = Alike("b", "c", 0.99), Alike("c", "d", 0.98)
    cases = (*CASES, facts_of("d", "d", 50))
    facts = (modality("ct", (1, 1, 1), (1, 1, 1)),)
    return Fingerprint("study", ("background", "organ"), facts, cases, (("x", "broken"), ("y", "broken")), alike)


def test_a_modalitys_facts_are_medians_of_its_cases_and_numbers_of_patients(taken: Fingerprint) -> None:
    """Sides of 10, 20, 30 and 60: their median is 25, of side x side 6.5 x 100, of volumes of 1, 9 and 2 ml 2 ml."""
    known = taken.of_cases({*(case.id for case in CASES), "x"}, simulated={"s1", "s2"})
    (facts,) = known.modalities
    assert (facts.name, facts.is_ct) == ("ct", True)
    assert (facts.cases, facts.patients, facts.labeled_patients, facts.simulated_patients) == (4, 3, 2, 1)
    assert (facts.shape, facts.spacing_mm, facts.body_mm) == ((25, 25, 25), (5, 2.5, 2.5), (130, 65, 65))
    assert facts.spacing_range == ((2, 1, 1), (12, 6, 6))
    assert facts.body_share == 0.25
    assert facts.percentiles == (25,) * 7
    assert (facts.labeled_with, facts.volumes_ml) == ({"organ": 2}, {"organ": 2})
    assert known.cases == CASES
    assert (known.failures, known.alike) == ((("x", "broken"),), (taken.alike[0],))
    alone = taken.of_cases({"s1", "s2"}, simulated={"s1", "s2"}).of("ct")
    assert (alone.cases, alone.patients, alone.labeled_patients, alone.simulated_patients) == (2, 0, 0, 1)
    assert (alone.shape, alone.volumes_ml) == ((90, 90, 90), {"organ": 70})
    with pytest.raises(InputError, match="has facts of no case that would train"):
        taken.of_cases({"e"}, simulated=())


def test_labels_of_those_that_train_count_and_sizes_are_those_of_all(taken: Fingerprint) -> None:
    whole = taken.of_cases({case.id for case in CASES}, simulated={"s1", "s2"})
    learned = whole.taught_by({"a1", "a2", "b"}, simulated={"s1", "s2"})
    expected = replace(whole.of("ct"), labeled_patients=1, labeled_with={"organ": 1})
    assert learned.modalities == (expected,)
    assert learned.cases == CASES[:3]
    assert whole.taught_by((), simulated=()).of("ct") == replace(expected, labeled_patients=0, labeled_with={})


def test_large_volumes_have_no_exponent(study: Dataset) -> None:
    fingerprint = take_fingerprint(study)[0]
    facts = fingerprint.of("mr")
    for volume, text in (
        (0.16, "1 · 0.16 ml"),
        (41.27, "1 · 41.3 ml"),
        (999.4, "1 · 999 ml"),
        (1763.2, "1 · 1,760 ml"),
    ):
        large = replace(fingerprint, modalities=(replace(facts, volumes_ml={"organ": volume}),))
        assert organ_table(large).rows[0][1] == text


def test_it_comes_back_from_its_file(study: Dataset, tmp_path: Path) -> None:
    fingerprint = inspect_dataset(study, json=tmp_path / "f.json")
    assert read_fingerprint(tmp_path / "f.json") == fingerprint
    for text, said in (
        ('{"dataset": "x"}', "expected schema 1"),
        ('{"schema": 1, "dataset": 3}', "dataset: expected text"),
    ):
        (tmp_path / "g.json").write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=rf"g\.json: {said}.*; write it with `unpaired inspect`"):
            read_fingerprint(tmp_path / "g.json")
    for field, value, said in (
        ("spacing_mm", [0, 1, 1], r"spacing_mm\[0\]: expected a number above 0, got 0"),
        ("percentiles", [1.0], r"percentiles: expected \[a number, ...\], 7 of them, got \[1.0\]"),
        ("labeled_patients", -1, "labeled_patients: expected a whole number of 0 or more"),
    ):
        document = json.loads((tmp_path / "f.json").read_text(encoding="utf-8"))
        document["modalities"][0][field] = value
        (tmp_path / "g.json").write_text(json.dumps(document), encoding="utf-8")
        with pytest.raises(InputError, match=rf"g\.json: modalities\[0\]\.{said}.*; write it with"):
            read_fingerprint(tmp_path / "g.json")


def test_no_file_of_anything_else_is_written_over(manifest: Path, tmp_path: Path) -> None:
    page, numbers = tmp_path / "p.html", tmp_path / "f.json"
    inspect_dataset(manifest, page=page, json=numbers)
    inspect_dataset(manifest, page=page, json=numbers)
    other = tmp_path / "dataset.json"
    write_dataset(replace(read_dataset(manifest), name="other"), other)
    before = [file.read_bytes() for file in (page, numbers, other)]
    for files in ({"page": page}, {"json": numbers}, {"json": other}):
        with pytest.raises(InputError, match="is there, and inspect didn't make it of"):
            inspect_dataset(other, **files)
    assert [file.read_bytes() for file in (page, numbers, other)] == before


def test_a_scan_that_can_t_be_read_stops_no_other(study: Dataset, tmp_path: Path) -> None:
    (tmp_path / "b.nii.gz").write_bytes(b"no scan")
    fingerprint = inspect_dataset(study, page=tmp_path / "page.html")
    assert [case.id for case in fingerprint.cases] == ["a"]
    assert [name for name, _ in fingerprint.failures] == ["b"]
    assert "b.nii.gz" in (tmp_path / "page.html").read_text(encoding="utf-8")
    broken = replace(study, cases=study.cases[1:])
    with pytest.raises(InputError, match="no scan can be read; b: "):
        inspect_dataset(broken)


def test_cases_of_the_page_are_in_the_order_in_which_people_count(study: Dataset, tmp_path: Path) -> None:
    scan = study.cases[1]
    names = ("p10_x", "p2_x", "p1_x", "p2", "10")
    cases = tuple(replace(scan, id=name, patient="p") for name in names)
    inspect_dataset(replace(study, cases=cases), page=tmp_path / "page.html")
    shown = re.findall(r"<figcaption><b>(.+?)</b>", (tmp_path / "page.html").read_text(encoding="utf-8"))
    assert shown == ["10", "p1_x", "p2", "p2_x", "p10_x"]


def test_the_page_and_the_command(manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, json = tmp_path / "p.html", tmp_path / "p.json"
    assert main(["inspect", str(manifest), "--page", str(page), "--json", str(json), "--workers", "1"]) == 0
    printed = capsys.readouterr().out
    known = read_fingerprint(json)
    assert isinstance(known, Fingerprint)
    text = page.read_text(encoding="utf-8")
    for facts in known.modalities:
        assert facts.name in printed
    assert all(f"<b>{case.id}</b>" in text for case in known.cases)
    assert "http" not in text.split("</style>")[1]
