"""What a picture of one case needs: image, reference and prediction on one grid, the same way up for every file."""

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from unpaired.data.case import Geometry
from unpaired.data.dataset import CaseEntry, Dataset, Modality, encode_values
from unpaired.data.images import Image, read_image, read_label_map
from unpaired.data.label_values import prediction_values, translate
from unpaired.data.prediction_record import doubting_record, read_record
from unpaired.data.preprocess import Preprocessing, apply, apply_to_label
from unpaired.errors import InputError

UNKNOWN = -1


@dataclass(frozen=True)
class CaseView:
    """Arrays (depth, height, width) with depth along the acquired slices; rows and columns as radiologists see them.

    `reference` and `prediction` hold class numbers; either may be None. A negative reference voxel stands for several
    classes, so it is neither drawn nor counted. `edges` are the letters of the directions
    (left, right, top, bottom of the picture): L, R, A, P, S or I.
    """

    name: str
    modality: str
    classes: tuple[str, ...]
    volume: np.ndarray
    reference: np.ndarray | None
    prediction: np.ndarray | None
    spacing_mm: tuple[float, float, float]
    edges: tuple[str, str, str, str] | None = None


@dataclass(frozen=True)
class CaseFiles:
    """What the files of a case hold, on the image's own grid: its values, and class numbers as in `CaseView`."""

    image: Image
    reference: np.ndarray | None
    prediction: np.ndarray | None


def read_case_files(dataset: Dataset, case: CaseEntry, prediction: Path | None) -> CaseFiles:
    """Read a case's image, its reference if it has one and its prediction if one is given.

    Raises InputError for files that can't be read or don't lie on the image's grid.
    """
    image = read_image(case.image)
    reference = None
    if case.label is not None:
        single = {
            value: members[0] if len(members) == 1 else UNKNOWN
            for value, members in encode_values(dataset, case).items()
        }
        reference = _label_map(image, case.label, single)
    guess = None if prediction is None else read_prediction(dataset, case, image, prediction)
    return CaseFiles(image, reference, guess)


def read_prediction(dataset: Dataset, case: CaseEntry, image: Image, path: Path) -> np.ndarray:
    """A case's predicted label map as class numbers, by the record beside it if there is one.

    Raises InputError if it can't be read, isn't on the image's grid, or shows a class that the dataset doesn't have.
    """
    record = read_record(path)
    with doubting_record(record, path):
        return _label_map(image, path, prediction_values(dataset, case, record))


def read_case_view(dataset: Dataset, case: CaseEntry, prediction: Path | None) -> CaseView:
    """A case as `read_case_files` reads it, turned the way radiologists look at it, for drawing."""
    return view_of(dataset, case, read_case_files(dataset, case, prediction))


def view_of(dataset: Dataset, case: CaseEntry, files: CaseFiles) -> CaseView:
    """A case that was read, turned the way radiologists look at it, for drawing."""
    volume, geometry = apply(files.image, Preprocessing(), Modality("none"))
    reference, guess = (
        None if labels is None else apply_to_label(labels, geometry) for labels in (files.reference, files.prediction)
    )
    return CaseView(
        case.id, case.modality, dataset.classes, volume, reference, guess, geometry.spacing_mm, edge_letters(geometry)
    )


def edge_letters(geometry: Geometry) -> tuple[str, str, str, str]:
    """Where the left, right, top and bottom of a picture lie in the patient (the nearest of L, R, A, P, S, I)."""
    codes = nib.orientations.aff2axcodes(np.asarray(geometry.affine))
    opposite = {"L": "R", "R": "L", "A": "P", "P": "A", "S": "I", "I": "S"}
    ends: list[str] = []
    for position in (2, 1):
        code = codes[geometry.axes[position]]
        end = opposite[code] if geometry.flips[position] else code
        ends += [opposite[end], end]
    return ends[0], ends[1], ends[2], ends[3]


def _label_map(image: Image, path: Path, table: dict[int, int]) -> np.ndarray:
    labels = read_label_map(path).array
    if labels.shape != image.array.shape:
        raise InputError(f"{path}: expected the image's shape {image.array.shape}, got {labels.shape}")
    return translate(labels, table, path)
