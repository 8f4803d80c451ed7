"""One pass over the concatenated batch of all modalities against one pass per modality, forward and backward.

    python benchmarks/concatenated_forward.py           the paper's network: width 16, 256x256, 8 images per modality
    python benchmarks/concatenated_forward.py --small   a size for small machines

Values and gradients are equal (the largest difference is printed); which is faster depends on the device, and decides
what `FCNConfig(concatenate=None)` does.
"""

import argparse
import datetime
import statistics
import time

import torch
from torch import Tensor

from unpaired.networks.fcn import FCN, FCNConfig

MODALITIES = ("ct", "mr")


def build(width: int, concatenate: bool, device: torch.device) -> FCN:
    """The same weights for both schedules; no dropout, because its random masks depend on the schedule."""
    torch.manual_seed(0)
    return FCNConfig(width=width, dropout=0.0, concatenate=concatenate).build(MODALITIES, 1, 5, 2).to(device)


def forward_backward(network: FCN, images: dict[str, Tensor]) -> float:
    """Seconds of one forward and backward pass; gradients are left in the parameters.

    On a CPU these are processor seconds, so that other people's load doesn't count; on a GPU wall time.
    """
    on_gpu = next(iter(images.values())).is_cuda
    clock = time.perf_counter if on_gpu else time.process_time
    network.zero_grad()
    start = clock()
    outputs = network(images)
    torch.stack([output.logits.square().mean() for output in outputs.values()]).sum().backward()
    if on_gpu:
        torch.cuda.synchronize()
    return clock() - start


def main() -> None:
    """Print the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=8, help="images per modality")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--small", action="store_true", help="width 4, 96x96, 4 images per modality")
    options = parser.parse_args()
    if options.small:
        options.width, options.size, options.batch = 4, 96, 4
    device = torch.device(options.device)
    print(
        f"torch {torch.__version__} on {device}, {torch.get_num_threads()} thread(s), {datetime.date.today()}; "
        f"width {options.width}, {options.size}x{options.size}, {options.batch} images x {len(MODALITIES)} modalities"
    )
    once, each = (build(options.width, concatenate, device) for concatenate in (True, False))
    images = {name: torch.randn(options.batch, 1, options.size, options.size, device=device) for name in MODALITIES}
    forward_backward(once, images)
    forward_backward(each, images)
    pairs = [(forward_backward(once, images), forward_backward(each, images)) for _ in range(options.repeats)]
    seconds_once, seconds_each = (1e3 * statistics.median(of) for of in zip(*pairs, strict=True))
    ratio = statistics.median(first / second for first, second in pairs)
    print(f"once over all {seconds_once:.1f} ms, once per modality {seconds_each:.1f} ms, ratio {ratio:.3f}")
    largest = 0.0
    for a, b in zip(once.parameters(), each.parameters(), strict=True):
        if a.grad is not None and b.grad is not None:
            largest = max(largest, ((a.grad - b.grad).norm() / b.grad.norm()).item())
    print(f"largest relative difference of a parameter's gradient: {largest:.1e}")


if __name__ == "__main__":
    main()
