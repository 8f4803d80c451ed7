"""What `verify` finds, for people and programs: a table that shows errors first, and JSON."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.text import Text

from unpaired.choices import counted
from unpaired.data.dataset import CaseEntry, Dataset
from unpaired.tables import DASH, Table, TableCell

STYLES = {"error": "bold red", "warning": "yellow"}


@dataclass(frozen=True)
class Finding:
    """One broken rule. `case` and `file` are None where the dataset as a whole is meant."""

    severity: Literal["error", "warning"]
    rule: str
    case: str | None
    file: Path | None
    message: str


class Findings(list[Finding]):
    """The broken rules of a dataset, in manifest order, then what only a comparison shows; empty if there is none."""

    def __init__(self, dataset: Dataset, findings: Iterable[Finding] = ()) -> None:
        super().__init__(findings)
        self.dataset = dataset

    @property
    def errors(self) -> list[Finding]:
        """Those that make scores wrong or training fail."""
        return [finding for finding in self if finding.severity == "error"]

    @property
    def warnings(self) -> list[Finding]:
        """Those that may be meant so."""
        return [finding for finding in self if finding.severity == "warning"]

    def table(self) -> Table:
        """A row for each, errors before warnings; files relative to the folder that holds all of the dataset."""
        folder = _common_folder(self.dataset)
        return _table(self, "" if folder is None else f"{folder}{os.sep}")

    def to_json(self) -> list[dict[str, Any]]:
        """Objects with severity, rule, case, file and message; none for a clean dataset."""
        return [{**asdict(finding), "file": finding.file and str(finding.file)} for finding in self]


def case_error(rule: str, entry: CaseEntry, file: Path, message: str) -> Finding:
    """A broken rule of one case's file that makes scores wrong or training fail."""
    return Finding("error", rule, entry.id, file, message)


def case_warning(rule: str, entry: CaseEntry, file: Path, message: str) -> Finding:
    """A broken rule of one case's file that may be meant so."""
    return Finding("warning", rule, entry.id, file, message)


def print_findings(findings: Findings, console: Console) -> None:
    """The findings as a table, errors before warnings, and one closing line that counts them.

    Messages are wrapped to the console's width, and name files relative to the folder that holds all of the dataset.
    """
    dataset = findings.dataset
    folder = _common_folder(dataset)
    console.print(f"{dataset.name}: {counted(len(dataset.cases), 'case')} of {', '.join(dataset.modalities)}", end="")
    console.print(f" in {os.path.normpath(folder)}" if folder else "", soft_wrap=True)
    if findings:
        console.print(findings.table())
    console.print(Text(summary(dataset, findings), style=_summary_style(findings)), soft_wrap=True)


def summary(dataset: Dataset, findings: Sequence[Finding]) -> str:
    """ "2 errors, 1 warning in 3 of 12 cases", or that nothing is wrong."""
    if not findings:
        whole = "the only case is" if len(dataset.cases) == 1 else f"all {len(dataset.cases)} cases are"
        return f"no findings: {whole} sound"
    errors = sum(finding.severity == "error" for finding in findings)
    counts = f"{counted(errors, 'error')}, {counted(len(findings) - errors, 'warning')}"
    cases = {finding.case for finding in findings} - {None}
    return f"{counts} in {len(cases)} of {counted(len(dataset.cases), 'case')}"


def _table(findings: Sequence[Finding], prefix: str) -> Table:
    """Errors before warnings, files relative to the folder `prefix`."""
    rows: list[list[str | TableCell]] = []
    for finding in sorted(findings, key=lambda finding: finding.severity):  # "error" sorts before "warning"; stable
        severity = TableCell(finding.severity, style=STYLES[finding.severity])
        message = finding.message.replace(prefix, "") if prefix else finding.message
        rows.append([severity, finding.rule, finding.case or DASH, message])
    return Table(["severity", "rule", "case", "message"], rows, "l")


def _common_folder(dataset: Dataset) -> Path | None:
    """The folder that holds every file of a dataset; None where there is none, as on several drives."""
    files = [str(file.parent) for case in dataset.cases for file in (case.image, case.label) if file is not None]
    try:
        folder = Path(os.path.commonpath(files))
    except ValueError:
        return None
    return folder if folder.name else None


def _summary_style(findings: Sequence[Finding]) -> str:
    return "green" if not findings else STYLES[min(finding.severity for finding in findings)]
