"""What papers print: their tables as data (`tables.toml`), to be laid beside ours and never mixed into them.

The numbers were made of other patients, or the same ones split in another way: they are shown with that label, and no
mean, test or rank of ours ever sees them.
"""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from statistics import fmean
from typing import Any

from unpaired.comparison.records import Column
from unpaired.errors import InputError, nearest
from unpaired.scores.summaries import MEAN

LABEL = "paper: other patients, another split"
"""What stands beside every number of a paper."""
PAPER_TABLES = ("csa-table-1", "csa-tables-2-3", "ssc-cardiac", "ssc-abdomen", "ssc-few-shot")
MR = ("mri", "t2", "t2spir")
"""Other names of the modality that papers call MRI (CHAOS's T2-SPIR among them)."""
BOTH = Column("both", MEAN)
"""The column of the mean over the modalities' means, where the paper prints one."""


@dataclass(frozen=True)
class PaperNumber:
    """A number and how it is printed: Dice in percent, distances in the unit of the score's name."""

    value: float
    std: float | None
    text: str


@dataclass(frozen=True)
class PaperRow:
    """One setting: for each block of columns {class or "mean": number}, and the mean over the blocks if printed."""

    blocks: tuple[Mapping[str, PaperNumber], ...]
    overall: PaperNumber | None


@dataclass(frozen=True)
class Reading:
    """Which modality each block of the paper's columns is taken to be; the name is empty where nobody doubts it."""

    name: str
    modalities: tuple[str, ...]


@dataclass(frozen=True)
class PaperTable:
    """One printed table, or several of the same methods and data.

    The scores are columns of the evaluation preset `preset`. `headings` are the classes as printed, `printed` other
    names of a row, `cautions` what a reader must know, `numbers` {score: {row: what stands in it}}. `pooled`: means and
    ± are over the test cases of all runs together, whichever run tested them.
    """

    name: str
    source: str
    preset: str
    modalities: tuple[str, ...]
    classes: tuple[str, ...]
    headings: tuple[str, ...]
    readings: tuple[Reading, ...]
    cautions: tuple[str, ...]
    printed: Mapping[str, tuple[str, ...]]
    numbers: Mapping[str, Mapping[str, PaperRow]]
    pooled: bool = False

    @property
    def scores(self) -> tuple[str, ...]:
        """The columns of the preset that the paper prints."""
        return tuple(self.numbers)

    @property
    def rows(self) -> tuple[str, ...]:
        """The settings, in the paper's order."""
        return tuple(dict.fromkeys(row for rows in self.numbers.values() for row in rows))

    @property
    def columns(self) -> list[Column]:
        """Per modality the classes and their mean; then the mean over both where the paper prints one."""
        columns = [Column(modality, name) for modality in self.modalities for name in (*self.classes, MEAN)]
        printed = any(row.overall for rows in self.numbers.values() for row in rows.values())
        return [*columns, BOTH] if printed else columns

    def cells(self, score: str, row: str, reading: Reading) -> dict[Column, PaperNumber]:
        """The paper's numbers of a row under a reading; empty where it prints none."""
        if row not in self.numbers[score]:
            return {}
        printed = self.numbers[score][row]
        blocks = zip(reading.modalities, printed.blocks, strict=True)
        cells = {Column(modality, name): number for modality, block in blocks for name, number in block.items()}
        return cells if printed.overall is None else cells | {BOTH: printed.overall}

    def row_called(self, name: str) -> str | None:
        """The row that `name` means, in our words or the paper's, whatever its case; None if there is no such row."""
        wanted = _plain(name)
        for row in self.rows:
            if wanted in {_plain(other) for other in (row, *self.printed.get(row, ()))}:
                return row
        return None

    def heading(self, class_name: str) -> str:
        """A class as the paper prints it; "mean" as it is."""
        return dict(zip(self.classes, self.headings, strict=True)).get(class_name, class_name)

    def match(self, modalities: Iterable[str], class_names: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
        """({the table's modality: the scores'}, {its class: the scores'}), by name or heading, whatever their case.

        Raises InputError if a modality or class of the table has no partner, for then the table is about other data.
        """
        scored = {"modality": list(modalities), "class": list(class_names)}
        wanted = {
            "modality": [(name, MR if name == "mr" else ()) for name in self.modalities],
            "class": [(name, (heading,)) for name, heading in zip(self.classes, self.headings, strict=True)],
        }
        matched: dict[str, dict[str, str]] = {}
        for what, names in wanted.items():
            partners = {name: _partner((name, *others), scored[what]) for name, others in names}
            lacking = [name for name, partner in partners.items() if partner is None]
            if lacking:
                raise InputError(
                    f"{self.name} has the {what} {lacking[0]!r}, the scores compared have {', '.join(scored[what])}; "
                    f"compare runs on the paper's data, or leave that table out (--paper, or a study's `papers`)"
                )
            matched[what] = {name: partner for name, partner in partners.items() if partner is not None}
        return matched["modality"], matched["class"]


def paper_table(name: str) -> PaperTable:
    """The table called `name`, one of `PAPER_TABLES`. Raises InputError, with the nearest name, for any other."""
    if name not in PAPER_TABLES:
        raise InputError(f"there is no paper's table {name!r}; {nearest(name, list(PAPER_TABLES))}")
    document = _document()[name]
    readings = document.get("readings", [{"name": "", "modalities": document["modalities"]}])
    classes = tuple(document["classes"])
    return PaperTable(
        name=name,
        source=document["source"],
        preset=document["preset"],
        modalities=tuple(document["modalities"]),
        classes=classes,
        headings=tuple(document["headings"]),
        readings=tuple(Reading(reading["name"], tuple(reading["modalities"])) for reading in readings),
        cautions=tuple(document["cautions"]),
        printed={row: tuple(name.strip() for name in text.split(",")) for row, text in document["printed"].items()},
        numbers={
            score: {row: _row(text, classes) for row, text in rows.items()}
            for score, rows in document["scores"].items()
        },
        pooled=document.get("pooled", False),
    )


def _row(text: str, classes: Sequence[str]) -> PaperRow:
    """A row of the file; a mean that the paper doesn't print is that of its cells."""
    *parts, last = (part.strip() for part in text.split("|"))
    overall = _number(last.removeprefix("=")) if last.startswith("=") else None
    blocks: list[dict[str, PaperNumber]] = []
    for part in parts if overall else [*parts, last]:
        cells, _, mean = part.partition("=")
        numbers = dict(zip(classes, map(_number, cells.split()), strict=True))
        numbers[MEAN] = _number(mean) if mean else _number(f"{fmean(number.value for number in numbers.values()):.2f}")
        blocks.append(numbers)
    return PaperRow(tuple(blocks), overall)


def _number(text: str) -> PaperNumber:
    value, _, std = text.partition("±")
    return PaperNumber(float(value), float(std) if std else None, text.strip().replace("±", " ± "))


@cache
def _document() -> dict[str, Any]:
    return tomllib.loads((files("unpaired.comparison.papers") / "tables.toml").read_text(encoding="utf-8"))


def _partner(names: Sequence[str], candidates: Sequence[str]) -> str | None:
    wanted = {_plain(name) for name in names}
    return next((candidate for candidate in candidates if _plain(candidate) in wanted), None)


def _plain(name: str) -> str:
    """A name without case and punctuation: "V3 + CR" and "v3+cr" are one."""
    return "".join(letter for letter in name.casefold() if letter.isalnum() or letter == "+")
