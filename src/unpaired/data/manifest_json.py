"""A manifest as JSON values: checked and made a `Dataset`, and back."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from unpaired.data.class_codes import ClassCode
from unpaired.data.dataset import CASE_FIELDS, COLUMNS, SPLITS, CaseEntry, Dataset, Modality, Side
from unpaired.data.demographics import demographics_to_json, read_demographics
from unpaired.data.file_names import require_distinct, require_file_name
from unpaired.data.images import LARGEST_VALUE
from unpaired.documents import decode, shown
from unpaired.errors import InputError, known, nearest, require_name
from unpaired.files import resolved

SCHEMA = 1
MONAI_LISTS = ("training", "validation", "testing")
CORRECT = "correct the manifest"
RESERVED = {
    "background": "which is what no structure is",
    "ignore": "which is what evaluate leaves out (voxels of any class: a value that stands for all, in label_maps)",
    "mean": "which tables call the mean over classes",
    "all": "which means every class",
    "none": "which means no class",
}
"""What no structure may be called, in upper or lower case, and why."""
Name = str | int | float
"""What is called by a number in other people's lists is text here."""
Word = Annotated[str, Meta(min_length=1)]
Meaning = Word | Annotated[tuple[Word, ...], Meta(min_length=1)]
"""The class or classes that a label value stands for."""
Entries = tuple[dict[str, Any], ...]
File = Annotated[str, Meta(description="the path of one file")]


@dataclass(frozen=True)
class _Document:
    """A manifest as JSON has it, ours or MONAI's; fields that it holds besides are its author's own."""

    classes: Annotated[
        tuple[Word, ...], Meta(min_length=2, description="a list of background and at least one more class")
    ]
    name: Name | None = None
    about: Name = ""
    modalities: dict[str, dict[str, Any]] | tuple[str, ...] = ()
    label_maps: dict[str, dict[str, Meaning]] = field(default_factory=dict)
    codes: dict[str, Any] = field(default_factory=dict)
    cases: Entries | None = None
    training: Entries = ()
    validation: Entries = ()
    testing: Entries = ()


@dataclass(frozen=True)
class _Case:
    """One of its cases, without the fields that are empty."""

    patient: Name
    modality: Name
    image: File
    id: Name | None = None
    label: File | None = None
    label_map: Name = "identity"
    annotated: str | tuple[str, ...] | None = None
    split: Side | None = None
    fold: int | None = None
    simulated: bool = False


def dataset_from_json(document: Mapping[str, Any], path: Path) -> Dataset:
    """Check and convert a parsed manifest that lies at `path`."""
    schema = document.get("schema", SCHEMA)
    if type(schema) is not int or schema != SCHEMA:
        raise InputError(
            f"{path}: schema {shown(schema)} is not known to this version (it reads schema {SCHEMA}); update "
            "unpaired, or import the dataset anew"
        )
    if not document.keys() & {"cases", *MONAI_LISTS}:
        raise InputError(
            f"{path}: expected 'cases' (or MONAI's {' / '.join(MONAI_LISTS)} lists), found {shown(sorted(document))}"
        )
    if not document.keys() & {"cases", "classes"}:
        raise InputError(
            f"{path}: expected a manifest, got a datalist without 'classes'; `unpaired import datalist {path} "
            "DATA.json` makes one of it"
        )
    given = {key: value for key, value in document.items() if value not in (None, [], {}) or key == "cases"}
    stored = decode(given, _Document, str(path), CORRECT, others=True)
    entries = list(_cases(stored))
    if not entries:
        raise InputError(f"{path}: the manifest lists no cases; add some")
    _check_classes(stored.classes, path)
    named = stored.modalities or sorted({str(entry.get("modality")).lower() for entry in entries})
    modalities = _modalities(named if isinstance(named, Mapping) else {name: {} for name in named}, path)
    for name in stored.label_maps:
        require_name(name, f"{path}: 'label_maps'")
    label_maps = {
        name: _label_map(table, stored.classes, f"{path}: label_maps.{name}")
        for name, table in stored.label_maps.items()
    }
    cases = tuple(_case(entry, path, stored.classes, modalities, label_maps) for entry in entries)
    require_distinct((case.id for case in cases), f"{path}: case id", "ids must differ (they name files)")
    name = resolved(path).parent.name if stored.name is None else str(stored.name)
    require_name(name, f"{path}: name")
    _require_classes(tuple(stored.codes), stored.classes, f"{path}: codes names")
    codes = decode(stored.codes, dict[str, Word | ClassCode], f"{path}: codes", CORRECT)
    return Dataset(name, stored.classes, modalities, cases, label_maps, str(stored.about), codes)


def dataset_to_json(dataset: Dataset, folder: Path) -> dict[str, Any]:
    """The manifest as JSON values, with file paths relative to `folder` (absolute where no relative path exists)."""
    codes = {name: code if isinstance(code, str) else _code_to_json(code) for name, code in dataset.codes.items()}
    return {
        "schema": SCHEMA,
        "name": dataset.name,
        "about": dataset.about,
        "classes": list(dataset.classes),
        "modalities": {name: _modality_to_json(modality) for name, modality in dataset.modalities.items()},
        "label_maps": {
            name: {str(value): names[0] if len(names) == 1 else list(names) for value, names in table.items()}
            for name, table in dataset.label_maps.items()
        },
        **({"codes": codes} if codes else {}),
        "cases": [_case_to_json(case, resolved(folder)) for case in dataset.cases],
    }


def _code_to_json(code: ClassCode) -> dict[str, Any]:
    return {name: value for name, value in asdict(code).items() if value is not None}


def _case_to_json(case: CaseEntry, folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = {
        "id": case.id,
        "patient": case.patient,
        "modality": case.modality,
        "image": _relative(case.image, folder),
        "label": None if case.label is None else _relative(case.label, folder),
        "label_map": case.label_map,
        "annotated": "all" if case.annotated is None else list(case.annotated),
    }
    document |= {"split": case.split} if case.split is not None else {}
    document |= {"fold": case.fold} if case.fold is not None else {}
    document |= {"simulated": True} if case.simulated else {}
    return document | demographics_to_json(case.demographics)


def _relative(file: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(file, folder)).as_posix()
    except ValueError:  # another drive on Windows
        return file.as_posix()


def _modality_to_json(modality: Modality) -> dict[str, Any]:
    document: dict[str, Any] = {"normalization": modality.normalization}
    document |= {"clip": list(modality.clip)} if modality.clip else {}
    document |= {"clip_percentiles": list(modality.clip_percentiles)} if modality.clip_percentiles else {}
    return document


def _cases(document: _Document) -> Iterator[dict[str, Any]]:
    """The case entries of our own schema, or of a MONAI datalist (training / validation / testing lists)."""
    if document.cases is not None:
        yield from document.cases
        return
    for split, name in zip(SPLITS, MONAI_LISTS, strict=True):
        for entry in getattr(document, name):
            yield {"split": split, **entry}


def _check_classes(classes: tuple[str, ...], path: Path) -> None:
    for name in classes:
        require_name(name, f"{path}: 'classes'")
        if name != name.strip():
            raise InputError(f"{path}: 'classes' names {name!r}, which begins or ends with a blank; take it out")
    for name in classes[1:]:
        if name.lower() in RESERVED:
            raise InputError(
                f"{path}: 'classes' names {name!r}, {RESERVED[name.lower()]}; call the structure otherwise"
            )
    require_distinct(classes, f"{path}: 'classes': class", "list each class once, background first")


def _modalities(options: Mapping[str, Mapping[str, Any]], path: Path) -> dict[str, Modality]:
    """{name in small letters: its options}."""
    require_distinct(options, f"{path}: 'modalities': modality", "list each one once")
    for name in options:
        if not name.replace("-", "").replace("_", "").isalnum():
            raise InputError(f"{path}: modality {name!r} must be a word (letters, digits, - and _), such as ct")
        require_file_name(name, f"{path}: modality")  # of a network that is exported, of figures
    return {name.lower(): decode(of, Modality, f"{path}: modalities.{name}", CORRECT) for name, of in options.items()}


def _label_map(
    table: Mapping[str, str | tuple[str, ...]], classes: tuple[str, ...], where: str
) -> dict[int, tuple[str, ...]]:
    result: dict[int, tuple[str, ...]] = {}
    for value, names in table.items():
        try:
            number = int(value)
        except ValueError as error:
            raise InputError(f"{where}: label values are integers, got {shown(value)}") from error
        if abs(number) > LARGEST_VALUE:
            raise InputError(f"{where}: label values are integers of at most 32 bits, got {shown(value)}")
        if number in result:
            raise InputError(f"{where}: value {number} appears twice; keep one")
        result[number] = (names,) if isinstance(names, str) else names
        _require_classes(result[number], classes, f"{where}: value {number} stands for")
    return result


def _require_classes(names: tuple[str, ...], classes: tuple[str, ...], what: str) -> None:
    for name in names:
        if name not in classes:
            raise InputError(f"{what} {name!r}, which is not a class of the dataset; {nearest(name, list(classes))}")


def _case(
    entry: Mapping[str, Any],
    path: Path,
    classes: tuple[str, ...],
    modalities: Mapping[str, Modality],
    label_maps: Mapping[str, Any],
) -> CaseEntry:
    where = f"{path}: case {shown(entry.get('id', entry.get('image', '?')))}"
    _refuse_misspelled(entry, where)
    given = {key: value for key, value in entry.items() if value is not None and (value != "" or key == "annotated")}
    case = decode(given, _Case, where, CORRECT, others=True)
    modality, map_name = str(case.modality).lower(), str(case.label_map)
    if modality not in modalities:
        raise InputError(
            f"{where} has modality {modality!r}, which 'modalities' does not list; {known(list(modalities))}"
        )
    if map_name != "identity" and map_name not in label_maps:
        raise InputError(f"{where} uses label_map {map_name!r}; {nearest(map_name, ['identity', *label_maps])}")
    annotated = (case.annotated,) if isinstance(case.annotated, str) else case.annotated
    annotated = None if annotated == ("all",) and case.annotated == "all" else annotated
    _require_classes(annotated or (), classes, f"{where} is annotated for")
    if annotated == () and case.label is not None:
        raise InputError(
            f"{where} has a label although it is annotated for nothing; name the classes that were looked for, or set "
            "its label to null"
        )
    if classes[0] in (annotated or ()):
        raise InputError(f"{where} is annotated for {classes[0]!r}; name the structures that were looked for")
    require_name(str(case.patient), f"{where}: patient")
    folder = resolved(path.parent)
    return CaseEntry(
        id=_id(case, path),
        patient=str(case.patient),
        modality=modality,
        image=folder / _file(case.image, "image", where),
        label=None if case.label is None else folder / _file(case.label, "label", where),
        label_map=map_name,
        annotated=annotated,
        split=case.split,
        fold=case.fold,
        simulated=case.simulated,
        demographics=read_demographics(entry, where),
    )


def _id(case: _Case, path: Path) -> str:
    """The case's id, or its image's name without suffixes; what it makes names files."""
    if case.id is None and "\\" in Path(case.image).name:
        raise InputError(
            f"{path}: image {shown(case.image)} has a backslash, which is no folder's end here; write / between folders"
        )
    name = Path(case.image).name.split(".")[0] if case.id is None else str(case.id)
    require_file_name(name, f"{path}: case id")
    return name


def _file(name: str, key: str, where: str) -> str:
    if "\0" in name:
        raise InputError(f"{where}: {key!r} is {name!r}, which no file can be called; {CORRECT}")
    return name


def _refuse_misspelled(entry: Mapping[str, Any], where: str) -> None:
    """A datalist may carry fields of its own, but "lable" would silently make a labeled case an unlabeled one."""
    for key in entry:
        if key not in COLUMNS and (close := get_close_matches(str(key), CASE_FIELDS, n=1, cutoff=0.75)):
            raise InputError(f"{where} has an unknown field {key!r}; did you mean {close[0]!r}?")
