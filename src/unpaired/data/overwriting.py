"""What a command writes never takes the place of what it was made from."""

from pathlib import Path

from unpaired.data.manifest import manifest_files
from unpaired.errors import InputError


def require_other_file(out: Path, *sources: object) -> None:
    """Raise InputError if `out` would replace a manifest, table or split file among `sources`.

    Those that are no path (a dataset or a split in memory, None) lie nowhere and can't be replaced.
    """
    read = {file for source in sources if isinstance(source, str | Path) for file in manifest_files(source)}
    if {out.resolve(), *manifest_files(out)} & read:
        raise InputError(f"{out} would overwrite the manifest or split that it comes from; name another file")
