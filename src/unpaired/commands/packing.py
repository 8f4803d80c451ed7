"""The commands that make one file of runs, and give it to others: pack, push."""

from pathlib import Path
from typing import Annotated

import tyro

from unpaired.choices import counted
from unpaired.commands.arguments import OptionalText, Trusted, Weights

Model = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="MODEL")]
Repository = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="OWNER/NAME")]
Runs = Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN")]


def pack(
    runs: Runs,
    /,
    *,
    out: Path,
    weights: Weights = "best",
    licence: OptionalText = None,
    about: OptionalText = None,
    demographics: bool = True,
    trust: Trusted = (),
) -> int:
    """Make one file of a run, or of several that predict together, to give away: no patients, no paths, no code.

    Everywhere a run is taken such a file is taken: unpaired predict model.unpaired scan.nii.gz out.nii.gz

    Args:
        runs: Runs, or a folder of folds (fold0, fold1, ...).
        out: The file to write, such as heart.unpaired.
        licence: What others may do with it; stands in the model card.
        about: What it is for, and for what it isn't.
        demographics: Tell the patients' age, sex, site and scanner on the model card, as far as the manifest says them:
            in groups of five and more.
    """
    import unpaired

    packed = unpaired.pack(
        runs, out, weights=weights, licence=licence, about=about, demographics=demographics, trust=trust
    )
    scores = ", ".join(f"{name} {row['dice']:.3f}" for name, row in packed.facts["scores"].items())
    number = counted(packed.facts["runs"], "run")
    print(f"{number} for {', '.join(packed.facts['modalities'])}; Dice {scores or 'not evaluated'}")
    if packed.demographics:
        print(
            f"its model card tells of groups of patients: {', '.join(packed.demographics)} (not with --no-demographics)"
        )
    print(f"wrote {packed.path} ({packed.path.stat().st_size / 1e6:.1f} MB)")
    return 0


def push(model: Model, repo: Repository, /, *, public: bool = False) -> int:
    """Put a model file on the Hugging Face Hub, for others to use as hf://OWNER/NAME. Needs `unpaired[hub]`.

    A new repository is private, and gets the model card as its README.md.

    Args:
        model: A file of `unpaired pack`.
        repo: The repository, which is made if it isn't there.
        public: Whether everybody may see a new repository.
    """
    import unpaired

    pushed = unpaired.push(model, repo, public=public)
    print(f"pushed to {pushed.url}" + ("" if pushed.card_written else "; its README.md was there, and is left alone"))
    print(f"next: unpaired predict {pushed.address} scan.nii.gz out.nii.gz")
    return 0
