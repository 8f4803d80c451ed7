"""How a run prepares a scan and lays windows over it, as the record of a prediction keeps it.

Records are compared as stored recipes are read: fields that are newer than a record have their defaults, so that an
archive that was predicted by another version of the package isn't predicted again.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

from unpaired.data.dataset import Modality
from unpaired.data.preprocess import Preprocessing
from unpaired.documents import UnfitError, fitted, shown
from unpaired.files import is_object, read_json
from unpaired.inference.predictor import Predictor
from unpaired.recipe import DAMAGED
from unpaired.runs.difference import first_difference
from unpaired.runs.model_file import by_its_name

PREPARATION = "preparation"
"""Where a record's settings hold it: a list, of each run's."""


@dataclass(frozen=True)
class Preparation:
    """What decides the windows that a network sees of a scan: besides the scan itself, whose values are scaled."""

    preprocessing: Preprocessing
    modality: Modality
    patch_size: tuple[int, ...]
    context_slices: int = 1
    window_overlap: float = 0.5

    @classmethod
    def of(cls, predictor: Predictor, modality: str) -> "Preparation":
        """How a predictor prepares scans of a modality."""
        recipe = predictor.run.recipe
        return cls(
            recipe.preprocessing,
            predictor.norms.options(modality),
            recipe.patch_size,
            recipe.context_slices,
            predictor.recipe.window_overlap,
        )

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return json.loads(json.dumps(asdict(self)))


def preparation_difference(stored: Any, predictors: Sequence[Predictor], modality: str) -> str | None:
    """What sets the preparation that a record holds, one for each run, apart from that of these; None if nothing."""
    if not isinstance(stored, list) or len(stored) != len(predictors):
        return f"{shown(stored)} there, that of {len(predictors)} runs here"
    parts = (_difference(there, predictor, modality) for there, predictor in zip(stored, predictors, strict=True))
    return next(filter(None, parts), None)


def _difference(stored: Any, predictor: Predictor, modality: str) -> str | None:
    wanted = Preparation.of(predictor, modality)
    if isinstance(stored, str):  # early versions kept a hash
        return None if stored in _early_hashes(wanted, predictor) else f"{stored} there, another one here"
    try:
        there: Preparation = fitted(stored, Preparation)
    except UnfitError as error:
        return f"{error} there, which this version of unpaired doesn't know"
    difference = first_difference(there.to_json(), wanted.to_json(), "")
    return None if difference is None else difference.lstrip(".")


def _early_hashes(preparation: Preparation, predictor: Predictor) -> set[str]:
    """What early versions may have called it: by the fields of now, or by those that the run's recipe has."""
    document = preparation.to_json()
    with by_its_name(predictor.run.folder, predictor.run.called):
        recipe = read_json(predictor.run.recipe_file, DAMAGED)
    stored = recipe.get("preprocessing") if is_object(recipe) else None
    then = {name: value for name, value in stored.items() if name != "type"} if is_object(stored) else {}
    return {_early_hash(document), _early_hash(document | {"preprocessing": then})}


def _early_hash(document: dict[str, Any]) -> str:
    return sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:16]
