"""Whether a scan can be of the modality it was given as: judged by its values, against scans that are known to be.

The scales of MR and PET differ from scanner to scanner by more than they differ from each other, so no rule hangs on
scale alone. What is sure is Hounsfield's scale: air lies at -1000 in CT, and nothing of an MR lies below zero. A scan
is doubted only where all known scans of its modality agree with each other and it contradicts them all.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from unpaired.data.dataset import Modality
from unpaired.data.scan_values import NEGATIVE, PERCENTILES, ScanValues

NONE_NEGATIVE = 0.001
"""A share up to this is rounding, or a bad voxel."""
OFTEN_NEGATIVE = 0.1
RAW_RANGE = 100.0
"""Where no known scan says what a CT looks like, values that span less than this say nothing: they were rescaled."""
FAR = 3.0
"""Voxels so many times larger or smaller than any known scan's are worth a word."""
CT_WORD = re.compile(r"(?:ld|nc|ce|cb|pet)?cta?")
MR_WORD = re.compile(r"(?:cmr|mra?|mri|t1\w*|t2\w*|pd\w*|flair|stir|spir|dwi|adc|swi|dce|bold|b?ssfp|lge|cine|dixon)")


@dataclass(frozen=True)
class KnownModality:
    """What is known of a modality: its name and options, and the values of scans that are of it (may be empty)."""

    name: str
    options: Modality
    scans: Sequence[ScanValues]
    where: str = "in training"
    """Which scans these are, for a message."""

    @property
    def is_ct(self) -> bool:
        """By its scans: every one has air as CT has, or fat where the name says CT too. Without scans: by its name."""
        return (
            self.is_called_ct
            if not self.scans
            else all(
                scan.looks_like_ct or (self.is_called_ct and scan.negative >= OFTEN_NEGATIVE) for scan in self.scans
            )
        )

    @property
    def is_called_ct(self) -> bool:
        """Whether a word of the name stands for CT ("ct", "cta", "cbct", "liver-ct")."""
        return any(CT_WORD.fullmatch(word) for word in re.split("[-_]", self.name))

    @property
    def is_called_mr(self) -> bool:
        """Whether a word of the name stands for a kind of MR ("mr", "t2", "lge")."""
        return any(MR_WORD.fullmatch(word) for word in re.split("[-_]", self.name))


def doubt(scan: ScanValues, given: str, known: Mapping[str, KnownModality]) -> str | None:
    """Why a scan is hardly of the modality `given`, one of `known`; None if it may well be.

    Without known scans of it (runs of older versions have none) names and clip windows decide, and only where CT is
    concerned.
    """
    own = known[given]
    others = [other for name, other in known.items() if name != given]
    return _air_where_none_is(scan, own, others) or _no_air_where_all_have_it(scan, own) or _outside_window(scan, own)


def most_alike(scans: Sequence[ScanValues]) -> list[ScanValues]:
    """Those of the kind that most scans are of: with air as in CT, with nothing below zero, or others; none in a tie.

    For scans of which some may be listed under a wrong name: they must not speak for their modality.
    """
    kinds: dict[tuple[bool, bool], list[ScanValues]] = {}
    for scan in scans:
        kinds.setdefault((scan.looks_like_ct, scan.negative <= NONE_NEGATIVE), []).append(scan)
    most = max(kinds.values(), key=len, default=[])
    return most if 2 * len(most) > len(scans) else []


def _air_where_none_is(scan: ScanValues, own: KnownModality, others: Sequence[KnownModality]) -> str | None:
    if own.scans:
        fits = any(each.negative > NONE_NEGATIVE for each in own.scans)
    else:
        fits = own.is_called_ct or not (own.is_called_mr or any(other.is_called_ct for other in others))
    if fits:
        return None
    of_own = f"none of the {len(own.scans)} {own.name} scans {own.where} has any" if own.scans else "no MR has any"
    if scan.looks_like_ct:
        return f"{scan.air:.0%} of its voxels lie at or below -500, as air in CT does, and {of_own}"
    inside = [other.name for other in others if scan.negative >= OFTEN_NEGATIVE and _is_inside(scan, other)]
    if own.scans and inside:
        return f"{scan.negative:.0%} of its voxels are below -20, as in {' and '.join(inside)}, and {of_own}"
    return None


def _no_air_where_all_have_it(scan: ScanValues, own: KnownModality) -> str | None:
    clip = own.options.clip
    expects_hounsfield = clip is not None and clip[0] < NEGATIVE and scan.highest - scan.lowest >= RAW_RANGE
    if scan.negative > NONE_NEGATIVE or not own.is_ct or not (own.scans or expects_hounsfield):
        return None
    expected = f"every one of the {len(own.scans)} {own.name} scans {own.where} has" if own.scans else "a CT has"
    return f"its values lie in {scan.lowest:g}..{scan.highest:g}, without the air and fat below zero that {expected}"


def _outside_window(scan: ScanValues, own: KnownModality) -> str | None:
    """A scan of which the modality's fixed window leaves next to nothing, such as one that was scaled to 0..1."""
    window = own.options.clip
    if window is None or not own.scans or scan.window_share(window) >= 0.02:
        return None
    if any(each.window_share(window) < 0.2 for each in own.scans):
        return None
    return (
        f"its values lie in {scan.percentiles[0]:g}..{scan.percentiles[-1]:g}, of which the window "
        f"{window[0]:g}..{window[1]:g} of {own.name} leaves next to nothing"
    )


def _is_inside(scan: ScanValues, other: KnownModality) -> bool:
    """Whether a scan lies within what another modality's scans span, percentile by percentile."""
    if not other.scans or scan.negative < min(each.negative for each in other.scans) / 2:
        return False
    spans = [sorted(values) for values in zip(*(each.percentiles for each in other.scans), strict=True)]
    margin = 0.1 * (spans[-1][-1] - spans[0][0])
    return all(
        span[0] - margin <= value <= span[-1] + margin
        for span, value, percentile in zip(spans, scan.percentiles, PERCENTILES, strict=True)
        if percentile >= 5
    )


def unusual_spacing(scan: ScanValues, own: KnownModality) -> str | None:
    """One sentence if a scan's voxels are far larger or smaller than in any known scan of its modality; else None."""
    if not own.scans:
        return None
    for axis, size in enumerate(scan.spacing_mm):
        sizes = [each.spacing_mm[axis] for each in own.scans]
        if not min(sizes) / FAR <= size <= max(sizes) * FAR:
            usual = " x ".join(_span([each.spacing_mm[i] for each in own.scans]) for i in range(3))
            here = " x ".join(f"{each:.3g}" for each in scan.spacing_mm)
            return f"its voxels of {here} mm are far from those of {own.name} in training ({usual} mm)"
    return None


def _span(sizes: Sequence[float]) -> str:
    low, high = f"{min(sizes):.3g}", f"{max(sizes):.3g}"
    return low if low == high else f"{low}..{high}"
