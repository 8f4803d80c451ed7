"""CHAOS 2019: abdomens in MR (T2-SPIR, T1 in and out of phase) and in CT of other people (Kavur et al. 2021, MedIA 69).

    FOLDER/**/MR/1/T2SPIR/DICOM_anon/*.dcm                      FOLDER/**/MR/1/T2SPIR/Ground/*.png
    FOLDER/**/MR/1/T1DUAL/DICOM_anon/{InPhase,OutPhase}/*.dcm   FOLDER/**/MR/1/T1DUAL/Ground/*.png   (of both phases)
    FOLDER/**/CT/1/DICOM_anon/*.dcm                             FOLDER/**/CT/1/Ground/*.png          (the liver alone)
    FOLDER/**/image_1.nii.gz  FOLDER/**/label_1.nii.gz          copies of the T2-SPIR scans as NIfTI

PNG stacks have no geometry of their own, so official series are converted to NIfTI once, each label map on its series'
grid; copies are referred to where they are. A PNG belongs to the DICOM file of its name, else both are taken in the
order of their names: never in that of positions, which may run against it. Then anatomy has the word: see
`_require_anatomy`.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from unpaired.data.dataset import CaseEntry, Dataset, Modality
from unpaired.data.images import grid_problem, read_image, write_image
from unpaired.data.importers.converted import convert
from unpaired.data.importers.listing import walk_files
from unpaired.data.importers.named_files import find_named_files
from unpaired.dicom.one_series import SeriesVolume, dicom_files, read_series
from unpaired.errors import InputError, nearest
from unpaired.files import placed

ORGANS = ("liver", "spleen", "right kidney", "left kidney")
"""The four that CHAOS and BTCV share, in the order of SSC's tables."""
VALUES = {"liver": 1, "right kidney": 2, "left kidney": 3, "spleen": 4}
"""{organ: its value in converted label maps}, as in the NIfTI copies."""
GRAYS = {"liver": (55, 70), "right kidney": (110, 135), "left kidney": (175, 200), "spleen": (240, 255)}
"""What the PNGs mean: 63, 126, 189 and 252, with the ranges that the organizers accept."""
TEST = (1, 13, 32, 38)
"""T2-SPIR scans that SIFA and the works after it test on, as its authors say in their public thread."""
MODALITIES = {"t2": "T2SPIR", "t1-in": "T1DUAL InPhase", "t1-out": "T1DUAL OutPhase", "ct": "CT"}
_COPY = re.compile(r"(image|label)_(\d+)\.nii(\.gz)?", re.IGNORECASE)


def import_chaos(folder: str | Path, converted: str | Path, modalities: Sequence[str] = ()) -> Dataset:
    """The dataset found in `folder`, searched with its subfolders; official series are written to `converted` as NIfTI.

    `modalities` are those wanted of `MODALITIES` (none: all that are there); files that `converted` already holds are
    kept where they were made of the same series (`importers.converted`). A CT and an MR of one number are different
    people; scans of one MR number are one patient. In CT the liver alone was looked for. T2 comes with the split of
    `TEST`, all others train. Scans without a Ground (the challenge's test sets) are unlabeled. Raises InputError for a
    folder without CHAOS, a series that is no volume, a Ground that doesn't fit its series, gray values that mean
    nothing, organs that are not where they can be, and converted files of another source.
    """
    folder, converted = Path(folder), Path(converted)
    for name in modalities:
        if name not in MODALITIES:
            raise InputError(f"CHAOS has no modality {name!r}; {nearest(name, list(MODALITIES))}")
    wanted = tuple(modalities) or tuple(MODALITIES)
    official = _series_folders(folder) if folder.is_dir() else []
    cases = list(_official(official, converted, wanted)) if official else list(_copies(folder))
    cases = [case for case in cases if case.modality in wanted]
    if not cases:
        raise InputError(
            f"{folder}: CHAOS without {' or '.join(MODALITIES[name] for name in wanted)}; name those that it has"
        )
    present = [name for name in MODALITIES if name in {case.modality for case in cases}]
    ct = Modality("zscore", clip=(-175.0, 250.0))
    return Dataset(
        name="chaos",
        classes=("background", *ORGANS),
        modalities={name: ct if name == "ct" else Modality("zscore") for name in present},
        cases=tuple(cases),
        label_maps={"chaos": _label_map()},
        about="CHAOS 2019 challenge. CC BY-NC-SA 4.0.",
    )


def gray_values(pixels: np.ndarray, ct: bool, where: Path) -> np.ndarray:
    """The label values (`VALUES`) of a PNG's gray values; in CT all that isn't 0 is liver.

    Raises InputError, naming the file `where`, for a gray value that means nothing.
    """
    table = np.full(256, 255, np.uint8)
    table[0] = 0
    if ct:
        table[1:] = VALUES["liver"]
    for organ, (low, high) in {} if ct else GRAYS.items():
        table[low : high + 1] = VALUES[organ]
    values = table[pixels]
    if (values == 255).any():
        gray = int(pixels[values == 255][0])
        known = ", ".join(f"{low}-{high} {organ}" for organ, (low, high) in GRAYS.items())
        raise InputError(f"{where}: gray value {gray} means no organ of CHAOS (0, {known}); download the file again")
    return values


def _label_map() -> dict[int, tuple[str, ...]]:
    """Values of converted files and of copies, be they numbered or gray."""
    converted: dict[int, tuple[str, ...]] = {0: ("background",)} | {value: (organ,) for organ, value in VALUES.items()}
    return converted | {gray: (organ,) for organ, (low, high) in GRAYS.items() for gray in range(low, high + 1)}


def _series_folders(folder: Path) -> list[Path]:
    """The folders DICOM_anon, those that are empty too, also where folders above them are links."""
    walked = (place for file in walk_files(folder) for place in file.parents if place.name == "DICOM_anon")
    return sorted({*folder.rglob("DICOM_anon"), *walked})


def _copies(folder: Path) -> Iterator[CaseEntry]:
    files = find_named_files(
        folder,
        "CHAOS",
        _COPY,
        key_of=lambda match: int(match[2]),
        is_label=lambda match: match[1].lower() == "label",
        image_name=lambda key: f"image_{key}.nii.gz",
        example="MR/1/T2SPIR/DICOM_anon, or copies as image_1.nii.gz and label_1.nii.gz",
    )
    for number in sorted(files.images):
        yield _entry("mr", str(number), "t2", files.images[number], files.labels.get(number))


def _official(places: Iterable[Path], converted: Path, wanted: Sequence[str]) -> Iterator[CaseEntry]:
    """The cases of each folder DICOM_anon, converted as they are asked for."""
    first: dict[str, Path] = {}
    for place in sorted(places, key=lambda path: [_natural(part) for part in path.parts]):
        kind = place.parent.name.upper()
        if kind in ("T2SPIR", "T1DUAL"):
            scanner, number = "mr", place.parent.parent.name
        elif place.parent.parent.name.upper() == "CT":
            kind, scanner, number = "CT", "ct", place.parent.name
        else:
            raise InputError(f"{place}: expected MR/1/T2SPIR, MR/1/T1DUAL or CT/1 around it; keep CHAOS's own folders")
        series = {"T2SPIR": {"t2": place}, "CT": {"ct": place}}.get(
            kind, {"t1-in": place / "InPhase", "t1-out": place / "OutPhase"}
        )
        name = f"{scanner}{number}_{kind}"
        if name in first:
            raise InputError(
                f"{place}: found a second time (first {first[name]}); name a folder that holds each scan once"
            )
        first[name] = place
        ground = place.parent / "Ground"
        for modality in (key for key in series if key in wanted):
            named_by = series.get("t1-in", series[modality])
            image, label = _convert(series[modality], named_by, ground, converted / f"{scanner}{number}_{modality}")
            yield _entry(scanner, number, modality, image, label)


def _entry(scanner: str, number: str, modality: str, image: Path, label: Path | None) -> CaseEntry:
    split = None
    if modality == "t2" and label is not None:
        split = "test" if number.isdigit() and int(number) in TEST else "train"
    return CaseEntry(
        id=f"{scanner}{number}" if scanner == "ct" else f"{scanner}{number}_{modality}",
        patient=f"{scanner}{number}",
        modality=modality,
        image=placed(image),
        label=None if label is None else placed(label),
        label_map="chaos",
        annotated=("liver",) if scanner == "ct" else None,
        split=split,
    )


def _convert(folder: Path, named_by: Path, ground: Path, stem: Path) -> tuple[Path, Path | None]:
    """Image and label map of one series as NIfTI; `named_by` is the series whose file names the PNGs bear."""
    image = stem.with_name(f"{stem.name}.nii.gz")
    label = stem.with_name(f"{stem.name}_label.nii.gz") if ground.is_dir() else None
    files = [image] if label is None else [image, label]
    sources = [folder] if label is None else [folder, *({named_by} - {folder}), ground]
    convert(files, folder, sources, "", partial(_write, folder, named_by, ground, image, label))
    return image, label


def _write(folder: Path, named_by: Path, ground: Path, image: Path, label: Path | None) -> None:
    series = read_series(dicom_files(folder))
    if label is not None:
        named = series if named_by == folder else read_series(dicom_files(named_by))
        problem = grid_problem(series.image, named.image)
        if problem is not None:
            raise InputError(
                f"{folder}: isn't on the grid of {named_by}, which shares its Ground; leave this patient out"
            )
        labels = _labels(named, ground)
        _require_anatomy(series, labels, ground)
        write_image(label, labels, series.image.affine)
    write_image(image, series.image.array, series.image.affine)


def _labels(series: SeriesVolume, ground: Path) -> np.ndarray:
    """The label map on the series' grid: a PNG's rows and columns are those of its DICOM file."""
    pngs = sorted(
        (path for path in ground.iterdir() if path.suffix.lower() == ".png"), key=lambda file: _natural(file.name)
    )
    files = sorted(series.files, key=lambda file: _natural(file.name))
    if len(pngs) != len(files):
        raise InputError(f"{ground}: {len(pngs)} PNG for {len(files)} slices in {files[0].parent}; download it again")
    by_name = {path.stem.lower(): path for path in pngs}
    same = all(file.stem.lower() in by_name for file in files)
    png_of = {file: by_name[file.stem.lower()] if same else png for file, png in zip(files, pngs, strict=True)}
    labels = np.zeros(series.image.array.shape, np.uint8)
    ct = ground.parent.parent.name.upper() == "CT"
    for number, file in enumerate(series.files):
        pixels = read_image(png_of[file]).array[..., 0]
        if pixels.shape != labels.shape[:2]:
            raise InputError(
                f"{png_of[file]}: {pixels.shape} pixels, {file.name} has {labels.shape[:2]}; download it again"
            )
        labels[..., number] = gray_values(pixels, ct, png_of[file])
    return labels


def _require_anatomy(series: SeriesVolume, labels: np.ndarray, ground: Path) -> None:
    """InputError if slices or sides are the wrong way around.

    The liver is of one tissue: its values spread less in the right order than with slices reversed or sides mirrored
    (in all 16 T2 scans of a public copy, by a factor of 1.7 or more). It lies to the right of the spleen and above the
    kidneys.
    """
    liver = labels == VALUES["liver"]
    if not liver.any():
        raise InputError(f"{ground}: no liver in any slice; download it again")
    orders = {"right": liver, "reverse slice order": liver[..., ::-1], "reverse left-right order": liver[::-1]}
    spreads = {order: float(series.image.array[mask].std()) for order, mask in orders.items()}
    best = min(spreads, key=lambda order: spreads[order])
    if spreads[best] < spreads["right"]:
        raise InputError(f"{ground}: fits its series better in {best}; check the files' names and order")
    centers = {organ: _center_mm(labels == value, series) for organ, value in VALUES.items() if (labels == value).any()}
    if "spleen" in centers and centers["liver"][0] <= centers["spleen"][0]:
        raise InputError(f"{ground}: the liver lies to the patient's left of the spleen; check the DICOM orientation")
    for kidney in ("right kidney", "left kidney"):
        if kidney in centers and centers["liver"][2] <= centers[kidney][2]:
            raise InputError(f"{ground}: the liver lies below the {kidney}; check the order of the slices")


def _center_mm(mask: np.ndarray, series: SeriesVolume) -> np.ndarray:
    center = np.argwhere(mask).mean(axis=0)
    return (series.image.affine @ np.array([*center, 1.0]))[:3]


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts numbers in a name by value: "2" before "10"."""
    return [(int(part), "") if part.isdigit() else (-1, part.lower()) for part in re.split(r"(\d+)", name)]
