"""The commands about datasets: phantom, import, join, verify, split, few-shot, labeled-fraction, prepare."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

import unpaired
from unpaired.commands.arguments import (
    Changes,
    Count,
    Data,
    Layout,
    ModalityName,
    OptionalCount,
    OptionalNumber,
    OptionalPath,
    OptionalText,
    Out,
    RecipeName,
    Source,
    list_failures,
    list_warnings,
    print_json,
    print_lines,
    progress_bar,
    table_width,
    warning,
)
from unpaired.data.dataset import MANIFEST

Manifests = Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="DATA")]
Names = Annotated[tuple[str, ...], tyro.conf.arg(metavar="MODALITY")]
OptionalNames = Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar="MODALITY")]
OptionalSideCounts = Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar="SIDE=COUNT")]
PatientCounts = Annotated[tuple[str, ...], tyro.conf.arg(metavar="MODALITY=COUNT")]


def phantom(
    out: Out,
    /,
    *,
    anatomy: Literal["heart", "abdomen"] = "heart",
    modalities: OptionalNames = None,
    like: OptionalPath = None,
    patients: OptionalSideCounts = None,
    size: Literal["tiny", "demo", "realistic"] = "demo",
    spacing_mm: OptionalNumber = None,
    ct_plane: Literal["axial", "short_axis"] = "axial",
    seed: int = 0,
    workers: int = 1,
) -> int:
    """Write a phantom dataset: simulated scans of different patients in each modality, with a manifest.

    Args:
        out: Folder to write to.
        anatomy: heart (ct, bssfp, lge) or abdomen (ct, t2).
        modalities: Only these modalities.
        like: A manifest that the phantom is to be joined with: it gets that one's modalities, their options and its
            classes, as far as the anatomy has them; its other structures are background.
        patients: How many of each modality, such as train=24 test=3.
        size: tiny (tests), demo (minutes to train), realistic (0.8 to 1.5 mm).
        spacing_mm: In-plane voxel size in mm, in place of the one of --size.
        ct_plane: CT as it is acquired, or reformatted like the MR.
        seed: Other seeds give other patients.
        workers: How many processes work at a time.
    """
    dataset = unpaired.write_phantom(
        out,
        anatomy=anatomy,
        modalities=modalities,
        like=like,
        patients=patients,
        size=size,
        spacing_mm=spacing_mm,
        ct_plane=ct_plane,
        seed=seed,
        workers=workers,
    )
    print(f"{len(dataset.cases)} cases of {', '.join(dataset.modalities)}: {out / MANIFEST}")
    print(f"classes: {', '.join(dataset.classes[1:])}")
    return 0


def import_(
    layout: Layout,
    source: Source,
    out: Out,
    /,
    *,
    modalities: Names = (),
    structures: Literal["papers", "all"] = "papers",
    mr_pelvis: bool = True,
    modality_from: OptionalText = None,
    patient_from: OptionalText = None,
    classes: OptionalText = None,
    segmentations: bool = False,
    participants: OptionalPath = None,
) -> int:
    """Write a manifest for a dataset that you have. Files stay where they are.

    Layouts: auto (what it looks like), nnunet (nnU-Net's raw folders, one dataset or all), datalist (or msd, monai: a
    JSON file that lists scans), bids, totalsegmentator (a file a structure), patients and folders (one a patient, or a
    modality; label maps beside the scans), table (a CSV with patient, modality, image, label), dicom (a tree of DICOM
    files, with SEG and RTSTRUCT objects), and the challenges' own: amos, btcv, chaos, mmwhs, mscmrseg.

    Args:
        layout: How the files lie.
        source: Its folder or file.
        out: The manifest to write, such as data/heart.json. Scans that must be written anew (CHAOS's DICOM and PNG
            files, channels of 4D files, TotalSegmentator's structures) go to a folder of its name beside it.
        modalities: Only these, such as t2 (default: all that are there).
        structures: Those of the papers' tables (four of amos's, btcv's and mmwhs's), or all that the files have.
        mr_pelvis: Of amos: whether bladder and prostate or uterus were looked for in MR; if not, an MR's background may
            be one of them.
        modality_from: A regular expression that finds the modality in a scan's path below the folder: its first group,
            such as "_(ct|mr)_".
        patient_from: The same for the patient.
        classes: Names of the label maps' values where no file says them: 1:liver,2:spleen. Of a DICOM tree's
            segmentations these are kept.
        segmentations: Of a DICOM tree: label each series by the SEG and RTSTRUCT objects that name it.
        participants: A CSV or TSV table of patients (a column patient or participant_id) with age, sex, site or
            scanner, for the model card. BIDS's participants.tsv is read unasked.
    """
    from unpaired.data.label_values import parse_classes
    from unpaired.data.store import stored_lines

    imported = unpaired.import_dataset(
        source,
        out,
        layout,
        modalities=modalities,
        structures=structures,
        mr_pelvis=mr_pelvis,
        modality_from=modality_from,
        patient_from=patient_from,
        classes=None if classes is None else parse_classes(classes),
        segmentations=segmentations,
        participants=participants,
        warn=warning,
    )
    if layout == "auto":
        print(f"{imported.layout}: {imported.reason}")
    if imported.patient_rule is not None:
        print(imported.patient_rule)
    print_lines(stored_lines(imported.dataset, imported.manifest))
    return 0


def join(data: Manifests, /, *, out: Path) -> int:
    """Make one dataset of several, such as the CT of one study and the MR of another. Files stay where they are.

    A class that one of them doesn't have was not looked for in its cases, so it isn't taken for background there.

    Args:
        data: Two manifests or more; patients of equal names are one person.
        out: The manifest to write.
    """
    unpaired.join(data, out, say=print)
    return 0


def verify(data: Data, /, *, json: bool = False, workers: int = 2) -> int:
    """Check every file of a dataset: geometry, values, labels, splits. Exit code 1 if there are errors.

    Args:
        data: The manifest (dataset.json or a table), or the folder that holds dataset.json.
        json: Print findings as JSON for programs.
        workers: How many processes work at a time.
    """
    from rich.console import Console

    from unpaired.data.checks.findings import print_findings

    with progress_bar("verify") as progress:
        findings = unpaired.verify(data, workers=workers, progress=progress)
    if json:
        print_json(findings.to_json())
    else:
        print_findings(findings, Console(width=table_width(), highlight=False))
    return 1 if findings.errors else 0


def split(
    data: Data,
    out: Out,
    /,
    *,
    test: float = 0.2,
    validation: float = 0.1,
    folds: OptionalCount = None,
    patients: PatientCounts = (),
    training_only: OptionalPath = None,
    seed: int = 0,
) -> int:
    """Draw a split by patient, the same patient never on two sides, and store it in a file.

    Args:
        data: The manifest (dataset.json or a table), or the folder that holds dataset.json.
        out: The split file to write (JSON); with --folds a folder that gets fold0.json, fold1.json, ...
        test: Share of patients for testing, such as 0.2 for 20 % (without --folds).
        validation: Share of patients for choosing the best weights.
        folds: Cross-validation: every patient is tested in exactly one of so many splits.
        patients: Only so many patients of a modality take part, drawn by the seed: mr=9.
        training_only: A manifest that was joined into DATA, such as one of simulated scans: its cases train in every
            split, and the others are drawn as if these weren't there.
        seed: Other seeds draw other patients.
    """
    unpaired.split(
        data,
        out,
        test=test,
        validation=validation,
        folds=folds,
        patients=patients,
        training_only=training_only,
        seed=seed,
        say=print,
        warn=warning,
    )
    return 0


def few_shot(
    data: Data, out: Out, modality: ModalityName, patients: Count, /, *, split: OptionalPath = None, seed: int = 0
) -> int:
    """Write a split with few training patients of one modality; everything else stays on its side.

    Args:
        data: The manifest (dataset.json or a table), or the folder that holds dataset.json.
        out: The split file to write (JSON).
        modality: The modality that is to be scarce.
        patients: How many of its training patients are kept.
        split: The split file to start from; else the manifest's own sides.
        seed: Other seeds draw other patients.
    """
    unpaired.few_shot(data, modality, patients, out, split=split, seed=seed, say=print, warn=warning)
    return 0


def labeled_fraction(data: Data, out: Out, /, *, fraction: float, split: OptionalPath = None, seed: int = 0) -> int:
    """Write a split in which only a share of the training patients keep their labels; the others train unlabeled.

    Args:
        data: The manifest (dataset.json or a table), or the folder that holds dataset.json.
        out: The split file to write (JSON).
        fraction: The share of each modality's labeled training patients that keep their labels, such as 0.1.
        split: The split file to start from; else the manifest's own sides.
        seed: Other seeds draw other patients; with one seed those of a smaller share are among those of a larger one.
    """
    unpaired.labeled_fraction(data, fraction, out, split=split, seed=seed, say=print, warn=warning)
    return 0


def prepare(
    recipe: RecipeName,
    data: Data,
    out: Out,
    /,
    *,
    changes: Changes = (),
    workers: int = 2,
) -> int:
    """Prepare a dataset as a recipe wants it (training does this by itself). Finished cases are never redone.

    Args:
        recipe: Its name, file.py:function, or a run's folder or recipe.json.
        data: The manifest (dataset.json or a table), or the folder that holds dataset.json.
        out: Cache folder.
        changes: Change fields of the recipe, such as preprocessing.plane=axial.
        workers: How many processes work at a time.
    """
    with progress_bar("prepare") as progress:
        prepared = unpaired.prepare(recipe, data, out, changes=changes, workers=workers, progress=progress)
    print(f"{len(prepared.cases)} prepared cases in {out}")
    list_warnings(prepared.warnings)
    return list_failures(prepared.failures)
