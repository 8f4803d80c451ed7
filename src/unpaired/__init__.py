"""One network that segments every modality you have, trained on scans of different patients.

The names below are the public API of the README; each is imported when it is first used, so that `import unpaired`
answers at once and needs no torch. Everything else is imported from its own module.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unpaired.comparison.methods import ComparedMethods, compare_methods
    from unpaired.consent.trust import trust
    from unpaired.data.checks.findings import Finding, Findings
    from unpaired.data.checks.verify import verify
    from unpaired.data.dataset import Dataset
    from unpaired.data.fewer_labels import few_shot, labeled_fraction
    from unpaired.data.images import Image, read_image, write_image
    from unpaired.data.importers.catalog import ImportedDataset, import_dataset
    from unpaired.data.join import join
    from unpaired.data.manifest import read_dataset, write_dataset
    from unpaired.data.split import Split, read_split, write_split
    from unpaired.data.splits import split
    from unpaired.errors import InputError
    from unpaired.export.export import Exported, export_run
    from unpaired.inference.jobs import Outcome, plan
    from unpaired.inference.predict import predict_files
    from unpaired.inference.prediction import predict
    from unpaired.inference.predictor import Ensemble, Predictor
    from unpaired.phantom.write import write_phantom
    from unpaired.planning.fingerprint import Fingerprint
    from unpaired.recipe import Recipe
    from unpaired.recipes import find_recipe, list_recipes
    from unpaired.report.fingerprint_page import inspect_dataset
    from unpaired.runs.run import Run
    from unpaired.scores.evaluate import evaluate_dataset
    from unpaired.training.planned import PlannedTraining, plan_training
    from unpaired.training.prepare import prepare
    from unpaired.training.train import train

__version__ = "0.1.0"
__all__ = [
    "ComparedMethods",
    "Dataset",
    "Ensemble",
    "Exported",
    "Finding",
    "Findings",
    "Fingerprint",
    "Image",
    "ImportedDataset",
    "InputError",
    "Outcome",
    "PlannedTraining",
    "Predictor",
    "Recipe",
    "Run",
    "Split",
    "compare_methods",
    "evaluate_dataset",
    "export_run",
    "few_shot",
    "find_recipe",
    "import_dataset",
    "inspect_dataset",
    "join",
    "labeled_fraction",
    "list_recipes",
    "plan",
    "plan_training",
    "predict",
    "predict_files",
    "prepare",
    "read_dataset",
    "read_image",
    "read_split",
    "split",
    "train",
    "trust",
    "verify",
    "write_dataset",
    "write_image",
    "write_phantom",
    "write_split",
]

_HOMES = {
    "comparison.methods": ("ComparedMethods", "compare_methods"),
    "consent.trust": ("trust",),
    "data.checks.findings": ("Finding", "Findings"),
    "data.checks.verify": ("verify",),
    "data.dataset": ("Dataset",),
    "data.fewer_labels": ("few_shot", "labeled_fraction"),
    "data.images": ("Image", "read_image", "write_image"),
    "data.importers.catalog": ("ImportedDataset", "import_dataset"),
    "data.join": ("join",),
    "data.manifest": ("read_dataset", "write_dataset"),
    "data.split": ("Split", "read_split", "write_split"),
    "data.splits": ("split",),
    "errors": ("InputError",),
    "export.export": ("Exported", "export_run"),
    "inference.jobs": ("Outcome", "plan"),
    "inference.predict": ("predict_files",),
    "inference.prediction": ("predict",),
    "inference.predictor": ("Ensemble", "Predictor"),
    "phantom.write": ("write_phantom",),
    "recipe": ("Recipe",),
    "recipes": ("find_recipe", "list_recipes"),
    "planning.fingerprint": ("Fingerprint",),
    "report.fingerprint_page": ("inspect_dataset",),
    "runs.run": ("Run",),
    "scores.evaluate": ("evaluate_dataset",),
    "training.prepare": ("prepare",),
    "training.planned": ("PlannedTraining", "plan_training"),
    "training.train": ("train",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value  # found without this function from now on
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
