"""Which series of a tree are of the modalities that a run knows: by Modality, Image Type and what they are called.

Every series gets a reason, whether it is taken or left out. What nothing decides is left to the caller, who may look
at values (`Choice.candidates`), or to a person.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from unpaired.choices import some_of
from unpaired.data.checks.modality import CT_WORD
from unpaired.dicom.index import Index, Series
from unpaired.dicom.listing import title_of
from unpaired.errors import InputError, nearest

SYNONYMS = {
    "lge": ("lge", "late", "psir", "viability", "delayed"),
    "bssfp": ("bssfp", "ssfp", "trufi", "truefisp", "fiesta", "btfe", "balanced", "cine"),
    "cine": ("cine", "bssfp", "ssfp", "trufi", "truefisp", "fiesta", "btfe"),
    "t2": ("t2", "haste", "ssfse", "blade", "propeller"),
    "t1": ("t1", "vibe", "mprage", "lava", "thrive", "flash", "spgr", "bravo"),
    "dwi": ("dwi", "diffusion", "ep2d"),
    "pd": ("pd", "proton"),
}
"""Words of descriptions, protocols and sequences that say what an MR is, by the words of modalities' names."""
PET_WORDS = ("pet", "pt", "fdg")
NOT_ANATOMY = {"P", "PHASE", "PHASE MAP", "ADC", "FA", "TRACEW", "MIP", "PROJECTION IMAGE", "VELOCITY", "T1 MAP"}
"""Parts of Image Type, from the third on, of what is computed from scans or shows no anatomy."""
BROKEN = ("missing slice", "irregular spacing", "doubled slices", "beside the line")
"""Problems of a series that should have been a volume: it is a failed case, not one to leave out."""
SHORTEST_SUFFIX = 4


@dataclass(frozen=True)
class Choice:
    """A series and the modality that it is segmented as, None where it is left out; `reason` says why.

    `candidates` are modalities between which nothing that the series says decides.
    """

    series: Series
    modality: str | None
    reason: str
    candidates: tuple[str, ...] = ()

    def line(self) -> str:
        """What a person is told."""
        title = f"series {self.series.number} ({title_of(self.series) or self.series.name[-12:]})"
        return f"{title}: {self.modality or 'left out'}, {self.reason}"


def choose(
    index: Index,
    modalities: Sequence[str],
    *,
    wanted: Sequence[str] = (),
    modality: str | None = None,
    modality_from: str | None = None,
) -> list[Choice]:
    """A choice for every series of an index, or for those that are `wanted` (UID, its end, or series number).

    `modalities` are those that a run knows. `modality` says what all of them are, `modality_from` is a regular
    expression searched in description, protocol and sequence name: its first group (or the match) is the modality.
    Raises InputError for a wanted series that isn't there or isn't one, and for an expression that is none.
    """
    series = [each for word in wanted for each in _named(index, word)] if wanted else index.series
    chosen = [_choice(each, modalities, modality, modality_from) for each in dict.fromkeys(series)]
    return [_kept(choice, asked=bool(wanted)) for choice in chosen]


def _named(index: Index, word: str) -> list[Series]:
    exact = [each for each in index.series if word in (each.uid, each.name)]
    ends = [each for each in index.series if len(word) >= SHORTEST_SUFFIX and each.name.endswith(word)]
    numbered = [each for each in index.series if word == str(each.number)]
    matching = exact or ends or numbered
    if not matching:
        known = list(dict.fromkeys(str(each.number) for each in index.series))
        raise InputError(
            f"--series {word}: expected a series number, a UID or its end, found no such series; the tree has the "
            f"numbers {some_of(known, 16)} (unpaired dicom list shows them)"
        )
    if len({each.uid for each in matching}) > 1:
        raise InputError(
            f"--series {word}: {len({each.uid for each in matching})} series are called so; give more of the UID"
        )
    return matching


def _choice(series: Series, modalities: Sequence[str], modality: str | None, modality_from: str | None) -> Choice:
    if modality is not None:
        fits = dicom_modality(modality) == series.modality
        reason = "as you say" if fits else f"DICOM says {series.modality or 'no modality'}, not {modality}"
        return Choice(series, modality if fits else None, reason)
    if modality_from is not None:
        return _by_expression(series, modalities, modality_from)
    of_kind = [name for name in modalities if dicom_modality(name) == series.modality]
    if not of_kind:
        return Choice(series, None, f"Modality {series.modality or 'missing'}, which the run doesn't know")
    if len(of_kind) == 1:
        return Choice(series, of_kind[0], f"Modality {series.modality}")
    words = _words(series)
    named = {name: word for name in of_kind if (word := _said(name, words))}
    if len(named) == 1:
        ((name, word),) = named.items()
        return Choice(series, name, f"it is called {word!r}")
    between = " and ".join(named or of_kind)
    return Choice(series, None, f"nothing decides between {between}; name it by --modality", tuple(named or of_kind))


def _by_expression(series: Series, modalities: Sequence[str], pattern: str) -> Choice:
    text = " ".join((series.description, series.protocol, series.sequence)).lower()
    try:
        match = re.search(pattern, text, re.IGNORECASE)
    except re.error as error:
        raise InputError(f"--modality-from {pattern!r} is not a regular expression: {error}") from error
    if match is None:
        return Choice(series, None, f"{pattern!r} finds no modality in what it is called")
    name = (match[1] if match.re.groups else match[0]).lower()
    if name not in modalities:
        return Choice(series, None, f"{pattern!r} finds {name!r} there; {nearest(name, list(modalities))}")
    return Choice(series, name, f"{pattern!r} finds it in what it is called")


def _kept(choice: Choice, asked: bool) -> Choice:
    """The choice, but for what is no scan of a patient's anatomy, unless a person asked for that very series."""
    series = choice.series
    taken = choice.modality is not None or choice.candidates
    if series.problem is not None and not (taken and (asked or any(word in series.problem for word in BROKEN))):
        return Choice(series, None, series.problem)
    odd = NOT_ANATOMY & {part.upper() for part in series.image_type[2:]}
    if odd and taken and not asked:
        return Choice(series, None, f"Image Type says {', '.join(sorted(odd))}; ask for it by --series")
    if series.problem is not None and choice.modality is None:  # broken, and of a kind that the run knows
        return replace(choice, modality=choice.candidates[0], candidates=())
    return choice


def dicom_modality(name: str) -> str:
    """DICOM's Modality of scans of a modality: CT, PT or MR, by the words of its name."""
    words = re.split(r"[-_]", name.lower())
    if any(CT_WORD.fullmatch(word) for word in words):
        return "CT"
    return "PT" if any(word in PET_WORDS for word in words) else "MR"


def _words(series: Series) -> list[str]:
    text = " ".join((series.description, series.protocol, series.sequence)).lower()
    return [word for word in re.split(r"[^a-z0-9]+", text) if word]


def _said(name: str, words: Sequence[str]) -> str | None:
    """The word that says a series is of this modality."""
    for part in re.split(r"[-_]", name.lower()):
        for word in words:
            if word.startswith(part) or any(word.startswith(other) for other in SYNONYMS.get(part, ())):
                return word
    return None
