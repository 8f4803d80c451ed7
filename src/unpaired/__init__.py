"""One network that segments every modality you have, trained on scans of different patients.

The names below are the public API of the README; each is imported when it is first used, so that `import unpaired`
answers at once and needs no torch. Everything else is imported from its own module.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unpaired.analyses.diagnosis.analysis import Diagnosis, diagnose
    from unpaired.analyses.misalignment.analysis import MisalignmentStudy, misalignment
    from unpaired.analyses.partners.analysis import PartnerStudy, partners
    from unpaired.comparison.methods import ComparedMethods
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
    from unpaired.demo import Demo, run_demo
    from unpaired.dicom.index import Series
    from unpaired.dicom.one_series import SeriesVolume, read_series
    from unpaired.dicom.tree import list_dicom
    from unpaired.dicom.volume import read_volume
    from unpaired.errors import InputError
    from unpaired.experiments.cluster import study_script
    from unpaired.experiments.find import list_studies
    from unpaired.experiments.results import StudyResults
    from unpaired.experiments.run import study
    from unpaired.experiments.study import Study
    from unpaired.export.export import Exported, export_run
    from unpaired.export.hub import PushedModel, push
    from unpaired.export.nnunet_splits import nnunet_splits
    from unpaired.export.pack import PackedModel, pack
    from unpaired.inference.cluster import cluster_script
    from unpaired.inference.ensemble import Ensemble
    from unpaired.inference.jobs import Outcome
    from unpaired.inference.predict import predict
    from unpaired.inference.predictor import Predictor
    from unpaired.pacs.transfer import Fetched, Sent, fetch_dicom, send_dicom
    from unpaired.pacs.watch import watch_dicom
    from unpaired.phantom.write import write_phantom
    from unpaired.planning.fingerprint import Fingerprint
    from unpaired.recipe import Recipe
    from unpaired.recipes import find_recipe, list_recipes
    from unpaired.report.compare import compare
    from unpaired.report.features import StudiedFeatures, features
    from unpaired.report.fingerprint_page import inspect_dataset
    from unpaired.report.report import write_report
    from unpaired.runs.postprocessing import FoundPostprocessing
    from unpaired.runs.progress import RunProgress
    from unpaired.runs.run import Run
    from unpaired.runs.watch import watch
    from unpaired.scores.evaluate_predictions import EvaluatedPredictions, evaluate
    from unpaired.scores.scores import Evaluation
    from unpaired.training.planned import PlannedTraining, plan_training
    from unpaired.training.postprocessing import find_postprocessing
    from unpaired.training.prepare import prepare
    from unpaired.training.rounds import SelfTraining
    from unpaired.training.self_training import self_train
    from unpaired.training.train import train, train_folds

__version__ = "0.1.0"
__all__ = [
    "ComparedMethods",
    "Dataset",
    "Demo",
    "Diagnosis",
    "Ensemble",
    "EvaluatedPredictions",
    "Evaluation",
    "Exported",
    "Fetched",
    "Finding",
    "Findings",
    "Fingerprint",
    "FoundPostprocessing",
    "Image",
    "ImportedDataset",
    "InputError",
    "MisalignmentStudy",
    "Outcome",
    "PackedModel",
    "PartnerStudy",
    "PlannedTraining",
    "Predictor",
    "PushedModel",
    "Recipe",
    "Run",
    "RunProgress",
    "SelfTraining",
    "Sent",
    "Series",
    "SeriesVolume",
    "Split",
    "StudiedFeatures",
    "Study",
    "StudyResults",
    "cluster_script",
    "compare",
    "diagnose",
    "evaluate",
    "export_run",
    "features",
    "fetch_dicom",
    "few_shot",
    "find_postprocessing",
    "find_recipe",
    "import_dataset",
    "inspect_dataset",
    "join",
    "labeled_fraction",
    "list_dicom",
    "list_recipes",
    "list_studies",
    "misalignment",
    "nnunet_splits",
    "pack",
    "partners",
    "plan_training",
    "predict",
    "prepare",
    "push",
    "read_dataset",
    "read_image",
    "read_series",
    "read_split",
    "read_volume",
    "run_demo",
    "self_train",
    "send_dicom",
    "split",
    "study",
    "study_script",
    "train",
    "train_folds",
    "trust",
    "verify",
    "watch",
    "watch_dicom",
    "write_dataset",
    "write_image",
    "write_phantom",
    "write_report",
    "write_split",
]

_HOMES = {
    "comparison.methods": ("ComparedMethods",),
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
    "demo": ("Demo", "run_demo"),
    "dicom.index": ("Series",),
    "dicom.one_series": ("SeriesVolume", "read_series"),
    "dicom.tree": ("list_dicom",),
    "dicom.volume": ("read_volume",),
    "errors": ("InputError",),
    "experiments.cluster": ("study_script",),
    "experiments.find": ("list_studies",),
    "experiments.results": ("StudyResults",),
    "experiments.run": ("study",),
    "experiments.study": ("Study",),
    "export.export": ("Exported", "export_run"),
    "export.hub": ("PushedModel", "push"),
    "export.nnunet_splits": ("nnunet_splits",),
    "export.pack": ("PackedModel", "pack"),
    "inference.cluster": ("cluster_script",),
    "inference.ensemble": ("Ensemble",),
    "inference.jobs": ("Outcome",),
    "inference.predict": ("predict",),
    "inference.predictor": ("Predictor",),
    "pacs.transfer": ("Fetched", "Sent", "fetch_dicom", "send_dicom"),
    "pacs.watch": ("watch_dicom",),
    "phantom.write": ("write_phantom",),
    "planning.fingerprint": ("Fingerprint",),
    "recipe": ("Recipe",),
    "recipes": ("find_recipe", "list_recipes"),
    "report.compare": ("compare",),
    "report.features": ("StudiedFeatures", "features"),
    "report.fingerprint_page": ("inspect_dataset",),
    "report.report": ("write_report",),
    "runs.postprocessing": ("FoundPostprocessing",),
    "runs.progress": ("RunProgress",),
    "runs.run": ("Run",),
    "runs.watch": ("watch",),
    "scores.evaluate_predictions": ("EvaluatedPredictions", "evaluate"),
    "scores.scores": ("Evaluation",),
    "analyses.diagnosis.analysis": ("Diagnosis", "diagnose"),
    "analyses.misalignment.analysis": ("MisalignmentStudy", "misalignment"),
    "analyses.partners.analysis": ("PartnerStudy", "partners"),
    "training.planned": ("PlannedTraining", "plan_training"),
    "training.postprocessing": ("find_postprocessing",),
    "training.prepare": ("prepare",),
    "training.rounds": ("SelfTraining",),
    "training.self_training": ("self_train",),
    "training.train": ("train", "train_folds"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}
_MEANT = {
    "demo": "run_demo",
    "dicom_fetch": "fetch_dicom",
    "dicom_list": "list_dicom",
    "dicom_send": "send_dicom",
    "dicom_watch": "watch_dicom",
    "export": "export_run",
    "import": "import_dataset",
    "inspect": "inspect_dataset",
    "phantom": "write_phantom",
    "plan": "plan_training",
    "recipes": "find_recipe",
    "report": "write_report",
    "studies": "list_studies",
    **dict.fromkeys(("load_run", "open_run", "read_run"), "Run"),
}
"""Names that people try: commands whose function is called otherwise, and what has no function of its own."""


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        from unpaired.errors import nearest

        meant = f"did you mean {_MEANT[name]}?" if name in _MEANT else nearest(name, __all__)
        hint = "" if name.startswith("_") else f"; {meant}"
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value  # found without this function from now on
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
