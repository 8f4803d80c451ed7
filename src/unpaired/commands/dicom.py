"""The commands about DICOM: dicom list."""

from pathlib import Path
from typing import Annotated

import tyro

import unpaired
from unpaired.commands.arguments import list_failures, print_table, progress_bar

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
