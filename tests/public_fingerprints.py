"""Fingerprints like those of public data sets: sizes and spacings as their papers and readmes give them, rounded.

`public_fingerprints.json` holds medians of each modality: shape and spacing (slices, rows, columns), the 10th
percentile of the slices' distance (`thin_mm`), the planes, what share of a scan the body fills, and how many cases and
classes there are.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unpaired.planning.fingerprint import Fingerprint, ModalityFacts

Triple = tuple[float, float, float]
FILE = Path(__file__).parent / "public_fingerprints.json"


def modality(
    name: str,
    shape: Triple,
    spacing: Triple,
    labeled: int = 20,
    planes: Sequence[str] = ("axial",),
    body: float = 1.0,
    is_ct: bool = False,
) -> ModalityFacts:
    millimetres = tuple(size * step for size, step in zip(shape, spacing, strict=True))
    return ModalityFacts(
        name,
        30,
        30,
        labeled,
        is_ct,
        shape,
        spacing,
        (spacing, spacing),
        dict.fromkeys(planes, 30),
        body,
        (millimetres[0], millimetres[1], millimetres[2]),
        (-150.0, -50.0, 0.0, 40.0, 80.0, 150.0, 250.0),
        {"organ": labeled},
        {"organ": 100.0} if labeled else {},
    )


def fingerprint(*modalities: ModalityFacts) -> Fingerprint:
    return Fingerprint("study", ("background", "organ"), modalities, ())


def read_datasets() -> list[dict[str, Any]]:
    """The datasets as the file has them."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def _modality(facts: dict[str, Any]) -> ModalityFacts:
    return modality(
        facts["name"],
        tuple(facts["shape"]),
        tuple(facts["spacing_mm"]),
        planes=facts.get("planes", ("axial",)),
        body=facts.get("body", 1.0),
        is_ct=facts.get("is_ct", False),
    )


ALL = {dataset["name"]: fingerprint(*map(_modality, dataset["modalities"])) for dataset in read_datasets()}
HEART_SHORT_AXIS = ALL["MS-CMRSeg"]
ABDOMEN_CT_AND_THICK_MR = ALL["BTCV and CHAOS"]
WHOLE_HEART = ALL["MM-WHS"]
SINGLE_SLICES = ALL["single slices"]
