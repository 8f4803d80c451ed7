"""What a command writes never takes the place of what it was made from, nor of results about something else."""

from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from unpaired.choices import some_of
from unpaired.data.dataset import Dataset
from unpaired.data.manifest import manifest_files
from unpaired.documents import read
from unpaired.errors import InputError
from unpaired.files import require_writable, resolved, write_json

SCHEMA = 1
ADVICE = "delete this folder, or name another one (--out)"
"""What to do about a folder whose word on what it is about can't be read."""
HEAD_BYTES = 4096
"""A file that is about something says so in its first bytes (`Subject.mark`)."""


@dataclass(frozen=True)
class Subject:
    """What results are about: the command that makes them, and the runs, predictions and datasets that it looks at.

    `of` are their places, sorted: in another order they are the same.
    """

    command: str
    of: tuple[str, ...]

    @property
    def mark(self) -> str:
        """Sixteen hexadecimal digits that stand for it in a file that may be given away: no paths."""
        return sha256("\n".join([self.command, *self.of]).encode()).hexdigest()[:16]

    def about_file(self, folder: Path) -> Path:
        """The file that says in a folder of results what they are about."""
        return folder / f"{self.command}.about.json"


def subject(command: str, *places: Path | str | Dataset | None) -> Subject:
    """The subject of a command that looks at these places; a dataset that lies nowhere goes by its name."""
    named = (each.name if isinstance(each, Dataset) else str(resolved(Path(each))) for each in places if each)
    return Subject(command, tuple(sorted(named)))


def require_other_file(out: Path, *sources: object) -> None:
    """Raise InputError if `out` would replace a manifest, table or split file among `sources`.

    Those that are no path (a dataset or a split in memory, None) lie nowhere and can't be replaced.
    """
    read = {file for source in sources if isinstance(source, str | Path) for file in manifest_files(source)}
    if {resolved(out), *manifest_files(out)} & read:
        raise InputError(f"{out} would overwrite the manifest or split that it comes from; name another file")


def require_no_more_folds(folder: Path, folds: int | None) -> None:
    """Raise InputError if a folder for so many folds has files of a draw of more, which would stay beside the new."""
    numbers = {path.name: path.stem.removeprefix("fold") for path in sorted(folder.glob("fold*.json"))}
    left = [name for name, number in numbers.items() if folds and number.isdecimal() and int(number) >= folds]
    if left:
        raise InputError(f"{folder} holds {some_of(left)} of a draw of more folds; name another folder, or delete them")


def require_own_folder(folder: Path, main: str, about: Subject) -> None:
    """Raise InputError if a folder holds the results of this command about something else, or can't be written.

    `main` is a file that the command always writes: where it lies without a word on what it is about, it is refused.
    Results about the same are written anew.
    """
    file = about.about_file(folder)
    require_writable(file)
    if file.is_file():
        there = read(file, Subject, ADVICE, schema=SCHEMA)
        if there != about:
            raise InputError(
                f"{folder} holds what {about.command} made of {some_of(there.of)}; name another folder for "
                f"{some_of(about.of)} (--out), or delete it"
            )
    elif (folder / main).exists():
        raise InputError(
            f"{folder} holds {main}, which doesn't say of what it was made; name another folder (--out), or delete it"
        )


def write_about(folder: Path, about: Subject) -> None:
    """Say in a folder of results what they are about."""
    document = {"schema": SCHEMA, **asdict(about)}
    write_json(about.about_file(folder), document)


def require_own_file(path: Path, about: Subject) -> None:
    """Raise InputError if there is a file at `path` that isn't about the same: it doesn't begin with its mark; and if
    none can be written there."""
    require_writable(path)
    if not path.exists():
        return
    if path.is_file():
        with path.open("rb") as file:
            if about.mark.encode() in file.read(HEAD_BYTES):
                return
    raise InputError(
        f"{path} is there, and {about.command} didn't make it of {some_of(about.of)}; name another file, or delete it"
    )
