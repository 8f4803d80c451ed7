"""Run: the folder of one training run, with what it holds read and written."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from unpaired.choices import several
from unpaired.configs import code_of, to_json
from unpaired.consent.modules import ConsentError, Trust, require_there
from unpaired.data.dataset import SPLITS, UNLABELED, Dataset
from unpaired.data.manifest import read_dataset, write_dataset
from unpaired.documents import read
from unpaired.errors import InputError, nearest
from unpaired.files import atomic, is_object, read_json, write_json
from unpaired.methods.method import Method
from unpaired.networks.network import Network
from unpaired.networks.weights import UNREADABLE, load_weights, require_finite, save_weights
from unpaired.recipe import DAMAGED, Recipe, build_method, read_recipe
from unpaired.runs.difference import first_difference
from unpaired.runs.fingerprint import read_fingerprint
from unpaired.runs.folder import RunFolder, is_run, no_run
from unpaired.runs.log_rows import append_rows, drop_rows_after, read_rows
from unpaired.runs.model_file import as_written, by_its_name, names_of, run_folders, single_run, unpacked_from
from unpaired.runs.new_run import place_new_run
from unpaired.runs.same_data import brought_up_to_date, require_same_data
from unpaired.runs.saved_state import began_with


@dataclass(frozen=True, init=False)
class Run(RunFolder):
    """A run that is there, with recipe, dataset and split; `RunFolder` says where everything in its folder is.

    `trust` are modules outside the package that its recipe may name: a run may come from anybody, and is data. `called`
    is the folder, model file or address that a person gave, for messages: a model file is unpacked into a cache.
    """

    trust: Trust = ()
    called: str = field(default="", compare=False)

    def __init__(self, folder: str | Path, trust: Trust = (), called: str = "") -> None:
        """The run in `folder`, or in a model file; its recipe is read when it is first asked for.

        `called`: by another name than `folder`. Raises InputError if it is none.
        """
        super().__init__(single_run(folder))
        object.__setattr__(self, "trust", tuple(several(trust)))
        object.__setattr__(self, "called", called or as_written(folder))
        for file in (self.recipe_file, self.dataset_file, self.split_file):
            if not file.is_file():
                raise no_run(self.folder, self.called, file.name)

    @classmethod
    def create(cls, folder: str | Path, recipe: Recipe, dataset: Dataset, name: str = "") -> "Run":
        """Start a run folder, or return the one that is there if it holds the same recipe, split and data (to resume).

        Where files have moved, the run's manifest then says where they are. Raises InputError if the folder belongs to
        something else, or if the recipe post-processes a class that the dataset lacks; nothing in it is touched then.
        """
        folder = Path(folder)
        recipe.postprocessing.class_numbers(dataset.classes)  # refuse a class that isn't there before training for it
        if is_run(folder):
            return cls(folder, code_of(recipe))._if_it_trains(recipe, dataset)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(f"{folder} exists and is not a run folder; choose a new folder for this run")
        gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
        if place_new_run(folder, to_json(recipe), _split_document(dataset), dataset, name, gpu):
            return cls(folder, code_of(recipe))
        return cls.create(folder, recipe, dataset, name)  # of two that began at once, the other was faster

    def _if_it_trains(self, recipe: Recipe, dataset: Dataset) -> "Run":
        """This run, its manifest with places of files and codes as they are now. InputError as `require_same` says."""
        self.require_same(recipe, dataset)
        moved = brought_up_to_date(self.dataset, dataset)
        if moved is None:
            return self
        write_dataset(moved, self.dataset_file)
        return Run(self.folder, self.trust)

    def require_same(self, recipe: Recipe, dataset: Dataset) -> None:
        """Raise InputError, with the first difference, if this run was begun with another recipe, split or data."""
        # What a paper calls a recipe changes nothing that is trained, and older runs don't say it.
        stored, wanted = ({**document, "paper_row": None} for document in (self._stored(), to_json(recipe)))
        difference = first_difference(stored, wanted, "recipe")
        if difference:
            raise InputError(
                f"{self.folder} is a run of another recipe ({difference}); choose a new folder for this run"
            )
        stored = read(self.split_file, dict[str, list[str]], DAMAGED)
        # What the file doesn't say (older ones are silent about unlabeled cases) is as in the run's own dataset.
        if {**_split_document(self.dataset), **stored} != _split_document(dataset):
            raise InputError(f"{self.folder} is a run on another split; choose a new folder for this run")
        require_same_data(self.folder, self.dataset, dataset, read_fingerprint(self))

    @classmethod
    def open(cls, folder: str | Path, trust: Trust = (), called: str = "") -> "Run":
        """The run in `folder`, its recipe read: InputError if it is none, or of a version with other settings.

        `trust` are modules, by name or file, that a recipe with code of somebody's own may use; without them such a run
        is refused (`ConsentError`). `called` as of `Run`.
        """
        require_there(trust)
        run = cls(folder, trust, called)
        _ = run.recipe  # refuse a broken one here
        return run

    @classmethod
    def open_all(cls, path: str | Path, trust: Trust = ()) -> list["Run"]:
        """The runs that a path stands for (`runs.model_file.run_folders`), opened; those of a model file are called by
        its name. InputError as of `open`."""
        folders = run_folders(path)
        return [cls.open(folder, trust, name) for folder, name in zip(folders, names_of(path, folders), strict=True)]

    @staticmethod
    def begun(folder: str | Path) -> bool:
        """Whether a run was saved in `folder`, so that training goes on from there."""
        return RunFolder(Path(folder)).state_file.is_file()

    @cached_property
    def recipe(self) -> Recipe:
        """The resolved recipe."""
        with by_its_name(self.folder, self.called):
            return read_recipe(self.recipe_file, self.trust)

    def _stored(self) -> Any:
        """The stored recipe as JSON, read back so that a field that is newer than the run has its default."""
        try:
            return to_json(self.recipe)
        except ConsentError:  # code that the recipe wanted here doesn't use: it is another
            return read_json(self.recipe_file, DAMAGED)

    @cached_property
    def dataset(self) -> Dataset:
        """The dataset the run was trained on, with its split."""
        with by_its_name(self.folder, self.called):
            return read_dataset(self.dataset_file)

    def record(self, name: str, value: Any) -> None:
        """Add a JSON value to what the run was made with (versions.json)."""
        versions = read(self.versions_file, dict[str, Any], DAMAGED)
        write_json(self.versions_file, versions | {name: value})

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that it segments, background first."""
        return self.dataset.classes

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities the network knows: those that the recipe names, labeled here or not."""
        named = self.recipe.modalities or ()
        return (
            named
            if named and {*named} <= {*self.dataset.modalities}
            else training_modalities(self.recipe, self.dataset)
        )

    @property
    def joined(self) -> tuple[str, ...]:
        """The modalities that joined an earlier run and alone are trained (`recipe.trained`); empty where all are."""
        if self.recipe.trained == "all":
            return ()
        with by_its_name(self.folder, self.called):
            began = began_with(self.versions_file)
        return () if began is None else tuple(began.new_modalities)

    @property
    def origin(self) -> dict[str, str]:
        """Where results say, as JSON values, that their network came from: a folder, or a model file and its hash."""
        begins = unpacked_from(self.folder)
        return {"folder": str(self.folder)} if begins is None else {"model": self.called, "sha256_begins": begins}

    def load_method(self, which: str = "best") -> Method:
        """The trained method in evaluation mode, on the CPU; parts that only training needs have fresh weights."""
        method = build_method(self.recipe, self.modalities, len(self.dataset.classes))
        with by_its_name(self.folder, self.called):
            load_weights(method.network, self.weights_there(which))
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
                f"{self.called} has no {self.state_file.name}, which alone holds the parts that only training needs; "
                + (DAMAGED if unpacked_from(self.folder) is None else "name the run folder that it was packed from")
            )
        method = build_method(self.recipe, self.modalities, len(self.dataset.classes))
        try:
            method.load_state_dict(state["method"])
        except (RuntimeError, KeyError, TypeError, AttributeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"{self.state_file} holds the state of another method: {reason}") from error
        return method.eval()

    def save_weights(self, network: Network, which: str) -> None:
        """Write the network's weights (safetensors)."""
        save_weights(network, self.weights(which))

    def save_state(self, state: Mapping[str, Any]) -> None:
        """Write what going on needs: step, optimizer, method."""
        content = io.BytesIO()  # torch.save to a full disk raises a RuntimeError that hides why
        torch.save(dict(state), content)
        with atomic(self.state_file) as temporary:
            temporary.write_bytes(content.getbuffer())

    def load_state(self) -> dict[str, Any] | None:
        """What `save_state` wrote, or None for a run that has not been saved yet. Tensors only, never pickled code.

        Raises InputError if it can't be read, or if weights in it are NaN or infinite.
        """
        path = self.state_file
        if not path.is_file():
            return None
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except UNREADABLE as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise InputError(f"{path} can't be read ({reason}); delete it to train from the start") from error
        if not is_object(state):
            raise self.of_another_training(TypeError(f"expected a dict, got {type(state).__name__}"))
        if is_object(method := state.get("method")):
            require_finite(method, str(path), "training has diverged: train anew with other settings")
        return state

    def of_another_training(self, error: Exception) -> InputError:
        """What to say of a saved state that doesn't fit, for which torch raised `error`."""
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        return InputError(
            f"{self.state_file} doesn't hold the state of this training ({reason}); restore the file, or "
            "delete it to train from the start"
        )

    def rows(self, name: str) -> list[dict[str, str]]:
        """The rows of log.csv ("log") or validation.csv ("validation"); empty if there are none yet."""
        return read_rows(self._log(name))

    def append_rows(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows to log.csv ("log") or validation.csv ("validation"); see `append_rows` of `runs.log_rows`."""
        append_rows(self._log(name), rows)

    def forget_rows_from(self, step: int) -> None:
        """Drop log rows of steps that a kill has lost, so that a resumed run doesn't log them twice."""
        for file in (self.log_file, self.validation_file):
            drop_rows_after(file, step)

    def _log(self, name: str) -> Path:
        return {"log": self.log_file, "validation": self.validation_file}[name]


def training_modalities(recipe: Recipe, dataset: Dataset) -> tuple[str, ...]:
    """The recipe's modalities, or all that can be trained, in the manifest's order.

    Those with labeled training cases can, and where modalities borrow (`recipe.randomization`) all that have cases.
    Where new ones join a run (`recipe.trained`) all take part, with cases or not: the others are known already.
    """
    labeled = tuple(name for name in dataset.modalities if dataset.of(name, "train", labeled=True))
    borrow = recipe.randomization.borrowed > 0
    trainable = labeled
    if borrow:
        trainable = tuple(name for name in dataset.modalities if any(case.split for case in dataset.of(name)))
    joining = recipe.trained == "new_modalities"
    if joining:
        trainable = tuple(dataset.modalities)
    for name in recipe.modalities or ():
        if name not in dataset.modalities:
            raise InputError(f"recipe.modalities names {name!r}; {nearest(name, list(dataset.modalities))}")
        if name not in labeled and not borrow and not joining:
            raise InputError(
                f"dataset {dataset.name} has no labeled training case of modality {name!r}; check its split, or train "
                "it on samples of the others: --set randomization.borrowed=0.75"
            )
    if not labeled:
        raise InputError(
            f'dataset {dataset.name} has no labeled training cases (split "train"); draw sides with `unpaired split` '
            "and name the file by --split FILE (that of another run is its split.json)"
        )
    trained = recipe.modalities or trainable
    if not set(trained) & set(labeled):
        raise InputError(
            f"dataset {dataset.name}: none of the modalities {', '.join(trained)} has a labeled training case that "
            "samples could be borrowed of; name one that has in recipe.modalities"
        )
    return trained


def _split_document(dataset: Dataset) -> dict[str, list[str]]:
    sides = {side: [case.id for case in dataset.of(split=side)] for side in SPLITS}
    unlabeled = [case.id for case in dataset.of(split="train", labeled=False)]
    return sides | ({UNLABELED: unlabeled} if unlabeled else {})
