"""A JSON file that lists scans: a Medical Segmentation Decathlon's dataset.json, or a MONAI datalist.

    {"name": "Heart", "modality": {"0": "MRI"}, "labels": {"0": "background", "1": "left atrium"},
     "training": [{"image": "./imagesTr/la_007.nii.gz", "label": "./labelsTr/la_007.nii.gz"}],
     "validation": [...], "test": ["./imagesTs/la_001.nii.gz"]}

An entry may say its `modality`, `patient` and `fold`, and that it is `simulated`; `labels` may be the classes in order.
Scans of several channels in one 4D file, such as the Decathlon's BraTS, are written as a file each: a channel is a
modality of its own.
References: Antonelli et al. 2022 (Nature Communications 13:4128); MONAI's `load_decathlon_datalist`.
"""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from unpaired.data.dataset import CaseEntry, Dataset
from unpaired.data.formats.nifti import read_nifti
from unpaired.data.images import write_image
from unpaired.data.importers.converted import convert
from unpaired.data.importers.label_names import read_labels
from unpaired.data.importers.listing import DESCRIPTION, Listing, about, make_dataset, read_description, stem
from unpaired.data.importers.options import ImportOptions, modality_name
from unpaired.errors import InputError
from unpaired.files import placed, resolved

SIDES = {"training": None, "train": None, "validation": "validation", "testing": "test", "test": "test"}
"""The lists that are read, and the side of their labeled scans; `unpaired split` draws the other sides."""


def recognize(listing: Listing) -> str | None:
    """Why a folder or file looks like a datalist: a JSON file with a list of scans to train on."""
    path = _datalist(listing)
    if path is None:
        return None
    try:
        description = read_description(path)
    except InputError:
        return None
    key = next((key for key in ("training", "train") if isinstance(description.get(key), list)), None)
    return f"a list {key!r} of scans in {path.name}" if key and "cases" not in description else None


def import_datalist(source: str | Path, options: ImportOptions) -> Dataset:
    """The dataset that a datalist, or the dataset.json of a folder, lists; files stay where they are but for 4D scans.

    Raises InputError for a list without scans, for classes or a modality that nothing names, and for 4D scans with
    other channels than `modality` says.
    """
    path = Path(source)
    path = path / DESCRIPTION if path.is_dir() else path
    description = read_description(path)
    classes, table = read_labels(_labels(description, path, options), str(path))
    channels = _channels(description, path)
    cases = [
        case
        for entry, side, where in _entries(description, path)
        for case in _cases(entry, channels, side, path, where, options)
    ]
    if not cases:
        raise InputError(f"{path}: its lists {', '.join(SIDES)} hold no scan; add some")
    name = str(description.get("name") or resolved(path).parent.name)
    return make_dataset(name, classes, {"datalist": table}, cases, about(description))


def _cases(
    entry: Mapping[str, Any], channels: list[str], side: str | None, path: Path, where: str, options: ImportOptions
) -> Iterator[CaseEntry]:
    """The cases of one entry: a scan, or each channel of a 4D one."""
    file = _file(entry, "image", path, where)
    label = _file(entry, "label", path, where) if entry.get("label") not in (None, "") else None
    name = stem(file.name)
    if name is None:
        raise InputError(f"{where}: expected a scan in NIfTI, NRRD, MetaImage or PNG, got {file.name}")
    below = file.name if isinstance(entry["image"], list) else entry["image"].removeprefix("./")
    said = [modality_name(str(entry["modality"]))] if entry.get("modality") else channels
    if not said and options.modality_from is None:
        raise InputError(f"{where} has no 'modality', and {path.name} names none; add it, or say --modality-from REGEX")
    modalities = [options.modality_of(below, modality) for modality in said or [""]]
    files = [file] if len(modalities) == 1 else _channel_files(file, name, modalities, options.converted)
    for modality, image in zip(modalities, files, strict=True):
        yield CaseEntry(
            id=name if len(modalities) == 1 else f"{name}_{modality}",
            patient=options.patient_of(below, name) if entry.get("patient") in (None, "") else str(entry["patient"]),
            modality=modality,
            image=image,
            label=label,
            label_map="datalist",
            split=side if label is not None else None,
            fold=_fold(entry, where),
            simulated=_simulated(entry, where),
        )


def _fold(entry: Mapping[str, Any], where: str) -> int | None:
    said = entry.get("fold")
    if said in (None, ""):
        return None
    if isinstance(said, bool) or not re.fullmatch(r"-?[0-9]{1,9}", str(said)):
        raise InputError(f"{where}: expected a whole number as fold, got {said!r}; correct it, or take it out")
    return int(said)


def _simulated(entry: Mapping[str, Any], where: str) -> bool:
    said = entry.get("simulated") or False
    if not isinstance(said, bool):
        raise InputError(f"{where}: simulated must be true or false, got {said!r}")
    return said


def _datalist(listing: Listing) -> Path | None:
    if listing.source.is_file():
        return listing.source if listing.source.suffix.lower() == ".json" else None
    return listing.source / DESCRIPTION if DESCRIPTION in listing.files else None


def _labels(description: Mapping[str, Any], path: Path, options: ImportOptions) -> Any:
    """The labels as {value or name: ...}: `labels`, else `classes` in order, else what the person said."""
    if options.classes:
        return {str(value): name for value, name in {0: "background", **options.classes}.items()}
    labels = description.get("labels") or description.get("classes")
    if not labels:
        raise InputError(
            f'{path}: nothing names its classes; add "labels": {{"0": "background", "1": "liver"}}, '
            "or say --classes 1:liver,2:spleen"
        )
    return {str(value): name for value, name in enumerate(labels)} if isinstance(labels, list) else labels


def _channels(description: Mapping[str, Any], path: Path) -> list[str]:
    """The modalities that the file names for all scans, in the order of the channels of a 4D file."""
    modality = description.get("modality", description.get("channel_names"))
    if modality is None or isinstance(modality, str):
        return [modality_name(modality)] if modality else []
    if not isinstance(modality, Mapping) or not all(isinstance(name, str) for name in modality.values()):
        raise InputError(f'{path}: expected "modality": {{"0": "CT"}}, got {modality!r}')
    return [modality_name(modality[number]) for number in sorted(modality, key=lambda key: (len(str(key)), str(key)))]


def _entries(description: Mapping[str, Any], path: Path) -> Iterator[tuple[Mapping[str, Any], str | None, str]]:
    for key, side in SIDES.items():
        entries = description.get(key) or []
        if not isinstance(entries, list):
            raise InputError(f"{path}: expected a list under {key!r}, got a {type(entries).__name__}")
        for number, entry in enumerate(entries):
            where = f"{path}: {key}[{number}]"
            if isinstance(entry, str):
                entry = {"image": entry}
            if not isinstance(entry, Mapping):
                raise InputError(f'{where}: expected {{"image": path, "label": path}} or a path, got {entry!r}')
            yield entry, side, where


def _file(entry: Mapping[str, Any], key: str, path: Path, where: str) -> Path:
    value = entry.get(key)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, str) or not value:
        raise InputError(f"{where}: expected {key!r} to be the path of one file, got {value!r}")
    return placed(path.parent / value)


def _channel_files(file: Path, name: str, modalities: list[str], folder: Path) -> list[Path]:
    """A 4D scan's channels as files of their own in `folder`."""
    files = [folder / f"{name}_{modality}.nii.gz" for modality in modalities]
    if not file.is_file():
        raise InputError(f"{file}: found no such file, although the list names it; correct the list, or add the file")
    convert(files, file, [file], "channels " + " ".join(modalities), partial(_write_channels, file, files))
    return [resolved(channel) for channel in files]


def _write_channels(file: Path, channels: list[Path]) -> None:
    image = read_nifti(file)
    if image.array.ndim != 4 or image.array.shape[3] != len(channels):
        raise InputError(f"{file}: expected {len(channels)} channels on a fourth axis, got {image.array.shape}")
    for number, channel in enumerate(channels):
        write_image(channel, image.array[..., number], image.affine)
