"""Draw the pictures of docs/how-to/features.md: a finished `make demo` looked into. Simulated scans only.

    make demo
    .venv/bin/python docs/images/phantom_features.py demo/runs/csa

Feature maps of the first modality and the affinity matrices of all, of the first layers that the run's method compares.
"""

import io
import sys
from pathlib import Path

from PIL import Image

from unpaired.analyses.affinities.figure import draw_affinities
from unpaired.analyses.features import study
from unpaired.analyses.plan import Options, make_plan, read_members
from unpaired.figures.feature_maps import draw_feature_maps
from unpaired.figures.style import png

FOLDER = Path(__file__).parent
DPI = 80


def main(folder: str) -> None:
    """Write phantom_features.webp and phantom_affinities.webp beside this file."""
    (member,) = read_members([folder])
    if member.run is None or not member.run.dataset.name.startswith("phantom"):
        sys.exit(f"{folder} is no run on a phantom: only simulated scans may go into the documentation")
    pair = make_plan([member], None, Options()).pair  # the method's first, where it compares layers
    found = study([member], None, Options(layers=pair, device="cpu"), print)
    for name, figure in {
        "phantom_features": draw_feature_maps(found.maps[0]),
        "phantom_affinities": draw_affinities(found.affinities[0]),
    }.items():
        out = FOLDER / f"{name}.webp"
        Image.open(io.BytesIO(png(figure, DPI))).convert("RGB").save(out, quality=80, method=6)
        print(f"{out}: {out.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main(sys.argv[1])
