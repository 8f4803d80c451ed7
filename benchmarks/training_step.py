"""What does a training step cost in each precision and memory format, and against nnU-Net's network and loss?

The residual U-Net with random weights, one modality, random images, the optimizer's step included; processor seconds in
turns. nnU-Net's step is its ResidualEncoderUNet of the same stages, widths and blocks, its Dice and cross-entropy loss
without deep supervision, SGD, float32, as it trains on a processor. Losses of the first steps are printed side by side:
in bfloat16 they differ by its rounding.

    python benchmarks/training_step.py [--dims 3] [--width 12] [--repeats 3]
    python benchmarks/training_step.py --small

For nnU-Net's (nnunetv2, dynamic-network-architectures) see `prediction.py`; where they are missing they are left out.
"""

import argparse
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime
from importlib.util import find_spec

import torch

from side_by_side import medians
from unpaired.data.batch import Batch
from unpaired.inference.engine.small_maps import right_in_bfloat16
from unpaired.inference.pages import keep_pages
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.norm_kernels import use_group_kernels
from unpaired.networks.unet import UNetConfig
from unpaired.recipe import Optimization
from unpaired.training.layout import MemoryFormat, laid_out, lay_out
from unpaired.training.optimization import build_optimizer

CLASSES, STAGES = 5, 5
Step = Callable[[], float]
SGD = Optimization(optimizer="sgd", learning_rate=0.01)


def main() -> None:
    """Median seconds of a step, each as a share of the float32 one's, and the losses."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dims", type=int, default=3, choices=(2, 3))
    parser.add_argument("--width", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="a smoke run")
    given = parser.parse_args()
    size = (32, 48, 48) if given.dims == 3 else (192, 192)
    batch, width, repeats = (2 if given.dims == 3 else 8), given.width, given.repeats
    if given.small:
        size, width, repeats = (32,) * given.dims, 4, 1
    keep_pages()
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch, 1, *size, generator=generator)
    labels = torch.randint(CLASSES, (batch, *size), generator=generator)
    steps: dict[str, Step] = {
        f"{precision}, {layout}": our_step(images, labels, width, precision, layout)
        for precision in ("float32", "bf16")
        for layout in ("contiguous", "channels_last")
    }
    if find_spec("nnunetv2") and find_spec("dynamic_network_architectures"):
        steps["nnU-Net, float32"] = nnunets_step(images, labels, width)
    losses = {name: [round(step(), 4) for _ in range(3)] for name, step in steps.items()}
    seconds = medians(steps, repeats)
    print(f"{datetime.now(UTC):%Y-%m-%d}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"{given.dims}D, width {width}, {STAGES} stages, {batch} images of {size}, {CLASSES} classes")
    for name, median in seconds.items():
        share = median / seconds["float32, contiguous"]
        print(f"{name:26} {median:8.3f} s  {share:5.2f}x  first losses {losses[name]}")


def our_step(images: torch.Tensor, labels: torch.Tensor, width: int, precision: str, layout: MemoryFormat) -> Step:
    """A step of the supervised method, as the loop takes it."""
    torch.manual_seed(0)
    config = UNetConfig(width=width, widest=320, blocks=(1,) * STAGES)
    method = SupervisedConfig().build(config.build(("ct",), 1, CLASSES, images.ndim - 2), CLASSES)
    lay_out(method, layout)
    use_group_kernels(method)
    optimizer = build_optimizer(method, SGD)
    batches = laid_out({"ct": Batch(images, labels, torch.eye(CLASSES, dtype=torch.bool))}, layout)

    def step() -> float:
        optimizer.zero_grad()
        less = torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else nullcontext()
        with right_in_bfloat16("cpu", precision == "bf16"), less:
            loss = method(batches, 0.5).loss
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


def nnunets_step(images: torch.Tensor, labels: torch.Tensor, width: int) -> Step:
    """A step of nnU-Net's network and loss."""
    from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet
    from nnunetv2.training.loss.compound_losses import DC_and_CE_loss
    from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss
    from torch import nn

    flat = images.ndim == 4
    torch.manual_seed(0)
    network = ResidualEncoderUNet(
        1,
        STAGES,
        [min(width * 2**stage, 320) for stage in range(STAGES)],
        nn.Conv2d if flat else nn.Conv3d,
        3,
        [1, *[2] * (STAGES - 1)],
        (1,) * STAGES,
        CLASSES,
        (1,) * (STAGES - 1),
        conv_bias=True,
        norm_op=nn.InstanceNorm2d if flat else nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
    )
    dice = {"batch_dice": False, "smooth": 1e-5, "do_bg": False, "ddp": False}
    loss_of = DC_and_CE_loss(dice, {}, dice_class=MemoryEfficientSoftDiceLoss)
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.99, nesterov=True, weight_decay=3e-5)

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(network(images), labels[:, None].float())
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 12)
        optimizer.step()
        return float(loss.detach())

    return step


if __name__ == "__main__":
    main()
