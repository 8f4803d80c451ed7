"""The run folder: what it holds, what it refuses, and what a kill in the middle of a write leaves usable."""

import json
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save

from processes import temporary_of_a_dead_process
from small_network import LAYERS, SMALL
from unpaired.data.dataset import Dataset, with_splits
from unpaired.data.fewer_labels import labeled_fraction
from unpaired.data.randomization import Randomization
from unpaired.errors import InputError
from unpaired.methods.class_specific_affinity import CSAConfig
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.weights import load_weights
from unpaired.recipe import Recipe, build_method
from unpaired.recipes.phantom import csa
from unpaired.runs import new_run
from unpaired.runs.facts import read_run_facts
from unpaired.runs.run import Run, training_modalities
from unpaired.runs.saved_state import BeganWith, began_with, saved_progress

RECIPE = replace(csa(), network=SMALL, method=CSAConfig(layer_pairs=(LAYERS,)), patch_size=(32, 32), steps=2)


@pytest.fixture
def run(phantom: Dataset, tmp_path: Path) -> Run:
    return Run.create(tmp_path / "run", RECIPE, phantom, "phantom/csa")


def saved(run: Run, recipe: Recipe = RECIPE) -> Run:
    """The run with fresh weights as its best and last."""
    method = build_method(recipe, run.modalities, len(run.dataset.classes))
    run.save_weights(method.network, "best")
    run.save_weights(method.network, "last")
    return run


def listing(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_what_is_written_is_read_back(run: Run, phantom: Dataset) -> None:
    opened = Run.open(run.folder)
    assert opened.recipe == RECIPE
    for stored, case in zip(opened.dataset.cases, phantom.cases, strict=True):
        assert (stored.id, stored.split, stored.image.resolve()) == (case.id, case.split, case.image.resolve())
    assert opened.modalities == ("ct", "bssfp", "lge")
    assert "phantom/csa" in (run.folder / "README.txt").read_text(encoding="utf-8")
    versions = json.loads((run.folder / "versions.json").read_text(encoding="utf-8"))
    assert versions["torch"] == torch.__version__.split("+")[0] or versions["torch"] == torch.__version__
    assert {"unpaired", "python", "platform", "command", "git", "started"} <= set(versions)


def test_a_path_is_enough_and_what_is_no_run_is_refused_at_once(run: Run, tmp_path: Path) -> None:
    assert Run(str(run.folder)) == Run(run.folder) == Run.open(run.folder) == run
    assert Run(str(run.folder)).predictions == run.folder / "predictions"
    expected = r"^expected a run folder \(written by `unpaired train`\), found "
    with pytest.raises(InputError, match=rf"{expected}none at .*nowhere; check the path$"):
        Run(str(tmp_path / "nowhere"))
    (run.folder / "empty").mkdir()
    with pytest.raises(InputError, match=rf"{expected}no recipe.json in .*; check the path$"):
        Run(str(run.folder / "empty"))
    with pytest.raises(InputError, match=rf"{expected}a folder of runs at .*; name one, such as .*/{run.folder.name}$"):
        Run(str(run.folder.parent))
    run.split_file.unlink()
    with pytest.raises(InputError, match=rf"{expected}no split.json in .*; copy the whole folder again$"):
        Run(run.folder)


def test_the_same_recipe_and_split_open_the_run_again_untouched(run: Run, phantom: Dataset) -> None:
    before = listing(run.folder)
    assert Run.create(run.folder, RECIPE, phantom) == run
    assert listing(run.folder) == before


def test_a_run_from_before_recipes_stated_their_row_goes_on(run: Run, phantom: Dataset) -> None:
    document = json.loads(run.recipe_file.read_text(encoding="utf-8"))
    assert document.pop("paper_row") == "CSA"
    run.recipe_file.write_text(json.dumps(document), encoding="utf-8")
    assert Run.create(run.folder, RECIPE, phantom).recipe.paper_row is None


def test_files_may_be_read_by_others(run: Run) -> None:
    saved(run)
    run.save_state({"step": 1})
    run.append_rows("log", [{"step": 1}])
    probe = run.folder / "probe"
    probe.touch()
    usual = stat.S_IMODE(probe.stat().st_mode)
    for path in run.folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == usual, path.name


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (replace(RECIPE, steps=3), r"recipe\.steps is 2 there and 3 here"),
        (replace(RECIPE, method=SupervisedConfig()), "recipe.method.type is .*CSAConfig.* there"),
        (replace(RECIPE, network=replace(SMALL, width=4)), r"network\.width is 2 there and 4 here"),
    ],
)
def test_another_recipe_is_refused(run: Run, phantom: Dataset, changed: Recipe, message: str) -> None:
    before = listing(run.folder)
    with pytest.raises(InputError, match=message):
        Run.create(run.folder, changed, phantom)
    assert listing(run.folder) == before


def test_another_split_is_refused(run: Run, phantom: Dataset) -> None:
    moved = with_splits(phantom, {phantom.of(split="validation")[0].id: "train"})
    with pytest.raises(InputError, match="another split"):
        Run.create(run.folder, RECIPE, moved)


def test_another_labeled_fraction_is_another_split(run: Run, phantom: Dataset, tmp_path: Path) -> None:
    half, all_labels = labeled_fraction(phantom, 0.5).apply(phantom), phantom
    with pytest.raises(InputError, match="another split"):
        Run.create(run.folder, RECIPE, half)
    few = Run.create(tmp_path / "few", RECIPE, half)
    assert Run.create(few.folder, RECIPE, half) == few
    hidden = [case.id for case in half.of(split="train", labeled=False)]
    assert json.loads((few.folder / "split.json").read_text(encoding="utf-8"))["unlabeled"] == hidden
    assert [case.id for case in few.dataset.of(split="train", labeled=False)] == hidden
    with pytest.raises(InputError, match="another split"):
        Run.create(few.folder, RECIPE, all_labels)


def test_a_run_from_before_split_files_named_unlabeled_cases_goes_on(phantom: Dataset, tmp_path: Path) -> None:
    half = labeled_fraction(phantom, 0.5).apply(phantom)
    run = Run.create(tmp_path / "run", RECIPE, half)
    path = run.folder / "split.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    del document["unlabeled"]
    path.write_text(json.dumps(document), encoding="utf-8")
    assert Run.create(run.folder, RECIPE, half) == run
    with pytest.raises(InputError, match="another split"):
        Run.create(run.folder, RECIPE, phantom)


def test_a_folder_with_other_things_is_refused(phantom: Dataset, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="is not a run folder"):
        Run.create(tmp_path, RECIPE, phantom)
    with pytest.raises(InputError, match="is not a run folder"):
        Run.create(tmp_path / "thesis.tex", RECIPE, phantom)
    with pytest.raises(InputError, match="can't write"):
        Run.create(tmp_path / "thesis.tex" / "below" / "a file", RECIPE, phantom)
    assert list(listing(tmp_path)) == ["thesis.tex"]


@pytest.mark.parametrize("name", ["recipe.json", "dataset.json", "split.json"])
@pytest.mark.parametrize("content", [b"{", b"\xff\xfe\x00", b"[]", b"3", None])
def test_a_damaged_run_is_refused_in_one_line(run: Run, phantom: Dataset, name: str, content: bytes | None) -> None:
    path = run.folder / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        Run.create(run.folder, RECIPE, phantom).load_method()
    assert "\n" not in str(caught.value)


def test_weights_come_back(run: Run) -> None:
    method = build_method(RECIPE, run.modalities, 6)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.add_(0.5)
    run.save_weights(method.network, "best")
    loaded = run.load_method("best")
    assert not loaded.training
    expected = method.network.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in loaded.network.state_dict().items())


def test_weights_that_are_missing_broken_or_of_another_network_are_named(run: Run) -> None:
    with pytest.raises(InputError, match=r"found no weights at .*weights_best\.safetensors; has the run been trained"):
        run.load_method()
    with pytest.raises(InputError, match="weights are best or last"):
        run.load_method("bset")
    saved(run)
    kept = run.weights("best").read_bytes()
    run.weights("best").unlink()
    stopped = (
        r"weights_best\.safetensors; training stopped before it chose the best: .* `unpaired predict --weights last`"
    )
    with pytest.raises(InputError, match=stopped):
        run.load_method()
    run.weights("best").write_bytes(kept)
    whole = run.weights("best").read_bytes()
    for broken in (b"", whole[:100], whole[:-1], b"\x00" * 64):
        run.weights("best").write_bytes(broken)
        with pytest.raises(InputError, match="not a readable weight file") as caught:
            run.load_method("best")
        assert "\n" not in str(caught.value)
    wide = build_method(replace(RECIPE, network=replace(SMALL, width=4)), run.modalities, 6).network
    with pytest.raises(InputError, match="weights of another network") as caught:
        load_weights(wide, run.weights("last"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [torch.int64, torch.complex64])
def test_weights_of_another_kind_of_number_are_refused_and_half_precision_is_read(run: Run, kind: torch.dtype) -> None:
    method = saved(run).load_method()
    tensors = load(run.weights("best").read_bytes())
    name = next(name for name, tensor in tensors.items() if tensor.is_floating_point())
    half = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    run.weights("best").write_bytes(save(half))
    load_weights(method.network, run.weights("best"))
    run.weights("best").write_bytes(save(tensors | {name: tensors[name].to(kind)}))
    with pytest.raises(
        InputError, match=rf"weights_best\.safetensors: expected torch\.float32 as '{name}', got {kind}"
    ):
        load_weights(method.network, run.weights("best"))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_no_numbers_are_neither_read_nor_written(run: Run, value: float) -> None:
    saved(run)
    whole = run.weights("best").read_bytes()
    tensors = load(whole)
    name = next(name for name, tensor in tensors.items() if tensor.is_floating_point())
    tensors[name].view(-1)[1] = value
    run.weights("last").write_bytes(save(tensors))
    with pytest.raises(InputError, match=rf"weights_last\.safetensors: tensor '{name}' holds NaN or infinity in 1 of"):
        run.load_method("last")
    method = run.load_method("best")
    with torch.no_grad():
        next(method.network.parameters()).view(-1)[0] = value
    with pytest.raises(InputError, match="training has diverged"):
        run.save_weights(method.network, "best")
    assert run.weights("best").read_bytes() == whole
    run.save_state({"step": 1, "method": method.state_dict()})
    with pytest.raises(InputError, match=r"resume\.pt: tensor .* holds NaN or infinity"):
        run.load_state()


@pytest.mark.parametrize(
    "content",
    [b"", b"not torch", b"\x80\x02cos\nsystem\n.", b"PK\x03\x04 cut short", b"\x80\x020.", b"\x80\x02}}}s."],
)
def test_a_broken_state_is_named(run: Run, content: bytes) -> None:
    assert run.load_state() is None
    (run.folder / "resume.pt").write_bytes(content)
    with pytest.raises(InputError, match=r"resume\.pt can't be read .*; delete it") as caught:
        run.load_state()
    assert "\n" not in str(caught.value)


def test_a_state_comes_back(run: Run) -> None:
    run.save_state({"step": 7, "weights": {"a": torch.arange(3)}})
    state = run.load_state()
    assert state is not None
    assert state["step"] == 7
    assert torch.equal(state["weights"]["a"], torch.arange(3))


def test_a_full_disk_keeps_the_state_that_was_there(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.save_state({"step": 1})
    before = listing(run.folder)
    write_bytes = Path.write_bytes

    def half(path: Path, data: bytes) -> int:
        write_bytes(path, bytes(data)[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    for write in (lambda: run.save_state({"step": 2}), lambda: saved(run)):
        with pytest.raises(InputError, match=r"can't write .*: No space left on device"):
            write()
    assert listing(run.folder) == before


def test_rows_are_read_back_as_text(run: Run) -> None:
    assert run.rows("log") == []
    run.append_rows("log", [])
    assert not (run.folder / "log.csv").exists()
    run.append_rows("log", [{"step": 1, "loss": 0.5}])
    run.append_rows("log", [{"step": 2, "loss": 0.25}])
    assert (run.folder / "log.csv").read_text(encoding="utf-8") == "step,loss\n1,0.5\n2,0.25\n"
    assert run.rows("log") == [{"step": "1", "loss": "0.5"}, {"step": "2", "loss": "0.25"}]


def test_a_run_keeps_the_columns_it_began_with(run: Run) -> None:
    run.append_rows("log", [{"step": 1, "loss": 0.5, "old": 3}])
    run.append_rows("log", [{"step": 2, "new": 7, "loss": 0.25}])
    assert (run.folder / "log.csv").read_text(encoding="utf-8") == "step,loss,old\n1,0.5,3\n2,0.25,\n"


WHOLE = "step,loss,seconds\n1,0.5,0.1\n10,0.25,0.9\n20,0.125,1.8\n"


@pytest.mark.parametrize("cut", range(len(WHOLE) + 1))
def test_a_log_torn_anywhere_can_be_gone_on_with(run: Run, cut: int) -> None:
    """kill -9 in the middle of a write: the steps that were saved stay once, the torn line goes."""
    (run.folder / "log.csv").write_text(WHOLE[:cut])
    complete = WHOLE[:cut].count("\n") - 1
    run.forget_rows_from(10)
    steps = [row["step"] for row in run.rows("log")]
    # A row that lacks nothing but its end may stay; a step must never be there twice or out of order.
    assert steps[: min(max(complete, 0), 2)] == ["1", "10"][: min(max(complete, 0), 2)]
    assert len(steps) <= min(max(complete, 0) + 1, 2)
    run.append_rows("log", [{"step": 20, "loss": 0.125, "seconds": 1.8}])
    assert run.rows("log")[-1] == {"step": "20", "loss": "0.125", "seconds": "1.8"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"loss,seconds\n0.5,0.1\n", "expected a step in every row"),
        (b"step,loss\nnan,0.5\n", "expected a step in every row"),
        (b"step,loss\n\xff\xfe,0.5\n", "expected a CSV file, but"),
    ],
)
def test_a_damaged_log_is_one_line(run: Run, content: bytes, said: str) -> None:
    (run.folder / "log.csv").write_bytes(content)
    with pytest.raises(InputError, match=rf"log\.csv: {said}.*; restore the file, or delete it"):
        run.forget_rows_from(10)
    (run.folder / "log.csv").write_bytes(b"step,loss\n1,0.5\n2,0.43,0.4\n")  # two rows that a kill made one
    run.forget_rows_from(10)
    assert [row["step"] for row in run.rows("log")] == ["1"]


@pytest.mark.parametrize(
    "damage", [{"step": -1}, {"step": 3}, {"step": "2"}, {"best": float("nan")}, {"best": 3.0}, {"best": None}], ids=str
)
def test_a_state_says_how_far_it_is_or_is_one_line(run: Run, damage: dict[str, Any]) -> None:
    state: dict[str, Any] = {"step": 2, "best": 0.5}
    assert saved_progress(state, 2, run.of_another_training) == (2, 0.5)
    for damaged in (state | damage, {}):
        with pytest.raises(InputError, match=r"resume\.pt doesn't hold the state of this training .*; restore the"):
            saved_progress(damaged, 2, run.of_another_training)


def test_what_a_run_began_with_is_read_or_is_one_line(run: Run) -> None:
    assert began_with(run.versions_file) is None
    run.record("init_from", {"run": "a", "new_modalities": {"lge": "ct"}, "fresh": ["fusion"], "new_classes": []})
    assert began_with(run.versions_file) == BeganWith({"lge": "ct"}, ("fusion",))
    for damaged in ({}, "a", {"new_modalities": ["lge"], "fresh": []}):
        run.record("init_from", damaged)
        with pytest.raises(InputError, match=r"versions\.json: init_from: .*; restore the file or train anew"):
            began_with(run.versions_file)


def test_forgetting_everything_leaves_no_file(run: Run) -> None:
    run.append_rows("validation", [{"step": 2, "dice": 1}])
    run.forget_rows_from(-1)
    assert not (run.folder / "validation.csv").exists()
    run.forget_rows_from(-1)


def test_a_run_knows_the_modalities_that_can_be_trained(phantom: Dataset) -> None:
    without = replace(
        phantom,
        cases=tuple(replace(case, label=None) if case.modality == "ct" else case for case in phantom.cases),
    )
    assert training_modalities(RECIPE, without) == ("bssfp", "lge")
    assert training_modalities(replace(RECIPE, modalities=("lge",)), without) == ("lge",)
    with pytest.raises(InputError, match="no labeled training case of modality 'ct'"):
        training_modalities(replace(RECIPE, modalities=("ct",)), without)
    with pytest.raises(InputError, match=r"'lg'; did you mean lge"):
        training_modalities(replace(RECIPE, modalities=("lg",)), without)
    nobody = replace(phantom, cases=tuple(replace(case, split=None) for case in phantom.cases))
    with pytest.raises(InputError, match="unpaired split"):
        training_modalities(RECIPE, nobody)
    borrowing = replace(RECIPE, randomization=Randomization(borrowed=0.5))
    for side, trained in (("test", ("ct", "bssfp", "lge")), (None, ("ct", "bssfp"))):
        cases = (replace(case, split=side) if case.modality == "lge" else case for case in phantom.cases)
        assert training_modalities(borrowing, replace(phantom, cases=tuple(cases))) == trained


def test_a_run_that_was_killed_while_it_began_begins_again(
    phantom: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(new_run, "describe_versions", killed)
        with pytest.raises(KeyboardInterrupt):
            Run.create(tmp_path / "run", RECIPE, phantom)
    assert not (tmp_path / "run").exists()
    left = tmp_path / temporary_of_a_dead_process(tmp_path / "run")
    left.mkdir()
    assert Run.create(tmp_path / "run", RECIPE, phantom).recipe == RECIPE
    assert not left.exists()


def test_of_two_that_begin_at_once_the_second_finds_the_firsts_run(
    phantom: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = new_run.temporary_beside

    def other_is_faster(path: Path) -> Path:
        monkeypatch.setattr(new_run, "temporary_beside", beside)
        other = Run.create(tmp_path / "run", RECIPE, phantom, name="the other's")
        assert other.folder.is_dir()
        return beside(path)

    monkeypatch.setattr(new_run, "temporary_beside", other_is_faster)
    Run.create(tmp_path / "run", RECIPE, phantom, name="mine")
    assert "the other's" in (tmp_path / "run/README.txt").read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_class_that_a_spreadsheet_would_run_is_written_as_text_and_read_as_it_is(run: Run) -> None:
    rows = [{"step": 1, "class": "=1+1", "dice": -0.5}, {"step": 2, "class": "-tumor", "dice": 0.5}]
    for row in rows:
        run.append_rows("validation", [row])
    assert "\n1,'=1+1,-0.5\n2,'-tumor,0.5\n" in (run.folder / "validation.csv").read_text(encoding="utf-8")
    run.forget_rows_from(2)
    assert [row["class"] for row in run.rows("validation")] == ["=1+1", "-tumor"]
    assert [row["class"] for row in read_run_facts(run.folder).validation] == ["=1+1", "-tumor"]
