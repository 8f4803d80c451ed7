"""A new run folder: all of its first files or none, so that a kill leaves nothing that the command would refuse."""

import shutil
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from unpaired.data.dataset import Dataset
from unpaired.data.manifest import write_dataset
from unpaired.errors import UnwritableError
from unpaired.files import (
    clear_leftovers,
    input_error_if_unwritable,
    temporary_beside,
    temporary_folder,
    write_json,
    write_text,
)
from unpaired.runs.folder import RunFolder, is_run
from unpaired.runs.readme import README
from unpaired.runs.versions import describe_versions


def place_new_run(
    folder: Path, recipe: Any, split: Any, dataset: Dataset, name: str = "", gpu: str | None = None
) -> bool:
    """Write a run's first files; False if another process put a run in this place meanwhile.

    `recipe` and `split` are JSON values, `name` is what the recipe is called, `gpu` what will train it. Raises
    `UnwritableError` if the folder can't be made.
    """
    place = folder.resolve()
    new = RunFolder(temporary_beside(place))
    try:
        with input_error_if_unwritable(folder):
            place.parent.mkdir(parents=True, exist_ok=True)
            clear_leftovers(place.parent)
            temporary_folder(place)
        write_dataset(dataset, new.dataset_file)
        write_json(new.split_file, split)
        write_json(new.versions_file, describe_versions(gpu))
        write_text(new.readme_file, _readme(folder, name, dataset))
        write_json(new.recipe_file, recipe)
        return _placed(new.folder, folder)
    finally:
        shutil.rmtree(new.folder, ignore_errors=True)


def _placed(temporary: Path, folder: Path) -> bool:
    """Whether the new run folder got its name; False if another process put a run there meanwhile."""
    try:
        if sys.platform == "win32" and folder.is_dir():
            folder.rmdir()  # an empty one, which other systems replace
        temporary.rename(folder.resolve())
    except OSError as error:
        if is_run(folder):
            return False
        raise UnwritableError(f"can't make the run folder {folder}: {error.strerror}; choose another") from error
    return True


def _readme(folder: Path, name: str, dataset: Dataset) -> str:
    return README.format(
        version=version("unpaired"),
        name=name or "(unnamed)",
        folder=folder,
        modality=next(iter(dataset.modalities)),
    )
