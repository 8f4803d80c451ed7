"""`unpaired partners` and `unpaired misalignment` on runs that were never trained: files, flat lines, bad inputs."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from unpaired import cli
from unpaired.analyses.misalignment.analysis import Amounts, base_partners, study_misalignment
from unpaired.data.manifest import write_dataset
from unpaired.errors import InputError
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.unet import UNetConfig
from unpaired.recipe import Recipe, build_method
from unpaired.runs.run import Run


@pytest.fixture(scope="module")
def folders(phantom, tmp_path_factory) -> dict[str, str]:
    """A run with a fusion, one without, and one of one modality."""
    folder = tmp_path_factory.mktemp("partner_runs")
    found = {}
    for name, fusion, modalities in (
        ("paired", "paired", ("ct", "lge")),
        ("plain", None, ("ct", "lge")),
        ("one", None, ("ct",)),
    ):
        network = UNetConfig(width=4, blocks=(1, 1), fusion=fusion)
        recipe = Recipe(network, SupervisedConfig(), (48, 48), steps=1, modalities=modalities, window_overlap=0.0)
        run = Run.create(folder / name, recipe, phantom)
        run.save_weights(build_method(recipe, run.modalities, len(phantom.classes)).network, "best")
        found[name] = str(run.folder)
    return found


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch) -> None:
    monkeypatch.setattr("unpaired.figures.style.png", lambda figure: b"png")


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def test_partners_are_reported_case_by_case(folders, phantom, manifest, tmp_path, capsys) -> None:
    arguments = [folders["paired"], str(manifest), str(tmp_path), "--partners", "3", "--device", "cpu", "--json"]
    assert cli.main(["partners", *arguments]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["uses_partners"]
    assert document["split"] == "test"
    rows = rows_of(tmp_path / "partners.csv")
    cases = {case.id: case for name in ("ct", "lge") for case in phantom.of(name, "test")}
    assert {row["case"] for row in rows} == set(cases)
    assert {row["form"] for row in rows} == {"alone", "sorted", "random 1", "random 2"}  # two training patients
    for row in rows:
        if row["form"] == "alone":
            assert (row["partners"], row["agreement"] in ("", "1.0")) == ("", True)
            continue
        ((modality, _, other),) = [one.partition("=") for one in row["partners"].split()]
        assert modality != row["modality"]
        partner = phantom.case(other)
        assert partner.patient != row["patient"]
        assert partner.split == ("test" if row["form"] == "sorted" else "train")
        assert row["alignments"] == f"{modality}=centers"
    assert b"<svg" in (tmp_path / "partners.svg").read_bytes()
    assert json.loads((tmp_path / "partners.json").read_text(encoding="utf-8")) == document


def test_without_fusion_no_partner_matters(folders, manifest, tmp_path, capsys) -> None:
    assert cli.main(["partners", folders["plain"], str(manifest), str(tmp_path), "--device", "cpu"]) == 0
    assert "this network doesn't use partners" in capsys.readouterr().out
    assert {row["agreement"] for row in rows_of(tmp_path / "partners.csv")} <= {"1.0", ""}


def test_misalignment_of_two_runs(folders, manifest, tmp_path, capsys) -> None:
    runs = [f"a={folders['paired']}", f"b={folders['plain']}", "--data", str(manifest), "--out", str(tmp_path)]
    amounts = ["--shifts", "6", "--rotations", "0", "--missing", "50", "--fill", "blank", "--device", "cpu"]
    assert cli.main(["misalignment", *runs, *amounts]) == 0
    printed = capsys.readouterr().out
    assert "b: no partner changed a voxel" in printed
    assert "a: mean Dice falls most by" in printed
    document = json.loads((tmp_path / "misalignment.json").read_text(encoding="utf-8"))
    assert document["runs_without_partners"] == ["b"]
    curves = {(one["run"], one["modality"], one["kind"]): one for one in document["curves"]}
    assert set(curves) == {(r, m, k) for r in "ab" for m in ("ct", "lge") for k in ("shift", "rotation", "missing")}
    assert [point["amount"] for point in curves["a", "ct", "shift"]["points"]] == [0, 6]  # 0 is added
    assert [point["amount"] for point in curves["a", "ct", "rotation"]["points"]] == [0]
    starts = {curves["a", "ct", kind]["points"][0]["dice"] for kind in ("shift", "rotation", "missing")}
    assert len(starts) == 1
    flat = [row for row in rows_of(tmp_path / "misalignment.csv") if row["run"] == "b"]
    for case in {row["case"] for row in flat}:
        for name in {row["class"] for row in flat}:
            assert len({row["dice"] for row in flat if (row["case"], row["class"]) == (case, name)}) == 1
    assert b"<svg" in (tmp_path / "misalignment.svg").read_bytes()


def test_the_patients_own_scan_comes_first(phantom) -> None:
    case = phantom.of("ct", "test")[0]
    other = phantom.of("lge", "train")[0]
    shared = replace(phantom, cases=(*phantom.cases, replace(other, id="own", patient=case.patient, split="test")))
    assert base_partners(shared, case, ("ct", "lge"))["lge"].id == "own"
    assert base_partners(phantom, case, ("ct", "lge"))["lge"].split == "test"
    no_tests = replace(
        phantom, cases=tuple(one for one in phantom.cases if one.modality == "ct" or one.split != "test")
    )
    assert base_partners(no_tests, case, ("ct", "lge"))["lge"].split == "train"


def refused(arguments: list[str], capsys) -> str:
    capsys.readouterr()
    assert cli.main([*arguments, "--device", "cpu"]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    return message


def test_bad_inputs_are_one_line(folders, phantom, manifest, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    paired, good = folders["paired"], str(manifest)
    assert "knows one modality (ct)" in refused(["partners", folders["one"], good, "out"], capsys)
    assert "knows one modality (ct)" in refused(["misalignment", folders["one"]], capsys)
    assert "one partner or more, got 0" in refused(["partners", paired, good, "out", "--partners", "0"], capsys)
    assert "misalignment takes RUN ..., got nothing, so RUN is missing" in refused(["misalignment"], capsys)
    with pytest.raises(InputError, match="expected at least one run to look at, got none"):
        study_misalignment({}, phantom)
    assert "shift_mm: expected 0 or more" in refused(["misalignment", paired, "--shifts", "-3"], capsys)
    assert "missing_share" in refused(["misalignment", paired, "--missing", "130"], capsys)
    nothing = ["--shifts", "--rotations", "--missing"]
    assert "got none" in refused(["misalignment", paired, *nothing], capsys)
    (tmp_path / "bare").mkdir()
    assert "bare is not a run folder" in refused(["misalignment", "bare", "--data", good], capsys)
    alone = tuple(case for case in phantom.cases if case.modality == "ct" or case.split == "test")
    write_dataset(replace(phantom, cases=alone), tmp_path / "alone.json")
    assert "no lge scan of another patient on the train side" in refused(
        ["partners", paired, "alone.json", "o"], capsys
    )
    write_dataset(replace(phantom, classes=(*phantom.classes, "liver")), tmp_path / "other.json")
    assert "has the classes" in refused(["partners", paired, "other.json", "o"], capsys)
    unlabeled = tuple(replace(case, label=None) for case in phantom.cases)
    write_dataset(replace(phantom, cases=unlabeled), tmp_path / "unlabeled.json")
    assert "nothing to score" in refused(["partners", paired, "unlabeled.json", "o"], capsys)
    assert not (tmp_path / "o").exists()


def test_amounts_hold_zero_once() -> None:
    amounts = Amounts((5, 0, 5), (), (10,))
    assert [amounts.of(kind) for kind in ("shift", "rotation", "missing")] == [[0, 5], [], [0, 10]]
