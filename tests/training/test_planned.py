"""Plan and train in one: the phantom's own recipe, timed, written, trained, gone on with."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import pytest

from public_fingerprints import fingerprint, modality
from unpaired import plan_training, read_dataset, split, train, train_folds
from unpaired.cli import main
from unpaired.data.dataset import Dataset, with_splits, without_labels
from unpaired.errors import InputError
from unpaired.methods.method import Method
from unpaired.networks.unet import UNetConfig
from unpaired.planning.fingerprint import take_fingerprint
from unpaired.planning.plan import plan_recipe
from unpaired.recipe import Recipe, build_method
from unpaired.recipes import find_recipe
from unpaired.runs.lock import InUseError
from unpaired.runs.run import Run
from unpaired.training import planned, probe
from unpaired.training import train as train_module
from unpaired.training.probe import Clock, StepCost, time_step

LIGHT = replace(
    find_recipe("phantom/msbn"),
    network=UNetConfig(width=8, widest=16, blocks=(1, 1), norm="batch"),
    patch_size=(32, 32),
    window_overlap=0.0,
)
"""Its steps cost little to time."""


def test_a_step_is_timed_and_leaves_random_numbers_alone(phantom: Dataset) -> None:
    import torch

    torch.manual_seed(0)
    cost = time_step(LIGHT, list(phantom.modalities), len(phantom.classes))
    assert cost.seconds > 0
    assert cost.gigabytes >= 0
    after = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(after, torch.rand(1))


def test_what_a_step_keeps_grows_with_its_images_and_its_state_does_not(
    phantom: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "STEPS", 0)
    recipe, modalities = LIGHT, list(phantom.modalities)
    few, many = (time_step(replace(recipe, batch_size=images), modalities, len(phantom.classes)) for images in (1, 3))
    assert few.state_gb == many.state_gb
    assert many.kept_gb == pytest.approx(3 * few.kept_gb, rel=0.02)
    weights = sum(p.numel() * 4 for p in build_method(recipe, modalities, len(phantom.classes)).parameters()) / 1e9
    assert 2 * weights < few.state_gb <= 4.1 * weights  # with gradients and what the optimizer remembers


def test_a_step_is_timed_with_all_that_it_accumulates_and_in_its_precision(
    phantom: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "STEPS", 0)
    passes: list[int] = []

    def built(recipe: Recipe, modalities: Sequence[str], classes: int) -> Method:
        method = build_method(recipe, modalities, classes)
        method.register_forward_hook(lambda *_: passes.append(recipe.accumulate))
        return method

    monkeypatch.setattr(probe, "build_method", built)
    recipe, modalities = LIGHT, list(phantom.modalities)
    changes: list[dict[str, Any]] = [{}, {"accumulate": 3}, {"precision": "64-true"}]
    single, summed, double = (
        time_step(replace(recipe, **change), modalities, len(phantom.classes)) for change in changes
    )
    assert passes == [1, 3, 3, 3, 1]
    assert summed.kept_gb == single.kept_gb
    assert double.state_gb == pytest.approx(2 * single.state_gb, rel=0.02)


@pytest.mark.parametrize(("clock", "each"), [("wall", 10.0), ("processor", 3.0 / 2)])
def test_other_programs_have_no_part_in_seconds_of_the_processor(
    phantom: Dataset, monkeypatch: pytest.MonkeyPatch, clock: Clock, each: float
) -> None:
    monkeypatch.setattr(probe.torch, "get_num_threads", lambda: 2)
    for name, seconds in (("perf_counter", 10.0), ("process_time", 3.0)):
        moments = itertools.count(step=seconds)
        monkeypatch.setattr(probe.time, name, lambda moments=moments: next(moments))
    cost = time_step(LIGHT, ["ct"], len(phantom.classes), clock=clock)
    assert cost.seconds == pytest.approx(each * probe.LOADING)


def test_plan_as_command_and_function(
    manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planned, "time_step", lambda *_: StepCost(0.5, 0.1))
    out = tmp_path / "heart.py"
    assert main(["plan", str(manifest), str(out), "--hours", "0.5", "--device", "cpu", "--workers", "1"]) == 0
    printed = capsys.readouterr().out
    assert "3600 steps of 0.50 s: 0.5 hours" in printed
    assert f"unpaired train {out}:planned {manifest} RUN" in printed
    again = plan_training(manifest, hours=0.5, device="cpu")
    assert find_recipe(f"{out}:planned") == again.plan.recipe
    assert again.plan.recipe.steps == 3600
    assert main(["plan", str(manifest), str(out)]) == 2
    assert "is there already" in capsys.readouterr().err


def test_a_step_is_timed_with_modalities_that_only_simulated_scans_label(
    phantom: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed: list[list[str]] = []
    monkeypatch.setattr(planned, "time_step", lambda _, names, *__: timed.append(names) or StepCost(1.0, 0.1))
    facts = [modality(name, (9, 256, 256), (8, 1, 1), labeled=count) for name, count in (("bssfp", 20), ("lge", 0))]
    facts[1] = replace(facts[1], simulated_patients=29)
    known = replace(fingerprint(*facts), classes=phantom.classes)
    plan_training(replace(phantom, cases=()), device="cpu", fingerprint=known)
    assert {tuple(names) for names in timed} == {("bssfp", "lge")}


def test_where_all_patients_test_the_plan_is_for_simulated_scans_and_says_so(
    phantom: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planned, "time_step", lambda *_: StepCost(0.5, 0.1))
    few = [case for name in ("ct", "lge") for case in phantom.of(name)[:2]]
    invented = [replace(case, split="train") for case in few]
    patients = [replace(case, id=f"p{case.id}", patient=f"p{case.patient}", simulated=False) for case in few]
    both = replace(phantom, cases=(*invented, *(replace(case, split="test") for case in patients)))
    made = plan_training(both, tmp_path / "plan.py", device="cpu")
    assert [(facts.patients, facts.simulated_patients) for facts in made.fingerprint.modalities] == [(0, 2), (0, 2)]
    assert made.plan.recipe.randomization.share == 0.7, "as beside patients who don't train"
    assert isinstance(made.plan.recipe.network, UNetConfig)
    assert not made.plan.recipe.network.modality_norm
    said = "all patients of .* are on the test side: the plan is for 4 simulated scans, which train alone; split anew"
    assert [line for line in made.lines() if re.match(f"note: {said}", line)]
    alone = plan_training(replace(phantom, cases=tuple(few)), device="cpu")
    assert isinstance(alone.plan.recipe.network, UNetConfig)
    assert (alone.without_patients, alone.plan.recipe.network.modality_norm) == ("", True)


@pytest.mark.parametrize(
    ("hours", "steps", "limited"),
    [
        (1.0, 1800, ""),
        (0.01, 200, r"18 steps fit into 0\.01 hours; a plan has at least 200, .*: 0\.11 hours"),
        (100.0, 100_000, r"a plan has at most 100,000 steps: 56 of the 100 hours"),
    ],
)
def test_a_plan_says_where_it_takes_other_hours_than_those_given(
    phantom: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hours: float, steps: int, limited: str
) -> None:
    monkeypatch.setattr(planned, "time_step", lambda *_: StepCost(2.0, 0.1))
    made = plan_training(phantom, tmp_path / "heart.py", hours=hours, device="cpu")
    assert made.plan.recipe.steps == steps
    assert made.hours == pytest.approx(steps / 1800)
    said = made.lines()[2:]
    assert len(said) == (1 if limited else 0)
    assert re.fullmatch(limited, made.limited)
    comments = " ".join(line.strip(" #") for line in (tmp_path / "heart.py").read_text().splitlines())
    given = "1 hour" if hours == 1 else f"{hours:g} hours; "
    assert f"2.00 s a step on this machine, {given}{made.limited}" in comments
    assert all(f"note: {made.limited}" == line for line in said)


@pytest.mark.parametrize(("seconds", "pixels_for"), [(0.5, 1.0), (3.0, 3.0 * 2000 / 3600), (60.0, 2.5)])
def test_slices_get_coarser_where_few_steps_fit_on_a_processor(
    phantom: Dataset, monkeypatch: pytest.MonkeyPatch, seconds: float, pixels_for: float
) -> None:
    """A step of the whole patch takes so long; as many times fewer pixels as steps are missing, at most 2.5 times."""
    whole = plan_recipe(take_fingerprint(phantom)[0], dimensions="2").recipe

    def cost(recipe: Recipe, *_: object) -> StepCost:
        return StepCost(seconds * prod(recipe.patch_size) / prod(whole.patch_size), 0.1)

    monkeypatch.setattr(planned, "time_step", cost)
    made = plan_training(phantom, hours=1, device="cpu", dimensions="2")
    fewer = prod(whole.patch_size) / prod(made.plan.recipe.patch_size)
    assert pixels_for <= fewer < 1.5 * pixels_for
    assert made.plan.reasons["patch_size"].endswith("so that more steps fit") == (pixels_for > 1)
    assert made.plan.recipe.steps == max(int(3600 / made.step.seconds), planned.LEAST)


def test_a_place_that_is_taken_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"name it \.py"):
        plan_training(tmp_path / "no_manifest.json", tmp_path / "heart.txt")


def test_a_step_too_large_for_the_memory_halves_the_batch(phantom: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planned, "time_step", lambda recipe, *_: StepCost(1.0, 2.0 * recipe.batch_size))
    made = plan_training(phantom, memory_gb=3.0, device="cpu")
    assert made.plan.recipe.batch_size == 1
    assert "took 4.0 GB" in made.plan.reasons["batch_size"]
    with pytest.raises(InputError, match=r"one image of each modality takes 2.0 GB, more than the 1.0 GB"):
        plan_training(phantom, memory_gb=1.0, device="cpu")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hours": 0}, "hours must be above 0"),
        ({"hours": float("inf")}, "hours must be above 0 and finite, got inf"),
        ({"hours": float("nan")}, "got nan"),
        ({"memory_gb": -1}, "memory_gb must"),
        ({"device": "tpu"}, "cpu or cuda"),
    ],
)
def test_impossible_wishes_get_one_line(phantom: Dataset, options: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan_training(phantom, **options)  # type: ignore[arg-type]


def test_test_cases_are_not_looked_at(phantom: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planned, "time_step", lambda *_: StepCost(1.0, 0.1))
    seen = {case.id for case in plan_training(phantom, device="cpu").fingerprint.cases}
    assert seen == {case.id for case in phantom.cases if case.split != "test"}
    assert any(case.split == "test" for case in phantom.cases)


def test_labels_of_validation_cases_are_none_to_learn_from(phantom: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planned, "time_step", lambda *_: StepCost(1.0, 0.1))
    lge = sorted({case.patient for case in phantom.of("lge", "train")})
    held = with_splits(phantom, {case.id: "validation" for case in phantom.cases if case.patient in lge[1:]})
    plan = plan_training(held, device="cpu")
    assert plan.fingerprint.of("lge").labeled_patients == 3, "as it was taken, of one that validated before too"
    assert "lge has 1 labeled patient" in plan.plan.reasons["randomization.borrowed"]


def test_an_unlabeled_case_that_does_not_train_is_none_for_a_teacher(
    phantom: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planned, "time_step", lambda *_: StepCost(1.0, 0.1))
    case = phantom.of("lge", "validation")[0]
    for side, expected in (("validation", 0), ("train", 1)):
        held = without_labels(with_splits(phantom, {case.id: side}), {case.id})
        reason = plan_training(held, device="cpu", dimensions="2").plan.reasons["method"]
        assert ("unlabeled scans (1 of lge)" in reason) == expected


def test_a_fingerprint_of_other_cases_is_refused(phantom: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Facts of the scans that were there once would decide sizes and spacings for those that came since."""
    monkeypatch.setattr(planned, "time_step", lambda *_: StepCost(1.0, 0.1))
    known = plan_training(phantom, device="cpu").fingerprint
    assert plan_training(phantom, device="cpu", fingerprint=known).fingerprint == known
    train = [case.id for case in phantom.cases if case.split != "test"]
    fewer = replace(known, cases=known.cases[1:])
    with pytest.raises(InputError, match=rf"taken without 1 of the cases of phantom-heart \({train[0]}\)"):
        plan_training(phantom, device="cpu", fingerprint=fewer)
    failed = replace(fewer, failures=((train[0], "was unreadable"),))
    assert plan_training(phantom, device="cpu", fingerprint=failed).fingerprint == failed


def test_a_fingerprint_of_all_plans_as_if_test_cases_were_not_in_it(
    phantom: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planned, "time_step", lambda *_: StepCost(1.0, 0.1))
    whole = take_fingerprint(phantom)[0]
    assert len(whole.cases) == len(phantom.cases)
    assert plan_training(phantom, device="cpu", fingerprint=whole) == plan_training(phantom, device="cpu")
    tested = replace(phantom, cases=tuple(replace(case, split="test") for case in phantom.cases))
    with pytest.raises(InputError, match="has facts of no case that would train"):
        plan_training(tested, device="cpu", fingerprint=whole)


@pytest.mark.parametrize("change", [{"label": None}, {"patient": "another"}, {"modality": "lge"}])
def test_a_fingerprint_that_knows_another_label_or_patient_is_refused(
    phantom: Dataset, monkeypatch: pytest.MonkeyPatch, change: dict[str, str | None]
) -> None:
    """Labels that a split keeps from training, or that were drawn since, would count else."""
    monkeypatch.setattr(planned, "time_step", lambda *_: StepCost(1.0, 0.1))
    whole = take_fingerprint(phantom)[0]
    first = phantom.of("ct", "train")[0]
    changed = tuple(replace(case, **change) if case is first else case for case in phantom.cases)
    with pytest.raises(InputError, match=rf"another patient, modality or label for 1 of .* \({first.id}\)"):
        plan_training(replace(phantom, cases=changed), device="cpu", fingerprint=whole)


def test_train_auto_plans_once_and_goes_on(phantom: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planned, "time_step", lambda *_: StepCost(1.0, 0.1))
    monkeypatch.setattr(planned, "LEAST", 2)
    changes = ["network.width=2", "patch_size=[8,32,32]", "validate_every=2"]
    run = train("auto", phantom, tmp_path / "run", hours=2 / 3600, changes=changes, device="cpu", workers=0, show=False)
    assert run.recipe.steps == 2
    assert run.recipe.network.width == 2  # type: ignore[attr-defined]
    monkeypatch.setattr(planned, "time_step", lambda *_: pytest.fail("planned again"))
    again = train("auto", phantom, tmp_path / "run", device="cpu", workers=0, show=False)
    assert again.recipe == run.recipe
    with pytest.raises(InputError, match=r"got 2 .* with `unpaired plan`"):
        train("auto", phantom, tmp_path / "other", device="cpu", devices=2, show=False)
    for other in (train, train_folds):
        with pytest.raises(InputError, match=r"^hours are what the recipe auto is planned for.*got 2 hours: leave"):
            other("phantom/csa", phantom, tmp_path / "other", hours=2.0, show=False)


def test_windows_of_a_plan_reach_the_run(phantom: Dataset, tmp_path: Path) -> None:
    recipe = replace(
        LIGHT, steps=1, validate_every=1, preprocessing=replace(LIGHT.preprocessing, windows=(("ct", -100.0, 200.0),))
    )
    run = train(recipe, phantom, tmp_path / "run", device="cpu", workers=0, show=False)
    assert run.dataset.modalities["ct"].clip == (-100.0, 200.0)
    assert run.dataset.modalities["lge"] == phantom.modalities["lge"]


def test_folds_of_a_planned_recipe(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(planned, "time_step", lambda *_: StepCost(1.0, 0.1))
    monkeypatch.setattr(planned, "LEAST", 1)
    arguments = ["train", "auto", str(manifest), str(tmp_path / "runs"), "--folds", "2", "--hours", "0.0001"]
    options = ["--device", "cpu", "--workers", "0", "--set", "network.width=2", "patch_size=[8,32,32]"]
    assert main([*arguments, *options]) == 0
    said = capsys.readouterr().err
    assert "note: 3 patients that the manifest keeps for testing are in no fold" in said
    assert said.count("planning for 0.0001 hours: reading 9 cases, then timing a step") == 1
    assert "1 step of 1.00 s: 0.00028 hours" in said
    told = " ".join(said.split())
    assert told.index("fold0 (1 of 2)") < told.index("fold1 (2 of 2)")
    runs = [Run.open(tmp_path / "runs" / name) for name in ("fold0", "fold1")]
    assert runs[0].recipe == runs[1].recipe
    tested = [{case.patient for case in run.dataset.of(split="test")} for run in runs]
    assert not tested[0] & tested[1]
    kept = {case.patient for case in read_dataset(manifest).of(split="test")}
    assert tested[0] | tested[1] == {case.patient for case in runs[0].dataset.cases} - kept
    monkeypatch.setattr(planned, "time_step", lambda *_: pytest.fail("planned again"))
    assert main([*arguments, *options]) == 0
    assert main([*arguments, "--split", str(tmp_path / "s.json")]) == 2
    split(manifest, tmp_path / "three", folds=3)
    assert main([*arguments, "--split", str(tmp_path / "three")]) == 2
    assert "three holds 3 folds, but 2 are asked for" in capsys.readouterr().err


@pytest.mark.parametrize("has", [True, False])
def test_precision_and_memory_format_are_those_of_the_fastest_step(
    phantom: Dataset, monkeypatch: pytest.MonkeyPatch, has: bool
) -> None:
    seconds = {"32-true": 1.0, "bf16-mixed": 0.8}

    def cost(recipe: Recipe, *_: object) -> StepCost:
        return StepCost(seconds[recipe.precision] * (0.7 if recipe.memory_format == "channels_last" else 1.0), 0.1)

    monkeypatch.setattr(planned, "time_step", cost)
    monkeypatch.setattr(planned, "has_bfloat16", lambda device: has)
    made = plan_training(phantom, hours=0.5, device="cpu", memory_gb=8.0)
    recipe = made.plan.recipe
    assert recipe.memory_format == "channels_last"
    assert recipe.precision == ("bf16-mixed" if has else "32-true")
    assert made.step.seconds == pytest.approx(0.56 if has else 0.7)
    assert made.plan.reasons["memory_format"] == f"{made.step.seconds:.2f} s a step on this machine, 1.00 without"
    assert ("precision" in made.plan.reasons) == has


@pytest.mark.parametrize(
    ("gigabytes", "text"), [(2.0, "2.0 GB"), (0.1, "0.1 GB"), (0.035, "35 MB"), (0.001, "1 MB"), (0, "0 MB")]
)
def test_memory_is_said_in_a_unit_that_shows_it(gigabytes: float, text: str) -> None:
    assert planned.memory_text(gigabytes) == text


def test_folds_of_another_process_are_left_to_it(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = find_recipe("phantom/msbn")

    def trained(_: object, dataset: Dataset, run: Path, *__: object) -> Run:
        if run.name == "fold1":
            raise InUseError("fold1 is in use")
        return Run.create(run, recipe, dataset)

    monkeypatch.setattr(train_module, "_train", trained)
    runs = train_folds(recipe, manifest, tmp_path, folds=3)
    assert [run.folder.name for run in runs] == ["fold0", "fold2"]
    assert "fold1: another process trains it; left to that one" in capsys.readouterr().err
    with pytest.raises(InUseError):
        train_folds(recipe, manifest, tmp_path, folds=3, devices=2)
    assert main(["train", "phantom/msbn", str(manifest), str(tmp_path), "--folds", "3"]) == 0
    assert "trained 2 of 3 folds; next: " in capsys.readouterr().out


def test_a_plan_of_another_process_that_was_faster_counts(
    phantom: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meanwhile(*_: object, **__: object) -> object:
        Run.create(tmp_path / "fold0", find_recipe("phantom/msbn"), phantom)
        return None

    monkeypatch.setattr(train_module, "plan_training", meanwhile)
    hardware = train_module.Hardware("cpu", workers=0)
    assert train_module._planned_recipe(phantom, tmp_path / "fold0", 1.0, hardware, False) == str(tmp_path / "fold0")
