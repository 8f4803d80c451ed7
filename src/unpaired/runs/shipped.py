"""Model files that come with the package: `unpaired://NAME` is taken everywhere a model file is.

    unpaired://phantom_heart     LV, myo, RV, LA and AA, learned from simulated CT, bSSFP and LGE alone

They were trained on simulated patients, so they are anybody's. What they are for, and how they were made, is on their
model card (`unpaired recipes unpaired://phantom_heart` prints the recipe) and in docs/how-to/few-or-no-labels.md.
"""

from importlib.resources import files
from pathlib import Path

from unpaired.errors import InputError, nearest
from unpaired.runs.hub import MODEL_SUFFIX

SCHEME = "unpaired:"
FOLDER = "weights"


def is_shipped(path: str | Path) -> bool:
    """Whether a path names a model file of the package; a `Path` of it has lost a slash."""
    return str(path).startswith(SCHEME)


def shipped_file(address: str | Path) -> Path:
    """Where the model file at `unpaired://NAME` lies. Raises InputError for a name that the package doesn't have."""
    name = str(address).removeprefix(SCHEME).strip("/")
    folder = Path(str(files("unpaired") / FOLDER))
    known = sorted(file.stem for file in folder.glob(f"*{MODEL_SUFFIX}"))
    if name not in known:
        raise InputError(f"unpaired comes with no model {name!r}; {nearest(name, known)}")
    return folder / f"{name}{MODEL_SUFFIX}"


def shipped_address(address: str | Path) -> str:
    """The address as a person writes it."""
    return f"unpaired://{str(address).removeprefix(SCHEME).strip('/')}"
