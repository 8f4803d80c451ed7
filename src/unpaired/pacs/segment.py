"""A folder with the files of a series to the objects that are sent back, by a run that is loaded once."""

from collections.abc import Sequence
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from unpaired.consent.modules import Trust
from unpaired.dicom.choice import choose
from unpaired.dicom.index import Series
from unpaired.dicom.segmentation import Algorithm, write_segmentation
from unpaired.dicom.structure_set_writer import write_structure_set
from unpaired.dicom.tree import list_dicom
from unpaired.dicom.volume import read_volume
from unpaired.errors import InputError
from unpaired.inference.predictor import Predictor
from unpaired.runs.run import Run

ObjectKind = Literal["seg", "rtstruct"]


class SkippedError(InputError):
    """A series isn't for this run; the message says why. Nothing is sent back."""


@runtime_checkable
class Segmenter(Protocol):
    """What makes objects of a series."""

    def segment(self, scans: Path, out: Path) -> list[Path]:
        """The objects of the volumes in a folder of files, written to `out`. Raises `SkippedError` if none fits."""
        ...


class RunSegmenter:
    """A trained run that segments series.

    `modality` says what all series are, `modality_from` is an expression searched in their descriptions; without them
    what DICOM says decides (`dicom.choice`). `objects` are the kinds that are written of each volume.
    """

    def __init__(
        self,
        run: Run | str | Path,
        *,
        weights: str = "best",
        device: str = "auto",
        modality: str | None = None,
        modality_from: str | None = None,
        objects: Sequence[ObjectKind] = ("seg",),
        trust: Trust = (),
    ) -> None:
        self.predictor = Predictor(run, weights, device, trust=trust)
        self.modality, self.modality_from, self.objects = modality, modality_from, tuple(objects)
        if not self.objects:
            raise InputError("name what is to be sent back: seg, rtstruct or both")

    def segment(self, scans: Path, out: Path) -> list[Path]:
        """The objects of each volume that fits the run."""
        index = list_dicom(scans)
        choices = choose(
            index, list(self.predictor.run.modalities), modality=self.modality, modality_from=self.modality_from
        )
        fitting = [choice for choice in choices if choice.modality is not None]
        if not fitting:
            reasons = "; ".join(dict.fromkeys(choice.reason for choice in choices)) or "no images"
            raise SkippedError(f"it fits no modality of the run ({reasons[:200]})")
        return [path for choice in fitting for path in self._write(choice.series, choice.modality or "", out)]

    def _write(self, series: Series, modality: str, out: Path) -> list[Path]:
        dataset = self.predictor.run.dataset
        label_map = self.predictor.segment(read_volume(series), modality)
        name, written = sha256(series.name.encode()).hexdigest()[:12], []
        if "seg" in self.objects:
            algorithm = Algorithm("unpaired", version("unpaired"), (self.predictor.weights_hash,))
            written.append(out / f"{name}-seg.dcm")
            write_segmentation(written[-1], label_map, series, dataset.classes, algorithm, codes=dataset.codes)
        if "rtstruct" in self.objects:
            names = dict(enumerate(dataset.classes[1:], start=1))
            written.append(out / f"{name}-rtstruct.dcm")
            write_structure_set(written[-1], label_map, series, names, dataset.codes, label="unpaired")
        return written
