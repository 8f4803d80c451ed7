"""What is to be predicted, and what became of it: plain data, without torch, for whoever plans, does or watches it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from unpaired.data.dataset import Dataset
from unpaired.data.file_names import same_file_key
from unpaired.data.images import IMAGE_SUFFIXES, NIFTI, image_files, image_suffix, name_below
from unpaired.data.prediction_record import record_path
from unpaired.data.simulated import left_out, of_patients
from unpaired.errors import InputError
from unpaired.files import resolved
from unpaired.runs.folder import PROBABILITIES

if TYPE_CHECKING:
    from unpaired.dicom.index import Series


@dataclass(frozen=True)
class DicomScan:
    """A series to segment, which objects are written of it, and how."""

    series: "Series"
    objects: tuple[Literal["seg", "rtstruct", "sc", "pdf"], ...] = ("seg",)
    segmentation: Literal["binary", "labelmap"] = "binary"
    deidentify: bool = False


@dataclass(frozen=True)
class Job:
    """One image to segment and the file that its label map goes to; of a DICOM series `image` is its first file."""

    name: str
    image: Path
    modality: str
    output: Path
    dicom: DicomScan | None = None


@dataclass(frozen=True)
class Remark:
    """A line to know before anything is predicted."""

    text: str

    def lines(self) -> Iterator[str]:
        """What a person is told."""
        yield self.text


@dataclass(frozen=True)
class Begun:
    """Work on one job begins; `output` is its label map."""

    name: str
    output: Path

    def lines(self) -> Iterator[str]:
        """Nothing: how it ends is told."""
        return iter(())


@dataclass(frozen=True)
class CaseResult:
    """What became of one job; `output` is its label map. `text` says why it failed, `notes` what to know of a scan."""

    name: str
    output: Path
    result: Literal["written", "skipped", "failed"]
    text: str = ""
    notes: tuple[str, ...] = ()

    def lines(self) -> Iterator[str]:
        """What a person is told of it."""
        said = {"written": str(self.output), "skipped": "there already, skipped", "failed": f"failed: {self.text}"}
        yield f"{self.name}: {said[self.result]}"
        for note in self.notes:
            yield f"{self.name}: note: {note}"


@dataclass(frozen=True)
class Agreement:
    """A table was written that says how far averaged predictions agree, case by case."""

    table: Path

    def lines(self) -> Iterator[str]:
        """What a person is told."""
        yield f"the cases to look at first: {self.table}"


Event = Remark | Begun | CaseResult | Agreement
"""What a prediction tells while it works, in this order: remarks; of each job that it begins and ends; tables."""


@dataclass(frozen=True)
class Outcome:
    """What a prediction of many scans did, by case name; `failures` are (name, one line).

    `agreement` are the tables that say which cases to look at first, where several predictions were averaged.
    """

    written: list[str] = field(default_factory=list[str])
    skipped: list[str] = field(default_factory=list[str])
    failures: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    agreement: list[Path] = field(default_factory=list[Path])

    def telling(self, tell: Callable[[Event], None]) -> Callable[[Event], None]:
        """`tell`, of what is counted here first."""

        def count_and_tell(event: Event) -> None:
            self.add(event)
            tell(event)

        return count_and_tell

    def add(self, event: Event) -> None:
        """Note what an event says was done."""
        if isinstance(event, Agreement):
            self.agreement.append(event.table)
        elif isinstance(event, CaseResult) and event.result == "failed":
            self.failures.append((event.name, event.text))
        elif isinstance(event, CaseResult):
            (self.written if event.result == "written" else self.skipped).append(event.name)


def plan(
    images: Path | str | Sequence[Path] | Dataset,
    output: Path | str,
    modality: str | None = None,
    split: str | None = None,
) -> list[Job]:
    """What is to be segmented: one file, every image of a folder, those of several, or the cases of a dataset (of one
    side, if named), without those that are simulated beside cases of patients.

    Files and folders need a modality; a dataset knows its own (a modality given then chooses among its cases).
    A folder's images may lie in folders in it. Outputs are named `<case id or path in the folder>.nii.gz`. Raises
    InputError if there is nothing to segment, or if an image or a reference would be overwritten by a label map.
    """
    jobs = _jobs(images, Path(output), modality, split)
    inputs = {resolved(job.image): "image" for job in jobs}
    if isinstance(images, Dataset):
        inputs |= {resolved(case.label): "reference" for case in images.cases if case.label is not None}
    for job in jobs:
        if what := inputs.get(resolved(job.output)):
            raise InputError(
                f"the label map of {job.name} would overwrite the {what} {job.output}; name another folder"
            )
    return jobs


def _jobs(
    images: Path | str | Sequence[Path] | Dataset, output: Path, modality: str | None, split: str | None
) -> list[Job]:
    if isinstance(images, Dataset):
        cases = of_patients(images, modality, split)
        if not cases:
            wanted = "".join([f" of {modality!r}" if modality else "", f" in split {split!r}" if split else ""])
            splits = ", ".join(sorted({case.split for case in images.cases if case.split})) or "none"
            there = f"modalities: {', '.join(images.modalities)}; splits: {splits}"
            but = f" ({said})" if (said := left_out(images, modality, split)) else ""
            raise InputError(f"dataset {images.name} has no case{wanted}{but}; {there}")
        return [Job(case.id, case.image, case.modality, output / f"{case.id}.nii.gz") for case in cases]
    if not isinstance(images, str | Path):
        if image_suffix(output) is not None:
            raise InputError(f"several images need a folder for their label maps; name one instead of {output}")
        return list(_distinct(job for path in images for job in _jobs(path, output, modality, split)))
    images = Path(images)
    if not images.exists():
        raise InputError(f"expected an image, a folder or a manifest, found nothing at {images}; check the path")
    if modality is None:
        raise InputError(f"which modality is {images}? Name it with --modality (a manifest would say so itself)")
    if split is not None:
        raise InputError(
            f"split {split!r} needs a manifest, which says which case is on which side; {images} is not one"
        )
    if images.is_dir():
        jobs = [_file_job(file, modality, output, name_below(file, images)) for file in _scans(images, output)]
        return list(_distinct(jobs))
    suffix = image_suffix(output)
    if suffix in NIFTI:
        return [replace(_file_job(images, modality, output.parent, name_below(images, images.parent)), output=output)]
    if suffix is not None:
        raise InputError(f"label maps are written as NIfTI; name {output} .nii.gz or .nii, or name a folder")
    return [_file_job(images, modality, output, name_below(images, images.parent))]


def _scans(folder: Path, output: Path) -> list[Path]:
    """The images in and below a folder but for what predictions left there: the output, label maps with a record."""
    files = [
        file
        for file in image_files(folder, but=() if resolved(output) == resolved(folder) else (output,))
        if PROBABILITIES not in file.relative_to(folder).parts
        and not (image_suffix(file) in NIFTI and record_path(file).is_file())
    ]
    if not files:
        raise InputError(
            f"expected images ({', '.join(IMAGE_SUFFIXES)}) in {folder} or in folders in it, found none (label maps of "
            "earlier predictions don't count); check the folder"
        )
    return files


def _file_job(file: Path, modality: str, output: Path, name: str) -> Job:
    return Job(name, file, modality, output / f"{name}.nii.gz")


def _distinct(jobs: Iterable[Job]) -> Iterator[Job]:
    seen: dict[str, Job] = {}
    for job in jobs:
        key = same_file_key(job.name)
        if key in seen:
            first = seen[key]
            if job.image == first.image:
                raise InputError(f"{job.image} is named twice; take one out")
            where = "" if job.output == first.output else " (on a Mac and on Windows, which don't tell the names apart)"
            raise InputError(f"{job.image} and {first.image} would both be written to {job.output}{where}; rename one")
        seen[key] = job
        yield job
