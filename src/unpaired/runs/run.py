"""Run: the folder of one training run, and the only place that knows its file names."""

import csv
import io
import json
import pickle
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from unpaired.configs import code_of, dumps
from unpaired.consent.modules import ConsentError, Trust
from unpaired.data.dataset import SPLITS, UNLABELED, Dataset
from unpaired.data.manifest import read_dataset, write_dataset
from unpaired.errors import InputError, UnwritableError, nearest
from unpaired.files import (
    atomic,
    clear_leftovers,
    input_error_if_unwritable,
    read_json,
    temporary_beside,
    write_text,
)
from unpaired.methods.method import Method
from unpaired.networks.network import Network
from unpaired.networks.weights import load_weights, require_finite, save_weights
from unpaired.recipe import DAMAGED, Recipe, build_method, read_recipe
from unpaired.runs.same_data import first_difference, require_same_data
from unpaired.runs.versions import describe_versions

WEIGHTS = ("best", "last")

README = """This folder is one training run of `unpaired` {version}: recipe {name}.

recipe.json         every setting, resolved; `unpaired train` reads it back
dataset.json        classes, modalities, label values and the cases with their split (images stay where they are)
split.json          which case was used for training (labeled or not), validation and test
versions.json       versions, hardware, git state, the command, and the weights it began with, if any
log.csv             loss and its terms by step;  tensorboard/ has the same curves
validation.csv      Dice of whole validation cases by step, modality and class
weights_best.safetensors   network weights with the best mean validation Dice (the last ones if there is no validation)
weights_last.safetensors   network weights of the last saved step
lock                held by the process that trains (it says which); means nothing once that has ended
resume.pt           optimizer state and step; only needed to go on training (start the same command again)
predictions/ evaluation/ report.html   written by `unpaired predict`, `evaluate`, `report` when no other place is named

Use it:  unpaired predict {folder} IMAGES OUT --modality {modality}
"""


@dataclass(frozen=True)
class Run:
    """A run folder that exists and holds a recipe and a dataset.

    `trust` are modules outside the package that its recipe may name: a run may come from anybody, and is data.
    """

    folder: Path
    trust: Trust = ()

    @classmethod
    def create(cls, folder: str | Path, recipe: Recipe, dataset: Dataset, name: str = "") -> "Run":
        """Start a run folder, or return the one that is there if it holds the same recipe, split and data (to resume).

        Raises InputError if the folder belongs to something else, or if the recipe post-processes a class that the
        dataset lacks; nothing in the folder is touched then.
        """
        folder = Path(folder)
        recipe.postprocessing.class_numbers(dataset.classes)  # refuse a class that isn't there before training for it
        document = json.loads(dumps(recipe))
        split = _split_document(dataset)
        if (folder / "recipe.json").is_file():
            run = cls.at(folder, code_of(recipe))
            _refuse_other(folder, "recipe", run._stored(), document)
            _refuse_other_split(folder, run.dataset, split)
            require_same_data(folder, run.dataset, dataset)
            return run
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(f"{folder} exists and is no run folder; choose a new folder for this run")
        device = torch.cuda.get_device_name() if torch.cuda.is_available() else None
        readme = README.format(
            version=version("unpaired"),
            name=name or "(unnamed)",
            folder=folder,
            modality=next(iter(dataset.modalities)),
        )
        place = folder.resolve()
        temporary = temporary_beside(place)
        try:
            # All of it or nothing: who is killed in between leaves no folder that the same command would refuse.
            with input_error_if_unwritable(folder):
                place.parent.mkdir(parents=True, exist_ok=True)
                clear_leftovers(place.parent)
                temporary.mkdir()
            write_dataset(dataset, temporary / "dataset.json")
            write_text(temporary / "split.json", json.dumps(split, indent=1) + "\n")
            write_text(temporary / "versions.json", json.dumps(describe_versions(device), indent=1) + "\n")
            write_text(temporary / "README.txt", readme)
            write_text(temporary / "recipe.json", json.dumps(document, indent=1) + "\n")
            if _placed(temporary, folder):
                return cls(folder, code_of(recipe))
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return cls.create(folder, recipe, dataset, name)  # of two that began at once, the other was faster

    @classmethod
    def open(cls, folder: str | Path, trust: Trust = ()) -> "Run":
        """The run in `folder`. Raises InputError if it is none, or was written by a version with other settings.

        `trust` are modules, by name or file, that a recipe with code of somebody's own may use; without them such a run
        is refused (`ConsentError`).
        """
        run = cls.at(folder, trust)
        _ = run.recipe  # refuse a broken one here
        return run

    @classmethod
    def at(cls, folder: str | Path, trust: Trust = ()) -> "Run":
        """The run in `folder` for its files alone: the recipe is not looked at before somebody asks for it."""
        folder = Path(folder)
        for name in ("recipe.json", "dataset.json", "split.json"):
            if not (folder / name).is_file():
                raise InputError(f"expected a run folder (written by `unpaired train`), found no {name} in {folder}")
        return cls(folder, tuple(trust))

    @staticmethod
    def begun(folder: str | Path) -> bool:
        """Whether a run was saved in `folder`, so that training goes on from there."""
        return (Path(folder) / "resume.pt").is_file()

    @cached_property
    def recipe(self) -> Recipe:
        """The resolved recipe."""
        return read_recipe(self.folder / "recipe.json", self.trust)

    def _stored(self) -> Any:
        """The stored recipe as JSON, read back so that a field that is newer than the run has its default."""
        try:
            return json.loads(dumps(self.recipe))
        except ConsentError:  # code that the recipe wanted here doesn't use: it is another
            return read_json(self.folder / "recipe.json", DAMAGED)

    @cached_property
    def dataset(self) -> Dataset:
        """The dataset the run was trained on, with its split."""
        return read_dataset(self.folder / "dataset.json")

    def record(self, name: str, value: Any) -> None:
        """Add a JSON value to what the run was made with (versions.json)."""
        path = self.folder / "versions.json"
        write_text(path, json.dumps(read_json(path, DAMAGED) | {name: value}, indent=1) + "\n")

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities the network knows."""
        return training_modalities(self.recipe, self.dataset)

    @property
    def predictions(self) -> Path:
        """Where `predict` writes when it is not told."""
        return self.folder / "predictions"

    @property
    def evaluation(self) -> Path:
        """Where `evaluate` writes when it is not told."""
        return self.folder / "evaluation"

    @property
    def report(self) -> Path:
        """Where `report` writes when it is not told."""
        return self.folder / "report.html"

    @property
    def lock(self) -> Path:
        """The file that a process locks while it trains."""
        return self.folder / "lock"

    @property
    def tensorboard(self) -> Path:
        """Folder of TensorBoard events."""
        return self.folder / "tensorboard"

    def weights(self, which: str = "best") -> Path:
        """The weight file "best" or "last"."""
        if which not in WEIGHTS:
            raise InputError(f"weights are {' or '.join(WEIGHTS)}, got {which!r}; {nearest(which, list(WEIGHTS))}")
        return self.folder / f"weights_{which}.safetensors"

    def load_method(self, which: str = "best") -> Method:
        """The trained method in evaluation mode, on the CPU; parts that only training needs have fresh weights."""
        method = build_method(self.recipe, self.modalities, len(self.dataset.classes))
        load_weights(method.network, self.weights(which))
        return method.eval()

    def load_whole_method(self) -> Method:
        """The method with all it had when it was last saved, in evaluation mode, on the CPU: also the parts that only
        training needs, which weight files lack.

        They belong to the network of that step, the "last" weights. Raises InputError if the run's `resume.pt`, which
        holds them, is missing, can't be read or is of another method.
        """
        state = self.load_state()
        if state is None:
            raise InputError(
                f"{self.folder} has no resume.pt, which alone holds the parts that only training needs; restore the "
                "file or train anew"
            )
        method = build_method(self.recipe, self.modalities, len(self.dataset.classes))
        try:
            method.load_state_dict(state["method"])
        except (RuntimeError, KeyError, TypeError, AttributeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"{self.folder / 'resume.pt'} holds the state of another method: {reason}") from error
        return method.eval()

    def save_weights(self, network: Network, which: str) -> None:
        """Write the network's weights (safetensors)."""
        save_weights(network, self.weights(which))

    def save_state(self, state: Mapping[str, Any]) -> None:
        """Write what going on needs: step, optimizer, method."""
        content = io.BytesIO()  # torch.save to a full disk raises a RuntimeError that hides why
        torch.save(dict(state), content)
        with atomic(self.folder / "resume.pt") as temporary:
            temporary.write_bytes(content.getbuffer())

    def load_state(self) -> dict[str, Any] | None:
        """What `save_state` wrote, or None for a run that has not been saved yet. Tensors only, never pickled code.

        Raises InputError if it can't be read, or if weights in it are NaN or infinite.
        """
        path = self.folder / "resume.pt"
        if not path.is_file():
            return None
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, OSError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise InputError(f"{path} can't be read ({reason}); delete it to train from the start") from error
        if not isinstance(state, dict):
            raise self.of_another_training(TypeError(f"expected a dict, got {type(state).__name__}"))
        if isinstance(method := state.get("method"), Mapping):
            require_finite(method, str(path), "training has diverged: train anew with other settings")
        return state

    def of_another_training(self, error: Exception) -> InputError:
        """What to say of a saved state that doesn't fit, for which torch raised `error`."""
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        return InputError(
            f"{self.folder / 'resume.pt'} doesn't hold the state of this training ({reason}); restore the file, or "
            "delete it to train from the start"
        )

    def rows(self, name: str) -> list[dict[str, str]]:
        """The rows of log.csv ("log") or validation.csv ("validation"); empty if there are none yet."""
        path = self.folder / f"{name}.csv"
        if not path.is_file():
            return []
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def append_rows(self, name: str, rows: list[dict[str, Any]]) -> None:
        """Add rows to log.csv or validation.csv; the first rows decide the columns.

        A run that another version began keeps its columns: what it didn't have is dropped, what is gone stays empty.
        """
        if not rows:
            return
        path = self.folder / f"{name}.csv"
        columns = _columns(path)
        if columns:
            rows = [{column: row.get(column, "") for column in columns} for row in rows]
        with input_error_if_unwritable(path), path.open("a", newline="", encoding="utf-8") as file:
            file.write(_csv_text(rows, header=not columns))

    def forget_rows_from(self, step: int) -> None:
        """Drop log rows of steps that a kill has lost, so that a resumed run doesn't log them twice."""
        for name in ("log", "validation"):
            rows = [row for row in self.rows(name) if None not in row.values() and int(row["step"]) <= step]
            path = self.folder / f"{name}.csv"
            if rows:
                write_text(path, _csv_text(rows, header=True))
            else:
                path.unlink(missing_ok=True)


def training_modalities(recipe: Recipe, dataset: Dataset) -> tuple[str, ...]:
    """The recipe's modalities, or all that have labeled training cases, in the manifest's order."""
    with_cases = tuple(name for name in dataset.modalities if dataset.of(name, "train", labeled=True))
    for name in recipe.modalities or ():
        if name not in dataset.modalities:
            raise InputError(f"recipe.modalities names {name!r}; {nearest(name, list(dataset.modalities))}")
        if name not in with_cases:
            raise InputError(
                f"dataset {dataset.name} has no labeled training case of modality {name!r}; check its split"
            )
    if not with_cases:
        raise InputError(
            f'dataset {dataset.name} has no labeled training cases (split "train"); assign sides with `unpaired split`'
        )
    return recipe.modalities or with_cases


def _placed(temporary: Path, folder: Path) -> bool:
    """Whether the new run folder got its name; False if another process put a run there meanwhile."""
    try:
        if sys.platform == "win32" and folder.is_dir():
            folder.rmdir()  # an empty one, which other systems replace
        temporary.rename(folder.resolve())
    except OSError as error:
        if (folder / "recipe.json").is_file():
            return False
        raise UnwritableError(f"can't make the run folder {folder}: {error.strerror}; choose another") from error
    return True


def _columns(path: Path) -> list[str]:
    """The first line of a CSV file; empty if there is none."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return next(csv.reader(file), [])


def _csv_text(rows: Sequence[Mapping[str, Any]], header: bool) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _split_document(dataset: Dataset) -> dict[str, list[str]]:
    sides = {side: [case.id for case in dataset.of(split=side)] for side in SPLITS}
    unlabeled = [case.id for case in dataset.of(split="train", labeled=False)]
    return sides | ({UNLABELED: unlabeled} if unlabeled else {})


def _refuse_other_split(folder: Path, dataset: Dataset, wanted: dict[str, list[str]]) -> None:
    """What split.json doesn't say (older ones are silent about unlabeled cases) is as in the run's own dataset."""
    stored = read_json(folder / "split.json", DAMAGED)
    if not isinstance(stored, dict) or {**_split_document(dataset), **stored} != wanted:
        raise InputError(f"{folder} is a run on another split; choose a new folder for this run")


def _refuse_other(folder: Path, what: str, stored: Any, wanted: Any) -> None:
    """Raise InputError naming the first field in which two JSON documents differ."""
    difference = first_difference(stored, wanted, what)
    if difference:
        raise InputError(f"{folder} is a run of another {what} ({difference}); choose a new folder for this run")
