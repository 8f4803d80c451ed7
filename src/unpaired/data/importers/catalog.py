"""All the layouts that `unpaired import` reads: one table, which the command and its help are made from."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from unpaired.choices import require_choice, several, some_of
from unpaired.data.checks.spelling import similar_names
from unpaired.data.dataset import Dataset
from unpaired.data.importers import bids, datalist, folders, nnunet, patients, totalsegmentator
from unpaired.data.importers.amos import import_amos
from unpaired.data.importers.btcv import import_btcv
from unpaired.data.importers.chaos import import_chaos
from unpaired.data.importers.listing import MOST, Listing, list_files
from unpaired.data.importers.mmwhs import import_mmwhs
from unpaired.data.importers.mscmrseg import import_mscmrseg
from unpaired.data.importers.options import PATIENT_RULE, ImportOptions, Structures
from unpaired.data.importers.participants import read_participants, with_participants
from unpaired.data.manifest import TABLES, read_dataset, write_dataset
from unpaired.data.overwriting import require_other_file
from unpaired.errors import InputError, nearest

AUTO = "auto"
PATIENT_RULES = {
    **dict.fromkeys(("nnunet", "datalist", "totalsegmentator", "folders"), PATIENT_RULE),
    "patients": patients.RULE,
}
"""{layout: who a patient is}, of layouts that don't say it but by names."""


@dataclass(frozen=True)
class Layout:
    """How people lay out a dataset: what it looks like, how it is recognized, how it is read.

    `recognize` says in a few words why something looks like it, or None; `load` gives the dataset.
    """

    name: str
    looks_like: str
    recognize: Callable[[Listing], str | None]
    load: Callable[[Path, ImportOptions], Dataset]


def _named(pattern: str) -> Callable[[Listing], str | None]:
    """Recognizes files whose path ends as the pattern says."""
    expression = re.compile(rf"(?:.*/)?(?:{pattern})", re.IGNORECASE)

    def recognize(listing: Listing) -> str | None:
        names = [file for file in listing.files if expression.fullmatch(file)]
        return f"{len(names)} files such as {names[0]}" if names else None

    return recognize


def _table(listing: Listing) -> str | None:
    suffix = listing.source.suffix.lower()
    return f"a {suffix} file, a row for each case" if listing.source.is_file() and suffix in TABLES else None


def _load_amos(folder: Path, options: ImportOptions) -> Dataset:
    return import_amos(folder, "four" if options.structures == "papers" else "all", options.mr_pelvis)


def _load_btcv(folder: Path, options: ImportOptions) -> Dataset:
    return import_btcv(folder, "four" if options.structures == "papers" else "thirteen")


def _load_mmwhs(folder: Path, options: ImportOptions) -> Dataset:
    return import_mmwhs(folder, "four" if options.structures == "papers" else "seven")


def _load_chaos(folder: Path, options: ImportOptions) -> Dataset:
    return import_chaos(folder, options.converted, options.modalities)


def _dicom(listing: Listing) -> str | None:
    from unpaired.dicom.importing import recognize

    return recognize(listing)


def _load_dicom(folder: Path, options: ImportOptions) -> Dataset:
    from unpaired.dicom.importing import import_dicom

    return import_dicom(folder, options)


LAYOUTS = (
    Layout(
        "mscmrseg",
        "MS-CMRSeg 2019: patient1_C0.nii.gz, patient1_LGE_manual.nii.gz",
        _named(r"patient\d+_(C0|LGE|T2)\.nii(\.gz)?"),
        lambda folder, options: import_mscmrseg(folder),
    ),
    Layout(
        "mmwhs",
        "MM-WHS 2017: ct_train_1001_image.nii.gz, ct_train_1001_label.nii.gz",
        _named(r"(ct|mr)_(train|test)_\d+_image\.nii(\.gz)?"),
        _load_mmwhs,
    ),
    Layout("chaos", "CHAOS 2019: Train_Sets/MR/1/T2SPIR/DICOM_anon", _named(r"DICOM_anon/.*"), _load_chaos),
    Layout(
        "amos",
        "AMOS22: imagesTr/amos_0001.nii.gz",
        _named(r"images(Tr|Va|Ts)/amos_\d+\.nii(\.gz)?|amos_\d+_(CT|MRI)\.nii(\.gz)?"),
        _load_amos,
    ),
    Layout("btcv", "BTCV: img/img0001.nii.gz, label/label0001.nii.gz", _named(r"img\d{4}\.nii(\.gz)?"), _load_btcv),
    Layout(
        "nnunet",
        "nnU-Net's raw folders: dataset.json, imagesTr/CASE_0000.nii.gz",
        nnunet.recognize,
        nnunet.import_nnunet,
    ),
    Layout(
        "datalist",
        "Medical Segmentation Decathlon, MONAI: a JSON file that lists scans under training",
        datalist.recognize,
        datalist.import_datalist,
    ),
    Layout(
        "table", "a CSV or TSV table with patient, modality, image", _table, lambda path, options: read_dataset(path)
    ),
    Layout(
        "totalsegmentator",
        "TotalSegmentator: s0001/ct.nii.gz, s0001/segmentations/liver.nii.gz",
        totalsegmentator.recognize,
        totalsegmentator.import_totalsegmentator,
    ),
    Layout("bids", "BIDS: sub-01/anat/sub-01_T1w.nii.gz, derivatives", bids.recognize, bids.import_bids),
    Layout(
        "patients",
        "a folder a patient: p01/ct.nii.gz, p01/ct_seg.nii.gz",
        patients.recognize,
        patients.import_patients,
    ),
    Layout(
        "folders",
        "a folder a modality: ct/p01.nii.gz, ct/p01_seg.nii.gz",
        folders.recognize,
        folders.import_folders,
    ),
    Layout("dicom", "DICOM files in folders of any kind, with SEG and RTSTRUCT objects", _dicom, _load_dicom),
)
"""What is recognized first stands first: a layout above is also one below it, never the reverse."""
OTHER_NAMES = {"msd": "datalist", "monai": "datalist"}
"""{what people call a layout: its name}."""


@dataclass(frozen=True)
class ImportedDataset:
    """What `import_dataset` read and wrote: the dataset, its manifest, its layout, and why it was taken for that."""

    dataset: Dataset
    manifest: Path
    layout: str
    reason: str
    patient_rule: str | None
    """Who is a patient by the scans' names, where no file says it; None where the layout says it."""


def import_dataset(
    source: str | Path,
    out: str | Path,
    layout: str = AUTO,
    *,
    modalities: Sequence[str] = (),
    structures: Structures = "papers",
    mr_pelvis: bool = True,
    modality_from: str | None = None,
    patient_from: str | None = None,
    classes: Mapping[int, str] | None = None,
    segmentations: bool = False,
    participants: str | Path | None = None,
    warn: Callable[[str], None] = lambda line: None,
) -> ImportedDataset:
    """Write a manifest for a dataset that you have, in one of the layouts of `LAYOUTS`. Files stay where they are.

    `source` is its folder or file, `out` the manifest to write (.json, or a folder that gets dataset.json); `layout` is
    a name of `LAYOUTS` or `OTHER_NAMES`, or "auto": what it looks like. `modalities` keeps only these. `structures` and
    `mr_pelvis` are choices of the challenges' importers. `modality_from` and `patient_from` are regular expressions,
    searched in each scan's path below the folder: the first group (or the match) is its modality or patient. `classes`
    are {value: name} of label maps that nothing names, or {value: class} to keep of a DICOM tree's segmentations.
    `segmentations` labels the series of a DICOM tree by its SEG and RTSTRUCT objects. `participants` is a table that
    says of patients their age, sex, site and scanner (`importers.participants`). Scans that must be written anew (DICOM
    series, channels of a 4D file, structures of one file each) go to a folder of the manifest's name beside it. `warn`
    gets a line for what is left out of a DICOM tree, for names that differ in spelling alone, and for channels of one
    scan.

    Raises InputError if the source isn't laid out so, for a modality that it hasn't, for classes that nothing names,
    and for an `out` that would replace the source.
    """
    source, out = Path(source), Path(out)
    require_other_file(out, source)
    chosen, reason = _chosen(source, layout)
    converted = out.with_suffix("") if out.suffix == ".json" else out / chosen.name
    modalities = [name.lower() for name in several(modalities)]
    require_choice(structures, Structures, "structures")
    options = ImportOptions(
        converted,
        tuple(modalities),
        structures,
        mr_pelvis,
        modality_from,
        patient_from,
        classes,
        segmentations,
        warn,
    )
    people = {} if participants is None else read_participants(Path(participants), warn)  # before scans are written
    dataset = _only(chosen.load(source, options), modalities, source)
    if participants is not None:
        dataset = with_participants(dataset, Path(participants), people, warn)
    for line in (*similar_names(dataset, " (--patient-from REGEX)"), *_aligned(dataset)):
        warn(line)
    rule = PATIENT_RULES.get(chosen.name) if patient_from is None else None
    return ImportedDataset(dataset, write_dataset(dataset, out), chosen.name, reason, rule)


def recognize_layout(source: str | Path) -> tuple[Layout, str]:
    """The layout that a folder or file has, and why it is taken for it. Raises InputError if it looks like none."""
    listing = list_files(source, MOST)
    for layout in LAYOUTS:
        reason = layout.recognize(listing)
        if reason is not None:
            return layout, reason
    seen = some_of(listing.files) or "no file"
    raise InputError(
        f"{source}: expected one of the layouts {', '.join(layout.name for layout in LAYOUTS)} (unpaired import --help "
        f"shows what they look like), got {seen}; put your scans into a table: patient,modality,image,label"
    )


def _chosen(source: Path, name: str) -> tuple[Layout, str]:
    if name == AUTO:
        return recognize_layout(source)
    names = [layout.name for layout in LAYOUTS]
    meant = OTHER_NAMES.get(name, name)
    if meant not in names:
        raise InputError(f"unknown layout {name!r}; {nearest(name, [AUTO, *names, *OTHER_NAMES])}")
    return LAYOUTS[names.index(meant)], "as you say"


def _aligned(dataset: Dataset) -> Iterator[str]:
    """A line where one label map belongs to images of several modalities: these are channels of one scan."""
    modalities: dict[Path, list[str]] = {}
    for case in dataset.cases:
        if case.label is not None:
            modalities.setdefault(case.label, []).append(case.modality)
    channels = next((names for names in modalities.values() if len(set(names)) > 1), None)
    if channels:
        yield (
            f"{', '.join(channels)} are aligned channels of one scan; each becomes a modality that is segmented by "
            "itself (if all patients have all of them, a network that sees them together, such as nnU-Net, is better)"
        )


def _only(dataset: Dataset, modalities: Sequence[str], source: Path) -> Dataset:
    for name in modalities:
        if name not in dataset.modalities:
            raise InputError(f"{source} has no modality {name!r}; {nearest(name, list(dataset.modalities))}")
    kept = {name: scale for name, scale in dataset.modalities.items() if name in modalities or not modalities}
    return replace(dataset, modalities=kept, cases=tuple(case for case in dataset.cases if case.modality in kept))
