"""What share of a training step the affinity term of CSA is: one CSA step against one MSBN step.

    python benchmarks/csa_step.py                  the paper's network: width 16, 256x256, 8 images per modality
    python benchmarks/csa_step.py --small          a size for small machines

Prints the median processor times of alternating runs, the ratio of the steps (goal: below 1.05), and the affinity term
alone as a share of the MSBN step. Other ways to compute the term: `benchmarks/affinity.py`.
"""

import argparse
import datetime
import statistics
from collections.abc import Callable

import torch
from torch import Tensor

from side_by_side import in_turns
from unpaired.data.batch import Batch
from unpaired.methods.class_specific_affinity import CSAConfig, affinity_consistency
from unpaired.methods.method import Method
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.fcn import FCNConfig

MODALITIES = ("ct", "mr")
CLASSES = 5


def batches(size: int, batch: int) -> dict[str, Batch]:
    """Noise images with nested rings as label maps: background outside, smaller classes inside."""
    axis = torch.arange(size) - size / 2
    radius = (axis[:, None] ** 2 + axis[None] ** 2).sqrt() / size
    label_map = sum((radius < limit).long() for limit in (0.35, 0.25, 0.15, 0.08))
    labels = torch.as_tensor(label_map).expand(batch, size, size).contiguous()
    label_sets = torch.eye(CLASSES, dtype=torch.bool)
    return {name: Batch(torch.randn(batch, 1, size, size), labels, label_sets) for name in MODALITIES}


def train_step(method: Method, data: dict[str, Batch]) -> Callable[[], None]:
    """One step of Adam on `data`."""
    optimizer = torch.optim.Adam(method.parameters(), lr=1e-4)

    def step() -> None:
        optimizer.zero_grad()
        method(data, 0.0).loss.backward()
        optimizer.step()

    return step


def main() -> None:
    """Print the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=8, help="images per modality")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="width 4, 96x96, 4 images per modality")
    options = parser.parse_args()
    if options.small:
        options.width, options.size, options.batch = 4, 96, 4
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} thread(s), {datetime.date.today()}; "
        f"width {options.width}, {options.size}x{options.size}, {options.batch} images x {len(MODALITIES)} modalities"
    )
    torch.manual_seed(0)
    data = batches(options.size, options.batch)
    network = FCNConfig(width=options.width).build(MODALITIES, 1, CLASSES, 2)
    steps = in_turns(
        {
            "MSBN": train_step(SupervisedConfig().build(network, CLASSES), data),
            "CSA": train_step(CSAConfig().build(network, CLASSES), data),
        },
        options.repeats,
    )
    for name, seconds in steps.items():
        print(f"step {name:8} {1e3 * statistics.median(seconds):10.1f} ms")
    ratios = [csa / msbn for csa, msbn in zip(steps["CSA"], steps["MSBN"], strict=True)]
    print(f"CSA / MSBN, median of {len(ratios)} alternating pairs: {statistics.median(ratios):.3f} (goal < 1.05)")
    print_share(data, options, statistics.median(steps["MSBN"]))


def print_share(data: dict[str, Batch], options: argparse.Namespace, msbn_seconds: float) -> None:
    """The affinity term on features of the right size, both forms, as a share of an MSBN step."""
    grid = options.size // 8
    features = {
        name: {
            layer: torch.randn(options.batch, multiple * options.width, grid, grid, requires_grad=True)
            for layer, multiple in (("group4", 8), ("group5", 16))
        }
        for name in MODALITIES
    }
    losses: dict[str, Callable[[], Tensor]] = {
        "elementwise": lambda: affinity_consistency(features, data, CSAConfig()),
        "literal": lambda: affinity_consistency(features, data, CSAConfig(consistency="literal")),
    }
    seconds = in_turns({name: lambda loss=loss: loss().backward() for name, loss in losses.items()}, options.repeats)
    for name, of_name in seconds.items():
        median = statistics.median(of_name)
        print(f"affinity {name}: {1e3 * median:.1f} ms forward and backward, {100 * median / msbn_seconds:.1f} % of it")


if __name__ == "__main__":
    main()
