"""Draw the pictures of docs/how-to/partners-and-misalignment.md. Simulated scans only.

.venv/bin/unpaired phantom data/phantom
.venv/bin/unpaired train docs/images/phantom_partners.py:paired data/phantom/dataset.json runs/paired
.venv/bin/unpaired train docs/images/phantom_partners.py:plain data/phantom/dataset.json runs/plain
.venv/bin/unpaired partners runs/paired data/phantom/dataset.json partners
.venv/bin/unpaired misalignment runs/paired runs/plain --out misalignment
.venv/bin/python docs/images/phantom_partners.py partners misalignment
"""

import sys
from dataclasses import replace
from pathlib import Path

from PIL import Image

from unpaired.networks.unet import UNetConfig
from unpaired.recipe import Optimization, Recipe
from unpaired.recipes.phantom import msbn

FOLDER = Path(__file__).parent


def paired() -> Recipe:
    """A small U-Net with a paired fusion: half a minute on one core, far from converged."""
    return replace(
        msbn(),
        network=UNetConfig(width=6, blocks=(1, 1, 1), fusion="paired"),
        optimization=Optimization(learning_rate=3e-3, schedule="cosine", warmup_steps=10),
        patch_size=(48, 48),
        steps=150,
        validate_every=400,
    )


def plain() -> Recipe:
    """The same without a fusion."""
    return replace(paired(), network=UNetConfig(width=6, blocks=(1, 1, 1)))


def main(partners: str, misalignment: str) -> None:
    """Write phantom_partners.webp and phantom_misalignment.webp beside this file."""
    for name, picture in {
        "phantom_partners": Path(partners) / "partners.png",
        "phantom_misalignment": Path(misalignment) / "misalignment.png",
    }.items():
        out = FOLDER / f"{name}.webp"
        Image.open(picture).convert("RGB").save(out, quality=80, method=6)
        print(f"{out}: {out.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main(*sys.argv[1:])
