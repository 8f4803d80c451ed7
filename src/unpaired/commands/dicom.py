"""The commands about DICOM: dicom list, dicom fetch, dicom send."""

from pathlib import Path
from typing import Annotated

import tyro

import unpaired
from unpaired.commands.arguments import OptionalPath, Out, list_failures, print_table, progress_bar

ArchiveName = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="ARCHIVE")]
Files = Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="FILE")]
Trees = Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="TREE")]


def dicom_list(tree: Trees, /, *, json: bool = False, workers: int = 2) -> int:
    """List the series in folders of DICOM files: what each is, and whether it is a volume, or why it is none.

    Folders may be nested, files may have any name and lie among others. A series that holds several volumes (echoes,
    phases, b-values, directions) is listed once for each. No patient's name is shown.

    Args:
        tree: Folders, files or a DICOMDIR.
        json: Print JSON for programs, with the files of each series.
        workers: Processes.
    """
    from unpaired.dicom.listing import index_as_json, series_table

    with progress_bar("list") as progress:
        index = unpaired.list_dicom(tree, workers=workers, progress=progress)
    if json:
        print(index_as_json(index))
        return 1 if index.failures else 0
    print_table(series_table(index))
    return list_failures(index.named_failures())


def dicom_fetch(
    archive: ArchiveName,
    out: Out,
    /,
    *,
    patient: str = "",
    accession: str = "",
    study: str = "",
    series: str = "",
    modality: str = "",
    date: str = "",
    limit: int = 50,
    title: str = "UNPAIRED",
    authority: OptionalPath = None,
    certificate: OptionalPath = None,
    key: OptionalPath = None,
) -> int:
    """Copy series of an archive (PACS) into a folder: OUT/STUDY UID/SERIES UID/INSTANCE UID.dcm. Skips what is there.

    Over DICOMweb names and passwords come from ~/.netrc, a bearer token from UNPAIRED_DICOMWEB_TOKEN.

    Args:
        archive: https://host/dicom-web (DICOMweb), or dicom://TITLE@host:104 (DIMSE, dicoms:// with TLS).
        out: Folder to write to.
        patient: Patient ID.
        accession: Accession Number.
        study: Study UID.
        series: Series UID.
        modality: Only series of this DICOM modality, such as CT, MR or SEG.
        date: Of the study: 20260131, or 20260101-20260131.
        limit: So many series at most; where more fit nothing is fetched.
        title: The AE title that this side calls itself by (DIMSE).
        authority: A PEM file with the certificate that the archive's is checked against (default: the system's).
        certificate: A PEM file with this side's own certificate, for archives that ask for it.
        key: The PEM file of its key.
    """
    with progress_bar("fetch") as progress:
        fetched = unpaired.fetch_dicom(
            archive,
            out,
            patient=patient,
            accession=accession,
            study=study,
            series=series,
            modality=modality,
            date=date,
            limit=limit,
            title=title,
            authority=authority,
            certificate=certificate,
            key=key,
            progress=progress,
        )
    print(f"{len(fetched.written)} series fetched, {len(fetched.skipped)} skipped, {len(fetched.failures)} failed")
    return list_failures(list(fetched.failures))


def dicom_send(
    archive: ArchiveName,
    files: Files,
    /,
    *,
    title: str = "UNPAIRED",
    authority: OptionalPath = None,
    certificate: OptionalPath = None,
    key: OptionalPath = None,
) -> int:
    """Send DICOM files, or all of folders, to an archive (PACS).

    Over DICOMweb names and passwords come from ~/.netrc, a bearer token from UNPAIRED_DICOMWEB_TOKEN.

    Args:
        archive: https://host/dicom-web (DICOMweb), or dicom://TITLE@host:104 (DIMSE, dicoms:// with TLS).
        files: Files or folders; what is no DICOM in a folder is passed over.
        title: The AE title that this side calls itself by (DIMSE).
        authority: A PEM file with the certificate that the archive's is checked against (default: the system's).
        certificate: A PEM file with this side's own certificate, for archives that ask for it.
        key: The PEM file of its key.
    """
    with progress_bar("send") as progress:
        sent = unpaired.send_dicom(
            archive, files, title=title, authority=authority, certificate=certificate, key=key, progress=progress
        )
    print(f"{sent.stored} files sent, {len(sent.failures)} failed")
    return list_failures(list(sent.failures))
