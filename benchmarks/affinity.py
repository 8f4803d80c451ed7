"""The affinity term of CSA alone: ours against the loop over entries and against masked maps; time, memory, agreement.

    python benchmarks/affinity.py           M = N = 256 at 56x56, five classes, 4 images of each of 2 modalities
    python benchmarks/affinity.py --small   M = N = 32 at 28x28, where the loop is run whole

Forms: "elementwise" compares matrices entry by entry, "literal" their mean entries (CSA Eq. 4 as printed). Each is
computed by `unpaired` (the class's voxels gathered; the mean as a product of two sums of unit vectors) and

    masked maps   one product per class of maps that are zero outside the class
    broadcast     the maps of all classes at once, one batched product
    loop          one cosine per entry, as the paper writes it; at full size the first `--loop-rows` of the M rows are
                  timed and the time is scaled up

Prints processor time forward, and forward with backward; how many times longer than ours; the peak of memory beyond
features and labels, each in a process of its own (Linux); and the largest difference of values and of gradients,
relative to the largest one, which must stay below 1e-5. What share of a training step the term is:
`benchmarks/csa_step.py`.
"""

import argparse
import datetime
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from unpaired.data.batch import Batch
from unpaired.methods.class_specific_affinity import CSAConfig, affinity_consistency, nearest_on_grid

MODALITIES = ("ct", "mr")
C = 5
TOLERANCE = 1e-5
FORMS = ("elementwise", "literal")
WAYS = ("ours", "masked maps", "broadcast", "loop")


@dataclass(frozen=True)
class Size:
    """`channels` of both layers on a square `grid`, `images` of each modality, and the rows that the loop takes."""

    channels: int
    grid: int
    images: int
    loop_rows: int


def example(size: Size) -> tuple[dict[str, dict[str, Tensor]], dict[str, Batch]]:
    """Noise features; nested rings as label maps at eight times the grid, background outside, small classes inside."""
    generator = torch.Generator().manual_seed(0)
    side = 8 * size.grid
    axis = (torch.arange(side) - side / 2) / side
    radius = (axis[:, None] ** 2 + axis[None] ** 2).sqrt()
    rings = torch.stack([radius < limit for limit in (0.35, 0.25, 0.15, 0.08)]).sum(dim=0)
    label_map = rings.expand(size.images, side, side).contiguous()
    shape = (size.images, size.channels, size.grid, size.grid)
    features, data = {}, {}
    for name in MODALITIES:
        features[name] = {layer: torch.randn(shape, generator=generator).requires_grad_() for layer in "lk"}
        data[name] = Batch(torch.zeros(size.images, 1, side, side), label_map, torch.eye(C, dtype=torch.bool))
    return features, data


def masks_on_grid(batch: Batch, grid: int) -> Tensor:
    """(class, voxel): 1 where the feature grid's voxel is of the class."""
    labels = nearest_on_grid(batch.label_map, 1, (grid, grid)).flatten()
    return F.one_hot(labels, C).T.float()


def channel_rows(features: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """(channel, voxel) of both layers."""
    l, k = (features[layer].movedim(1, 0).flatten(1) for layer in "lk")  # noqa: E741 (the paper's letters)
    return l, k


def distance(first: Tensor, second: Tensor, form: str) -> Tensor:
    """Of two (class, M, N) stacks: CSA Eq. 4 in either form."""
    if form == "literal":
        return (first.mean(dim=(1, 2)) - second.mean(dim=(1, 2))).square().mean()
    return (first - second).square().mean()


def masked_maps(features: dict[str, dict[str, Tensor]], data: dict[str, Batch], form: str) -> Tensor:
    """A product of whole masked maps per class."""
    stacks = []
    for name in MODALITIES:
        l, k = channel_rows(features[name])  # noqa: E741
        matrices = []
        for mask in masks_on_grid(data[name], features[name]["l"].shape[-1]):
            unit_l, unit_k = (F.normalize(rows * mask, dim=1, eps=1e-6) for rows in (l, k))
            matrices.append(unit_l @ unit_k.T)
        stacks.append(torch.stack(matrices))
    return distance(stacks[0], stacks[1], form)


def broadcast(features: dict[str, dict[str, Tensor]], data: dict[str, Batch], form: str) -> Tensor:
    """The masked maps of all classes at once, (class, channel, voxel), in one batched product."""
    stacks = []
    for name in MODALITIES:
        masks = masks_on_grid(data[name], features[name]["l"].shape[-1]).unsqueeze(1)
        unit_l, unit_k = (F.normalize(rows * masks, dim=2, eps=1e-6) for rows in channel_rows(features[name]))
        stacks.append(unit_l @ unit_k.transpose(1, 2))
    return distance(stacks[0], stacks[1], form)


def loop(features: dict[str, dict[str, Tensor]], data: dict[str, Batch], rows: int, backward: bool) -> Tensor:
    """Entry by entry, elementwise form, the first `rows` of the M rows: the sum of their part of the loss.

    With `backward` each entry's gradient is taken at once, which keeps one entry's graph alive instead of all.
    """
    leaves = {name: channel_rows(features[name]) for name in MODALITIES}
    total = torch.zeros(())
    for c in range(C):
        masked = {}
        for name in MODALITIES:
            mask = masks_on_grid(data[name], features[name]["l"].shape[-1])[c]
            masked[name] = [[row.detach().requires_grad_(backward) for row in x * mask] for x in leaves[name]]
        channels = len(leaves["ct"][0])
        for m in range(rows):
            for n in range(channels):
                ct, mr = (F.cosine_similarity(masked[name][0][m], masked[name][1][n], dim=0) for name in MODALITIES)
                entry = (ct - mr).square() / (channels * channels * C)
                total += entry.detach()
                if backward:
                    entry.backward()
        if backward:
            hand_back(features, data, masked, c)
    return total


def hand_back(features: dict[str, dict[str, Tensor]], data: dict[str, Batch], masked: dict, c: int) -> None:
    """Add the gradients of a class's masked rows to those of the feature maps."""
    for name in MODALITIES:
        for layer, rows in zip("lk", masked[name], strict=True):
            maps = features[name][layer]
            mask = masks_on_grid(data[name], maps.shape[-1])[c]
            grads = torch.stack([torch.zeros_like(row) if row.grad is None else row.grad for row in rows]) * mask
            grad = grads.reshape(len(rows), len(maps), *maps.shape[2:]).movedim(0, 1)
            maps.grad = grad.clone() if maps.grad is None else maps.grad + grad


def evaluate(
    way: str, form: str, size: Size, features: dict[str, dict[str, Tensor]], data: dict[str, Batch], backward: bool
) -> tuple[float, float]:
    """Processor seconds and value; with `backward` the gradients are left in the features."""
    with torch.set_grad_enabled(backward):
        start = time.process_time()
        if way == "loop":
            value = loop(features, data, size.loop_rows, backward)
        else:
            if way == "ours":
                config = CSAConfig(layer_pairs=(("l", "k"),), consistency=form)  # pyright: ignore[reportArgumentType]
                value = affinity_consistency(features, data, config)
            else:
                value = {"masked maps": masked_maps, "broadcast": broadcast}[way](features, data, form)
            if backward:
                value.backward()
        return time.process_time() - start, value.item()


def gradients(features: dict[str, dict[str, Tensor]]) -> Tensor:
    """All of them in one row; they are taken out of the features."""
    found = []
    for x in (x for of_modality in features.values() for x in of_modality.values()):
        found.append(torch.zeros_like(x).flatten() if x.grad is None else x.grad.flatten())
        x.grad = None
    return torch.cat(found)


def timed(form: str, size: Size, ways: list[str], repeats: int) -> dict[str, tuple[float, float]]:
    """Median processor seconds forward, and forward with backward, in turn so that load hits all alike."""
    features, data = example(size)
    seconds: dict[tuple[str, bool], list[float]] = {}
    for repeat in range(repeats + 1):
        for way in ways:
            if way == "loop" and repeat != 1:
                continue
            for backward in (False, True):
                took = evaluate(way, form, size, features, data, backward)[0]
                scale = size.channels / size.loop_rows if way == "loop" else 1
                gradients(features)
                if repeat:
                    seconds.setdefault((way, backward), []).append(scale * took)
    return {way: (statistics.median(seconds[way, False]), statistics.median(seconds[way, True])) for way in ways}


def disagreement(way: str, form: str, size: Size) -> tuple[float, float]:
    """Largest difference from ours: of the value, and of the gradients relative to the largest one."""
    features, data = example(size)
    ours = evaluate("ours", form, size, features, data, backward=True)[1]
    our_gradients = gradients(features)
    theirs = evaluate(way, form, size, features, data, backward=True)[1]
    largest = (gradients(features) - our_gradients).abs().max() / our_gradients.abs().max()
    return abs(theirs - ours) / ours, largest.item()


def peak_megabytes(way: str, form: str, size: Size) -> float:
    """The peak of memory that forward and backward add to features and labels, measured in a fresh process."""
    numbers = [str(number) for number in (size.channels, size.grid, size.images, size.loop_rows)]
    command = [sys.executable, __file__, "--peak", way, form, *numbers]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def print_own_peak(way: str, form: str, size: Size) -> None:
    """In that process: warm up on a tiny example, make the real one, reset Linux's high-water mark, run."""
    tiny = Size(4, 4, 1, 1)
    evaluate(way, form, tiny, *example(tiny), backward=True)
    features, data = example(size)
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    evaluate(way, form, size, features, data, backward=True)
    print((_status("VmHWM") - before) / 2**20)


def _status(field: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return 1024 * int(line.split()[1])


def compare(form: str, size: Size, repeats: int, memory: bool) -> bool:
    """Print the table of one form; whether all that was compared agrees."""
    ways = [way for way in WAYS if way != "loop" or form == "elementwise"]
    seconds = timed(form, size, ways, repeats)
    print(f"{form}\n  {'':12} {'forward ms':>12} {'x ours':>8} {'with backward':>14} {'x ours':>8} {'extra MB':>9}")
    agrees = True
    for way in ways:
        forward, both = seconds[way]
        row = f"  {way:12} {1e3 * forward:12.1f} {forward / seconds['ours'][0]:8.1f}"
        row += f" {1e3 * both:14.1f} {both / seconds['ours'][1]:8.1f}"
        row += f" {peak_megabytes(way, form, size):9.0f}" if memory else f" {'':>9}"
        if way != "ours" and (way != "loop" or size.loop_rows == size.channels):
            value, gradient = disagreement(way, form, size)
            agrees &= max(value, gradient) < TOLERANCE
            row += f"   value differs by {value:.1e}, gradient by {gradient:.1e}"
        print(row, flush=True)
    return agrees


def main() -> None:
    """Print the numbers; exit code 1 if ours disagrees with anything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="32 channels at 28x28, the loop whole")
    parser.add_argument("--loop-rows", type=int, default=2, help="rows of the 256 that the loop takes at full size")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peak", nargs=6, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        way, form, *numbers = options.peak
        print_own_peak(way, form, Size(*map(int, numbers)))
        return
    size = Size(32, 28, 4, 32) if options.small else Size(256, 56, 4, options.loop_rows)
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} thread(s), {datetime.date.today()}; M = N = "
        f"{size.channels}, {size.grid}x{size.grid}, {C} classes, {size.images} images x {len(MODALITIES)} modalities"
    )
    memory = Path("/proc/self/clear_refs").exists()
    agreed = {form: compare(form, size, options.repeats, memory) for form in FORMS}
    if not all(agreed.values()):
        sys.exit(f"values or gradients differ by more than {TOLERANCE}")


if __name__ == "__main__":
    main()
