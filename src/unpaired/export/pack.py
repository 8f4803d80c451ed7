"""Runs as one file to give away: networks and what they are, without patients, paths and commands of their makers."""

import hashlib
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from unpaired.configs import to_json
from unpaired.consent.modules import Trust
from unpaired.data.dataset import MANIFEST, SPLITS, CaseEntry, Dataset
from unpaired.data.demographics import UNSTATED
from unpaired.data.fingerprint import CaseFingerprint
from unpaired.data.manifest_json import dataset_to_json
from unpaired.data.simulated import of_patients
from unpaired.documents import read
from unpaired.errors import InputError
from unpaired.export.model_card import model_card
from unpaired.export.patient_groups import patient_groups, told_fields
from unpaired.files import atomic, json_text
from unpaired.recipe import DAMAGED, Recipe
from unpaired.runs.budget import budget_of
from unpaired.runs.facts import read_run_facts
from unpaired.runs.fingerprint import fingerprint_document, read_fingerprint
from unpaired.runs.folder import EVALUATION, FINGERPRINT, POSTPROCESSING, RECIPE, SPLIT, VERSIONS
from unpaired.runs.model_file import CARD, FILES, MODEL, SCHEMA, SUFFIX, require_distinct_runs, run_folders
from unpaired.runs.postprocessing import read_found, weights_hash
from unpaired.runs.run import Run
from unpaired.scores.tables import read_evaluation

KEPT_VERSIONS = ("unpaired", "python", "torch", "numpy", "started")
"""The keys of versions.json that a model file keeps: how a run was made, not by whom and where."""
NO_FILE = Path("not-part-of-the-model")


@dataclass(frozen=True)
class PackedModel:
    """A model file, and what its `model.json` says."""

    path: Path
    facts: Mapping[str, Any]

    @property
    def demographics(self) -> list[str]:
        """What its card tells of groups of patients: "age", "sex", "site", "scanner"."""
        return told_fields(self.facts.get("demographics", {}))


def pack(
    runs: Run | str | Path | Sequence[Run | str | Path],
    out: str | Path,
    *,
    weights: str = "best",
    licence: str | None = None,
    about: str | None = None,
    demographics: bool = True,
    trust: Trust = (),
) -> PackedModel:
    """Put a run, or several that predict together (folds), into one model file `out` (.unpaired).

    `runs` are runs, their folders, or a folder of folds. The file holds weights ("best" or "last"), recipes, classes
    and values of label maps, counts of patients, and the scores of the runs' own evaluations, where there are any; a
    model card is made of these, of `licence` and of `about`. With `demographics` it also tells the patients' age, sex,
    site and scanner as far as the manifest does, of groups alone (`export.patient_groups`). Case ids, patients, paths
    and command lines stay out: cases have numbers in it, and nothing is said of any one of them. Raises InputError for
    an `out` that is there or has another suffix, a run that is named twice, runs without weights, and runs whose
    classes or modalities differ.
    """
    out = Path(out)
    if out.suffix != SUFFIX:
        raise InputError(f"expected a file name ending in {SUFFIX}, got {out}; name it {out.stem}{SUFFIX}")
    if out.exists():
        raise InputError(f"{out} is there already; name another file or delete it")
    opened = _opened(runs, trust)
    files: dict[str, bytes | Path] = {}
    for number, run in enumerate(opened):
        files |= {f"{number}/{name}": content for name, content in _files(run, weights).items()}
    files |= _found_postprocessing(opened, weights)
    facts = _facts(opened, weights, licence or "", about or "")
    if demographics:
        facts["demographics"] = patient_groups([run.dataset for run in opened], opened[0].modalities)
    files[CARD] = model_card(facts).encode()
    facts["sha256"] = {name: _hash(content) for name, content in files.items()}
    files = {MODEL: json_text(facts).encode(), **files}
    with atomic(out) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            data = content.read_bytes() if isinstance(content, Path) else content
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)
    return PackedModel(out, facts)


def _opened(runs: Run | str | Path | Sequence[Run | str | Path], trust: Trust) -> list[Run]:
    listed = [runs] if isinstance(runs, Run | str | Path) else list(runs)
    opened = [run for item in listed for run in ([item] if isinstance(item, Run) else Run.open_all(item, trust))]
    if not opened:
        raise InputError("expected a run to pack, got none")
    require_distinct_runs(run.folder for run in opened)
    for run in opened[1:]:
        if (run.dataset.classes, run.modalities) != (opened[0].dataset.classes, opened[0].modalities):
            raise InputError(
                f"{run.called} has other classes or modalities than {opened[0].called}; pack each into its own file"
            )
    return opened


def _files(run: Run, weights: str) -> dict[str, bytes | Path]:
    file = run.weights(weights)
    if not file.is_file():
        raise InputError(f"{run.called}: has no {file.name} yet; finish its training first")
    run.load_method(weights)  # what is given away are weights, and this network's
    dataset = anonymous(run.dataset)
    split = {side: [case.id for case in dataset.of(split=side)] for side in SPLITS}
    versions = read(run.versions_file, dict[str, Any], DAMAGED)
    documents = {
        RECIPE: to_json(_without_earlier_run(run)),
        MANIFEST: dataset_to_json(dataset, Path.cwd()),
        SPLIT: split,
        VERSIONS: {name: versions.get(name) for name in KEPT_VERSIONS},
        FINGERPRINT: fingerprint_document(_without_hashes(run, dataset)),
    }
    contents: dict[str, bytes | Path] = {name: json_text(document).encode() for name, document in documents.items()}
    return {name: contents.get(name, file) for name in FILES}


def _without_earlier_run(run: Run) -> Recipe:
    """The recipe without the run that it began with, whose path stays here; of one that modalities joined, with the
    names of all that it knows."""
    if run.recipe.trained == "all":
        return replace(run.recipe, init_from=None, begin_as=None)
    return replace(run.recipe, init_from=None, begin_as=None, trained="all", modalities=run.modalities)


def _found_postprocessing(runs: Sequence[Run], weights: str) -> dict[str, bytes | Path]:
    """The file with what was found for these very weights of a run, or of the folds of one folder together."""
    hashes = tuple(weights_hash(run.weights(weights)) for run in runs)
    folders = {run.folder.resolve().parent for run in runs}
    folder = runs[0].folder if len(runs) == 1 else runs[0].folder.resolve().parent
    choice = read_found(folder) if len(folders) == 1 else None
    if choice is None or choice.weights != hashes:
        return {}
    return {POSTPROCESSING if len(runs) > 1 else f"0/{POSTPROCESSING}": folder / POSTPROCESSING}


def _without_hashes(run: Run, numbered: Dataset) -> dict[str, CaseFingerprint]:
    """{number of a case: how its values lie}: a scan of another modality is noticed by it. Without hashes of files."""
    known = read_fingerprint(run)
    return {
        new.id: replace(known[old.id], image_sha256="", label_sha256=None)
        for old, new in zip(run.dataset.cases, numbered.cases, strict=True)
        if old.id in known
    }


def anonymous(dataset: Dataset) -> Dataset:
    """The dataset with numbers for case ids and patients; which cases have labels stays, all else of them doesn't."""
    patients = {
        name: f"p{number}" for number, name in enumerate(dict.fromkeys(case.patient for case in dataset.cases), 1)
    }
    cases: list[CaseEntry] = []
    count: Counter[str] = Counter()
    for case in dataset.cases:
        count[case.modality] += 1
        cases.append(
            replace(
                case,
                id=f"{case.modality}-{count[case.modality]}",
                patient=patients[case.patient],
                image=Path.cwd() / NO_FILE,
                label=None if case.label is None else Path.cwd() / NO_FILE,
                demographics=UNSTATED,
            )
        )
    return replace(dataset, cases=tuple(cases))


def _facts(runs: Sequence[Run], weights: str, licence: str, about: str) -> dict[str, Any]:
    first = runs[0]
    return {
        "schema": SCHEMA,
        "unpaired": version("unpaired"),
        "packed": datetime.now(UTC).date().isoformat(),
        "runs": len(runs),
        "weights": weights,
        "classes": list(first.dataset.classes),
        "modalities": list(first.modalities),
        "network": type(first.recipe.network).__name__.removesuffix("Config"),
        "method": type(first.recipe.method).__name__.removesuffix("Config"),
        "steps": first.recipe.steps,
        "budget": budget_of([read_run_facts(run.folder) for run in runs]),
        "patients": {name: _patients(first.dataset, name) for name in first.modalities},
        "simulated": _simulated(first.dataset, first.modalities),
        "only_simulated": all(case.simulated for case in first.dataset.cases),
        "scores": _scores(runs),
        "licence": " ".join(licence.split()),
        "about": " ".join(about.split()),
    }


def _patients(dataset: Dataset, modality: str) -> dict[str, int]:
    def count(side: str, labeled: bool | None = None) -> int:
        return len({case.patient for case in of_patients(dataset, modality, side, labeled)})

    return {"train": count("train"), "labeled": count("train", True), "validation": count("validation")}


def _simulated(dataset: Dataset, modalities: Sequence[str]) -> dict[str, int]:
    """{modality: how many of its training scans are simulated}, of those that have some."""
    counts = {name: sum(case.simulated for case in dataset.of(name, "train")) for name in modalities}
    return {name: count for name, count in counts.items() if count}


def _scores(runs: Sequence[Run]) -> dict[str, dict[str, float | int]]:
    """{modality: mean Dice over cases, and their number} of the runs' own evaluations; of folds all together."""
    values: dict[str, list[float]] = {}
    folders = _evaluations(runs)
    if not all(folder.is_dir() for folder in folders):
        return {}
    for evaluation in map(read_evaluation, folders):
        for modality in evaluation.modalities:
            by_case: dict[str, list[float]] = {}
            for score in evaluation.scores:
                if score.modality == modality and score.dice is not None:
                    by_case.setdefault(score.case, []).append(score.dice)
            values.setdefault(modality, []).extend(sum(dice) / len(dice) for dice in by_case.values())
    return {name: {"dice": sum(dice) / len(dice), "cases": len(dice)} for name, dice in values.items() if dice}


def _evaluations(runs: Sequence[Run]) -> list[Path]:
    """The folder of the scores of all folds together, where the runs are these and it is there; else each run's own."""
    around = runs[0].folder.resolve().parent
    folders = [run.folder.resolve() for run in runs]
    together = around / EVALUATION
    if len(runs) > 1 and together.is_dir() and folders == run_folders(around):
        return [together]
    return [run.evaluation for run in runs]


def _hash(content: bytes | Path) -> str:
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    with content.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
