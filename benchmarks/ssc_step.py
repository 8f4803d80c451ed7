"""What SSC costs while it trains, and that it costs nothing afterwards: Swin-Unet and nnFormer, rows V2 to V3 + CR.

    python benchmarks/ssc_step.py                  Swin-Unet at the paper's size: width 96, 224x224, 8 images a modality
    python benchmarks/ssc_step.py --small          width 32, windows of 5, 160x160, 2 images
    python benchmarks/ssc_step.py --volumes        nnFormer's ACDC network, 14x160x160, 2 volumes

Prints, as ratios to the plain backbone, the median processor time of a training step of alternating runs (on a GPU wall
time) and its memory: on a GPU the peak that torch allocates, on a CPU what the forward keeps for the backward. Then the
weights that training adds, the share of the EAMs in V3 + CR, and prediction with and without the EAMs: time, and
whether the logits are equal. `transformers.py` has the same backbones beside MONAI's SwinUNETR.
"""

import argparse
import copy
import datetime
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from side_by_side import kept_for_backward, medians
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
    "V3, supervised alone": (True, SupervisedConfig()),
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


def train_step(method: Method, data: dict[str, Batch]) -> Callable[[], None]:
    """One step of AdamW on `data`."""
    optimizer = torch.optim.AdamW(method.parameters(), lr=1e-4)

    def step() -> None:
        optimizer.zero_grad()
        method(data, 0.0).loss.backward()
        optimizer.step()

    return step


def memory(step: Callable[[], None], method: Method, device: str) -> int:
    """Bytes: the peak of a step on a GPU; on a CPU the tensors that it keeps for the backward, weights not counted."""
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        step()
        return torch.cuda.max_memory_allocated()
    return kept_for_backward(step, method)


def prediction(method: SSC, data: dict[str, Batch], repeats: int, device: str) -> str:
    """Prediction with the EAMs in place and deleted: the ratio of times, and of the logits whether they are equal."""
    images = data["ct"].images
    bare = copy.deepcopy(method.eval())
    del bare.attention
    found: dict[str, Tensor] = {}

    def predict(name: str, by: SSC) -> None:
        with torch.inference_mode():
            found[name] = by.predict(images, "ct")

    runs = {"with": lambda: predict("with", method), "without": lambda: predict("without", bare)}
    times = medians(runs, repeats, device)
    equal = torch.equal(found["with"], found["without"])
    return f"{times['with'] / times['without']:.2f} of the time without them, equal logits: {equal}"


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
    times = medians(steps, arguments.repeats, device)
    bytes_of = {name: memory(step, methods[name], device) for name, step in steps.items()}
    plain, least = times["plain backbone"], bytes_of["plain backbone"]
    print(f"{datetime.date.today()}, {device}, {torch.get_num_threads()} threads, {images} images of {size} a modality")
    for name, method in methods.items():
        added = sum(p.numel() for n, p in method.named_parameters() if not n.startswith("network."))
        print(
            f"{name:46}{times[name] * 1000:8.0f} ms {times[name] / plain:5.2f}"
            f"{bytes_of[name] / 2**20:9.0f} MiB {bytes_of[name] / least:5.2f}   weights only training has: {added:,}"
        )
    scaled, whole = times["V3, supervised alone"], times["V3 + CR"]
    print(f"EAMs and their losses: {(whole - scaled) / whole:.0%} of a step of V3 + CR")
    ssc = methods["V3 + CR"]
    assert isinstance(ssc, SSC)
    print(f"prediction with the EAMs in place: {prediction(ssc, data, arguments.repeats, device)}")


if __name__ == "__main__":
    main()
