"""The commands about DICOM: dicom list, dicom fetch, dicom send, dicom watch."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

import unpaired
from unpaired.commands.arguments import (
    Device,
    OptionalPath,
    OptionalText,
    Out,
    RunFolder,
    Trusted,
    Weights,
    list_failures,
    print_json,
    print_table,
    progress_bar,
)

ArchiveName = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="ARCHIVE")]
Files = Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="FILE")]
Titles = Annotated[tuple[str, ...], tyro.conf.arg(metavar="TITLE")]
Title = Annotated[str, tyro.conf.arg(help="The AE title that this side calls itself by (DIMSE).")]
Authority = Annotated[
    OptionalPath,
    tyro.conf.arg(
        help="A PEM file with the certificate that the other side's is checked against (default: the system's)."
    ),
]
Certificate = Annotated[
    OptionalPath, tyro.conf.arg(help="A PEM file with this side's own certificate, for archives that ask for it.")
]
Key = Annotated[OptionalPath, tyro.conf.arg(help="The PEM file of the certificate's key.")]
Spool = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="SPOOL")]
Trees = Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="TREE")]


def dicom_list(tree: Trees, /, *, json: bool = False, workers: int = 2, index: OptionalPath = None) -> int:
    """List the series in folders of DICOM files: what each is, and whether it is a volume, or why it is none.

    Folders may be nested, files may have any name and lie among others. A series that holds several volumes (echoes,
    phases, b-values, directions) is listed once for each. No patient's name is shown.

    Args:
        tree: Folders, files or a DICOMDIR.
        json: Print JSON for programs, with the files of each series.
        workers: How many processes work at a time.
        index: A file that keeps what was read: the same command goes on from it, and reads what is new or changed.
    """
    from unpaired.dicom.listing import index_to_json, series_table

    with progress_bar("list") as progress:
        listed = unpaired.list_dicom(tree, workers=workers, index=index, progress=progress)
    if json:
        print_json(index_to_json(listed))
    else:
        print_table(series_table(listed))
    return list_failures(listed.named_failures())


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
    title: Title = "UNPAIRED",
    authority: Authority = None,
    certificate: Certificate = None,
    key: Key = None,
    move: bool = False,
    listen: str = "127.0.0.1",
    port: int = 11112,
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
        move: Let the archive send (C-MOVE), for those that don't answer C-GET; it has to know --title at this machine.
        listen: With --move: the address to receive at; others than this machine reach it only at one such as 0.0.0.0.
        port: With --move: the port to receive at.
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
            move=move,
            listen=listen,
            port=port,
            progress=progress,
        )
    print(f"{len(fetched.written)} series fetched, {len(fetched.skipped)} skipped, {len(fetched.failures)} failed")
    return list_failures(list(fetched.failures))


def dicom_send(
    archive: ArchiveName,
    files: Files,
    /,
    *,
    title: Title = "UNPAIRED",
    authority: Authority = None,
    certificate: Certificate = None,
    key: Key = None,
) -> int:
    """Send DICOM files, or all of folders, to an archive (PACS).

    Over DICOMweb names and passwords come from ~/.netrc, a bearer token from UNPAIRED_DICOMWEB_TOKEN.

    Args:
        archive: https://host/dicom-web (DICOMweb), or dicom://TITLE@host:104 (DIMSE, dicoms:// with TLS).
        files: Files or folders; what is no DICOM in a folder is passed over.
    """
    with progress_bar("send") as progress:
        sent = unpaired.send_dicom(
            archive, files, title=title, authority=authority, certificate=certificate, key=key, progress=progress
        )
    print(f"{sent.stored} files sent, {len(sent.failures)} failed")
    return list_failures(list(sent.failures))


def dicom_watch(
    run: RunFolder,
    archive: ArchiveName,
    spool: Spool,
    /,
    *,
    poll: float = 0.0,
    since: str = "",
    move: bool = False,
    listen: str = "127.0.0.1",
    port: int = 11112,
    accept: Titles = (),
    tls: bool = False,
    title: Title = "UNPAIRED",
    authority: Authority = None,
    certificate: Certificate = None,
    key: Key = None,
    objects: tuple[Literal["seg", "rtstruct"], ...] = ("seg",),
    modality: OptionalText = None,
    modality_from: OptionalText = None,
    weights: Weights = "best",
    device: Device = "auto",
    quiet: float = 30.0,
    limit_gb: float = 20.0,
    health_port: int = 11180,
    trust: Trusted = (),
) -> int:
    """Run a service: predict every series that comes, and send DICOM SEG or RTSTRUCT to an archive, until stopped.

    Series come by C-STORE, or with --poll are fetched from the archive. The run is loaded once. What came and what
    waits lies in SPOOL: a service that was killed goes on from it. Each series is predicted at most once.

    Args:
        run: A trained run.
        archive: Where objects go: https://host/dicom-web, or dicom://TITLE@host:104 (dicoms:// with TLS).
        spool: A folder for the queue, the scans that wait, and the log watch.log.
        poll: Ask the archive for new series every so many seconds, instead of receiving.
        since: With --poll: studies of this day (20260131) and later; default yesterday.
        move: With --poll: let the archive send (C-MOVE), for those that don't answer C-GET.
        listen: The address to receive at; others than this machine reach it only at one such as 0.0.0.0.
        port: The port to receive at.
        accept: AE titles that may send (default: any).
        tls: Receive with TLS only; with --authority senders have to show a certificate.
        objects: What is sent back: seg, rtstruct, or both.
        modality: What all series are; else what DICOM says decides.
        modality_from: A regular expression that finds the modality in a series' description.
        quiet: Seconds without a new image after which a series is whole.
        limit_gb: Of disk for SPOOL; beyond it nothing is taken.
        health_port: A page on this machine alone: http://127.0.0.1:11180/, and /health as JSON.
    """
    unpaired.watch_dicom(
        run,
        archive,
        spool,
        poll=poll,
        since=since,
        move=move,
        listen=listen,
        port=port,
        accept=accept,
        tls=tls,
        title=title,
        authority=authority,
        certificate=certificate,
        key=key,
        objects=objects,
        modality=modality,
        modality_from=modality_from,
        weights=weights,
        device=device,
        quiet=quiet,
        limit_gb=limit_gb,
        health_port=health_port,
        trust=trust,
        tell=_print_at_once,
    )
    return 0


def _print_at_once(line: str) -> None:
    """To standard output as it happens, also into a file or a journal."""
    print(line, flush=True)
