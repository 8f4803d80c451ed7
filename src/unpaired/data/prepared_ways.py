"""The names of prepared cases: by what their files hold, and by the way in which they were prepared.

Another version of the package may write an equal way with a field more or less, which gives another name. The reports
beside the cases hold each way that was asked for; those that this version reads as equal name the same arrays.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from unpaired.data.dataset import Modality
from unpaired.data.preprocess import Preprocessing
from unpaired.documents import fitted
from unpaired.errors import InputError
from unpaired.files import is_object, read_json

FORMAT = 3
"""Raised when prepared arrays or what is recorded of them change their meaning, so that old caches aren't used."""
REPORTS = "report-{}.json"
"""What was asked for and what became of it, by a hash of the former."""


@dataclass(frozen=True)
class Way:
    """How scans of a modality are prepared, as JSON values."""

    preprocessing: dict[str, Any]
    modality: dict[str, Any]

    def key(self, hashes: list[str | None], encoding: Mapping[int, int], foreground: tuple[int, ...]) -> str:
        """Changes whenever the prepared arrays would. `hashes` are of what image and label map hold."""
        image, label = hashes
        identity = {
            "format": FORMAT,
            "image": image,
            "label": label,
            "preprocessing": self.preprocessing,
            "modality": self.modality,
            "encoding": sorted(encoding.items()),
            "foreground": foreground,
        }
        return short_hash(identity)


def ways(folder: Path, preprocessing: Preprocessing, modalities: Mapping[str, Modality]) -> dict[str, list[Way]]:
    """{modality: its way as this version writes it, then as others wrote it that prepared cases in `folder`}."""
    known = {name: [Way(asdict(preprocessing), asdict(options))] for name, options in modalities.items()}
    for stored, options in _asked(folder):
        if _read(stored, Preprocessing) != preprocessing:
            continue
        for name, now in known.items():
            there = options.get(name, now[0].modality)
            if _read(there, Modality) == modalities[name] and (way := Way(stored, there)) not in now:
                now.append(way)
    return known


def _asked(folder: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """(preprocessing, {modality: options}) of each report; early ones don't say the options."""
    for file in sorted(folder.glob(REPORTS.format("*"))):
        try:
            report = read_json(file, "it is made anew")
        except InputError:
            continue
        if is_object(report) and is_object(stored := report.get("preprocessing")):
            options = report.get("modalities")
            yield stored, options if is_object(options) else {}


def _read(document: Any, kind: type[Any]) -> Any:
    """A stored value as this version reads it; None if it can't."""
    try:
        return fitted(document, kind)
    except InputError:
        return None


def short_hash(value: Any) -> str:
    """Sixteen hexadecimal digits of a JSON value."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]
