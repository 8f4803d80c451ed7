"""Whether SSC's image-level consistency (SSC Eq. 11) has anything to compare: literal and default reading of Eq. 6.

    python studies/image_consistency.py                  both readings, 160 steps each, about 2 minutes
    python studies/image_consistency.py --steps 40

A small U-Net and its EAMs train on the heart phantom (CT and LGE, 48x48 slices, 4 + 4 a step) with all of SSC's terms.
Every 40 steps: how far an entry of R (5 classes and background) is from uniform at each scale, L_img, and the length of
its gradient on the network beside that of the segmentation loss. Below a hundredth of it, L_img is no regularizer.
"""

import argparse
import datetime
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from unpaired.data.batch import Batch
from unpaired.data.prepare import prepare
from unpaired.data.preprocess import Preprocessing
from unpaired.data.sampling import Sampling, UnpairedSteps
from unpaired.methods.structured_consistency import SSC, SSCConfig, image_consistency
from unpaired.methods.supervised import supervised_terms
from unpaired.networks.external_attention import EAMConfig
from unpaired.networks.unet import UNetConfig
from unpaired.phantom.write import write_phantom

MODALITIES = ("ct", "lge")
READINGS = {"literal": EAMConfig(filtered="attention", kernel_norm=False), "default": EAMConfig()}


def phantom_steps(folder: Path, steps: int) -> tuple[UnpairedSteps, int]:
    """Training batches of the tiny heart phantom, and its number of classes."""
    dataset = write_phantom(folder / "phantom", anatomy="heart", size="tiny", modalities=MODALITIES, seed=0)
    wanted = {case.id for case in dataset.of(split="train")}
    prepared = prepare(dataset, Preprocessing(), folder / "prepared", only=wanted, workers=0)
    cases = {name: [prepared.cases[case.id] for case in dataset.of(name, "train")] for name in MODALITIES}
    classes = len(dataset.classes)
    return UnpairedSteps(cases, dataset.label_sets(), classes, Sampling((48, 48), 4), steps=steps), classes


def gradient_length(loss: Tensor, method: SSC) -> float:
    """Of the gradient on the network's weights."""
    method.zero_grad()
    loss.backward()
    squares = [p.grad.square().sum() for p in method.network.parameters() if p.grad is not None]
    return float(torch.stack(squares).sum().sqrt())


def look(method: SSC, batches: dict[str, Batch], step: int) -> None:
    """Print one line about R, L_img and its gradient."""

    def outputs():
        return method.network({name: batch.images for name, batch in batches.items()})

    attended = {name: method.attend(output, name) for name, output in outputs().items()}
    matrices = [scale.correlations for scale in attended["ct"] if scale.correlations is not None]
    spread = " ".join(f"{(R - 1 / R.shape[-1]).abs().max().item():.4f}" for R in matrices)
    L_img = image_consistency(attended, batches, method.config)
    ours = gradient_length(L_img, method)
    theirs = gradient_length(supervised_terms(outputs(), batches, method.config).loss, method)
    print(f"{step:6} {L_img.item():10.1e} {ours:10.1e} {theirs:10.2f}   {spread}", flush=True)


def main() -> None:
    """Train with each reading and print how R develops."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=160)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{datetime.date.today()}, torch {torch.__version__}, one thread")
    with tempfile.TemporaryDirectory() as folder:
        steps, classes = phantom_steps(Path(folder), arguments.steps + 1)
        for name, attention in READINGS.items():
            print(f"\n{name}: filtered={attention.filtered}, kernel_norm={attention.kernel_norm}")
            print("  step      L_img  |gradient|  |that of L_seg|   max |R - 1/N| at the three scales")
            torch.manual_seed(0)
            network = UNetConfig(width=8, blocks=(1, 1, 1, 1)).build(MODALITIES, 1, classes, 2)
            config = SSCConfig(attention=attention, auxiliary_grid="features")
            method = config.build(network, classes)
            optimizer = torch.optim.AdamW(method.parameters(), 2e-3)
            for step in range(arguments.steps + 1):
                if step % 40 == 0:
                    look(method, steps[step], step)
                method.zero_grad()
                method(steps[step], 0.0).loss.backward()
                optimizer.step()


if __name__ == "__main__":
    main()
