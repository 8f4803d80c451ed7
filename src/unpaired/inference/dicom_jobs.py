"""Series of DICOM trees as jobs: which are segmented and why, how one is read."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from unpaired.data.content import content_hash
from unpaired.data.image import Image
from unpaired.data.images import image_files, image_suffix, read_image
from unpaired.data.prediction_record import SERIES, Source, record_path
from unpaired.dicom.choice import Choice, choose
from unpaired.dicom.index import Index
from unpaired.dicom.tree import holds_dicom, list_dicom
from unpaired.dicom.volume import read_volume
from unpaired.errors import InputError
from unpaired.failures import attempt
from unpaired.inference.jobs import DicomScan, Job
from unpaired.inference.modality_check import ModalityCheck
from unpaired.inference.request import DicomWishes
from unpaired.runs.run import Run


def is_dicom(images: Path | Sequence[Path]) -> bool:
    """Whether what was named is DICOM: files, a DICOMDIR, or folders with such files somewhere below.

    Raises InputError for a folder that holds both DICOM files and volumes of other formats that no prediction wrote,
    and for several paths that are DICOM in part.
    """
    if not isinstance(images, Path):
        kinds = {is_dicom(path): path for path in images}
        if len(kinds) > 1:
            raise InputError(f"{kinds[True]} is DICOM, {kinds[False]} is not; name images of one kind")
        return True in kinds
    if not images.exists() or not holds_dicom(images):
        return False
    files = image_files(images) if images.is_dir() else []
    others = [path.name for path in files if path.suffix.lower() != ".png" and not record_path(path).is_file()]
    if others:
        raise InputError(
            f"{images} holds DICOM and other images ({others[0]}); name the one that is meant, or move them "
            "into folders of their own"
        )
    return True


def dicom_jobs(
    run: Run,
    images: Path | Sequence[Path],
    out: Path,
    modality: str | None,
    wishes: DicomWishes,
    tell: Callable[[str], None],
) -> list[Job]:
    """A job for each series of a tree, or of several, that fits the run; `tell` gets a line for each, taken or not.

    Label maps are named after modality and series number with eight letters that no other series has: never after a
    patient. Raises InputError if no series fits.
    """
    if image_suffix(out) is not None:
        raise InputError(f"a tree of DICOM files may hold several series: name a folder instead of {out}")
    index = list_dicom(images)
    for path, message in index.named_failures():
        tell(f"{path}: left out, {message}")
    choices = _chosen(index, run, modality, wishes)
    for choice in choices:
        tell(choice.line())
    jobs = [_job(choice, out, wishes) for choice in choices if choice.modality is not None]
    if not jobs:
        where = images if isinstance(images, Path) else f"{len(images)} paths"
        raise InputError(
            f"{where}: expected a series of {', '.join(run.modalities)}, found none that fits among {len(choices)} "
            "(unpaired dicom list shows what is there); choose by --series, or say what they are by --modality"
        )
    return jobs


def read_scan(job: Job) -> Image:
    """The image of a job: of its file, or of its series."""
    return read_image(job.image) if job.dicom is None else read_volume(job.dicom.series)


def source_of(job: Job) -> Source:
    """What was segmented, for the record: a file, or a series by its UID, since paths may hold a patient's name."""
    if job.dicom is None:
        return Source(str(job.image), content_hash(job.image))
    series = job.dicom.series
    digests = " ".join(content_hash(path) for path in series.files)
    return Source(f"{SERIES}{series.name}", sha256(digests.encode()).hexdigest())


def _job(choice: Choice, out: Path, wishes: DicomWishes) -> Job:
    series, modality = choice.series, choice.modality or ""
    name = f"{modality}-{series.number}-{sha256(series.name.encode()).hexdigest()[:8]}"
    scan = DicomScan(series, wishes.objects, wishes.dicom_seg, wishes.deidentify)
    return Job(name, series.files[0], modality, out / f"{name}.nii.gz", scan)


def _chosen(index: Index, run: Run, modality: str | None, wishes: DicomWishes) -> list[Choice]:
    choices = choose(
        index, list(run.modalities), wanted=wishes.series, modality=modality, modality_from=wishes.modality_from
    )
    check = ModalityCheck(run) if any(choice.candidates for choice in choices) else None
    return [_by_values(choice, check) if check and choice.candidates else choice for choice in choices]


def _by_values(choice: Choice, check: ModalityCheck) -> Choice:
    """What the values of a series decide, where its description doesn't: by the scans that the run was trained on."""
    image, _ = attempt(lambda: read_volume(choice.series))
    if image is None:
        return choice
    fitting = [name for name in choice.candidates if check.doubt(image, name) is None]
    if len(fitting) != 1:
        return choice
    return replace(choice, modality=fitting[0], reason="its values are like those in training", candidates=())
