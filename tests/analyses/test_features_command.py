"""`unpaired features`: everything is written, and bad inputs end in one line and exit code 2."""

import csv
import html
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import unpaired
from small_network import LAYERS
from undrawn import undrawn
from unpaired import cli
from unpaired.analyses.attention.analysis import ClassAttention
from unpaired.analyses.plan import Options, make_plan, read_members, readable
from unpaired.data.images import read_label_map, write_image
from unpaired.data.manifest import write_dataset
from unpaired.data.prediction_record import Record, Written, write_record
from unpaired.errors import InputError
from unpaired.methods.structured_consistency import SSCConfig
from unpaired.networks.adapt import AdaptedConfig
from unpaired.networks.fcn import FCNConfig
from unpaired.networks.unet import UNetConfig
from unpaired.recipe import Recipe, build_method
from unpaired.runs.run import Run


@pytest.fixture(scope="session")
def both(runs, tmp_path_factory):
    """The folder that the command wrote about both runs."""
    out = tmp_path_factory.mktemp("features")
    folders = (str(run.folder) for run in runs.values())
    with undrawn():
        assert cli.main(["features", *folders, "--out", str(out), "--device", "cpu"]) == 0
    return out


def test_everything_is_written(both):
    page = (both / "features.html").read_text(encoding="utf-8")
    for part in ("localization", "layers", "classes", "maps", "affinities", "segmentations", "how"):
        assert f'id="{part}"' in page
    assert "<script" not in page
    document = json.loads((both / "localization.json").read_text(encoding="utf-8"))
    assert (document["runs"], document["layers"]) == (["msbn", "csa"], [*LAYERS, "decoder1"])
    assert document["modalities"] == ["ct", "lge"]
    assert document["chosen_on"] == {"ct": "validation", "lge": "validation"}
    rows = list(csv.DictReader((both / "localization.csv").read_text(encoding="utf-8").splitlines()))
    assert {row["run"] for row in rows} == {"msbn", "csa"}
    assert 'href="affinities.csv"' in page
    names = {path.name for path in (both / "figures").iterdir()}
    assert {"affinity_csa.png", "maps_msbn_ct.png", "segmentations.png", "localization_lge_best.svg"} <= names
    for name in names:
        assert f'href="figures/{name}"' in page


def test_an_ssc_run_shows_its_attention(phantom, tmp_path):
    method = SSCConfig(scales=("encoder3", "decoder2"))
    network = UNetConfig(width=4, blocks=(1, 1, 1))
    run = Run.create(tmp_path / "ssc", Recipe(network, method, (48, 48), steps=1, modalities=("ct", "lge")), phantom)
    trained = build_method(run.recipe, run.modalities, len(phantom.classes))
    run.save_weights(trained.network, "best")
    run.append_rows("log", [{"step": step, "loss": 1, "term/class_distance/1": 0.5 / step} for step in (1, 10)])
    run.save_state({"step": 1, "method": trained.state_dict()})
    with undrawn():
        assert cli.main(["features", str(run.folder), "--device", "cpu", "--layers", "decoder2"]) == 0
    page = (run.folder / "features" / "features.html").read_text(encoding="utf-8")
    assert 'id="attention"' in page
    assert "LV from 0.5 to 0.05" in page
    names = {path.name for path in (run.folder / "features" / "figures").iterdir()}
    assert {"correlation_ssc.png", "attention_ssc_ct.png", "attention_ssc_lge.png"} <= names
    rows = list(csv.DictReader((run.folder / "features" / "correlations.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 2 * 2 * len(phantom.classes) ** 2
    sums: dict[tuple[str, ...], float] = {}
    for row in rows:
        key = row["scale"], row["modality"], row["class"]
        sums[key] = sums.get(key, 0) + float(row["r"])
    assert all(total == pytest.approx(1, abs=1e-4) for total in sums.values())
    (run.folder / "resume.pt").unlink()
    members = read_members([str(run.folder)])
    attention = ClassAttention()
    attention.add("ssc", run, make_plan(members, None, Options()), [], torch.device("cpu"))
    assert (attention.correlations, attention.attention, len(attention.distances)) == ([], [], 1)
    assert attention.notes[0].startswith("ssc: no attention to show: ")


def test_only_test_patients_are_reported(both, phantom):
    rows = csv.DictReader((both / "localization.csv").read_text(encoding="utf-8").splitlines())
    assert {row["case"] for row in rows} == {case.id for name in ("ct", "lge") for case in phantom.of(name, "test")}


def test_one_run_goes_into_its_folder_and_its_layers_can_be_chosen(runs, capsys):
    folder = runs["csa"].folder
    arguments = ["--layers", *LAYERS, "--json", "--device", "cpu"]
    with undrawn():
        assert cli.main(["features", str(folder), *arguments]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["layers"], document["folder"]) == ([*LAYERS], str(folder / "features"))
    assert (folder / "features" / "features.html").is_file()
    shutil.rmtree(folder / "features")


def test_bare_predictions_stand_in_the_grid(runs, manifest, tmp_path, capsys):
    arguments = [f"a={runs['csa'].predictions}", f"b={runs['msbn'].predictions}", "--out", str(tmp_path)]
    with undrawn():
        assert cli.main(["features", *arguments, "--data", str(manifest)]) == 0
    page = (tmp_path / "features.html").read_text(encoding="utf-8")
    assert 'id="segmentations"' in page
    assert 'id="localization"' not in page
    assert cli.main(["features", *arguments]) == 2
    assert "--data" in capsys.readouterr().err


def test_label_maps_that_were_replaced_are_noted(runs, phantom, manifest, tmp_path):
    copies = tmp_path / "copies"
    shutil.copytree(runs["csa"].predictions, copies)
    paths = {name: copies / f"{phantom.of(name, 'test')[0].id}.nii.gz" for name in ("ct", "lge")}
    for name, path in paths.items():
        values = dict(zip(phantom.classes, phantom.source_values(name), strict=True))
        write_record(Record("a", name, {}, [], values, label_map=Written.of(path.read_bytes())), path)
    label_map = read_label_map(paths["ct"])
    write_image(paths["ct"], label_map.array[::-1], label_map.affine)
    with undrawn():
        studied = unpaired.features(f"a={copies}", data=manifest, out=tmp_path / "out")
    (note,) = studied.notes
    assert note.startswith(
        f"a: The label maps of {phantom.of('ct', 'test')[0].id} were corrected, cut short or replaced"
    )
    assert note in html.unescape((tmp_path / "out" / "features.html").read_text(encoding="utf-8"))


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert cli.main(["features", *arguments, "--device", "cpu"]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    return message


def test_bad_inputs_are_one_line(runs, phantom, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    csa, msbn = (str(runs[name].folder) for name in ("csa", "msbn"))
    assert "features takes RUN ..., got nothing, so RUN is missing" in refused([], capsys)
    with pytest.raises(InputError, match="expected at least one run folder to look at, got none"):
        read_members([])
    assert "found none at nowhere" in refused(["nowhere"], capsys)
    assert "two runs are called 'csa'" in refused([csa, csa], capsys)
    assert "name each seed's run apart" in refused([f"x={csa},{msbn}"], capsys)
    assert "did you mean encoder2" in refused([csa, "--layers", "encodr2"], capsys)
    assert "has no feature map 'group4'" in refused([csa, "--pair", "encoder1", "group4"], capsys)
    assert "has no feature map 'x'" in refused([csa, "--layer", "x"], capsys)
    assert "no run 'cas'" in refused([csa, msbn, "--baseline", "cas"], capsys)
    unlabeled = replace(phantom, cases=tuple(replace(case, label=None) for case in phantom.cases))
    write_dataset(unlabeled, tmp_path / "unlabeled.json")
    assert "no labeled case" in refused([csa, "--data", "unlabeled.json"], capsys)
    other = replace(phantom, classes=(*phantom.classes, "liver"))
    write_dataset(other, tmp_path / "other.json")
    assert "look at runs of one dataset" in refused([csa, "--data", "other.json"], capsys)


def test_runs_that_do_not_fit_together_are_refused(runs, phantom, tmp_path, capsys):
    recipe: Recipe = runs["csa"].recipe
    csa = str(runs["csa"].folder)
    mlp = AdaptedConfig(
        "torch.nn:Conv2d", keywords={"channels": "in_channels", "classes": "out_channels", "spatial_dims": ""}
    )
    mlp = replace(mlp, arguments={"kernel_size": 1})
    plain = replace(recipe, network=mlp, method=runs["msbn"].recipe.method)
    Run.create(tmp_path / "plain", plain, phantom)
    assert "no named feature maps" in refused([str(tmp_path / "plain")], capsys)
    Run.create(tmp_path / "fcn", replace(plain, network=FCNConfig(width=2)), phantom)
    assert "runs of different networks" in refused([csa, str(tmp_path / "fcn")], capsys)
    swapped = {case.id: {"test": "train", "train": "test"}.get(case.split or "", case.split) for case in phantom.cases}
    cases = tuple(replace(case, split=swapped[case.id]) for case in phantom.cases)
    Run.create(tmp_path / "swapped", recipe, replace(phantom, cases=cases))
    assert "look at runs of one split" in refused([csa, str(tmp_path / "swapped")], capsys)


def test_channels_are_never_chosen_on_the_patients_reported(runs, phantom, tmp_path, capsys):
    no_others = tuple(replace(case, label=case.label if case.split == "test" else None) for case in phantom.cases)
    write_dataset(replace(phantom, cases=no_others), tmp_path / "data.json")
    message = refused([str(runs["csa"].folder), "--data", str(tmp_path / "data.json")], capsys)
    assert "--choose-on" in message
    assert "flatter" in message


def test_channels_are_chosen_on_patients_not_on_simulated_scans(runs, phantom):
    """Without a labeled validation case of CT, all but one of its training scans simulated; then the last one too."""
    members = read_members([str(runs["csa"].folder)])
    first, *others = phantom.of("ct", "train")

    def with_simulated(simulated):
        unlabeled = {case.id for case in phantom.of("ct", "validation")}
        cases = [replace(case, label=None) if case.id in unlabeled else case for case in phantom.cases]
        cases = tuple(replace(case, simulated=case.id in simulated) for case in cases)
        return make_plan(members, replace(phantom, cases=cases), Options())

    names = {case.id for case in others}
    plan = with_simulated(names)
    assert plan.choosing == {"ct": "train", "lge": "validation"}
    assert [case.id for case in plan.choosing_cases["ct"]] == [first.id]
    with pytest.raises(
        InputError, match=f"no labeled ct case .* but {len(names) + 1} simulated ones, which are no pat"
    ):
        with_simulated(names | {first.id})


def test_a_report_links_to_the_page(runs, tmp_path):
    from unpaired.report.page import _files

    run = runs["msbn"].folder
    before = list(_files(Path(run), Path(run / "predictions"), run / "report.html"))
    (run / "features").mkdir()
    (run / "features" / "features.html").write_text("x")
    after = list(_files(Path(run), Path(run / "predictions"), run / "report.html"))
    assert set(after) - set(before) == {("what the network learned", "features/features.html")}
    shutil.rmtree(run / "features")


def test_a_case_that_cannot_be_read_stops_no_other(runs, phantom, tmp_path):
    """Two training cases of each modality are looked at; one of each is gone, then all of CT."""
    members = read_members([str(runs["csa"].folder)])
    options = Options(split="train", choose_on="validation")
    train = {name: phantom.of(name, "train") for name in ("ct", "lge")}

    def without(*gone):
        moved = {case.id: tmp_path / "nowhere.nii.gz" for case in gone}
        cases = tuple(replace(case, image=moved.get(case.id, case.image)) for case in phantom.cases)
        return make_plan(members, replace(phantom, cases=cases), options)

    gone = (train["ct"][0], train["lge"][1])
    left, failures = readable(without(*gone), runs["csa"], lambda line: None)
    assert {name: [case.id for case in of] for name, of in left.cases.items()} == {
        "ct": [train["ct"][1].id],
        "lge": [train["lge"][0].id],
    }
    assert [case for case, _ in failures] == [case.id for case in gone]
    assert all("nowhere.nii.gz" in why for _, why in failures)
    with pytest.raises(InputError, match=f"no ct case is left to look at: {train['ct'][0].id}: expected an image file"):
        readable(without(*train["ct"]), runs["csa"], lambda line: None)
