"""A model file: predicts as its run does, holds nobody's name, and opens without harm whatever is inside of it."""

import hashlib
import json
import re
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import unpaired
from processes import temporary_of_a_dead_process
from unpaired.analyses.plan import own_run, read_members
from unpaired.cli import main
from unpaired.data.dataset import CaseEntry, Dataset
from unpaired.data.demographics import UNSTATED, Demographics
from unpaired.data.images import read_image
from unpaired.data.manifest import write_dataset
from unpaired.data.prediction_record import read_record
from unpaired.errors import InputError, UnwritableError
from unpaired.export.model_card import model_card
from unpaired.networks.unet import UNetConfig
from unpaired.recipes import find_recipe
from unpaired.runs.fingerprint import read_fingerprint
from unpaired.runs.model_file import run_folders
from unpaired.runs.run import Run


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNPAIRED_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def folds(phantom: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of a step each, fold0 and fold1, of other seeds."""
    folder = tmp_path_factory.mktemp("runs")
    recipe = replace(
        find_recipe("phantom/msbn"), network=UNetConfig(width=2, blocks=(1, 1)), patch_size=(32, 32), steps=1
    )
    for seed in (0, 1):
        changed = replace(recipe, seed=seed)
        unpaired.train(
            changed, phantom, folder / f"fold{seed}", cache=folder / "cache", device="cpu", workers=0, show=False
        )
    return folder


def test_it_predicts_as_its_run_does(folds: Path, phantom: Dataset, tmp_path: Path) -> None:
    unpaired.pack(folds / "fold0", tmp_path / "m.unpaired")
    case = phantom.of("ct", "test")[0]
    image = read_image(case.image)
    expected = unpaired.Predictor(folds / "fold0", device="cpu").segment(image, "ct")
    np.testing.assert_array_equal(
        unpaired.Predictor(tmp_path / "m.unpaired", device="cpu").segment(image, "ct"), expected
    )
    out = tmp_path / "out.nii.gz"
    done = unpaired.predict(tmp_path / "m.unpaired", case.image, out, modality="ct", device="cpu", worker=False)
    assert not done.failures
    whole = unpaired.predict(
        folds / "fold0", case.image, tmp_path / "own.nii.gz", modality="ct", device="cpu", worker=False
    )
    assert not whole.failures
    np.testing.assert_array_equal(read_image(out).array, read_image(tmp_path / "own.nii.gz").array)


def test_wherever_a_run_is_named_it_may_be_a_model_file(
    folds: Path, phantom: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = unpaired.pack(folds / "fold0", tmp_path / "m.unpaired").path
    recipe = find_recipe(str(folds / "fold0"))
    assert find_recipe(str(packed)) == recipe
    assert main(["recipes", str(packed)]) == 0
    (member,) = read_members([f"MSBN={packed}"])
    assert member.name == "MSBN"
    assert member.run is not None
    assert member.run.recipe == recipe
    script = unpaired.cluster_script(
        packed, phantom.cases[0].image, tmp_path / "out", tmp_path / "script", modality="ct"
    )
    assert f"predict {packed} " in script.read_text()
    with pytest.raises(InputError, match="holds 2 runs, which were trained by different recipes; name one of them"):
        find_recipe(str(folds))
    with pytest.raises(InputError, match=r"expected a model file at gone\.unpaired, found no file"):
        find_recipe("gone.unpaired")
    monkeypatch.setattr("unpaired.runs.model_file.pull", lambda address: packed)
    assert find_recipe("hf://someone/hearts") == recipe
    on_the_hub = unpaired.cluster_script("hf://someone/hearts@v1", phantom.cases[0].image, "out", tmp_path / "second")
    assert "predict hf://someone/hearts@v1 " in on_the_hub.read_text()


def test_folds_predict_together(folds: Path, phantom: Dataset, tmp_path: Path) -> None:
    packed = unpaired.pack(folds, tmp_path / "m.unpaired")
    assert packed.facts["runs"] == 2
    case = phantom.of("lge", "test")[0]
    options = {"modality": "lge", "device": "cpu", "worker": False, "probabilities": True}
    one_by_one = unpaired.predict(folds / "fold0", case.image, tmp_path / "a", also=[folds / "fold1"], **options)  # type: ignore[arg-type]
    assert not one_by_one.failures
    (expected,) = (tmp_path / "a" / "probabilities").iterdir()
    for number, source in enumerate((folds, tmp_path / "m.unpaired")):
        done = unpaired.predict(source, case.image, tmp_path / f"b{number}", **options)  # type: ignore[arg-type]
        assert not done.failures
        written = read_image(tmp_path / f"b{number}" / case.image.name).array
        np.testing.assert_array_equal(written, read_image(tmp_path / "a" / case.image.name).array)
        (probabilities,) = (tmp_path / f"b{number}" / "probabilities").iterdir()
        assert probabilities.read_bytes() == expected.read_bytes()
    record = read_record(tmp_path / "b1" / case.image.name)
    assert record is not None
    begins = hashlib.sha256(packed.path.read_bytes()).hexdigest()[:32]
    for number, run in enumerate(record.runs):
        assert run["model"] == f"{packed.path}/{number}"
        assert run["sha256_begins"] == begins
        assert "folder" not in run
    with pytest.raises(InputError, match="holds 2 runs, and one is needed"):
        unpaired.Predictor(tmp_path / "m.unpaired")


def test_messages_name_the_model_and_never_the_cache(
    folds: Path, phantom: Dataset, tmp_path: Path, cache: Path
) -> None:
    alone, both = tmp_path / "m.unpaired", tmp_path / "both.unpaired"
    unpaired.pack(folds / "fold0", alone)
    unpaired.pack(folds, both)
    scan = phantom.of("ct", "test")[0].image
    for model, run in ((alone, str(alone)), (both, f"{both}/0")):
        with pytest.raises(InputError, match=f"^run {re.escape(run)} has no modality 'pet'"):
            unpaired.predict(model, scan, tmp_path / "out.nii.gz", modality="pet", worker=False)
        with pytest.raises(InputError, match=f"^found no weights at {re.escape(run)}/weights_last.safetensors;"):
            unpaired.predict(model, scan, tmp_path / "out.nii.gz", modality="ct", weights="last", worker=False)
    with pytest.raises(InputError, match=f"^run {re.escape(str(alone))} has no modality 'pet'"):
        unpaired.export_run(alone, tmp_path / "graphs", modalities=["pet"])
    for model in (alone, both):  # as of a version with other fields
        with zipfile.ZipFile(model) as archive:
            facts = json.loads(archive.read("model.json"))
            recipes = {name: archive.read(name) for name in archive.namelist() if name.endswith("/recipe.json")}
        changed = {name: content.replace(b'"steps"', b'"stepz"') for name, content in recipes.items()}
        facts["sha256"] |= {name: hashlib.sha256(content).hexdigest() for name, content in changed.items()}
        rewritten(model, {**changed, "model.json": json.dumps(facts).encode()})
    with pytest.raises(InputError, match=f"^{re.escape(str(both))}/0/recipe.json"):
        find_recipe(str(both))
    with pytest.raises(InputError, match=f"^{re.escape(str(alone))}/recipe.json"):
        unpaired.Predictor(alone)


def test_what_only_a_run_folder_holds_is_asked_of_it(
    folds: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = unpaired.pack(folds / "fold0", Path("m.unpaired")).path
    with pytest.raises(
        InputError, match=r"^m\.unpaired is a model: .*; diagnose the run folder that it was packed from"
    ):
        unpaired.diagnose(model)
    with pytest.raises(
        InputError, match=r"^m\.unpaired has no resume\.pt, .*; name the run folder that it was packed fr"
    ):
        Run.open(model).load_whole_method()
    for look in (unpaired.features, unpaired.misalignment):
        with pytest.raises(InputError, match=r"^m\.unpaired is a model, which holds no scans: name a dataset with"):
            look(model)
    run = Run.open(model)
    assert own_run([run]) is None  # what is written about it lies here, not in the cache
    assert own_run([Run.open(folds / "fold0")]) is not None
    assert run.folder.is_relative_to(cache)


def test_nobody_s_name_is_in_it(folds: Path, phantom: Dataset, tmp_path: Path) -> None:
    unpaired.pack(folds / "fold0", tmp_path / "m.unpaired", licence="CC BY 4.0", about="Hearts.")
    with zipfile.ZipFile(tmp_path / "m.unpaired") as archive:
        text = "".join(archive.read(name).decode("latin-1") for name in archive.namelist())
    for case in phantom.cases:
        assert case.id not in text
        assert case.patient not in text
        assert case.image.name not in text
    assert str(folds) not in text
    assert "pytest" not in text
    for case in json.loads((folds / "fold0" / "fingerprint.json").read_text(encoding="utf-8"))["cases"].values():
        assert case["image_sha256"] not in text
    card = text[text.index("# LV") :]
    assert "Licence: CC BY 4.0." in card
    assert "manifest says nothing of its patients' age" in card
    assert "without scores" in card
    steps = Run.open(folds / "fold0").recipe.steps
    assert f", 1 run of {steps} steps (" in card
    (folder,) = run_folders(tmp_path / "m.unpaired")
    values = [case.values for case in read_fingerprint(Run.open(folder)).values()]
    assert values == [case.values for case in read_fingerprint(Run.open(folds / "fold0")).values()]
    assert values
    assert Run.open(folder).modalities == Run.open(folds / "fold0").modalities


def test_a_card_tells_no_score_without_its_budget() -> None:
    facts = {"classes": ["background", "LV"], "modalities": ["ct"], "network": "UNet", "method": "CSA", "runs": 2}
    facts |= {"budget": "700 to 729 steps (0:05:01 each by the clock)", "licence": "", "about": "", "unpaired": "0.1.0"}
    facts |= {"patients": {"ct": {"train": 5, "labeled": 5, "validation": 1}}, "packed": "2026-11-29"}
    facts |= {"simulated": {}, "only_simulated": False}
    card = model_card(facts | {"scores": {"ct": {"dice": 0.9, "cases": 3}}})
    said = "Dice on test patients of the same data set, after 700 to 729 steps (0:05:01 each by the clock):"
    assert card.index(said) < card.index("| ct | 0.900 | 3 |")
    assert "simulated" not in card.lower()


def test_scores_of_all_folds_together_are_told(
    folds: Path, phantom: Dataset, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """`evaluate FOLDS/predictions FOLDS` writes one evaluation of all folds; of a part of them it says nothing."""
    around = tmp_path_factory.mktemp("together")  # beside `folds`: the runs name their scans from where they are
    shutil.copytree(folds, around, dirs_exist_ok=True)
    assert unpaired.pack(around, tmp_path / "before.unpaired").facts["scores"] == {}
    for case in phantom.of(split="test"):
        assert case.label is not None
        label = read_image(case.label)
        unpaired.write_image(around / "predictions" / f"{case.id}.nii.gz", label)
    unpaired.evaluate(around / "predictions", around, split="test")
    scores = unpaired.pack(around, tmp_path / "m.unpaired").facts["scores"]
    tested = {name: len(phantom.of(name, "test")) for name in phantom.modalities}
    assert scores == {name: {"dice": 1.0, "cases": count} for name, count in tested.items()}
    assert unpaired.pack(around / "fold0", tmp_path / "one.unpaired").facts["scores"] == {}
    shutil.copytree(around / "fold1", around / "fold2")
    part = [around / "fold0", around / "fold1"]
    assert unpaired.pack(part, tmp_path / "part.unpaired").facts["scores"] == {}


def test_a_card_tells_simulated_scans_from_patients(folds: Path, tmp_path: Path) -> None:
    run = Run.open(folds / "fold0")
    copy = tmp_path / "run"
    shutil.copytree(run.folder, copy)

    def card_with(simulated: Callable[[CaseEntry], bool]) -> str:
        cases = tuple(replace(case, simulated=simulated(case)) for case in run.dataset.cases)
        write_dataset(replace(run.dataset, cases=cases), copy / "dataset.json")
        file = tmp_path / "m.unpaired"
        file.unlink(missing_ok=True)
        with zipfile.ZipFile(unpaired.pack(copy, file).path) as archive:
            return archive.read("README.md").decode()

    alone = card_with(lambda case: True)
    assert "All of its scans are simulated" in alone
    training = len(run.dataset.of("lge", "train"))
    assert f"| lge | {training} |" in alone
    beside = card_with(lambda case: (case.modality, case.split) == ("lge", "train"))
    assert f"Simulated scans trained it too ({training} of lge)" in beside
    assert "| lge | 0 | 0 |" in beside
    assert "imulated" not in card_with(lambda case: False)


def test_age_and_sex_are_told_of_groups_alone(folds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run.open(folds / "fold0")
    first = run.dataset.of("ct", "train")[0]
    cases = tuple(
        replace(first, id=f"c{number}", patient=f"p{number}", demographics=Demographics(40.25 + number, "F"))
        for number in range(5)
    )
    copy = tmp_path / "run"
    shutil.copytree(run.folder, copy)
    write_dataset(replace(run.dataset, cases=(*run.dataset.cases, *cases)), copy / "dataset.json")
    assert main(["pack", str(copy), "--out", str(tmp_path / "m.unpaired")]) == 0
    assert "tells of groups of patients: age, sex (not with --no-demographics)" in capsys.readouterr().out
    with zipfile.ZipFile(tmp_path / "m.unpaired") as archive:
        assert "| 42 (40 to 44), known of 5 | F 5, not stated" in archive.read("README.md").decode()
        assert '"age"' not in archive.read("0/dataset.json").decode()
    (folder,) = run_folders(tmp_path / "m.unpaired")
    assert all(case.demographics == UNSTATED for case in Run.open(folder).dataset.cases)
    assert main(["pack", str(copy), "--out", str(tmp_path / "n.unpaired"), "--no-demographics"]) == 0
    assert "groups" not in capsys.readouterr().out
    with zipfile.ZipFile(tmp_path / "n.unpaired") as archive:
        assert "age" not in archive.read("README.md").decode()


def test_the_command(folds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "m.unpaired"
    assert main(["pack", str(folds), "--out", str(out)]) == 0
    assert "2 runs for ct, bssfp, lge; Dice not evaluated" in capsys.readouterr().out
    assert main(["pack", str(folds), "--out", str(out)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert main(["pack", str(folds), "--out", str(tmp_path / "m.zip")]) == 2
    assert "m.zip; name it m.unpaired" in capsys.readouterr().err


def rewritten(path: Path, changes: dict[str, bytes | None], extra: dict[str, bytes] | None = None) -> None:
    """The model file with files replaced, left out (None) or added."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    files |= {name: content for name, content in changes.items() if content is not None}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            if changes.get(name, b"") is not None:
                archive.writestr(name, content)
        for name, content in (extra or {}).items():
            archive.writestr(name, content)


@pytest.mark.parametrize(
    ("changes", "extra", "message"),
    [
        ({"0/recipe.json": b"{}"}, {}, "0/recipe.json is not the file that model.json hashes"),
        ({"0/recipe.json": None}, {}, "0/recipe.json is missing"),
        ({"model.json": None}, {}, "model.json is missing"),
        ({"model.json": b"[]"}, {}, r"^\S+m\.unpaired: model\.json: expected a JSON object, got \[\]; it is damaged"),
        ({"model.json": b"{}"}, {}, "no hashes"),
        ({}, {"../evil.py": b"x"}, r"'\.\./evil.py' has no place"),
        ({}, {"/etc/evil": b"x"}, "has no place"),
        ({}, {"0/evil.py": b"x"}, "has no place"),
        ({}, {"0/../../recipe.json": b"x"}, "has no place"),
        ({}, {"0/resume.pt": b"x"}, "has no place"),
        ({}, {"\u0661/recipe.json": b"x"}, "has no place"),
        ({}, {"00/recipe.json": b"x"}, "has no place"),
    ],
)
def test_a_file_that_is_no_model_gets_one_line(
    folds: Path, tmp_path: Path, cache: Path, changes: dict[str, bytes | None], extra: dict[str, bytes], message: str
) -> None:
    path = tmp_path / "m.unpaired"
    unpaired.pack(folds / "fold0", path)
    rewritten(path, changes, extra)
    with pytest.raises(InputError, match=message) as caught:
        run_folders(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).count("m.unpaired:") == str(caught.value).count("it is damaged") == 1
    assert not list((cache / "models").iterdir())


def test_a_model_file_of_another_version_is_refused(folds: Path, tmp_path: Path, cache: Path) -> None:
    packed = unpaired.pack(folds / "fold0", tmp_path / "m.unpaired")
    for schema in (2, None):
        rewritten(packed.path, {"model.json": json.dumps({**packed.facts, "schema": schema}).encode()})
        with pytest.raises(InputError, match=rf"m\.unpaired: expected a model file of schema 1, got {schema}; update"):
            run_folders(packed.path)
    assert not list((cache / "models").iterdir())


def test_damage_and_bombs_get_one_line(folds: Path, tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "m.unpaired"
    unpaired.pack(folds / "fold0", path)
    whole = path.read_bytes()
    for content in (b"", b"no zip", whole[: len(whole) // 2], whole[:200] + b"\0" * 40 + whole[240:]):
        path.write_bytes(content)
        with pytest.raises(InputError, match="damaged"):
            run_folders(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.json", json.dumps({"sha256": {}}))
        archive.writestr("README.md", b"\0" * 1000)
        archive.writestr("0/split.json", b"0" * (2 << 20))
    with pytest.raises(InputError, match="promises more than 100 times what it holds"):
        run_folders(path)
    for method, damage, said in (
        (zipfile.ZIP_LZMA, b"", "model.json is neither stored nor deflated"),
        (zipfile.ZIP_DEFLATED, b"\x07", "expected a model file, but .*invalid block type"),
    ):
        other = tmp_path / f"{method}.unpaired"
        with zipfile.ZipFile(other, "w", method) as archive:
            archive.writestr("model.json", json.dumps({"sha256": {}}))
        begin = 30 + len("model.json")  # the entry's first byte
        content = other.read_bytes()
        other.write_bytes(content[:begin] + damage + content[begin + len(damage) :])
        with pytest.raises(InputError, match=said):
            run_folders(other)
    content = bytearray(path.read_bytes())
    place = content.rindex(b"PK\x01\x02")  # the last entry of the directory: say that it is 4 GB
    content[place + 24 : place + 28] = (0xFFFFFFFE).to_bytes(4, "little")
    path.write_bytes(bytes(content))
    with pytest.raises(InputError):
        run_folders(path)
    assert not list((cache / "models").iterdir())


def test_what_is_no_weight_file_is_not_given_away(folds: Path, tmp_path: Path) -> None:
    """Such as a link to a file of its maker's, or a copy that broke off."""
    run = shutil.copytree(folds / "fold0", tmp_path / "run")
    (tmp_path / "secret.txt").write_text("nobody's business")
    (run / "weights_best.safetensors").unlink()
    (run / "weights_best.safetensors").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(InputError, match=r"weights_best\.safetensors is not a readable weight file"):
        unpaired.pack(run, tmp_path / "m.unpaired")
    assert not (tmp_path / "m.unpaired").exists()


def test_a_cache_that_cant_be_written_is_named_and_what_a_kill_left_in_it_goes(
    folds: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = unpaired.pack(folds / "fold0", tmp_path / "m.unpaired").path
    half = cache / "models" / temporary_of_a_dead_process(cache / "models" / "abc")
    half.mkdir(parents=True)
    (half / "weights").write_bytes(b"half")
    assert len(run_folders(model)) == 1
    assert not half.exists()
    monkeypatch.setenv("UNPAIRED_CACHE", str(model))
    with pytest.raises(UnwritableError, match=r"m\.unpaired is a file where .*; name another folder .* UNPAIRED_CACHE"):
        run_folders(model)


def test_a_run_that_is_named_twice_is_refused(folds: Path, tmp_path: Path) -> None:
    """Also one of a folder of folds: it would count double among them."""
    with pytest.raises(InputError, match="fold0 is named twice; name each run once"):
        unpaired.pack([folds, folds / "fold0"], tmp_path / "m.unpaired")
    assert not (tmp_path / "m.unpaired").exists()


def test_it_is_unpacked_once(folds: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.unpaired"
    unpaired.pack(folds / "fold0", path)
    (folder,) = run_folders(path)
    before = (folder / "recipe.json").stat().st_mtime_ns
    assert run_folders(path) == [folder]
    assert (folder / "recipe.json").stat().st_mtime_ns == before


def test_what_became_of_the_cache_is_noticed_and_unpacked_anew(folds: Path, cache: Path, tmp_path: Path) -> None:
    """A bit that fell over, a file cut short, one that went, a description of something else."""
    path = tmp_path / "m.unpaired"
    unpaired.pack(folds / "fold0", path)
    (folder,) = run_folders(path)
    weights, split, model = folder / "weights_best.safetensors", folder / "split.json", folder.parent / "model.json"
    whole = {file: file.read_bytes() for file in (weights, split, model)}
    for damage in (
        lambda: weights.write_bytes(whole[weights][:-1] + bytes([whole[weights][-1] ^ 1])),
        lambda: weights.write_bytes(whole[weights][:100]),
        split.unlink,
        lambda: model.write_bytes(b"{}"),
        lambda: shutil.rmtree(folder),
    ):
        damage()
        assert run_folders(path) == [folder]
        assert {file: file.read_bytes() for file in whole} == whole
        assert list((cache / "models").iterdir()) == [folder.parent]
