"""nnU-Net's raw folders, version 2 and 1: one dataset, or all those of an nnUNet_raw folder.

    Dataset004_Hippocampus/dataset.json        {"channel_names": {"0": "MRI"}, "labels": {"background": 0, ...}, ...}
    Dataset004_Hippocampus/imagesTr/hippocampus_001_0000.nii.gz    one file a channel
    Dataset004_Hippocampus/labelsTr/hippocampus_001.nii.gz
    Dataset004_Hippocampus/imagesTs/..., labelsTs/...              if there are any; with labels they are for testing

Channels of one scan become cases of several modalities of one patient with one label map. Regions, the label "ignore"
and the "dataset" table of version 2 are read. Reference: Isensee et al. 2021 (Nature Methods 18:203).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from unpaired.data.dataset import CaseEntry, Dataset
from unpaired.data.importers.label_names import read_labels
from unpaired.data.importers.listing import (
    DESCRIPTION,
    Listing,
    about,
    list_files,
    make_dataset,
    read_description,
    stem,
)
from unpaired.data.importers.options import ImportOptions, modality_name
from unpaired.data.join import join_datasets
from unpaired.errors import InputError
from unpaired.files import placed, resolved

_CHANNEL = re.compile(r"(.+)_(\d{4})")
Scan = tuple[str, dict[int, str], str | None, str | None]
"""(case, {channel: file}, label map or None, side or None), files by their paths below the source."""


def recognize(listing: Listing) -> str | None:
    """Why a folder looks like nnU-Net's: channels in the names of files beside a dataset.json."""
    folders = _dataset_folders(listing)
    if not folders:
        return None
    place = f"in {len(folders)} folders" if len(folders) > 1 else "there"
    return f"imagesTr with _0000 files beside a dataset.json {place}"


def import_nnunet(folder: str | Path, options: ImportOptions) -> Dataset:
    """The dataset in `folder`, or those in its subfolders joined; nothing is copied or written.

    A channel's name is its modality. Where several datasets are joined, their names stand before the ids of
    cases that occur twice; patients of equal names are one person. Raises InputError if there is no dataset, for labels
    without background, and for a dataset.json that contradicts its folder: channels that it doesn't name or that aren't
    there, another number of training scans, another file ending.
    """
    listing = list_files(folder)
    places = _dataset_folders(listing)
    if not places:
        raise InputError(f"{folder}: expected nnU-Net's dataset.json and imagesTr/CASE_0000.nii.gz here or one below")
    datasets = [_import(listing, place, options) for place in places]
    if len(datasets) == 1:
        return datasets[0]
    return join_datasets(_with_own_ids(datasets), resolved(listing.source).name)


def _dataset_folders(listing: Listing) -> list[str]:
    """The folders, "" for the source itself, that hold a dataset.json and scans with channels."""
    places: list[str] = []
    for file in listing.files:
        place, _, name = file.rpartition("/")
        if name == DESCRIPTION and place.count("/") < 2:
            start = f"{place}/" if place else ""
            names = (stem(scan) for scan in listing.scans(f"{start}imagesTr"))
            if any(name and _CHANNEL.fullmatch(name) for name in names):
                places.append(place)
    return places


def _import(listing: Listing, place: str, options: ImportOptions) -> Dataset:
    folder = listing.source / place
    where = folder / DESCRIPTION
    description = read_description(where)
    classes, table = read_labels(description.get("labels"), str(where))
    channels = description.get("channel_names", description.get("modality"))
    if not isinstance(channels, Mapping) or not all(isinstance(name, str) for name in channels.values()):
        raise InputError(f'{where}: expected channel_names such as {{"0": "CT"}}, got {channels!r}')
    scans = list(_scans(listing, place, description))
    _require_as_described(description, channels, scans, where)
    cases: list[CaseEntry] = []
    for name, files, label, side in scans:
        for number, file in sorted(files.items()):
            if str(number) not in channels:
                raise InputError(
                    f"{where}: channel_names doesn't name channel {number}, of which {file} is a scan; add it"
                )
            modality = options.modality_of(file, modality_name(channels[str(number)]))
            cases.append(
                CaseEntry(
                    id=name if len(files) == 1 else f"{name}_{modality}",
                    patient=options.patient_of(file, name),
                    modality=modality,
                    image=placed(listing.source / file),
                    label=None if label is None else placed(listing.source / label),
                    label_map="nnunet",
                    split=side,
                )
            )
    return make_dataset(resolved(folder).name, classes, {"nnunet": table}, cases, about(description))


def _require_as_described(
    description: Mapping[str, Any], channels: Mapping[str, str], scans: Sequence[Scan], where: Path
) -> None:
    """Raise InputError where dataset.json says something else than its folder: a copy that broke off looks so."""
    files = [file for _, numbered, _, _ in scans for file in numbered.values()]
    ending, said = description.get("file_ending"), description.get("numTraining")
    others = [file for file in files if isinstance(ending, str) and not file.lower().endswith(ending.lower())]
    if others:
        raise InputError(f"{where}: file_ending is {ending!r}, but {others[0]} is a scan; correct file_ending")
    training = sum("imagesTs" not in next(iter(numbered.values())).split("/") for _, numbered, _, _ in scans)
    if isinstance(said, int) and said != training:
        raise InputError(
            f"{where}: numTraining is {said}, but {training} training scans are there; copy what is "
            "missing, or correct it"
        )
    there = {str(number) for _, numbered, _, _ in scans for number in numbered}
    if lacking := [number for number in channels if number not in there]:
        raise InputError(
            f"{where}: channel_names has {channels[lacking[0]]!r} as channel {lacking[0]}, of which there is no scan "
            f"(CASE_{lacking[0]:0>4}); add them, or drop the channel"
        )


def _scans(listing: Listing, place: str, description: Mapping[str, Any]) -> Iterator[Scan]:
    """Every scan of a dataset's folder."""
    start = f"{place}/" if place else ""
    if isinstance(description.get("dataset"), Mapping):
        yield from _listed(start, description["dataset"], listing.source / place / DESCRIPTION)
        return
    for end, side in (("Tr", None), ("Ts", "test")):
        labels = {name: file for file in listing.scans(f"{start}labels{end}") if (name := stem(file))}
        scans: dict[str, dict[int, str]] = {}
        for file in listing.scans(f"{start}images{end}"):
            match = _CHANNEL.fullmatch(stem(file) or "")
            if match:
                scans.setdefault(match[1], {})[int(match[2])] = file
        orphan = next((name for name in labels if name not in scans), None)
        if orphan:
            raise InputError(
                f"{listing.source / labels[orphan]}: label map without its image {orphan}_0000; add it, or move this"
            )
        for name, files in scans.items():
            label = labels.get(name)
            yield name, files, label, side if label else None


def _listed(start: str, table: Any, where: Path) -> Iterator[Scan]:
    """The scans that dataset.json lists by their paths, which are relative to it."""
    for name, entry in table.items():
        images, label = (entry.get("images"), entry.get("label")) if isinstance(entry, Mapping) else (None, None)
        paths = images if isinstance(images, list) else []
        if not paths or not all(isinstance(path, str) for path in paths) or not isinstance(label, str | None):
            raise InputError(f'{where}: dataset.{name}: expected {{"images": [paths], "label": path}}, got {entry!r}')
        yield str(name), {number: start + path for number, path in enumerate(paths)}, label and start + label, None


def _with_own_ids(datasets: list[Dataset]) -> list[Dataset]:
    """The datasets, with a dataset's name before the ids of cases that another one has too."""
    ids = [case.id for dataset in datasets for case in dataset.cases]
    twice = {name for name in ids if ids.count(name) > 1} if len(set(ids)) < len(ids) else set()
    return [
        replace(
            dataset,
            cases=tuple(
                replace(case, id=f"{dataset.name}_{case.id}") if case.id in twice else case for case in dataset.cases
            ),
        )
        for dataset in datasets
    ]
