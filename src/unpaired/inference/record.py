"""The record of what an ensemble predicts (`data.prediction_record`): networks, forms of a scan, post-processing."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from unpaired.data.images import image_suffix
from unpaired.data.prediction_record import SUFFIX, Record, Source, Written, read_record
from unpaired.inference.ensemble import Ensemble
from unpaired.inference.preparation import PREPARATION, Preparation
from unpaired.runs.folder import probabilities_of
from unpaired.scores.trust.uncertainty import CaseUncertainty, uncertainty_from_json, uncertainty_to_json


def probabilities_path(label_map: Path) -> Path:
    """The place of a label map's class probabilities: a folder of their own, label maps stay among themselves."""
    return probabilities_of(label_map.parent, _case_of(label_map))


def _case_of(label_map: Path) -> str:
    return label_map.name[: -len(image_suffix(label_map) or "")]


def settings_of(ensemble: Ensemble, modality: str) -> dict[str, Any]:
    """What decides the voxels of an ensemble's label maps of a modality, as JSON values."""
    norms = [predictor.norms.record(modality) for predictor in ensemble.predictors]
    kept = ensemble.predictors[0].postprocessing.class_numbers(ensemble.classes)
    return {
        "weights": [predictor.weights_hash for predictor in ensemble.predictors],
        PREPARATION: [Preparation.of(predictor, modality).to_json() for predictor in ensemble.predictors],
        "mirrored": [list(predictor.mirrored) for predictor in ensemble.predictors],
        "swapped": [each.mirroring.swap.numbers for each in ensemble.predictors if each.mirroring.swap] or None,
        "turned": [list(each.turned) for each in ensemble.predictors if each.turned] or None,
        "norms": norms if any(norms) else None,
        "background_log_odds": ensemble.postprocessing.background_log_odds or None,
        "smoothing_mm": ensemble.postprocessing.smoothing_mm or None,
        "largest_foreground": ensemble.predictors[0].postprocessing.largest_foreground or None,
        "largest_component": [ensemble.classes[number] for number in kept],
    }


def values_of(ensemble: Ensemble, modality: str) -> dict[str, int]:
    """{class: its value} in an ensemble's label maps of a modality, background first."""
    values = ensemble.predictors[0].norms.values(modality)
    return dict(zip(ensemble.classes, values, strict=True))


def make_record(
    ensemble: Ensemble,
    case: str,
    modality: str,
    image: Source,
    uncertainty: CaseUncertainty | None,
    label_map: Written,
) -> Record:
    """The record of a label map that the ensemble makes of `image`."""
    return Record(
        case,
        modality,
        settings_of(ensemble, modality),
        [
            {
                **each.run.origin,
                "weights": each.weights,
                "backend": each.backend(modality),
                "precision": each.precision(modality),
            }
            for each in ensemble.predictors
        ],
        values_of(ensemble, modality),
        image,
        None if uncertainty is None else uncertainty_to_json(uncertainty),
        label_map,
    )


def recorded_uncertainty(folder: Path) -> Iterable[CaseUncertainty]:
    """The uncertainty of every label map in a folder that has one, sorted by file name."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        record = read_record(path.with_name(path.name.removesuffix(SUFFIX) + ".nii.gz"))
        if record is not None and record.uncertainty is not None:
            yield uncertainty_from_json(record.uncertainty, f"{path}: uncertainty")
