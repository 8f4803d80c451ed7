"""Our Transformers against MONAI's SwinUNETR at equal input, and what SSC's modality parts cost.

    python benchmarks/transformers.py              2D: 224x224, 4 images per modality; 3D: 64x128x128, 1 per modality
    python benchmarks/transformers.py --small      128x128, and 32x64x64 at a quarter of the width

For each network: weights, processor time of one forward and of one training step (forward, backward, SGD), and the
memory that the forward keeps for the backward. Ratios are to SwinUNETR, and "V3" to the same network without scales
(SSC row V2); "folded" is V3 with its scales folded away, which must give the same logits. Times are medians of
alternating runs, on a GPU by its clock.
"""

import argparse
import datetime
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from side_by_side import kept_for_backward, medians
from unpaired.networks.adapt import AdaptedConfig
from unpaired.networks.folding import fold_modality
from unpaired.networks.network import Network, NetworkConfig
from unpaired.networks.nnformer import NNFormerConfig
from unpaired.networks.swin_unet import SwinUNetConfig

MODALITIES = ("ct", "mr")
CLASSES = 5


def swin_unetr(width: int) -> NetworkConfig:
    """MONAI's SwinUNETR with so many features, one norm for all modalities."""
    return AdaptedConfig(
        "monai.networks.nets:SwinUNETR",
        arguments={"feature_size": width, "depths": (2, 2, 2, 2), "num_heads": (3, 6, 12, 24)},
        modality_norm=False,
    )


def networks(dims: int, small: bool) -> dict[str, NetworkConfig]:
    """The rows of one table; SwinUNETR first."""
    if dims == 2:
        plain: NetworkConfig = SwinUNetConfig(window=7, drop_path=0.0)
        return {
            "SwinUNETR": swin_unetr(48),
            "Swin-Unet": plain,
            "Swin-Unet V3": replace(plain, modality_scale=True),
        }
    plain = NNFormerConfig(drop_path=0.0, deep_supervision=False)
    plain = replace(plain, width=48, heads=(3, 6, 12, 24)) if small else plain
    return {
        "SwinUNETR": swin_unetr(12 if small else 48),
        "nnFormer": plain,
        "nnFormer V3": replace(plain, modality_scale=True),
    }


def forward(network: Network, images: dict[str, Tensor]) -> Callable[[], object]:
    """Prediction."""

    def run() -> None:
        with torch.inference_mode():
            network(images)

    return run


def step(network: Network, images: dict[str, Tensor]) -> Callable[[], object]:
    """A training step on a loss that costs nothing."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0)

    def run() -> None:
        optimizer.zero_grad()
        torch.stack([output.logits.square().mean() for output in network(images).values()]).sum().backward()
        optimizer.step()

    return run


def folded_difference(network: nn.Module, images: dict[str, Tensor]) -> float:
    """Largest difference between logits of V3, with scales that are not 1, and of its folded networks."""
    largest = 0.0
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if ".scale" in name:
                parameter += 0.05 * torch.randn_like(parameter)
        for modality, x in images.items():
            plain = fold_modality(network, modality)  # pyright: ignore
            difference = plain({modality: x})[modality].logits - network({modality: x})[modality].logits
            largest = max(largest, difference.abs().max().item())
    return largest


def table(dims: int, size: tuple[int, ...], batch: int, options: argparse.Namespace) -> None:
    """Print the rows of one number of axes."""
    device = torch.device(options.device)
    torch.manual_seed(0)
    images = {name: torch.randn(batch, 1, *size, device=device) for name in MODALITIES}
    built = {
        name: config.build(MODALITIES, 1, CLASSES, dims).to(device)
        for name, config in networks(dims, options.small).items()
    }
    steps = medians({name: step(network, images) for name, network in built.items()}, options.repeats, device)
    kept = {name: kept_for_backward(partial(network, images), network) for name, network in built.items()}
    for network in built.values():
        network.eval().requires_grad_(False)
    forwards = medians({n: forward(network, images) for n, network in built.items()}, options.repeats, device)
    reference, plain, scaled = built
    print(f"\n{dims}D, {batch} x {'x'.join(map(str, size))} per modality, on {device}")
    for name, network in built.items():
        weights = sum(p.numel() for p in network.parameters()) / 1e6
        cells = {
            "forward": (f"{forwards[name]:7.2f} s", forwards[name] / forwards[reference]),
            "step": (f"{steps[name]:7.2f} s", steps[name] / steps[reference]),
            "kept": (f"{kept[name] / 2**20:7.0f} MiB", kept[name] / kept[reference]),
        }
        columns = "   ".join(f"{what} {value} ({ratio:.2f}x)" for what, (value, ratio) in cells.items())
        print(f"{name:14} {weights:6.1f} M weights   {columns}", flush=True)
    ratios = {
        what: seconds[scaled] / seconds[plain]
        for what, seconds in (("forward", forwards), ("step", steps), ("kept", kept))
    }
    difference = folded_difference(built[scaled], images)
    print("V3 against V2:", ", ".join(f"{what} {ratio:.3f}x" for what, ratio in ratios.items()))
    print(f"folded logits differ by {difference:.1e} at most")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--dims", type=int, choices=(2, 3), help="one table only")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} thread(s), {datetime.date.today()}")
    sizes = (
        {2: ((128, 128), 2), 3: ((32, 64, 64), 1)} if options.small else {2: ((224, 224), 4), 3: ((64, 128, 128), 1)}
    )
    for dims, (size, batch) in sizes.items():
        if options.dims in (None, dims):
            table(dims, size, batch, options)


if __name__ == "__main__":
    main()
