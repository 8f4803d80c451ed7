"""`model.json`: all that leads from a scan to its label map besides the networks, for programs of others."""

from collections.abc import Sequence
from dataclasses import asdict
from hashlib import sha256
from importlib.metadata import version
from typing import Any

from unpaired.errors import InputError
from unpaired.inference.request import both_ways
from unpaired.networks.one_modality import IMAGES, LOGITS
from unpaired.runs.postprocessing import postprocessing_of
from unpaired.runs.run import Run

SCHEMA = 1
FACTS = "model.json"


def model_facts(run: Run, weights: str, graphs: dict[str, str], any_size: bool) -> dict[str, Any]:
    """What the folder's `model.json` says, as JSON values; `graphs` is {modality: its graph's file}."""
    recipe, dataset = run.recipe, run.dataset
    prepared = asdict(recipe.preprocessing)
    kind = prepared.pop("normalization")
    postprocessing, _ = postprocessing_of(run, weights)
    return {
        "schema": SCHEMA,
        "made_by": f"unpaired {version('unpaired')}",
        "run": run.folder.resolve().name,
        "weights_sha256": sha256(run.weights(weights).read_bytes()).hexdigest(),
        "classes": list(dataset.classes),
        "modalities": {
            name: {
                "graph": file,
                "normalization": kind or dataset.modalities[name].normalization,
                "clip": dataset.modalities[name].clip,
                "clip_percentiles": dataset.modalities[name].clip_percentiles,
                "label_values": dataset.source_values(name),
            }
            for name, file in graphs.items()
        },
        "preprocessing": prepared,
        "patch_size": list(recipe.patch_size),
        "any_size": any_size,
        "context_slices": recipe.context_slices,
        "overlap": recipe.window_overlap,
        "turned_degrees": list(both_ways(recipe.turned_degrees)),
        "background_log_odds": postprocessing.background_log_odds,
        "smoothing_mm": postprocessing.smoothing_mm,
        "largest_component": [list(group) for group in postprocessing.groups(dataset.classes)],
        "input": {"name": IMAGES, "axes": ["batch", "channel", *AXES[-recipe.spatial_dims :]], "type": "float32"},
        "output": {"name": LOGITS, "axes": ["batch", "class", *AXES[-recipe.spatial_dims :]], "type": "float32"},
    }


AXES = ("depth", "height", "width")


def exported_modalities(run: Run, wanted: Sequence[str]) -> tuple[str, ...]:
    """The modalities to export: all of the run's, or those wanted.

    Raises InputError for a modality that the run lacks, for names that can't be file names, and for a run that looks at
    references.
    """
    if run.recipe.preprocessing.leaks_reference:
        raise InputError(
            f"{run.called}: preprocessing.roi 'label' crops around the reference, which new scans lack, so there is "
            "nothing to export; train with roi body, center or none"
        )
    for name in wanted:
        if name not in run.modalities:
            raise InputError(f"run {run.called} has no modality {name!r}; it knows {', '.join(run.modalities)}")
    chosen = tuple(dict.fromkeys(wanted)) or run.modalities
    for name in chosen:
        if not all(letter.isalnum() or letter in "-_+ " for letter in name):
            raise InputError(f"modality {name!r} can't name a file; rename it in the manifest and train anew")
    return chosen
