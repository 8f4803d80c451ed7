"""The dataset manifest: one JSON file that says what a dataset is; the image files stay where they are."""

import json
import os
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from unpaired.data.dataset import CASE_FIELDS, MANIFEST, NORMALIZATIONS, SPLITS, CaseEntry, Dataset, Modality
from unpaired.data.importers.table import table_document
from unpaired.errors import InputError, known, nearest, require_name
from unpaired.files import read_json, write_text

SCHEMA = 1
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
    path = Path(path).resolve()
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
            f"{path}: expected a JSON object with 'classes', 'modalities' and 'cases', got a {type(document).__name__}"
        )
    return dataset_from_json(document, path)


def as_dataset(data: Dataset | str | Path) -> Dataset:
    """A dataset as it is, or the one of a manifest."""
    return data if isinstance(data, Dataset) else read_dataset(data)


def dataset_from_json(document: Mapping[str, Any], path: Path) -> Dataset:
    """Check and convert a parsed manifest that lies at `path`."""
    schema = document.get("schema", SCHEMA)
    if schema != SCHEMA:
        raise InputError(f"{path}: schema {schema!r} is not known to this version (it reads schema {SCHEMA})")
    entries = list(_case_documents(document, path))
    classes = _classes(document.get("classes"), path)
    modalities = _modalities(document.get("modalities") or sorted({str(e.get("modality")) for e in entries}), path)
    label_maps = {
        name: _label_map(table, classes, f"{path}: label_maps.{name}")
        for name, table in _object(document.get("label_maps") or {}, f"{path}: 'label_maps'").items()
    }
    cases = tuple(_case(entry, path, classes, modalities, label_maps) for entry in entries)
    seen: set[str] = set()
    for case in cases:
        if case.id in seen:
            raise InputError(f"{path}: case id {case.id!r} appears twice; ids must differ (they name files)")
        seen.add(case.id)
    if not cases:
        raise InputError(f"{path}: the manifest lists no cases")
    return Dataset(
        str(document.get("name", path.resolve().parent.name)),
        classes,
        modalities,
        cases,
        label_maps,
        str(document.get("about", "")),
    )


def write_dataset(dataset: Dataset, path: str | Path) -> Path:
    """Write the manifest to `path` (a file, or a folder that gets dataset.json), paths relative to it, atomically."""
    path = Path(path)
    if path.suffix != ".json":
        path = path / MANIFEST
    write_text(path, json.dumps(dataset_to_json(dataset, path.parent), indent=1) + "\n")
    return path


def dataset_to_json(dataset: Dataset, folder: Path) -> dict[str, Any]:
    """The manifest as JSON values, with file paths relative to `folder` (absolute where no relative path exists)."""

    def relative(file: Path | None) -> str | None:
        if file is None:
            return None
        try:
            return Path(os.path.relpath(file, folder.resolve())).as_posix()
        except ValueError:  # another drive on Windows
            return file.as_posix()

    def case_document(case: CaseEntry) -> dict[str, Any]:
        document: dict[str, Any] = {
            "id": case.id,
            "patient": case.patient,
            "modality": case.modality,
            "image": relative(case.image),
            "label": relative(case.label),
            "label_map": case.label_map,
            "annotated": "all" if case.annotated is None else list(case.annotated),
        }
        document |= {"split": case.split} if case.split is not None else {}
        document |= {"fold": case.fold} if case.fold is not None else {}
        return document

    def modality_document(modality: Modality) -> dict[str, Any]:
        document: dict[str, Any] = {"normalization": modality.normalization}
        document |= {"clip": list(modality.clip)} if modality.clip else {}
        document |= {"clip_percentiles": list(modality.clip_percentiles)} if modality.clip_percentiles else {}
        return document

    return {
        "schema": SCHEMA,
        "name": dataset.name,
        "about": dataset.about,
        "classes": list(dataset.classes),
        "modalities": {name: modality_document(modality) for name, modality in dataset.modalities.items()},
        "label_maps": {
            name: {str(value): names[0] if len(names) == 1 else list(names) for value, names in table.items()}
            for name, table in dataset.label_maps.items()
        },
        "cases": [case_document(case) for case in dataset.cases],
    }


def _classes(value: Any, path: Path) -> tuple[str, ...]:
    names = value if isinstance(value, list | tuple) else ()
    words = [name for name in names if isinstance(name, str) and name]
    if len(names) < 2 or len(words) < len(names) or len(set(words)) < len(words):
        raise InputError(
            f"{path}: 'classes' must be a list of background and at least one more class, each once; got {value!r}"
        )
    for name in words:
        require_name(name, f"{path}: 'classes'")
    return tuple(words)


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"{where} must be a JSON object {{name: ...}}, got {value!r}")
    return value


def _objects(value: Any, where: str) -> Iterator[Mapping[str, Any]]:
    if not isinstance(value, list | tuple):
        raise InputError(f"{where} must be a list of cases, got a {type(value).__name__}")
    for number, entry in enumerate(value, start=1):
        yield _object(entry, f"{where}: entry {number}")


def _case_documents(document: Mapping[str, Any], path: Path) -> Iterator[Mapping[str, Any]]:
    """The case entries of our own schema, or of a MONAI datalist (training / validation / testing lists)."""
    if "cases" in document:
        yield from _objects(document["cases"], f"{path}: 'cases'")
        return
    lists = {"training": "train", "validation": "validation", "testing": "test"}
    if not any(key in document for key in lists):
        raise InputError(
            f"{path}: expected 'cases' (or MONAI's training / validation / testing lists), found {sorted(document)}"
        )
    for key, split in lists.items():
        for entry in _objects(document.get(key, []), f"{path}: '{key}'"):
            yield {"split": split, **entry}


def _modalities(value: Any, path: Path) -> dict[str, Modality]:
    if not isinstance(value, Mapping | list | tuple) or not all(isinstance(name, str) for name in value):
        raise InputError(f"{path}: 'modalities' must be an object {{name: options}} or a list of names, got {value!r}")
    table = value if isinstance(value, Mapping) else {name: {} for name in value}
    result = {}
    for name, options in table.items():
        if name != name.lower() or not name.replace("-", "").replace("_", "").isalnum():
            raise InputError(f"{path}: modality {name!r} must be a lower-case word (letters, digits, - and _)")
        _object(options, f"{path}: modalities.{name}")
        unknown = set(options) - {"normalization", "clip", "clip_percentiles"}
        if unknown:
            raise InputError(f"{path}: modalities.{name} has unknown fields {sorted(unknown)}")
        normalization = options.get("normalization", "zscore")
        if normalization not in NORMALIZATIONS:
            raise InputError(
                f"{path}: modalities.{name}.normalization {normalization!r}: "
                f"{nearest(str(normalization), list(NORMALIZATIONS))}"
            )
        result[name] = Modality(
            normalization, _interval(options, "clip", name, path), _interval(options, "clip_percentiles", name, path)
        )
    return result


def _interval(options: Mapping[str, Any], key: str, name: str, path: Path) -> tuple[float, float] | None:
    value = options.get(key)
    if value is None:
        return None
    numbers = [item for item in value if isinstance(item, int | float)] if isinstance(value, list | tuple) else []
    if len(numbers) != 2 or len(value) != 2 or not numbers[0] < numbers[1]:
        raise InputError(f"{path}: modalities.{name}.{key} must be [low, high] with low < high, got {value!r}")
    return float(numbers[0]), float(numbers[1])


def _label_map(table: Any, classes: tuple[str, ...], where: str) -> dict[int, tuple[str, ...]]:
    result: dict[int, tuple[str, ...]] = {}
    for value, names in _object(table, where).items():
        if not isinstance(names, str | list | tuple):
            raise InputError(f"{where}: value {value} must stand for a class name or a list of them, got {names!r}")
        names = (names,) if isinstance(names, str) else tuple(names)
        try:
            number = int(value)
        except ValueError as error:
            raise InputError(f"{where}: label values are integers, got {value!r}") from error
        for name in names:
            if name not in classes:
                raise InputError(
                    f"{where}: value {value} stands for {name!r}, which is no class; "
                    f"{nearest(str(name), list(classes))}"
                )
        if not names:
            raise InputError(f"{where}: value {value} stands for nothing; name a class or a list of classes")
        if number in result:
            raise InputError(f"{where}: value {number} appears twice")
        result[number] = names
    return result


def _case(
    entry: Mapping[str, Any],
    path: Path,
    classes: tuple[str, ...],
    modalities: Mapping[str, Modality],
    label_maps: Mapping[str, Any],
) -> CaseEntry:
    where = f"{path}: case {entry.get('id', entry.get('image', '?'))!r}"
    _refuse_misspelled(entry, where)
    for key in ("patient", "modality", "image"):
        if entry.get(key) in (None, ""):
            raise InputError(f"{where} has no {key!r}")
    modality = str(entry["modality"])
    if modality not in modalities:
        raise InputError(
            f"{where} has modality {modality!r}, which 'modalities' does not list; {known(list(modalities))}"
        )
    map_name = str(entry.get("label_map") or "identity")
    if map_name != "identity" and map_name not in label_maps:
        raise InputError(f"{where} uses label_map {map_name!r}; {nearest(map_name, ['identity', *label_maps])}")
    split, fold = entry.get("split"), entry.get("fold")
    if split is not None and split not in SPLITS:
        raise InputError(f"{where} has split {split!r}; expected one of {', '.join(SPLITS)}")
    if fold is not None and (not isinstance(fold, int) or isinstance(fold, bool)):
        raise InputError(f"{where} has fold {fold!r}; expected a whole number")
    image = _file(entry, "image", where)
    case_id = str(entry.get("id") or Path(entry["image"]).name.split(".")[0])
    require_name(case_id, f"{path}: case id")
    require_name(str(entry["patient"]), f"{where}: patient")
    if Path(case_id).name != case_id or case_id == ".." or "\\" in case_id:
        raise InputError(f"{path}: case id {case_id!r} can't be a file name; use letters, digits, '.', '_' and '-'")
    folder = path.parent.resolve()
    return CaseEntry(
        id=case_id,
        patient=str(entry["patient"]),
        modality=modality,
        image=folder / image,
        label=folder / _file(entry, "label", where) if entry.get("label") not in (None, "") else None,
        label_map=map_name,
        annotated=_annotated(entry.get("annotated"), classes, where),
        split=split,
        fold=fold,
    )


def _refuse_misspelled(entry: Mapping[str, Any], where: str) -> None:
    """A datalist may carry fields of its own, but "lable" would silently make a labeled case an unlabeled one."""
    for key in entry:
        if key not in CASE_FIELDS and (close := get_close_matches(str(key), CASE_FIELDS, n=1, cutoff=0.75)):
            raise InputError(f"{where} has an unknown field {key!r}; did you mean {close[0]!r}?")


def _file(entry: Mapping[str, Any], key: str, where: str) -> str:
    if not isinstance(entry[key], str):
        raise InputError(f"{where}: {key!r} must be the path of one file, got {entry[key]!r}")
    return entry[key]


def _annotated(value: Any, classes: tuple[str, ...], where: str) -> tuple[str, ...] | None:
    if value is None or value == "all":
        return None
    if not isinstance(value, str | list | tuple):
        raise InputError(f"{where}: 'annotated' must be \"all\" or a list of classes, got {value!r}")
    names = (value,) if isinstance(value, str) else tuple(value)
    for name in names:
        if name not in classes:
            raise InputError(
                f"{where} is annotated for {name!r}, which is no class; {nearest(str(name), list(classes))}"
            )
    return names
