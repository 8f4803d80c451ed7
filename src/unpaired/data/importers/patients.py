"""A folder for each patient, with scans called after what they are, as studies leave an archive.

    FOLDER/p01/ct.nii.gz              FOLDER/p01/ct_seg.nii.gz
    FOLDER/p02/p02_LGE.nii.gz         FOLDER/p02/seg.nii.gz          of the only scan in its folder
    FOLDER/p03/visit1/T2/image.nii.gz

A scan's modality is the word of its name, or of a folder below the patient's, that is called like one. Where scans of
one patient share it (T1 and T1_post), or no name has such a word, it is what the names say besides the patient, if that
repeats from patient to patient. Label maps are told from scans as in `importers.folders`.
"""

import re
from collections import Counter, defaultdict
from pathlib import Path

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

RULE = "a patient is a folder's name without its session (_ses-2, _visit1, _tp3, _baseline)"
MOST_ALIKE = 4
"""So many scans of a modality a patient has at most; who has more may be a site."""


def recognize(listing: Listing) -> str | None:
    """Why a folder looks like one of patients: what lies in its folders is called alike, and they aren't."""
    images = [file for file in listing.scans() if not is_label(file)]
    people = _patients(images)
    if len(set(people.values())) < 2 or are_modalities(set(people.values())):
        return None
    kinds = {file: _kind(file, name) for file, name in people.items()}
    if not _named_by_word(kinds, people) and not _repeat(kinds, people):
        return None
    number, shown = len(set(people.values())), ", ".join(list(dict.fromkeys(filter(None, kinds.values())))[:4])
    return f"a folder for each of {number} patients" + (f", with scans such as {shown}" if shown else "")


def import_patients(folder: str | Path, options: ImportOptions) -> Dataset:
    """The dataset of the scans below `folder`, whose folders are patients; nothing is copied or written.

    Raises InputError if there is no scan in a folder, where names don't tell the modality, for a label map that fits no
    scan or several, and for label maps whose values `options.classes` doesn't name.
    """
    listing = list_files(folder)
    images = [file for file in listing.scans() if not is_label(file)]
    people = _patients(images)
    if not people:
        raise InputError(
            f"{folder}: expected a folder for each patient, such as p01/ct.nii.gz, found none; name the folder above "
            "these"
        )
    modalities = _modalities(listing, people, options)
    labels = labels_of_scans(listing, images, in_one_folder=True)
    names = {file: f"{people[file]}_{modality}" for file, modality in modalities.items()}
    times = Counter(names.values())
    cases = [
        CaseEntry(
            id=names[file] if times[names[file]] == 1 else _long_name(file, people[file]),
            patient=options.patient_of(file, people[file]),
            modality=modality,
            image=placed(listing.source / file),
            label=placed(listing.source / labels[file]) if file in labels else None,
            label_map="patients",
        )
        for file, modality in modalities.items()
    ]
    classes, table = classes_of_label_maps(listing, sorted(labels.values()), options)
    return make_dataset(resolved(listing.source).name, classes, {"patients": table}, cases)


def _patients(images: list[str]) -> dict[str, str]:
    """{scan: the folder that is its patient}: the first that not all scans share; {} if one lies in none."""
    paths = {file: levels_of(file) for file in images}
    while paths and all(len(path) > 1 for path in paths.values()) and len({path[0] for path in paths.values()}) == 1:
        paths = {file: path[1:] for file, path in paths.items()}
    return {file: path[0] for file, path in paths.items()} if all(paths.values()) else {}


def _kind(file: str, patient: str) -> str:
    """What a scan's folders below the patient's and its name say besides the patient: "t2" of "p01/T2/p01.nii.gz"."""
    folders = levels_of(file)
    parts = [*folders[folders.index(patient) + 1 :], scan_name(file)]
    alone = re.compile(rf"(?<![A-Za-z0-9]){re.escape(patient)}(?![A-Za-z0-9])", re.IGNORECASE)
    left = [part for part in (alone.sub("", part).strip("_-. ") for part in parts) if not says_nothing(part)]
    return modality_name("-".join(left)) if left else ""


def _modalities(listing: Listing, people: dict[str, str], options: ImportOptions) -> dict[str, str]:
    """{scan: modality}, by the person's word where there is one, else by its names."""
    if options.modality_from is not None:
        return {file: options.modality_of(file, "") for file in people}
    kinds = {file: _kind(file, name) for file, name in people.items()}
    words = {file: modality_words(kind) for file, kind in kinds.items()}
    if all(len(known) == 1 for known in words.values()):
        by_word = {file: word for file, (word,) in words.items()}
        if _once_each(by_word, people) or not _repeat(kinds, people):
            return by_word
    mixed = any(words.values()) and not all(words.values())  # a label map that is called after its organ?
    if options.modalities or (all(kinds.values()) and not mixed and _repeat(kinds, people)):
        lone = "".join(options.modalities) if len(options.modalities) == 1 else ""
        named = {file: kind or lone for file, kind in kinds.items()}
        if all(named.values()):
            return named
    odd = next((file for file, known in words.items() if not known), next(iter(people)))
    raise InputError(
        f"{listing.source / odd}: its name doesn't say which modality it is; say it by {guessed_expression(people)}, "
        "keep some by --modalities ct mr, or call a label map after its scan (ct_seg.nii.gz)"
    )


def _once_each(modalities: dict[str, str], people: dict[str, str]) -> bool:
    """Whether no patient has two scans of a modality."""
    return max(Counter((people[file], modality) for file, modality in modalities.items()).values()) == 1


def _named_by_word(kinds: dict[str, str], people: dict[str, str]) -> bool:
    """Whether every scan's name has a modality's word, and no patient many of one: then folders aren't sites."""
    words = {file: modality_words(kind)[:1] for file, kind in kinds.items()}
    times = Counter((people[file], *word) for file, word in words.items())
    return all(words.values()) and max(times.values()) <= MOST_ALIKE


def _repeat(kinds: dict[str, str], people: dict[str, str]) -> bool:
    """Whether what scans are called besides their patient repeats from patient to patient, and is less than these."""
    patients: defaultdict[str, set[str]] = defaultdict(set)
    for file, kind in kinds.items():
        patients[kind].add(people[file])
    shared = sum(len(those) > 1 for those in patients.values())
    return 2 * shared >= len(patients) and len(patients) <= len(set(people.values()))


def _long_name(file: str, patient: str) -> str:
    """A case's name by all folders from its patient's on."""
    folders = levels_of(file)
    return "_".join([*folders[folders.index(patient) :], scan_name(file)])
