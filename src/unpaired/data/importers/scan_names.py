"""What names of files and folders tell: which are label maps, of which scan, and which words are modalities."""

import re
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np

from unpaired.data.images import read_label_map
from unpaired.data.importers.label_names import classes_by_value
from unpaired.data.importers.listing import Listing, stem
from unpaired.data.importers.options import ImportOptions
from unpaired.errors import InputError

MODALITY_WORDS = {
    *("ct", "cta", "cbct", "cect", "ncct", "pet", "us"),
    *("mr", "mri", "mra", "t1", "t1w", "t1c", "t1ce", "t1gd", "cet1", "t2", "t2w", "t2s", "flair", "pd", "pdw"),
    *("adc", "dwi", "hbv", "swi", "tof", "dce", "dixon", "lge", "bssfp", "cine", "c0"),
}
_LABEL = r"(seg(mentation)?s?|labels?|masks?|gt|ground[_-]?truth|manual|annotations?|dseg|rois?)"
_LABEL_NAME = re.compile(rf"[_.-]{_LABEL}$|^{_LABEL}[_.-](?=.)", re.IGNORECASE)
_LABEL_ALONE = re.compile(_LABEL, re.IGNORECASE)
_LABEL_FOLDER = re.compile(rf"{_LABEL}(tr|ts|va)?", re.IGNORECASE)
_IMAGE_NAME = re.compile(r"[_.-](image|img|scan|0000)$|^(image|img|scan)[_.-](?=.)", re.IGNORECASE)
_IMAGE_FOLDER = re.compile(r"(images?|imgs?|scans?|volumes?|data)(tr|ts|va)?", re.IGNORECASE)
_SIDE_FOLDER = re.compile(r"train(ing)?|val(idation)?|test(ing)?|nii|nifti|anat", re.IGNORECASE)


def is_label(file: str) -> bool:
    """Whether a scan's path names a label map: by its own name or by a folder's."""
    *folders, _ = file.split("/")
    name = stem(file) or ""
    by_name = _LABEL_NAME.search(name) or _LABEL_ALONE.fullmatch(name)
    return bool(by_name) or any(_LABEL_FOLDER.fullmatch(folder) for folder in folders)


def says_nothing(name: str) -> bool:
    """Whether a scan or folder is called after what lies in it ("image", "labels"), and nothing else."""
    return not name or bool(_IMAGE_FOLDER.fullmatch(name) or _LABEL_FOLDER.fullmatch(name))


def scan_name(file: str) -> str:
    """A scan's name without what says that it is one, "p01" of "ct/p01_image.nii.gz"; a label map's its scan's."""
    name = stem(file) or ""
    if _LABEL_ALONE.fullmatch(name):
        return ""
    name = _LABEL_NAME.sub("", name)
    return _IMAGE_NAME.sub("", name) or name


def folders_of(file: str) -> tuple[str, ...]:
    """The folders on the way to a scan that aren't called after what lies in them."""
    return tuple(name for name in file.split("/")[:-1] if not says_nothing(name))


def levels_of(file: str) -> tuple[str, ...]:
    """The folders on the way to a scan that may be a modality's, a patient's or a session's."""
    return tuple(name for name in folders_of(file) if not _SIDE_FOLDER.fullmatch(name))


def modality_words(text: str) -> list[str]:
    """The words of a name that are modalities', each once, in order, in small letters; "mr" only if it stands alone."""
    words = (word.lower() for word in re.split(r"[^A-Za-z0-9]+", text))
    known = list(dict.fromkeys(word for word in words if word in MODALITY_WORDS))
    return [word for word in known if word not in ("mr", "mri")] or known[:1]


def are_modalities(names: Collection[str]) -> bool:
    """Whether folders are called after modalities: half of them at least, since a patient may be called "C0" too."""
    return 2 * sum(bool(modality_words(name)) for name in names) >= len(names) > 0


def guessed_expression(files: Iterable[str]) -> str:
    """How to say the modality by an expression: with the words of the names that are modalities', if there are any."""
    known = {word for file in files for word in modality_words(file)}
    ordered = sorted(known, key=lambda word: (-len(word), word))
    return f"--modality-from '({'|'.join(ordered or ['ct', 'mr'])})'"


def labels_of_scans(listing: Listing, images: list[str], in_one_folder: bool) -> dict[str, str]:
    """{scan: its label map}: of the same name in the same folder, but for folders called after what lies in them.

    Where folders hold the scans of `in_one_folder` patient each, a label map whose name says no more than that it is
    one (`seg`, `p01_seg` beside `p01_ct`) is that of the folder's only scan. Raises InputError for a label map without
    its scan, for two of one scan, and where it may belong to several.
    """
    scans = {(folders_of(file), scan_name(file)): file for file in images}
    labels: dict[str, str] = {}
    for file in filter(is_label, listing.scans()):
        where, name = folders_of(file), scan_name(file)
        scan = scans.get((where, name))
        if scan is None and in_one_folder:
            scan = _only_scan(listing.source / file, name, [known for known in images if folders_of(known) == where])
        if scan is None:
            raise InputError(
                f"{listing.source / file}: a label map by its name, but no scan {name!r} lies beside it; "
                "add the scan, or move this away"
            )
        if scan in labels:
            raise InputError(
                f"{listing.source / file}: a second label map of {scan_name(scan)!r}, beside {labels[scan]}; keep one"
            )
        labels[scan] = file
    return labels


def _only_scan(label: Path, name: str, beside: list[str]) -> str | None:
    """The only scan beside a label map whose name goes on from the label map's."""
    fitting = [file for file in beside if not name or re.match(rf"{re.escape(name)}[_.-]", scan_name(file))]
    if len(fitting) > 1:
        names = [scan_name(file) for file in fitting]
        raise InputError(
            f"{label}: a label map of {' or '.join(names)}? call it after its scan, such as {names[0]}_seg.nii.gz"
        )
    return fitting[0] if fitting else None


def classes_of_label_maps(
    listing: Listing, labels: list[str], options: ImportOptions
) -> tuple[tuple[str, ...], dict[int, tuple[str, ...]]]:
    """The classes that a person named; else InputError with the values that the label maps hold."""
    if options.classes:
        return classes_by_value(options.classes)
    values: set[int] = set()
    for file in labels:
        values |= set(np.unique(read_label_map(listing.source / file).array).tolist())
    guess = ",".join(f"{value}:NAME" for value in sorted(values - {0})[:8]) or "1:NAME"
    seen = (
        f"label maps hold the values {', '.join(map(str, sorted(values)[:20]))}" if labels else "no label map is there"
    )
    raise InputError(f"{listing.source}: {seen}; name the classes: --classes {guess}")
