"""A folder for each modality, as people lay them out by hand; label maps beside the scans or in folders of their own.

    FOLDER/ct/p01.nii.gz            FOLDER/ct/p01_seg.nii.gz
    FOLDER/mr/images/p02.nii.gz     FOLDER/mr/labels/p02.nii.gz
    FOLDER/mr/p03.nii.gz            no label map: an unlabeled scan
    FOLDER/mr/p04/image.nii.gz      FOLDER/mr/p04/label.nii.gz

A label map has its scan's name, with `_seg`, `_label`, `_mask`, `_gt`, `_manual` or the like behind it (or before it,
as in `label_1` of `image_1`), or lies in a folder called labels, masks, segmentations or the like. It doesn't say what
its values mean: `classes` does. Scans in no modality's folder are of the only one that `modalities` names.
"""

from collections import Counter, defaultdict
from pathlib import Path

from unpaired.choices import some_of
from unpaired.data.dataset import CaseEntry, Dataset
from unpaired.data.importers.listing import Listing, list_files, make_dataset
from unpaired.data.importers.options import ImportOptions, modality_name
from unpaired.data.importers.scan_names import (
    are_modalities,
    classes_of_label_maps,
    guessed_expression,
    is_label,
    labels_of_scans,
    levels_of,
    modality_words,
    says_nothing,
    scan_name,
)
from unpaired.errors import InputError
from unpaired.files import placed, resolved

MOST_MODALITIES = 8
"""More folders than these, none of them called after a modality, are rather of patients."""


def recognize(listing: Listing) -> str | None:
    """Why a folder looks like one of scans with a folder a modality."""
    scans = [file for file in listing.scans() if not is_label(file)]
    modalities = sorted({_modality(file) for file in scans} - {""})
    if modalities:
        return f"a folder of scans for each of {some_of(modalities, 6)}"
    return f"{len(scans)} scans in no folder of a modality" if scans else None


def import_folders(folder: str | Path, options: ImportOptions) -> Dataset:
    """The dataset of the scans below `folder`; nothing is copied or written.

    The first folder on the way to a scan is its modality, its name its patient (that of the folder below, where names
    repeat), where `options` don't say otherwise. Raises InputError if there is no scan, for folders that are rather of
    patients, for a label map without its scan, two of one scan, and for label maps whose values `options.classes`
    doesn't name: the line lists the values.
    """
    listing = list_files(folder)
    images = [file for file in listing.scans() if not is_label(file)]
    if not images:
        raise InputError(
            f"{folder}: expected scans in a folder for each modality, such as ct/p01.nii.gz, found none; name the "
            "folder above these"
        )
    if options.modality_from is None:
        _require_modalities(listing, images, options)
    nested = _nested(images)
    labels = labels_of_scans(listing, images, in_one_folder=bool(nested))
    modalities = {
        file: options.modality_of(file, _modality(file) or "".join(options.modalities[:1])) for file in images
    }
    names = {file: _case_name(file) if _modality(file) in nested else (scan_name(file),) * 2 for file in images}
    times = Counter(name for name, _ in names.values())
    cases = [
        CaseEntry(
            id=f"{name}_{modalities[file]}" if times[name] > 1 else name,
            patient=options.patient_of(file, patient),
            modality=modalities[file],
            image=placed(listing.source / file),
            label=placed(listing.source / labels[file]) if file in labels else None,
            label_map="folders",
        )
        for file, (name, patient) in names.items()
    ]
    classes, table = classes_of_label_maps(listing, sorted(labels.values()), options)
    return make_dataset(resolved(listing.source).name, classes, {"folders": table}, cases)


def _require_modalities(listing: Listing, images: list[str], options: ImportOptions) -> None:
    """Raise InputError for scans in no modality's folder, and for more folders than anybody has modalities."""
    for file in images:
        if not _modality(file) and len(options.modalities) != 1:
            raise InputError(
                f"{listing.source / file}: lies in no modality's folder; say it for all of them, such as "
                f"--modalities t2, or where it stands in their names: {guessed_expression(images)}"
            )
    first = sorted({levels_of(file)[0] for file in images if _modality(file)})
    named = any(modality_words(scan_name(file)) for file in images)
    if (named or len(first) > MOST_MODALITIES) and first and not are_modalities(first):
        raise InputError(
            f"{listing.source}: its folders ({some_of(first)}) aren't called after modalities; say where these "
            f"stand, such as {guessed_expression(images)}; if folders are patients, say unpaired import patients"
        )


def _modality(file: str) -> str:
    """The first folder that isn't called after what lies in it; "" if there is none."""
    names = levels_of(file)
    return modality_name(names[0]) if names else ""


def _nested(images: list[str]) -> set[str]:
    """The modalities whose scans all have one name, in a folder for each patient: ct/p01/image.nii.gz."""
    names: defaultdict[str, list[str]] = defaultdict(list)
    for file in images:
        names[_modality(file)].append(scan_name(file) if levels_of(file)[1:] else "")
    return {modality for modality, known in names.items() if len(known) > 1 and len(set(known)) == 1 and all(known)}


def _case_name(file: str) -> tuple[str, str]:
    """The name of a scan's case and its patient, by the folders below its modality's."""
    name, below = scan_name(file), levels_of(file)[1:]
    return "_".join([*below, *([] if says_nothing(name) else [name])]), below[0]
