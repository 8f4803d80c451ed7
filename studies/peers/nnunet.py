"""nnU-Net v2 on the same cases for the same minutes: its own plan, training, predictor and scores, beside ours.

    python studies/peers/nnunet.py DATA OUT --split fold0.json --minutes 5 --width 12 --batch 8
    python studies/peers/nnunet.py DATA OUT --split fold0.json --minutes 5 --width 12 --batch 8 --spacing 1 --patch 96
    python studies/peers/nnunet.py DATA OUT --split fold0.json --minutes 5                        as it plans, in 2D
    python studies/peers/nnunet.py DATA OUT --split fold0.json --minutes 5 --configuration 3d_fullres
    python studies/peers/nnunet.py DATA OUT --split fold0.json --minutes 5 --preset M             its residual encoder
    python studies/peers/nnunet.py DATA OUT --split fold0.json --minutes 5 --each                 a dataset per modality

All modalities are one dataset, or one each (`--each`: they share the minutes, each trains for its part). Fingerprint,
plan and preprocessing are nnU-Net's, and so are loss, augmentation, optimizer, step, checkpoint, predictor (mirrored,
half-overlapping windows) and its Dice. Two things differ from `nnUNetv2_train`, which trains 1,000 epochs: the learning
rate falls, by the same polynomial, over the budget; and no time of it goes to validation. `--width` and `--batch` cut
the plan's network to so many feature maps in the first stage (doubling, up to 16 times as many) and its batch; patch,
spacing and stages stay, unless `--spacing` (mm) and `--patch` (pixels) give its slices another grid: then the deepest
stages go that can't halve such a patch. Plan and preprocessing are not counted, as they are not for ours.

The same command goes on after Ctrl-C or kill -9, from what was saved in the last half minute. nnU-Net asks for a torch
of its own, which it doesn't need: studies/peers/README.md has the way to install it.
"""

import argparse
import json
import math
import os
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from peer_run import (
    WORK,
    Budget,
    budget_facts,
    count,
    finish,
    keep_predictions,
    options,
    own_means,
    positive,
    run_as_command,
    sided_dataset,
    version_of,
    write_classes,
    write_scan,
)

from unpaired.data.dataset import CaseEntry, Dataset
from unpaired.errors import InputError

TOOL = "nnunetv2"
SAVE_SECONDS = 30.0
FINAL, LATEST, PROGRESS = "checkpoint_final.pth", "checkpoint_latest.pth", "progress.json"
PLANNERS = {None: ("ExperimentPlanner", "nnUNetPlans")}
PLANNERS |= {size: (f"nnUNetPlannerResEnc{size}", f"nnUNetResEncUNet{size}Plans") for size in ("M", "L", "XL")}
"""{preset: nnU-Net's planner, and what it calls its plans}."""
PREPROCESSED = "preprocessed.json"
"""Beside the plans, once the cases are preprocessed."""
AUGMENTING = "nnUNet_n_proc_DA"
"""The variable that says how many processes nnU-Net's augmentation has."""
PREDICTED = "predicted"
REFERENCES = "labelsTs"


@dataclass(frozen=True)
class Part:
    """One dataset of nnU-Net: which cases, its number and its name."""

    dataset: Dataset
    number: int
    modality: str | None

    @property
    def name(self) -> str:
        """As nnU-Net has it."""
        return f"Dataset{self.number:03d}_{self.modality or 'all'}"

    def of(self, side: str) -> list[CaseEntry]:
        """Its labeled cases on a side."""
        return self.dataset.of(self.modality, side, labeled=True)


def write_raw(part: Part, raw: Path) -> None:
    """imagesTr and labelsTr with the training and validation cases, imagesTs and labelsTs with the tested ones."""
    folder = raw / part.name
    for side, images, labels in (("train", "Tr", "Tr"), ("validation", "Tr", "Tr"), ("test", "Ts", "Ts")):
        for case in part.of(side):
            write_scan(case, folder / f"images{images}" / f"{case.id}_0000.nii.gz")
            write_classes(part.dataset, case, folder / f"labels{labels}" / f"{case.id}.nii.gz")
    document = {
        "channel_names": {"0": "CT" if (part.modality or "").lower() == "ct" else "image"},
        "labels": {name: number for number, name in enumerate(part.dataset.classes)} | {"background": 0},
        "numTraining": len(part.of("train")) + len(part.of("validation")),
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(document, indent=1), encoding="utf-8")


def planned(part: Part, given: argparse.Namespace, preprocessed: Path) -> dict[str, Any]:
    """nnU-Net's plan, its network cut where that was asked for, and its preprocessed cases and their sides."""
    import torch

    api = import_module("nnunetv2.experiment_planning.plan_and_preprocess_api")
    threads = torch.get_num_threads()
    folder = preprocessed / part.name
    planner, name = PLANNERS[given.preset]
    file = folder / f"{name}.json"
    if not file.is_file():
        api.extract_fingerprints([part.number], num_processes=1)
        os.environ[AUGMENTING] = str(threads)  # the planner takes it for a number of threads
        api.plan_experiments([part.number], planner)
        del os.environ[AUGMENTING]
        torch.set_num_threads(threads)
    plans = json.loads(file.read_text(encoding="utf-8"))
    configurations = plans["configurations"]
    if given.configuration not in configurations:
        raise InputError(f"nnU-Net plans no {given.configuration} for these scans: {', '.join(configurations)}")
    configuration = configurations[given.configuration]
    regrid(configuration, given.spacing, given.patch)
    cut(configuration, given.width, given.batch)
    file.write_text(json.dumps(plans, indent=1), encoding="utf-8")
    if not (folder / PREPROCESSED).is_file():
        api.preprocess([part.number], name, [given.configuration], [1])
        (folder / PREPROCESSED).write_text("{}", encoding="utf-8")
    sides = {side: [case.id for case in part.of(side)] for side in ("train", "validation")}
    split = [{"train": sides["train"], "val": sides["validation"] or sides["train"]}]
    (folder / "splits_final.json").write_text(json.dumps(split), encoding="utf-8")
    return plans


def regrid(configuration: dict[str, Any], spacing: float | None, patch: int | None) -> None:
    """Give a plan's slices other pixels (mm) and its network a patch of `patch` x `patch` of them; None: as planned.

    Stages whose map would have no whole or less than four pixels go, nnU-Net's own limit.
    """
    axes = len(configuration["spacing"])
    if spacing is not None:
        configuration["spacing"][axes - 2 :] = [spacing, spacing]
    if patch is not None:
        configuration["patch_size"][axes - 2 :] = [patch, patch]
        network = configuration["architecture"]["arch_kwargs"]
        halvings = [
            math.prod(strides[-1] for strides in network["strides"][: n + 1]) for n in range(network["n_stages"])
        ]
        stages = sum(patch % factor == 0 and patch // factor >= 4 for factor in halvings)
        network["n_stages"] = stages
        for name in ("features_per_stage", "kernel_sizes", "strides", "n_conv_per_stage", "n_blocks_per_stage"):
            if name in network:
                network[name] = network[name][:stages]
        network["n_conv_per_stage_decoder"] = network["n_conv_per_stage_decoder"][: stages - 1]


def cut(configuration: dict[str, Any], width: int | None, batch: int | None) -> None:
    """Give a plan's network fewer feature maps and a smaller batch; None: as planned."""
    if width is not None:
        network = configuration["architecture"]["arch_kwargs"]
        network["features_per_stage"] = [width * min(2**stage, 16) for stage in range(network["n_stages"])]
    if batch is not None:
        configuration["batch_size"] = min(configuration["batch_size"], batch)


def trained(part: Part, plans: dict[str, Any], given: argparse.Namespace, raw: Path, budget: Budget) -> Any:
    """The trainer after the budget, with its final checkpoint written; one that is written is loaded."""
    import torch

    for seed in (np.random.seed, torch.manual_seed, random.seed):
        seed(given.seed)
    trainer_class = import_module("nnunetv2.training.nnUNetTrainer.nnUNetTrainer").nnUNetTrainer
    dataset_json = json.loads((raw / part.name / "dataset.json").read_text(encoding="utf-8"))
    trainer = trainer_class(plans | {"continue_training": False}, given.configuration, 0, dataset_json, given.device)
    trainer.initialize()
    folder = Path(trainer.output_folder)
    if (folder / FINAL).is_file():
        budget.resume(folder / PROGRESS)
        trainer.load_checkpoint(str(folder / FINAL))
        return trainer
    os.environ.setdefault(AUGMENTING, "0" if given.device.type == "cpu" else "8")  # 0: in this process, and counted
    trainer.on_train_start()
    if (folder / LATEST).is_file() and (folder / PROGRESS).is_file():
        budget.resume(folder / PROGRESS)
        trainer.load_checkpoint(str(folder / LATEST))
    try:
        train(trainer, budget, folder)
    except BaseException:
        save(trainer, budget, folder)
        raise
    budget.store(folder / PROGRESS)
    trainer.on_train_end()
    return trainer


def train(trainer: Any, budget: Budget, folder: Path) -> None:
    """nnU-Net's training steps until the budget is used up; saved twice a minute."""
    trainer.network.train()
    saved, losses = time.monotonic(), []
    while budget.progress < 1:
        with budget.running():
            rate = trainer.initial_lr * (1 - min(budget.progress, 1)) ** 0.9
            for group in trainer.optimizer.param_groups:
                group["lr"] = rate
            losses.append(float(trainer.train_step(next(trainer.dataloader_train))["loss"]))
        if time.monotonic() - saved > SAVE_SECONDS:
            print(f"step {budget.steps}, {budget.seconds:.0f} s, loss {np.mean(losses[-50:]):.3f}", flush=True)
            save(trainer, budget, folder)
            saved = time.monotonic()


def save(trainer: Any, budget: Budget, folder: Path) -> None:
    """nnU-Net's checkpoint, and how far the budget is."""
    temporary = folder / f"{LATEST}.new"
    trainer.save_checkpoint(str(temporary))
    temporary.replace(folder / LATEST)
    budget.store(folder / PROGRESS)


def predict(part: Part, trainer: Any, given: argparse.Namespace, raw: Path) -> Path:
    """The folder with the label maps of the test cases, by nnU-Net's predictor as it comes."""
    import torch

    module = import_module("nnunetv2.inference.predict_from_raw_data")
    device = torch.device(given.device)
    predictor = module.nnUNetPredictor(
        perform_everything_on_device=device.type == "cuda", device=device, allow_tqdm=False
    )
    trainer.set_deep_supervision_enabled(False)
    network = getattr(trainer.network, "_orig_mod", trainer.network)
    predictor.manual_initialization(
        network,
        trainer.plans_manager,
        trainer.configuration_manager,
        [network.state_dict()],
        trainer.dataset_json,
        type(trainer).__name__,
        trainer.inference_allowed_mirroring_axes,
    )
    folder, fresh = raw.parent / PREDICTED / part.name, raw.parent / "predicting"
    folder.mkdir(parents=True, exist_ok=True)
    fresh.mkdir(exist_ok=True)
    for case in part.of("test"):
        file = f"{case.id}.nii.gz"
        if not (folder / file).is_file():
            scan = str(raw / part.name / "imagesTs" / f"{case.id}_0000.nii.gz")
            predictor.predict_from_files_sequential([[scan]], [str(fresh / case.id)])
            (fresh / file).replace(folder / file)
    return folder


def own_dice(part: Part, trainer: Any, predicted: Path, raw: Path) -> dict[str, dict[str, float]]:
    """{case: {class: Dice}} by nnU-Net's own evaluation."""
    module = import_module("nnunetv2.evaluation.evaluate_predictions")
    labels = trainer.label_manager.foreground_labels
    reader = trainer.plans_manager.image_reader_writer_class()
    folders = str(raw / part.name / REFERENCES), str(predicted)
    summary = module.compute_metrics_on_folder(*folders, None, reader, ".nii.gz", labels, None, 1)
    classes = part.dataset.classes
    return {
        Path(case["prediction_file"]).name.removesuffix(".nii.gz"): {
            classes[label]: scores["Dice"] for label, scores in case["metrics"].items()
        }
        for case in summary["metric_per_case"]
    }


def about(plans: Mapping[str, Any], trainer: Any, given: argparse.Namespace) -> dict[str, Any]:
    """What was trained, in numbers."""
    configuration = plans["configurations"][given.configuration]
    network = configuration["architecture"]
    weights = sum(weight.numel() for weight in trainer.network.parameters())
    return {
        "network": network["network_class_name"].rpartition(".")[2],
        "weights": weights,
        "features": network["arch_kwargs"]["features_per_stage"],
        **{name: configuration[name] for name in ("patch_size", "batch_size", "spacing")},
    }


def asked() -> argparse.Namespace:
    """The command line."""
    parser = options(__doc__)
    parser.add_argument("--configuration", default="2d", choices=("2d", "3d_fullres"))
    parser.add_argument("--preset", choices=("M", "L", "XL"), help="of the residual encoder; without: the plain U-Net")
    parser.add_argument("--width", type=count, help="feature maps of the first stage, in place of the plan's")
    parser.add_argument("--batch", type=count, help="at most so many patches a step")
    parser.add_argument("--spacing", type=positive, help="pixels in mm, in place of the plan's")
    parser.add_argument("--patch", type=count, help="pixels along each side of a slice, in place of the plan's")
    parser.add_argument("--each", action="store_true", help="a dataset and a network for each modality")
    return parser.parse_args()


def parts_of(dataset: Dataset, each: bool) -> Sequence[Part]:
    """The datasets: one, or one of each modality."""
    if not each:
        return [Part(dataset, 1, None)]
    return [Part(dataset, number, name) for number, name in enumerate(dataset.modalities, start=1)]


def main() -> None:
    """Train on each part, predict, score."""
    given = asked()
    dataset, parts = sided_dataset(given), []
    folders = {name: given.out.resolve() / WORK / name for name in ("raw", "preprocessed", "results")}
    for name, folder in folders.items():
        folder.mkdir(parents=True, exist_ok=True)
        os.environ[f"nnUNet_{name}"] = str(folder)
    parts = parts_of(dataset, given.each)
    import torch

    given.device = torch.device(given.device)
    budgets, networks, scores = {}, {}, {}
    for part in parts:
        budget = budgets[part.name] = Budget.of(given, 1 / len(parts))
        write_raw(part, folders["raw"])
        plans = planned(part, given, folders["preprocessed"])
        trainer = trained(part, plans, given, folders["raw"], budget)
        networks[part.name] = about(plans, trainer, given)
        print(f"{part.name}: {budget.steps} steps in {budget.seconds:.0f} s of the {budget.clock}", flush=True)
        predicted = predict(part, trainer, given, folders["raw"])
        keep_predictions(dataset, part.of("test"), predicted, given.out, f"{TOOL} {version_of(TOOL)}")
        scores |= own_dice(part, trainer, predicted, folders["raw"])
    given.device = str(given.device)
    choices = {"configuration": given.configuration, "preset": given.preset, "each": given.each}
    facts = {**budget_facts(given, budgets), **choices, "networks": networks, "own_dice": own_means(scores, dataset)}
    finish(dataset, given.out, TOOL, facts)


if __name__ == "__main__":
    run_as_command(main, "nnU-Net")
