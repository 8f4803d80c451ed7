"""A label map of a series as a DICOM SEG object: coded segments, right to the voxel, on the series' own slices.

highdicom writes the object. Each frame lies where a slice of the series lies and refers to it, so viewers overlay it
without resampling: for a tilted gantry and oblique or enhanced series, too.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from unpaired.data.class_codes import ClassCode, Code
from unpaired.dicom.codes import code_of, display_color
from unpaired.dicom.deidentify import deidentify
from unpaired.dicom.index import Series
from unpaired.dicom.source import MANUFACTURER, derived_number, read_source, save_object, share
from unpaired.dicom.stand_ins import refer_to_images, stand_ins
from unpaired.dicom.volume import on_frames
from unpaired.errors import InputError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Kind = Literal["binary", "labelmap"]
LONGEST = 64
"""Characters of a label or description in DICOM."""


@dataclass(frozen=True)
class Algorithm:
    """What made a label map: a name, a version, and hashes of the weights."""

    name: str
    version: str
    weights: tuple[str, ...] = ()


def write_segmentation(
    path: str | Path,
    label_map: np.ndarray,
    series: Series,
    classes: Sequence[str],
    algorithm: Algorithm,
    *,
    codes: Mapping[str, ClassCode | str] | None = None,
    kind: Kind = "binary",
    anonymous: bool = False,
) -> None:
    """Write a label map of class numbers, on the grid of `read_volume(series)`, as DICOM SEG; atomically.

    `classes` has background first; class number n becomes segment n, also where the label map has none of it. `kind`
    "binary" writes a frame for each segment and slice that isn't empty (what most viewers read), "labelmap" one frame
    a slice (Label Map Segmentation, of the standard since 2024). Patient and study are those of the series, but for
    `anonymous`, which applies the standard's basic profile (`deidentify`).

    Equal label maps of equal sources and weights have equal UIDs, so that an archive that has one isn't given another.
    Raises InputError for a label map of another shape or with other values, without the extra `dicom`, and for sources
    that can't be read.
    """
    if label_map.max(initial=0) >= len(classes) or label_map.min(initial=0) < 0:
        raise InputError(
            f"{path}: expected class numbers from 0 to {len(classes) - 1}, got {label_map.min()} to {label_map.max()}; "
            "give the classes that the label map has"
        )
    labels = on_frames(label_map, series).T.astype(np.uint8 if len(classes) <= 256 else np.uint16)
    dataset = segmentation_of(np.ascontiguousarray(labels), series, classes, algorithm, codes or {}, kind)
    if anonymous:
        deidentify(dataset)
    save_object(dataset, path)


def segmentation_of(
    labels: np.ndarray,
    series: Series,
    classes: Sequence[str],
    algorithm: Algorithm,
    codes: Mapping[str, ClassCode | str],
    kind: Kind,
) -> "Dataset":
    """The object of class numbers (slice, row, column) on the series' frames."""
    highdicom = require_highdicom()
    from pydicom.uid import generate_uid

    source, coded = read_source(series), [code_of(name, codes) for name in classes[1:]]
    digest = sha256(labels.tobytes()).hexdigest()
    seeds = [series.name, kind, *algorithm.weights, *classes, repr(coded), digest]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what sources say against the standard is copied as it is
        dataset = highdicom.seg.Segmentation(
            source_images=stand_ins(series, source),
            pixel_array=labels,
            segmentation_type=kind.upper(),
            segment_descriptions=[
                _description(number, name, code, algorithm)
                for number, (name, code) in enumerate(zip(classes[1:], coded, strict=True), start=1)
            ],
            series_instance_uid=generate_uid(entropy_srcs=["series", *seeds]),
            series_number=derived_number(series),
            sop_instance_uid=generate_uid(entropy_srcs=["instance", *seeds]),
            instance_number=1,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=algorithm.name[:LONGEST],
            software_versions=algorithm.version[:LONGEST],
            device_serial_number=("".join(algorithm.weights) or "none")[:LONGEST],
            content_label="SEGMENTATION",
            content_description=f"Segmentation by {algorithm.name}"[:LONGEST],
            series_description=f"{series.description} segmentation".strip()[:LONGEST],
            omit_empty_frames=bool(labels.any()),
        )
        refer_to_images(dataset, series)
        share(dataset, source, series, [*classes, repr(coded)])
    return dataset


def _description(number: int, name: str, code: ClassCode, algorithm: Algorithm) -> Any:
    """Segment `number`: what it shows in coded terms, its color, what made it."""
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import SegmentDescription
    from pydicom.sr.codedict import codes as terms

    described = SegmentDescription(
        segment_number=number,
        segment_label=name[:LONGEST],
        segmented_property_category=_term(code.category),
        segmented_property_type=_term(code.type),
        algorithm_type="AUTOMATIC",
        algorithm_identification=AlgorithmIdentificationSequence(
            name=algorithm.name[:LONGEST],
            family=terms.DCM.ArtificialIntelligence,
            version=algorithm.version[:LONGEST],
            parameters={f"weights {place}": digest for place, digest in enumerate(algorithm.weights, start=1)} or None,
        ),
        anatomic_regions=None if code.region is None else [_term(code.region)],
    )
    if code.modifier is not None:
        described.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [
            _term(code.modifier)
        ]
    if code.region is not None and code.region_modifier is not None:
        described.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = [_term(code.region_modifier)]
    described.RecommendedDisplayCIELabValue = list(display_color(code))
    return described


def _term(code: Code) -> Any:
    from highdicom.sr import CodedConcept

    return CodedConcept(code.value, code.scheme, code.meaning)


def require_highdicom() -> Any:
    try:
        import highdicom
    except ImportError as error:
        raise InputError(
            'DICOM SEG needs the package highdicom, which is not installed: pip install "unpaired[dicom]"'
        ) from error
    return highdicom
