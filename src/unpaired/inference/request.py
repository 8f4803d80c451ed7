"""What a prediction is asked for, as plain data without torch, so that another process can be asked for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from unpaired.choices import require_choice
from unpaired.configs import MOST_ANGLES, MOST_OVERLAP
from unpaired.data.dataset import Dataset
from unpaired.data.postprocess import Postprocessing
from unpaired.errors import InputError
from unpaired.inference.engine.plans import EngineName, Precision
from unpaired.inference.shards import Shard
from unpaired.runs.model_file import require_distinct_runs

if TYPE_CHECKING:
    from unpaired.runs.run import Run

Weights = Literal["best", "last"]
"""Those of the best validation Dice, or of the last step."""
Backend = Literal["torch", "onnxruntime", "openvino"]
"""What computes the networks; as `backends.engines` has it, without torch."""
Norms = Literal["trained", "adaptive"]
"""Where the statistics of batch norms are from: training, or each scan itself."""


@dataclass(frozen=True)
class How:
    """How each run predicts; `Predictor` says what the words mean. Raises InputError for a word, an overlap or an angle
    that can't be."""

    weights: Weights = "best"
    device: str = "auto"
    backend: Backend = "torch"
    postprocessing: Postprocessing | None = None
    mirror: bool = False
    mirror_anyway: bool = False
    modality_anyway: bool = False
    norms_of: str | None = None
    adaptive_norms: bool = False
    precision: Precision = "float32"
    engine: EngineName = "auto"
    overlap: float | None = None
    turned: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        require_choice(self.weights, Weights, "weights")
        require_choice(self.backend, Backend, "backend")
        require_choice(self.precision, Precision, "precision")
        require_choice(self.engine, EngineName, "engine")
        if self.overlap is not None and not 0 <= self.overlap <= MOST_OVERLAP:
            raise InputError(f"overlap: expected a share from 0 to {MOST_OVERLAP}, such as 0.25, got {self.overlap:g}")
        both_ways(self.turned)


def both_ways(degrees: Sequence[float]) -> tuple[float, ...]:
    """Angles (degrees) with their opposites, one form each: (30,) is -30 and 30; 0 is no turned form.

    Raises InputError for an angle that isn't from 0 to below 180, and for more than `MOST_ANGLES`.
    """
    if len(degrees) > MOST_ANGLES:
        raise InputError(
            f"turned: expected up to {MOST_ANGLES} angles, each of which is two more predictions, got {len(degrees)}; "
            "one such as 30 does"
        )
    for angle in degrees:
        if not 0 <= angle < 180:
            raise InputError(f"turned: expected angles of 0 or more and below 180 degrees, such as 30, got {angle:g}")
    return tuple(sign * float(angle) for angle in dict.fromkeys(degrees) if angle for sign in (-1, 1))


SegKind = Literal["binary", "labelmap"]
"""The kinds of DICOM SEG; as `dicom.segmentation` has them."""
ObjectKind = Literal["seg", "rtstruct", "sc", "pdf"]
"""What may be written of a series: DICOM SEG, RTSTRUCT, secondary captures with overlays, a report as PDF in DICOM."""
Place = Literal["here", "ray"]
"""Where jobs are done: on this machine one after the other, or wherever Ray has room."""


@dataclass(frozen=True)
class DicomWishes:
    """What is asked for of a tree of DICOM files; `unpaired.predict` says what it means.

    Raises InputError for kinds of objects that can't be written.
    """

    series: tuple[str, ...] = ()
    modality_from: str | None = None
    objects: tuple[ObjectKind, ...] = ("seg",)
    dicom_seg: SegKind = "binary"
    deidentify: bool = False

    def __post_init__(self) -> None:
        require_choice(self.dicom_seg, SegKind, "dicom_seg")
        for kind in self.objects:
            require_choice(kind, ObjectKind, "objects")


@dataclass(frozen=True)
class RayWishes:
    """That Ray deals the jobs out, to so many actors; None lets `on_ray` choose by the cores and GPUs there are."""

    actors: int | None = None


@dataclass(frozen=True)
class Request:
    """The arguments of `unpaired.predict`, which says what they mean; the first of `runs` decides label values."""

    runs: tuple[Path, ...]
    images: Path | tuple[Path, ...] | Dataset
    out: Path
    modality: str | None = None
    split: str | None = None
    how: How = How()
    probabilities: bool = False
    overwrite: bool = False
    trust: tuple[str | Path, ...] = ()
    shard: Shard | None = None
    dicom: DicomWishes = DicomWishes()
    ray: RayWishes | None = None


def listed_images(images: str | Path | Sequence[str | Path]) -> Path | tuple[Path, ...]:
    """The paths that are meant: several, or those in the lines of a text file (.txt), relative to its folder.

    Empty lines and those that begin with # count for nothing. Raises InputError for a list without a path, for one that
    is no text, and for a path of it that isn't there.
    """
    if not isinstance(images, str | Path):
        paths, where = [Path(image) for image in images], "images"
    elif Path(images).suffix.lower() == ".txt" and Path(images).is_file():
        where = str(images)
        try:
            lines = Path(images).read_text("utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise InputError(f"{where}: expected a text file with a path on each line, got other bytes") from error
        named = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
        paths = [Path(images).parent / Path(line).expanduser() for line in named]
    else:
        return Path(images)
    if not paths:
        raise InputError(f"{where}: expected paths of images, found none")
    for path in paths:
        if not path.exists():
            raise InputError(f"{where}: names {path}, where nothing is; check the path")
    return tuple(paths)


def request_of(
    runs: "Sequence[Run | str | Path]",
    images: Dataset | str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    modality: str | None = None,
    split: str | None = None,
    how: How = How(),
    probabilities: bool = False,
    overwrite: bool = False,
    trust: Sequence[str | Path] = (),
    shard: Shard | str | None = None,
    dicom: DicomWishes = DicomWishes(),
    ray: RayWishes | None = None,
) -> Request:
    """A request for runs that may be open already; what they trust is trusted.

    Raises InputError for a run that is named twice, for a list of images without a path, or with one where nothing is,
    and for a shard that can't be.
    """
    folders = tuple(Path(run) if isinstance(run, str | Path) else run.folder for run in runs)
    require_distinct_runs(folders)
    trusted = (*trust, *(word for run in runs if not isinstance(run, str | Path) for word in run.trust))
    scans = images if isinstance(images, Dataset) else listed_images(images)
    part = Shard.parse(shard) if isinstance(shard, str) else shard
    name = None if modality is None else modality.lower()  # as manifests have them, whatever a person types
    return Request(folders, scans, Path(out), name, split, how, probabilities, overwrite, trusted, part, dicom, ray)
