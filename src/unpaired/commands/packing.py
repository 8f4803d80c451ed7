"""The command that makes one file of runs: pack."""

from pathlib import Path
from typing import Annotated

import tyro

from unpaired.commands.arguments import OptionalText, Trusted, Weights

Runs = Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN")]


def pack(
    runs: Runs,
    /,
    *,
    out: Path,
    weights: Weights = "best",
    licence: OptionalText = None,
    about: OptionalText = None,
    trust: Trusted = (),
) -> int:
    """Make one file of a run, or of several that predict together, to give away: no patients, no paths, no code.

    Everywhere a run is taken such a file is taken: unpaired predict model.unpaired scan.nii.gz out.nii.gz

    Args:
        runs: Runs, or a folder of folds (fold0, fold1, ...).
        out: The file to write, such as heart.unpaired.
        licence: What others may do with it; stands in the model card.
        about: What it is for, and for what it isn't.
    """
    import unpaired

    packed = unpaired.pack(runs, out, weights=weights, licence=licence, about=about, trust=trust)
    scores = ", ".join(f"{name} {row['dice']:.3f}" for name, row in packed.facts["scores"].items())
    print(
        f"{packed.facts['runs']} run(s) for {', '.join(packed.facts['modalities'])}; Dice {scores or 'not evaluated'}"
    )
    print(f"wrote {packed.path} ({packed.path.stat().st_size / 1e6:.1f} MB)")
    return 0
