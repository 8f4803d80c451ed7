"""Names that differ in spelling alone: "1" and "01" or "1.0", "P1" and "p_1", "Liver" and "liver", a trailing space."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator

from unpaired.data.dataset import CaseEntry, Dataset
from unpaired.errors import told_apart, visible

SHOWN = 3


def similar_patients(dataset: Dataset) -> Iterator[tuple[CaseEntry, CaseEntry]]:
    """(the first case of a patient, the first one of another patient whose name is spelled alike)."""
    known: dict[tuple[str, ...], list[CaseEntry]] = defaultdict(list)
    for entry in dataset.cases:
        alike = known[spelling(entry.patient)]
        if alike and all(entry.patient != other.patient for other in alike):
            yield entry, alike[0]
        alike.append(entry)


def similar_classes(dataset: Dataset) -> Iterator[tuple[str, str]]:
    """(a class, an earlier one whose name is spelled alike)."""
    known: dict[tuple[str, ...], str] = {}
    for name in dataset.classes:
        first = known.setdefault(spelling(name), name)
        if first != name:
            yield name, first


def similar_names(dataset: Dataset, how: str = "") -> Iterator[str]:
    """A line for patients, and one for classes, that may be the same under two spellings; `how` to name patients."""
    patients = [" and ".join(told_apart(first.patient, entry.patient)) for entry, first in similar_patients(dataset)]
    if patients:
        yield f"patients {_listed(patients)} may be one person each; if so, give one name{how}"
    if classes := [" and ".join(told_apart(first, name)) for name, first in similar_classes(dataset)]:
        yield f"classes {_listed(classes)} differ in spelling alone; if they are one structure, give one name"


def spelling(name: str) -> tuple[str, ...]:
    """The words and numbers of a name, without case, leading zeros, what stands between them, and what nobody sees.

    Without the ".0" either that spreadsheets and pandas give whole numbers in a column with empty cells.
    """
    text = unicodedata.normalize("NFKC", visible(name)).casefold().strip()
    parts = re.findall(r"[^\W\d_]+|\d+", re.sub(r"(?<=\d)[.,]0+$", "", text))
    return tuple(part.lstrip("0") or "0" for part in parts) or (text,)


def _listed(pairs: list[str]) -> str:
    more = f" and {len(pairs) - SHOWN} more pairs" if len(pairs) > SHOWN else ""
    return f"{', '.join(pairs[:SHOWN])}{more}"
