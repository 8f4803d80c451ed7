"""Prediction with partners: a case and scans of other modalities in one pass, for networks that fuse modalities.

A network with `fusion="paired"` answers for a case alone (it fuses the case with itself) or beside a partner of each
other modality, and then depends on who that is. Any other network gives the same answer whoever is beside it.
"""

from collections.abc import Mapping

import numpy as np

from unpaired.analyses.partners.alignment import ALIGNED, Misalignment, place
from unpaired.data.case import UnlabeledCase
from unpaired.data.images import Image
from unpaired.data.postprocess import postprocess
from unpaired.data.restore import restore_boxes, restore_probabilities
from unpaired.errors import InputError
from unpaired.inference.predictor import Predictor
from unpaired.inference.prepared import segment_prepared
from unpaired.inference.windows import whole


def require_partners(predictor: Predictor) -> None:
    """Raise InputError for a run of one modality: nobody can be a partner in it."""
    run = predictor.run
    if len(run.modalities) < 2:
        raise InputError(
            f"run {run.called} knows one modality ({', '.join(run.modalities)}), and a partner is a scan of another; "
            "name a run trained on two or more"
        )


def prepare_image(
    predictor: Predictor, image: Image, modality: str, name: str = "", patient: str = ""
) -> UnlabeledCase:
    """An image as the run's network wants it; its label map is never looked at.

    Scans of one `patient` are aligned through scanner coordinates. Raises InputError for a modality that the run
    doesn't know, and for an image that can't be prepared.
    """
    volume, geometry = predictor.prepared(image, modality)
    return UnlabeledCase(name, patient, modality, volume, geometry)


def segment_with_partners(
    predictor: Predictor,
    case: UnlabeledCase,
    partners: Mapping[str, np.ndarray] | None = None,
) -> np.ndarray:
    """The label map of a prepared case on its file's own grid (class numbers, uint8), beside `partners`.

    `partners` {other modality: volume on the case's prepared grid}, see `analyses.partners.alignment.place`; None or
    empty is the partner-free prediction, as `Predictor.segment` gives it, not mirrored or turned. Raises InputError for
    an unknown modality, the case's own, and a volume of another shape.
    """
    for name, volume in (partners or {}).items():
        predictor.check_modality(name)
        if name == case.modality:
            raise InputError(f"case {case.id} is a {name} scan itself; a partner is a scan of another modality")
        if volume.shape != case.geometry.grid:
            raise InputError(
                f"case {case.id}: expected its {name} partner on the prepared grid {case.geometry.grid}, got "
                f"{volume.shape}; bring it there with unpaired.analyses.partners.alignment.place"
            )
    recipe = predictor.recipe
    boxes = segment_prepared(
        predictor.method, recipe, case.volume, case.modality, predictor.device, dict(partners) if partners else None
    )
    if predictor.postprocessing.smoothing_mm:
        probabilities = whole(boxes, case.geometry.grid).numpy()
        label_map = restore_probabilities(predictor.smoothed(probabilities, case.geometry), case.geometry)
    else:
        label_map = restore_boxes(boxes, case.geometry)
    return postprocess(label_map, predictor.postprocessing, predictor.run.dataset.classes)


def place_partners(
    predictor: Predictor,
    case: UnlabeledCase,
    partners: Mapping[str, UnlabeledCase],
    misalignment: Misalignment = ALIGNED,
    seed: int = 0,
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """({modality: volume on the case's grid}, {modality: "scanner" or "centers"}) of prepared partners."""
    dims = predictor.run.recipe.spatial_dims
    placed = {name: place(partner, case, dims, misalignment, seed) for name, partner in partners.items()}
    return {name: scan.volume for name, scan in placed.items()}, {name: scan.alignment for name, scan in placed.items()}
