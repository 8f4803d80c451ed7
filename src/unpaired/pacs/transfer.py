"""Series from an archive into a folder, and files into an archive; one that fails costs no other."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from unpaired.dicom.tree import looks_like_dicom
from unpaired.errors import InputError
from unpaired.failures import attempt
from unpaired.files import files_below, write_bytes, write_json
from unpaired.pacs.archive import OWN_TITLE, Archive, Login, Query, RemoteSeries
from unpaired.pacs.connection import connect, connected
from unpaired.pacs.instance import uids_of
from unpaired.pacs.storage import LOOPBACK, PORT, Listening

MARKER = ".fetched.json"
"""In a series' folder once all of it is there, with the number of its files."""
MOST_SERIES = 50
"""More at once have to be asked for (`limit`): a query that fits too much would fill the disk."""


@dataclass(frozen=True)
class Fetched:
    """What came: folders of series, those that were there already, and (series UID, why) of those that failed."""

    written: tuple[Path, ...]
    skipped: tuple[Path, ...]
    failures: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Sent:
    """How many files an archive took, and (file, why) of those that it didn't."""

    stored: int
    failures: tuple[tuple[str, str], ...]


def fetch_dicom(
    archive: str,
    out: str | Path,
    *,
    patient: str = "",
    accession: str = "",
    study: str = "",
    series: str = "",
    modality: str = "",
    date: str = "",
    limit: int = MOST_SERIES,
    title: str = OWN_TITLE,
    authority: Path | None = None,
    certificate: Path | None = None,
    key: Path | None = None,
    move: bool = False,
    listen: str = LOOPBACK,
    port: int = PORT,
    progress: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> Fetched:
    """Copy series of an archive into a folder: `out`/STUDY UID/SERIES UID/INSTANCE UID.dcm.

    archive: https://host/dicom-web (DICOMweb), or dicom://TITLE@host:104 (DIMSE; dicoms:// with TLS).  patient,
    accession, study, series: Patient ID, Accession Number and UIDs.  modality: CT, MR, SEG, ...  date: of the study,
    20260131 or 20260101-20260131.  limit: so many series at most.  title: this side's AE title.  authority,
    certificate, key: for TLS, see `Login`.  move: over DIMSE, let the archive send (C-MOVE) to `listen`:`port`, where
    this side listens meanwhile (with TLS if the address says dicoms), in place of C-GET; the archive has to know
    `title` there. A series that is there whole is skipped. `progress` gets (series done, series in all, UID). Raises
    InputError where nothing is asked for, nothing or too much fits, and where the archive can't be reached.
    """
    query = Query(patient, accession, study, series, modality, date)
    if query.is_empty():
        raise InputError("say what to fetch: a patient, an accession number, a study, a series or a date")
    listening = Listening(listen, port) if move else None
    with connected(archive, Login(title, authority, certificate, key), listening) as source:
        listed = source.find(query)
        if not listed:
            asked = ", ".join(f"--{name}" for name, value in asdict(query).items() if value)  # a value may be a name
            raise InputError(f"{archive} has no series that fits; check {asked}, and whether {title} may see it there")
        if len(listed) > limit:
            raise InputError(f"{len(listed)} series fit, {limit} are the limit; ask for less, or raise --limit")
        return _fetched(source, listed, Path(out), progress)


def _fetched(
    source: Archive, listed: Sequence[RemoteSeries], out: Path, progress: Callable[[int, int, str], None]
) -> Fetched:
    written: list[Path] = []
    skipped: list[Path] = []
    failures: list[tuple[str, str]] = []
    for number, remote in enumerate(listed, start=1):
        folder = out / remote.study_uid / remote.uid
        if is_whole(folder, remote):
            skipped.append(folder)
        else:
            _, problem = attempt(lambda remote=remote: fetch_series(source, remote, out))
            written += [folder] if problem is None else []
            failures += [(remote.uid, problem)] if problem is not None else []
        progress(number, len(listed), remote.uid)
    return Fetched(tuple(written), tuple(skipped), tuple(failures))


def send_dicom(
    archive: str,
    files: Sequence[str | Path] | str | Path,
    *,
    title: str = OWN_TITLE,
    authority: Path | None = None,
    certificate: Path | None = None,
    key: Path | None = None,
    progress: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> Sent:
    """Send DICOM files, or all of folders, to an archive.

    files: what is no DICOM in a folder is passed over.  The others are as for `fetch_dicom`. `progress` gets (files
    done, files in all, name). Raises InputError if there is nothing to send.
    """
    named = [Path(files)] if isinstance(files, str | Path) else [Path(file) for file in files]
    listed = list(dict.fromkeys(file for place in named for file in _files(place)))
    if not listed:
        raise InputError(f"expected DICOM files to send, found none in {', '.join(map(str, named))}")
    target = connect(archive, Login(title, authority, certificate, key))
    failures = []
    for number, (file, problem) in enumerate(target.store(listed), start=1):
        failures += [(str(file), problem)] if problem is not None else []
        progress(number, len(listed), file.name)
    return Sent(len(listed) - len(failures), tuple(failures))


def fetch_series(source: Archive, remote: RemoteSeries, out: Path) -> Path:
    """Write the files of a series, each atomically; its folder. Raises InputError where fewer come than it has."""
    count = 0
    for content in source.retrieve(remote):
        study, series, instance = uids_of(content, remote.uid)
        write_bytes(out / study / series / f"{instance}.dcm", content)
        count += 1
    if count == 0 or count < remote.instances:
        raise InputError(f"series {remote.uid}: {count} of {remote.instances or 'its'} images came; fetch it again")
    folder = out / remote.study_uid / remote.uid
    write_json(folder / MARKER, {"instances": count})
    return folder


def is_whole(folder: Path, remote: RemoteSeries) -> bool:
    """Whether a series was fetched whole, and the archive has no more of it now."""
    if not (folder / MARKER).is_file():
        return False
    there = sum(path.suffix == ".dcm" for path in folder.iterdir())
    return there > 0 and remote.instances in (0, there)


def _files(place: Path) -> Iterator[Path]:
    if place.is_dir():
        yield from (file for file in files_below(place) if file.is_file() and looks_like_dicom(file))
    elif place.is_file():
        yield place
    else:
        raise InputError(f"expected a DICOM file or a folder, found nothing at {place}; check the path")
