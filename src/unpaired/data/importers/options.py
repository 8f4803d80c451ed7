"""What a person says of a dataset that its files don't say."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from unpaired.errors import InputError

Structures = Literal["papers", "all"]


@dataclass(frozen=True)
class ImportOptions:
    """How a folder is read where its files leave a choice.

    `converted` is where scans go that have to be written anew (DICOM series, channels of a 4D file, structures of one
    file each); everything else stays where it is. `modality_from` and `patient_from` are regular expressions, searched
    in a file's path below the folder with `/` between its parts: the first group, or the whole match, is the name.
    `classes` are {value: name} of label maps that nothing names. `segmentations` asks for the label maps of a DICOM
    tree's SEG and RTSTRUCT objects. `warn` gets a line for what is left out.
    """

    converted: Path
    modalities: tuple[str, ...] = ()
    structures: Structures = "papers"
    mr_pelvis: bool = True
    modality_from: str | None = None
    patient_from: str | None = None
    classes: Mapping[int, str] | None = None
    segmentations: bool = False
    warn: Callable[[str], None] = lambda line: None

    def modality_of(self, file: str, guess: str) -> str:
        """The modality of a file (its path below the folder), `guess` where no expression was given."""
        return modality_name(_first_group(self.modality_from, file, "modality") if self.modality_from else guess)

    def patient_of(self, file: str, name: str) -> str:
        """The patient of a file whose case is called `name`."""
        return _first_group(self.patient_from, file, "patient") if self.patient_from else patient_name(name)


_SESSION = re.compile(r"[_-](ses(sion)?|visit|tp|timepoint|followup)[_-]?[a-z0-9]+$|[_-]baseline$", re.IGNORECASE)
PATIENT_RULE = "a patient is a case's name without its session (_ses-2, _visit1, _tp3, _baseline)"
CT_WORDS = {"ct", "cta", "cect", "ncct", "cbct"}


def patient_name(name: str) -> str:
    """The person of a case by `PATIENT_RULE`: "sub-01" of "sub-01_ses-2"."""
    return _SESSION.sub("", name) or name


def modality_name(word: str) -> str:
    """A modality as manifests name them: "t1w" of "T1w", "t1-ce" of "T1 ce"."""
    return re.sub(r"[^a-z0-9_-]+", "-", word.strip().lower()).strip("-_") or "unnamed"


def is_ct(modality: str) -> bool:
    """Whether a modality's name says that its values are Hounsfield units."""
    return bool(CT_WORDS & set(re.split(r"[-_]", modality)))


def _first_group(pattern: str, file: str, what: str) -> str:
    try:
        match = re.search(pattern, file)
    except re.error as error:
        raise InputError(f"--{what}-from {pattern!r} is not a regular expression: {error}") from error
    name = match and (match[1] if match.re.groups else match[0])
    if not name:
        raise InputError(
            f"{file}: --{what}-from {pattern!r} finds no {what} in this path; give an expression that fits every scan"
        )
    return name
