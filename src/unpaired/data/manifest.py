"""The dataset manifest: one JSON file that says what a dataset is; the image files stay where they are."""

from pathlib import Path

from unpaired.data.dataset import MANIFEST, Dataset
from unpaired.data.importers.table import table_document
from unpaired.data.manifest_json import dataset_from_json, dataset_to_json
from unpaired.documents import shown
from unpaired.errors import InputError
from unpaired.files import read_json, require_replaceable, resolved, write_json

TABLES = (".csv", ".tsv")
MANIFESTS = (".json", *TABLES)


def is_manifest(path: str | Path) -> bool:
    """Whether a path names a manifest: a .json file, a .csv or .tsv table, or a folder that holds dataset.json.

    Every command decides by this alone. A name says it, so that a missing manifest is missed as one by `read_dataset`.
    """
    path = Path(path)
    return path.suffix.lower() in MANIFESTS or (path / MANIFEST).is_file()


def manifest_files(path: str | Path) -> tuple[Path, ...]:
    """The files that a manifest consists of, resolved: dataset.json of a folder, a table and the JSON file beside it.

    What a command writes must be none of them. They need not exist.
    """
    path = resolved(Path(path))
    if path.suffix.lower() in TABLES:
        return path, path.with_suffix(".json")
    return (path,) if path.suffix.lower() in MANIFESTS else (path, path / MANIFEST)


def read_dataset(path: str | Path) -> Dataset:
    """Read a manifest: `dataset.json`, its folder, a table, or a MONAI datalist with `modality` and `patient`.

    Paths are relative to the manifest. Raises InputError naming the field that is wrong. Whether the files are good is
    `verify`'s question, not answered here.
    """
    path = Path(path)
    if path.is_dir():
        path = path / MANIFEST
    if not path.is_file():
        raise InputError(
            f"expected a dataset manifest (dataset.json) or a table (.csv, .tsv), found no file at {path}; "
            "correct the path, or write a manifest with `unpaired import`"
        )
    if path.suffix.lower() in TABLES:
        return dataset_from_json(table_document(path), path)
    document = read_json(path, "write a manifest with `unpaired import`")
    if not isinstance(document, dict):
        raise InputError(
            f"{path}: expected a JSON object with 'classes', 'modalities' and 'cases', got {shown(document)}"
        )
    return dataset_from_json(document, path)


def as_dataset(data: Dataset | str | Path) -> Dataset:
    """A dataset as it is, or the one of a manifest."""
    return data if isinstance(data, Dataset) else read_dataset(data)


def write_dataset(dataset: Dataset, path: str | Path) -> Path:
    """Write the manifest to `path` (a file, or a folder that gets dataset.json), paths relative to it, atomically.

    What is written can be read: InputError is raised for what `read_dataset` refuses, such as ids that name no file,
    and where something else than a manifest is at `path`.
    """
    path = Path(path)
    if path.suffix != ".json":
        path = path / MANIFEST
    require_replaceable(path, "manifest", lambda there: "cases" in there)
    document = dataset_to_json(dataset, path.parent)
    dataset_from_json(document, path)
    write_json(path, document)
    return path
