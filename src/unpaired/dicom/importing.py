"""A tree of DICOM files as a dataset: a case for every volume, labeled by the SEG and RTSTRUCT objects that name it.

Scans and label maps are written as NIfTI beside the manifest, on the scan's own grid. What can't be read is said and
costs no other case. Nobody's name is kept: a patient is called by a hash of the Patient ID. Age, sex and the scanner's
model are kept, as far as the files say them.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from unpaired.data.dataset import CaseEntry, Dataset
from unpaired.data.demographics import UNSTATED, Demographics, is_unstated, readable_demographics
from unpaired.data.file_names import same_file_key
from unpaired.data.formats.dicom_file import read_elements
from unpaired.data.images import write_image
from unpaired.data.importers.converted import convert
from unpaired.data.importers.listing import Listing, make_dataset
from unpaired.data.importers.options import ImportOptions, modality_name
from unpaired.data.manifest_json import RESERVED
from unpaired.dicom.attributes import tag_of, text
from unpaired.dicom.index import Index, Series, StoredObject
from unpaired.dicom.segmentation_reader import read_segmentation, read_segments
from unpaired.dicom.segments import LabelMap, Segment, Segmentation, require_same_space, segmented_series
from unpaired.dicom.structure_set import read_regions, read_structure_set
from unpaired.dicom.tree import list_dicom, looks_like_dicom
from unpaired.dicom.volume import read_volume
from unpaired.errors import InputError, UnwritableError, nearest

LOOKED_AT = 20
"""So many files of a folder without names that say it are opened to recognize DICOM."""
ADVICE = "name the classes that the scans may show with --classes 1:liver,2:spleen"


class Drawing(NamedTuple):
    """A segmentation and the series that it was drawn on."""

    segmentation: Segmentation
    series: Series


def recognize(listing: Listing) -> str | None:
    """Why a folder looks like one of DICOM files."""
    named = [file for file in listing.files if file.lower().endswith((".dcm", ".ima")) or file.endswith("DICOMDIR")]
    if named:
        return f"{len(named)} files such as {named[0]}"
    opened = next((file for file in listing.files[:LOOKED_AT] if looks_like_dicom(listing.source / file)), None)
    return f"DICOM files such as {opened}" if opened else None


def import_dicom(tree: str | Path, options: ImportOptions) -> Dataset:
    """The dataset of the volumes in a tree of DICOM files, written to `options.converted`.

    With `options.segmentations` the SEG and RTSTRUCT objects of the tree label the series that they name; classes are
    called by the objects' coded terms, by their labels where the table of codes lacks these (in whichever upper and
    lower case), and were looked for in the cases whose objects have them; regions without contours were not.
    `options.classes` ({value: class}, the values of the written label maps) keeps these
    alone. What is left out and why goes to `options.warn`. Raises InputError if there is no volume, no segmentation
    where one was asked for, and nothing that names the classes, and `UnwritableError` where the disk is full.
    """
    index = list_dicom(tree)
    for file, reason in index.named_failures():
        options.warn(f"{file}: {reason}")
    volumes = list(index.volumes())
    if not volumes:
        reasons = "; ".join(dict.fromkeys(series.problem or "" for series in index.series)) or "no DICOM images"
        raise InputError(f"{tree}: expected DICOM series that are volumes, found none ({reasons[:200]})")
    drawings = list(_drawings(index, options)) if options.segmentations else []
    classes = _classes(tree, drawings, options)
    cases = []
    for name, series in _named(volumes):
        own = [drawing for drawing in drawings if drawing.series == series]
        case = _case(name, series, own, classes, options)
        cases += [case] if case is not None else []
    if not cases:
        raise InputError(f"{tree}: none of its {len(volumes)} series can be read; the lines above say why")
    if options.segmentations and not any(case.label for case in cases):
        raise InputError(f"{tree}: no series has a segmentation that can be read; the lines above say why")
    table = {0: ("background",)} | {value: (name,) for value, name in classes.items()}
    return make_dataset(Path(tree).resolve().name, ("background", *classes.values()), {"dicom": table}, cases)


def _drawings(index: Index, options: ImportOptions) -> Iterator[Drawing]:
    """The segmentations of a tree that say which of its series they were drawn on."""
    for stored in index.objects:
        if stored.modality in ("SEG", "RTSTRUCT"):
            try:
                described = _describe(stored)
                series = segmented_series(described, index)
                require_same_space(described, series)
                for segment in described.segments:
                    if (word := segment.name.lower()) in RESERVED and word != "background":
                        options.warn(f"{stored.file}: {segment.label!r} left out: {RESERVED[word]}; call it otherwise")
                yield Drawing(described, series)
            except InputError as error:
                options.warn(f"left out: {error}")


def _describe(stored: StoredObject) -> Segmentation:
    return read_segments(stored.file) if stored.modality == "SEG" else read_regions(stored.file)


def _classes(tree: str | Path, drawings: Sequence[Drawing], options: ImportOptions) -> dict[int, str]:
    """{value: class} of the label maps."""
    names = sorted({segment.name for drawing in drawings for segment in _segments(drawing)})
    present = {same_file_key(name): name for name in reversed(names)}
    wanted = options.classes or dict(enumerate(sorted(present.values()), 1))
    classes = {value: name for value, name in wanted.items() if value}
    if not classes:
        asked = "no segmentation of it can be read" if options.segmentations else "--segmentations wasn't asked for"
        raise InputError(f"{tree}: nothing names classes ({asked}); {ADVICE}")
    if options.segmentations and not present:
        raise InputError(f"{tree}: no series has a segmentation that can be read; the lines above say why")
    for name in classes.values() if options.segmentations else ():
        if same_file_key(name) not in present:
            raise InputError(f"{tree}: no segmentation shows {name!r}; {nearest(name, list(present.values()))}")
    return classes


def _segments(drawing: Drawing) -> Iterator[Segment]:
    segments = drawing.segmentation.segments
    return (segment for segment in segments if segment.drawn and segment.name.lower() not in RESERVED)


def _named(volumes: Sequence[Series]) -> Iterator[tuple[str, Series]]:
    """A name for every volume that no other has: modality, patient, series number, part."""
    taken: defaultdict[str, int] = defaultdict(int)
    for series in volumes:
        part = f"_{series.part}" if series.parts > 1 else ""
        name = f"{modality_name(series.modality)}_{series.patient or 'unknown'}_{series.number}{part}"
        taken[name] += 1
        yield (name if taken[name] == 1 else f"{name}-{taken[name]}"), series


def _case(
    name: str, series: Series, drawings: Sequence[Drawing], classes: Mapping[int, str], options: ImportOptions
) -> CaseEntry | None:
    """The case of a volume; None, and a line, if it can't be read."""
    image, label = (options.converted / f"{name}{suffix}.nii.gz" for suffix in ("", "_seg"))
    place, path = series.files[0].parent, f"{series.files[0].parent.as_posix()}/{series.description}"
    try:
        convert([image], place, series.files, series.name, partial(_write_scan, series, image))
    except UnwritableError:
        raise
    except InputError as error:
        options.warn(f"left out: series {series.name}: {error}")
        return None
    names = {same_file_key(segment.name) for drawing in drawings for segment in _segments(drawing)}
    shown = tuple(class_ for class_ in classes.values() if same_file_key(class_) in names)
    labeled = bool(shown)
    if drawings and not labeled:
        objects = " and ".join(str(drawing.segmentation.path) for drawing in drawings)
        options.warn(f"{name} stays unlabeled: {objects}: nothing is drawn of {', '.join(classes.values())}")
    if labeled:
        sources = [drawing.segmentation.path for drawing in drawings]
        choices = " ".join(f"{value}:{class_}" for value, class_ in classes.items())
        write = partial(_write_label, series, drawings, classes, label, options)
        try:
            convert([label], place, [*series.files, *sources], choices, write)
        except UnwritableError:
            raise
        except InputError as error:
            options.warn(f"{name} stays unlabeled: {error}")
            labeled = False
    return CaseEntry(
        id=name,
        patient=options.patient_of(path, series.patient or name),
        modality=options.modality_of(path, series.modality.lower() or "unnamed"),
        image=image.resolve(),
        label=label.resolve() if labeled else None,
        label_map="dicom",
        annotated=shown if labeled else None,
        demographics=_demographics(series),
    )


def _demographics(series: Series) -> Demographics:
    """Age, sex and scanner by the series' first file; what it doesn't say, or not as DICOM has it, stays open."""
    words = ("PatientAge", "PatientSex", "ManufacturerModelName")
    try:
        elements = read_elements(series.files[0], [tag_of(word) for word in words], pixels=False).elements
    except InputError:
        return UNSTATED
    age, sex, model = (text(elements, word) for word in words)
    model = "" if is_unstated(model) else model
    known = is_unstated(series.manufacturer) or model.lower().startswith(series.manufacturer.lower())
    maker = "" if known else series.manufacturer
    return readable_demographics({"age": age, "sex": sex, "scanner": f"{maker} {model}".strip()})[0]


def _write_scan(series: Series, out: Path) -> None:
    image = read_volume(series, tilt="straighten")
    write_image(out, image)


def _write_label(
    series: Series, drawings: Sequence[Drawing], classes: Mapping[int, str], out: Path, options: ImportOptions
) -> None:
    """The label map of all segmentations of a series. Raises InputError where two of them show a class or a voxel."""
    merged = np.zeros(series.shape, np.uint8 if max(classes) < 256 else np.uint16)
    values = {same_file_key(name): value for value, name in classes.items()}
    drawn: dict[str, Path] = {}
    for segmentation, _ in drawings:
        keys = {segment.number: same_file_key(segment.name) for segment in segmentation.segments if segment.drawn}
        kept = [segment for segment in segmentation.segments if keys.get(segment.number) in values]
        for segment in kept:
            other = drawn.setdefault(keys[segment.number], segmentation.path)
            if other != segmentation.path:
                where = f"in {other} and in {segmentation.path}"
                raise InputError(f"{segment.name!r} is drawn twice, {where}; keep one of them")
        label_map = _read(segmentation, series, [segment.number for segment in kept])
        for note in label_map.notes:
            options.warn(f"{segmentation.path}: {note}")
        table = np.zeros(int(label_map.array.max()) + 1, merged.dtype)
        for segment in kept:
            if segment.number < len(table):
                table[segment.number] = values[keys[segment.number]]
        placed = table[label_map.array]
        if (merged[placed > 0] > 0).any():
            raise InputError(f"{segmentation.path}: overlaps with another segmentation of the series; keep one")
        merged = np.maximum(merged, placed)
    write_image(out, merged, series.affine_ras())


def _read(segmentation: Segmentation, series: Series, wanted: list[int]) -> LabelMap:
    reader = read_structure_set if segmentation.kind == "RTSTRUCT" else read_segmentation
    return reader(segmentation.path, series, wanted)
