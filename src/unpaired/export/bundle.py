"""A run as a MONAI bundle: configs that MONAI reads, programs of torch, and the scripts that the configs name."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from unpaired.files import write_text

STANDALONE = Path(__file__).with_name("standalone")
MODELS, FACTS = "models", "configs/model.json"
INFERENCE = "inference.json"
OLDEST_MONAI = "1.5.0"


def write_bundle(folder: Path, facts: dict[str, Any]) -> None:
    """Write all of a bundle but the networks, which lie in `models` already; `facts` is what `model.json` says."""
    for name in ("configs", "scripts", "docs"):
        (folder / name).mkdir()
    documents = {FACTS: facts, "configs/metadata.json": metadata(facts), f"configs/{INFERENCE}": inference(facts)}
    for name, document in documents.items():
        write_text(folder / name, json.dumps(document, indent=4) + "\n")  # ASCII: MONAI reads in any encoding
    for name in ("__init__.py", "transforms.py", "pipeline.py", "components.py", "probabilities.py", "turns.py"):
        text = (STANDALONE / name).read_text(encoding="utf-8")
        for module in ("components", "probabilities", "turns"):  # there it is a package
            text = text.replace(f"from {module} import", f"from .{module} import")
        (folder / "scripts" / name).write_text(text, encoding="utf-8")


def metadata(facts: dict[str, Any]) -> dict[str, Any]:
    """`metadata.json`, by MONAI's names."""
    size = [1, *facts["patch_size"]] if len(facts["patch_size"]) == 2 else facts["patch_size"]
    image = {"type": "image", "format": "magnitude", "dtype": "float32", "num_channels": facts["context_slices"]}
    return {
        "version": "0.1.0",
        "monai_version": OLDEST_MONAI,
        "pytorch_version": version("torch").partition("+")[0],
        "numpy_version": version("numpy"),
        "required_packages_version": {"nibabel": version("nibabel")},
        "task": "segmentation",
        "description": f"The run {facts['run']}, for {', '.join(facts['modalities'])}; {facts['made_by']}",
        "authors": "",
        "copyright": "",
        "network_data_format": {
            "inputs": {
                "image": {
                    **image,
                    "modality": ", ".join(facts["modalities"]),
                    "spatial_shape": facts["patch_size"],
                    "value_range": [],
                    "is_patch_data": True,
                    "channel_def": {str(channel): "image" for channel in range(facts["context_slices"])},
                }
            },
            "outputs": {
                "pred": {
                    **image,
                    "format": "segmentation",
                    "num_channels": len(facts["classes"]),
                    "spatial_shape": size[-len(facts["patch_size"]) :],
                    "value_range": [],
                    "is_patch_data": True,
                    "channel_def": {str(number): name for number, name in enumerate(facts["classes"])},
                }
            },
        },
    }


def inference(facts: dict[str, Any]) -> dict[str, Any]:
    """`inference.json`: what MONAI builds, piece by piece. Words that begin with $ are Python, which MONAI runs."""
    document = json.loads((STANDALONE / INFERENCE).read_text(encoding="utf-8"))
    return {**document, "modality": next(iter(facts["modalities"]))}
