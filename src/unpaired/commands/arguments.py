"""What the commands share: their arguments' types, the width of a table, how failures are told.

A failure is told once, with its reason: as it happens, and then counted and named at the end (`failed`), or, where that
would tear a bar or a table apart, at the end (`list_failures`).
"""

import os
import sys
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from unpaired.errors import SHOWN, printable

if TYPE_CHECKING:
    from rich.console import RenderableType

Count = Annotated[tyro.conf.Positional[int], tyro.conf.arg(metavar="COUNT")]
Data = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DATA")]
Images = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="IMAGES")]
ModalityName = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODALITY")]
Out = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT")]
Predictions = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="PREDICTIONS")]
OptionalOut = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="[OUT]")]
RecipeName = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RECIPE")]
OptionalRecipeName = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="[RECIPE]")]
Reference = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="REFERENCE")]
ClassNames = Annotated[tuple[str, ...], tyro.conf.arg(metavar="CLASS")]
Runs = Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="RUN")]
RunsFolder = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUNS")]
RunFolder = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
Source = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="SOURCE")]
Layout = tyro.conf.Positional[
    Literal[
        "auto",
        "nnunet",
        "datalist",
        "msd",
        "monai",
        "bids",
        "totalsegmentator",
        "patients",
        "folders",
        "table",
        "dicom",
        "amos",
        "btcv",
        "chaos",
        "mmwhs",
        "mscmrseg",
    ]
]
"""Those of `data.importers.catalog.LAYOUTS` (a test compares), written down so that --help imports no importer."""
Changes = Annotated[tuple[str, ...], tyro.conf.arg(name="set", metavar="FIELD=VALUE")]
AlsoRuns = Annotated[tuple[Path, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="RUN")]
Trusted = Annotated[
    tuple[str, ...],
    tyro.conf.arg(
        metavar="MODULE",
        help="Modules or .py files of your own that a run or --set may name; else their code is refused. See "
        "`unpaired trust`.",
    ),
]
Weights = Annotated[
    Literal["best", "last"], tyro.conf.arg(help="Weights of the best validation Dice, or of the last step.")
]
Side = Literal["test", "validation", "train"]
Device = Annotated[str, tyro.conf.arg(help="auto (a GPU where there is one), cpu, cuda or mps.")]
OptionalPath = Annotated[Path | None, tyro.conf.arg(metavar="PATH")]
OptionalText = Annotated[str | None, tyro.conf.arg(metavar="TEXT")]
OptionalNumber = Annotated[float | None, tyro.conf.arg(metavar="FLOAT")]
OptionalCount = Annotated[int | None, tyro.conf.arg(metavar="INT")]
Angles = Annotated[tuple[float, ...], tyro.conf.arg(metavar="DEGREES")]
SeriesNames = Annotated[tuple[str, ...], tyro.conf.arg(metavar="SERIES")]


@contextmanager
def stopwatch() -> Generator[Callable[[str], None]]:
    """Prints lines with the seconds since it began."""
    from time import monotonic

    from rich.console import Console
    from rich.markup import escape

    began, console = monotonic(), Console(highlight=False)
    yield lambda text: console.print(f"[dim]{monotonic() - began:5.0f} s[/dim]  {escape(text)}")


@contextmanager
def status(what: str) -> Generator[Callable[[str], None]]:
    """A line on standard error that says what is being done; nothing where that is no terminal."""
    from rich.console import Console
    from rich.markup import escape

    with Console(stderr=True).status(what) as line:
        yield lambda text: line.update(escape(text))


@contextmanager
def progress_bar(what: str) -> Generator[Callable[[int, int, str], None]]:
    """A bar on standard error, moved by (cases done, cases in all, case id); nothing where that is no terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total, case: bar.update(task, completed=done, total=total)


def table_width() -> int | None:
    """How wide tables are printed: None on a terminal, which has a width; wide enough for whole tables elsewhere."""
    return None if sys.stdout.isatty() or "COLUMNS" in os.environ else 120


def print_json(document: Any) -> None:
    """Print a JSON value: letters as they are, or as escapes where standard output can't encode them."""
    from unpaired.files import json_text

    text = json_text(document)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json_text(document, ascii_only=True)
    print(text, end="")


def print_lines(lines: Iterable[str]) -> None:
    """Print each line; without lines, nothing."""
    for line in lines:
        print(line)


def print_table(*tables: "RenderableType") -> None:
    """Print tables as wide as the terminal."""
    from rich.console import Console

    Console(width=table_width(), highlight=False).print(*tables)


def print_whole_table(table: "RenderableType", *others: "RenderableType") -> None:
    """Print tables; where nobody's terminal limits them, as wide as the first takes."""
    from rich.console import Console

    console = Console(width=table_width(), highlight=False)
    if table_width() is not None:
        console.width = max(console.width, console.measure(table, options=console.options.update(width=1000)).maximum)
    console.print(table, *others)


def print_columns(rows: Mapping[str, str]) -> None:
    """Print names and what they are, one below the other."""
    width = max(map(len, rows), default=0)
    for name, text in rows.items():
        print(f"{name:{width}}  {text}")


def warning(text: str) -> None:
    """Print to standard error what a person should know of a result that there is all the same."""
    print(printable(f"warning: {text}"), file=sys.stderr)


def note(text: str) -> None:
    """Print to standard error what is so without being wrong."""
    print(printable(f"note: {text}"), file=sys.stderr)


def list_warnings(warnings: Sequence[tuple[str, str]]) -> None:
    """Print (case, message) pairs to standard error; they are no failures."""
    for case, message in warnings:
        warning(f"{case}: {message}")


def list_failures(failures: Sequence[tuple[str, str]]) -> int:
    """Print (case, message) pairs to standard error; the exit code is 1 if there are any."""
    for case, message in failures:
        print(printable(f"failed: {case}: {message}"), file=sys.stderr)
    return 1 if failures else 0


def failed(failures: Sequence[tuple[str, str]]) -> str:
    """ "2 failed: a; b", of (case, message) pairs that were told as they happened; a long list is cut."""
    names = [case for case, _ in failures[:SHOWN]]
    more = f"; and {len(failures) - SHOWN} more" if len(failures) > SHOWN else ""
    return printable(f"{len(failures)} failed{': ' if names else ''}{'; '.join(names)}{more}")
