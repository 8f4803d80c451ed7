"""A plain MONAI loop on the same cases for the same minutes: its transforms, network, inferer and scores, beside ours.

    python studies/peers/monai_loop.py DATA OUT --split fold0.json --minutes 5                  slices
    python studies/peers/monai_loop.py DATA OUT --split fold0.json --minutes 5 --dims 3 --patch 96 96 16
    python studies/peers/monai_loop.py DATA OUT --split fold0.json --minutes 5 --each           a network per modality

As MONAI's tutorials write it: Spacingd to the median spacing in plane (in 3D of all axes), z-score, patches around
foreground and background, flips, zoom, rotation and intensity shifts, DynUNet with residual blocks, DiceCELoss, AdamW
with a cosine over the budget, sliding windows with Gaussian weights, resampling back by Invertd, DiceMetric. Scans
are kept in memory. All modalities are one dataset and one network, or one each, which share the minutes.
The same command goes on after kill -9 from what was saved in the last half minute; what is trained is not trained anew.
"""

import argparse
import math
import time
from collections.abc import Sequence
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
from unpaired.data.images import read_image
from unpaired.errors import InputError

TOOL = "monai"
SAVE_SECONDS = 30.0


def written(dataset: Dataset, cases: Sequence[CaseEntry], folder: Path) -> list[dict[str, str]]:
    """Each case's scan and its label map with class numbers, as files that MONAI reads."""
    files: list[dict[str, str]] = []
    for case in cases:
        image, label = folder / "images" / f"{case.id}.nii.gz", folder / "labels" / f"{case.id}.nii.gz"
        write_scan(case, image)
        write_classes(dataset, case, label)
        files.append({"image": str(image), "label": str(label), "case": case.id})
    return files


def spacing_of(cases: Sequence[CaseEntry], dims: int) -> tuple[float, ...]:
    """The median spacing in mm of each axis; in 2D the third axis is left as it is (-1)."""
    medians = np.median([read_image(case.image).spacing_mm for case in cases], axis=0)
    return tuple(float(step) for step in medians[:dims]) + (-1.0,) * (3 - dims)


def transforms(spacing: tuple[float, ...], patch: tuple[int, ...], batch: int) -> tuple[Any, Any]:
    """What is done to every scan once, and what to each sample."""
    from monai import transforms as of

    both, dims = ["image", "label"], len(patch)
    size = (*patch, 1)[:3]
    once = of.Compose(
        [
            of.LoadImaged(both),
            of.EnsureChannelFirstd(both),
            of.Spacingd(both, pixdim=spacing, mode=("bilinear", "nearest")),
            of.NormalizeIntensityd("image"),
        ]
    )
    flat = [] if dims == 3 else [of.SqueezeDimd(both, dim=-1)]
    turn = {"range_x": 0.5, "mode": ("bilinear", "nearest"), "padding_mode": "zeros"}
    sample = of.Compose(
        [
            of.SpatialPadd(both, size),
            of.RandCropByPosNegLabeld(both, "label", size, pos=2, neg=1, num_samples=batch),
            *flat,
            *(of.RandFlipd(both, prob=0.5, spatial_axis=axis) for axis in range(dims)),
            of.RandRotated(both, prob=0.3, **turn),
            of.RandZoomd(both, prob=0.3, min_zoom=0.8, max_zoom=1.25, mode=("bilinear", "nearest")),
            of.RandScaleIntensityd("image", factors=0.2, prob=0.5),
            of.RandShiftIntensityd("image", offsets=0.2, prob=0.5),
            of.RandGaussianNoised("image", prob=0.2, std=0.1),
        ]
    )
    return once, sample


def network_of(width: int, patch: tuple[int, ...], spacing: tuple[float, ...], classes: int) -> tuple[Any, int]:
    """DynUNet with residual blocks as deep as the patch allows, and how many weights it has."""
    from monai.networks.nets import DynUNet

    strides: list[tuple[int, ...]] = [(1,) * len(patch)]
    size, steps = list(patch), list(spacing)
    while max(size) >= 16 and len(strides) < 6:
        stride = tuple(
            2 if length >= 8 and step <= 2 * min(steps) else 1 for length, step in zip(size, steps, strict=True)
        )
        strides.append(stride)
        size = [length // factor for length, factor in zip(size, stride, strict=True)]
        steps = [step * factor for step, factor in zip(steps, stride, strict=True)]
    features = [width * min(2**stage, 16) for stage in range(len(strides))]
    kernels = [(3,) * len(patch)] * len(strides)
    network = DynUNet(len(patch), 1, classes, kernels, strides, strides[1:], features, res_block=True)
    return network, sum(weight.numel() for weight in network.parameters())


def train(network: Any, scans: list[Any], sample: Any, given: argparse.Namespace, budget: Budget, file: Path) -> None:
    """Steps of one scan's patches until the budget is used up, saved twice a minute; `file` that is there goes on."""
    import torch
    from monai.losses import DiceCELoss

    loss_of, optimizer = DiceCELoss(to_onehot_y=True, softmax=True), torch.optim.AdamW(network.parameters(), given.rate)
    if file.is_file():
        state = torch.load(file, map_location=given.device, weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        budget.seconds, budget.steps = state["seconds"], state["steps"]
    generator, saved = np.random.default_rng(given.seed + budget.steps), time.monotonic()

    def save() -> None:
        state = {"network": network.state_dict(), "optimizer": optimizer.state_dict()}
        torch.save(state | {"seconds": budget.seconds, "steps": budget.steps}, file.with_suffix(".new"))
        file.with_suffix(".new").replace(file)

    network.train()
    while budget.progress < 1:
        with budget.running():
            for group in optimizer.param_groups:
                group["lr"] = given.rate * 0.5 * (1 + math.cos(math.pi * min(budget.progress, 1)))
            chosen = generator.integers(len(scans), size=given.scans)
            patches = [patch for index in chosen for patch in sample(scans[index])]
            images = torch.stack([patch["image"].as_tensor() for patch in patches]).to(given.device)
            labels = torch.stack([patch["label"].as_tensor() for patch in patches]).to(given.device)
            optimizer.zero_grad(set_to_none=True)
            loss = loss_of(network(images), labels)
            loss.backward()
            optimizer.step()
        if time.monotonic() - saved > SAVE_SECONDS:
            print(f"step {budget.steps}, {budget.seconds:.0f} s, loss {loss.item():.3f}", flush=True)
            save()
            saved = time.monotonic()
    save()


def predict(
    network: Any, files: list[dict[str, str]], once: Any, patch: tuple[int, ...], given: argparse.Namespace, out: Path
) -> dict[str, list[float]]:
    """Write each case's label map on its scan's grid; {case: Dice of each class by MONAI's DiceMetric}."""
    import torch
    from monai import transforms as of
    from monai.data import decollate_batch, list_data_collate
    from monai.inferers import SliceInferer, SlidingWindowInferer
    from monai.metrics import DiceMetric

    windows: dict[str, Any] = {"roi_size": patch, "overlap": 0.5, "mode": "gaussian", "sw_batch_size": 4}
    inferer = SlidingWindowInferer(**windows) if len(patch) == 3 else SliceInferer(spatial_dim=2, **windows)
    back = of.Invertd("pred", once, orig_keys="image", nearest_interp=False, to_tensor=True)
    save = of.SaveImage(out, output_postfix="", separate_folder=False, print_log=False, output_dtype=np.uint8)
    load, scores = of.Compose([of.LoadImage(image_only=True), of.EnsureChannelFirst()]), {}
    network.eval()
    for file in files:
        batch = list_data_collate([once(file)])
        with torch.no_grad():
            batch["pred"] = inferer(batch["image"].to(given.device), network).softmax(1)
        predicted = back(decollate_batch(batch)[0])["pred"].argmax(0, keepdim=True)
        save(predicted.cpu())
        metric = DiceMetric(include_background=False, num_classes=network.out_channels)
        metric(predicted.cpu()[None], load(file["label"])[None])
        scores[file["case"]] = metric.aggregate("mean_batch").tolist()
    return scores


def asked() -> argparse.Namespace:
    """The command line."""
    parser = options(__doc__)
    parser.add_argument("--dims", type=int, default=2, choices=(2, 3))
    parser.add_argument("--patch", type=count, nargs="+", default=[160, 160], help="as many sizes as --dims")
    parser.add_argument("--width", type=count, default=12, help="feature maps of the first stage")
    parser.add_argument("--scans", type=count, default=4, help="of which a step has patches")
    parser.add_argument("--samples", type=count, default=2, help="patches of each")
    parser.add_argument("--rate", type=positive, default=1e-3, help="the learning rate to begin with")
    parser.add_argument("--each", action="store_true", help="a network for each modality")
    return parser.parse_args()


def main() -> None:
    """Train, predict and score, for all modalities together or one after the other."""
    given = asked()
    if len(given.patch) != given.dims:
        raise InputError(f"expected {given.dims} sizes of a patch, got {given.patch}; name them with --patch")
    dataset, patch = sided_dataset(given), tuple(given.patch)
    from monai.utils import set_determinism

    set_determinism(given.seed)
    budgets, scores, networks = {}, {}, {}
    for name in dataset.modalities if given.each else [None]:
        cases = {side: dataset.of(name, side, labeled=True) for side in ("train", "test")}
        folder, key = given.out / WORK / (name or "all"), name or "all"
        files = {side: written(dataset, of_side, folder) for side, of_side in cases.items()}
        spacing = spacing_of(cases["train"], given.dims)
        once, sample = transforms(spacing, patch, given.samples)
        network, weights = network_of(given.width, patch, spacing[: given.dims], len(dataset.classes))
        network.to(given.device)
        budget = budgets[key] = Budget.of(given, 1 / len(dataset.modalities) if given.each else 1.0)
        train(network, [once(file) for file in files["train"]], sample, given, budget, folder / "checkpoint.pt")
        print(f"{key}: {budget.steps} steps in {budget.seconds:.0f} s of the {budget.clock}", flush=True)
        dice_of = predict(network, files["test"], once, patch, given, folder / "predicted")
        scores |= {case: dict(zip(dataset.classes[1:], dice, strict=True)) for case, dice in dice_of.items()}
        keep_predictions(dataset, cases["test"], folder / "predicted", given.out, f"{TOOL} {version_of(TOOL)}")
        networks[key] = {"network": "DynUNet", "weights": weights, "patch_size": list(patch), "spacing": list(spacing)}
    facts = {**budget_facts(given, budgets), "networks": networks, "own_dice": own_means(scores, dataset)}
    finish(dataset, given.out, TOOL, facts | {"batch_size": given.scans * given.samples, "each": given.each})


if __name__ == "__main__":
    run_as_command(main, "MONAI")
