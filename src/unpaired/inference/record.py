"""How a label map was made, in a small file beside it: `<case>.prediction.json`.

It says which networks, mirroring and post-processing made the label map, so that a folder of predictions explains
itself and a file made in another way is never taken for done.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from unpaired.data.images import image_suffix
from unpaired.errors import InputError
from unpaired.files import read_json, write_text
from unpaired.inference.predictor import Ensemble
from unpaired.scores.trust.uncertainty import CaseUncertainty, uncertainty_from_json, uncertainty_to_json

SCHEMA = 1
SUFFIX = ".prediction.json"


@dataclass(frozen=True)
class Record:
    """What made one label map. `settings` are what decides its voxels; two equal ones give the same label map."""

    case: str
    modality: str
    settings: dict[str, Any]
    runs: list[dict[str, Any]]
    values: dict[str, int]
    """{class: its value in the label map}."""
    uncertainty: CaseUncertainty | None = None


def record_path(label_map: Path) -> Path:
    """The record's place beside a label map."""
    return label_map.with_name(label_map.name[: -len(image_suffix(label_map) or "")] + SUFFIX)


def probabilities_path(label_map: Path) -> Path:
    """The place of a label map's class probabilities: a folder of their own, label maps stay among themselves."""
    name = label_map.name[: -len(image_suffix(label_map) or "")]
    return label_map.parent / "probabilities" / f"{name}.nii.gz"


def settings_of(ensemble: Ensemble) -> dict[str, Any]:
    """What decides the voxels of an ensemble's label maps, as JSON values."""
    kept = ensemble.predictors[0].postprocessing.class_numbers(ensemble.classes)
    return {
        "weights": [predictor.weights_hash for predictor in ensemble.predictors],
        "mirrored": [list(predictor.mirrored) for predictor in ensemble.predictors],
        "largest_component": [ensemble.classes[number] for number in kept],
    }


def make_record(ensemble: Ensemble, case: str, modality: str, uncertainty: CaseUncertainty | None) -> Record:
    """The record of a label map that the ensemble makes."""
    values = ensemble.predictors[0].run.dataset.source_values(modality)
    return Record(
        case,
        modality,
        settings_of(ensemble),
        [{"folder": str(one.run.folder), "weights": one.weights} for one in ensemble.predictors],
        dict(zip(ensemble.classes, values, strict=True)),
        uncertainty,
    )


def write_record(record: Record, label_map: Path) -> None:
    """Write the record of a label map, atomically."""
    document = {
        "schema": SCHEMA,
        "unpaired": version("unpaired"),
        "case": record.case,
        "modality": record.modality,
        "runs": record.runs,
        "settings": record.settings,
        "values": record.values,
        "uncertainty": None if record.uncertainty is None else uncertainty_to_json(record.uncertainty),
    }
    write_text(record_path(label_map), json.dumps(document, indent=1) + "\n")


def read_record(path: Path) -> Record | None:
    """The record in a file; None if there is none. InputError if it is damaged."""
    if not path.is_file():
        return None
    document = read_json(path, "delete it and predict this case again")
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise InputError(f"{path}: expected a record of schema {SCHEMA}; delete it and predict this case again")
    try:
        found = document["uncertainty"]
        return Record(
            document["case"],
            document["modality"],
            document["settings"],
            document["runs"],
            document["values"],
            None if found is None else uncertainty_from_json(found, path),
        )
    except KeyError as error:
        raise InputError(f"{path} lacks {error}; delete it and predict this case again") from error


def recorded_uncertainty(folder: Path) -> Iterable[CaseUncertainty]:
    """The uncertainty of every label map in a folder that has one, sorted by file name."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        record = read_record(path)
        if record is not None and record.uncertainty is not None:
            yield record.uncertainty
