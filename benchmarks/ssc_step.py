"""What SSC costs while it trains, and that it costs nothing afterwards: Swin-Unet and nnFormer, rows V2 to V3 + CR.

    python benchmarks/ssc_step.py                  Swin-Unet at the paper's size: width 96, 224x224, 8 images a modality
    python benchmarks/ssc_step.py --small          width 32, windows of 5, 160x160, 2 images
    python benchmarks/ssc_step.py --volumes        nnFormer's ACDC network, 14x160x160, 2 volumes

Prints the median processor time of a training step (wall time on a GPU) of alternating runs, as ratios to the plain
backbone, the weights that training adds, and whether prediction with and without the EAMs gives equal logits.
"""

import argparse
import datetime
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from unpaired.data.batch import Batch
from unpaired.methods.method import Method, MethodConfig
from unpaired.methods.structured_consistency import SSC, SSCConfig
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.nnformer import NNFormerConfig
from unpaired.networks.swin_unet import SwinUNetConfig

MODALITIES = ("ct", "mr")
CLASSES = 5
ROWS: dict[str, tuple[bool, MethodConfig]] = {
    "plain backbone": (False, SupervisedConfig()),
    "V2 (+ L_aux)": (False, SSCConfig(modality_weight=0.0, image_weight=0.0)),
    "V3 (+ channel scale)": (True, SSCConfig(modality_weight=0.0, image_weight=0.0)),
    "V3 + CR": (True, SSCConfig()),
    "V3 + CR, auxiliary loss on the features' grid": (True, SSCConfig(auxiliary_grid="features")),
}


def batches(size: tuple[int, ...], channels: int, images: int, device: str) -> dict[str, Batch]:
    """Noise."""
    label_sets = torch.eye(CLASSES, dtype=torch.bool, device=device)
    return {
        name: Batch(
            torch.randn(images, channels, *size, device=device),
            torch.randint(0, CLASSES, (images, *size), device=device),
            label_sets,
        )
        for name in MODALITIES
    }


def seconds(step: Callable[[], None], device: str) -> float:
    """Processor time of a call on a CPU, wall time on a GPU."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    before = clock()
    step()
    if device != "cpu":
        torch.cuda.synchronize()
    return clock() - before


def train_step(method: Method, data: dict[str, Batch]) -> Callable[[], None]:
    """One step of AdamW on `data`."""
    optimizer = torch.optim.AdamW(method.parameters(), lr=1e-4)

    def step() -> None:
        optimizer.zero_grad()
        method(data, 0.0).loss.backward()
        optimizer.step()

    return step


def same_logits_without_attention(method: SSC, data: dict[str, Batch]) -> bool:
    """Whether deleting the EAMs leaves a prediction as it was, bit for bit."""
    method.eval()
    with torch.no_grad():
        before = method.predict(data["ct"].images[:1], "ct")
        del method.attention
        return torch.equal(before, method.predict(data["ct"].images[:1], "ct"))


def main() -> None:
    """Time all rows in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--volumes", action="store_true")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if arguments.volumes:
        network, size, channels, images = NNFormerConfig.acdc(), (14, 160, 160), 1, 2
    elif arguments.small:
        network, size, channels, images = SwinUNetConfig(width=32, heads=(1, 2, 4, 8), window=5), (160, 160), 3, 2
    else:
        network, size, channels, images = SwinUNetConfig(), (224, 224), 3, 8
    data = batches(size, channels, images, device)
    methods = {
        name: method.build(
            replace(network, modality_scale=scaled).build(MODALITIES, channels, CLASSES, len(size)), CLASSES
        ).to(device)
        for name, (scaled, method) in ROWS.items()
    }
    steps = {name: train_step(method, data) for name, method in methods.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for repeat in range(arguments.repeats + 1):
        for name, step in steps.items():
            taken = seconds(step, device)
            if repeat > 0:  # the first is for warming up
                times[name].append(taken)
    plain = statistics.median(times["plain backbone"])
    print(f"{datetime.date.today()}, {device}, {torch.get_num_threads()} threads, {images} images of {size} a modality")
    for name, method in methods.items():
        median = statistics.median(times[name])
        added = sum(p.numel() for n, p in method.named_parameters() if not n.startswith("network."))
        print(f"{name:48}{median * 1000:9.0f} ms  {median / plain:5.2f}   weights only training has: {added:,}")
    last = methods["V3 + CR"]
    assert isinstance(last, SSC)
    print(f"V3 + CR predicts the same without its EAMs: {same_logits_without_attention(last, data)}")


if __name__ == "__main__":
    main()
