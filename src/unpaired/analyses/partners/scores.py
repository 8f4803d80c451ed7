"""What partners change: Dice and volumes of a case over the partners it was predicted beside, and means over patients.

A *form* is one way to predict a case: "alone" (partner-free), "own" (beside the patient's own scans), "sorted" (beside
the scans of equal place in the sorted list, CMC's released pairing), "random 1", "random 2", ... The *spread* of a case
and class is the largest minus the smallest Dice over all forms but "alone": how much the prediction depends on who
happens to be beside it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from unpaired.analyses.partners.results import MEAN, ResultBesidePartners, patient_dice
from unpaired.statistics import patient_values

ALONE = "alone"


@dataclass(frozen=True, kw_only=True)
class PartnerRow(ResultBesidePartners):
    """A class of a case, predicted in one `form` (see the module's docstring)."""

    form: str


@dataclass(frozen=True)
class Spread:
    """A class of a case over all of its partners: Dice alone, least, largest and mean Dice, spread of volume."""

    case: str
    patient: str
    modality: str
    class_name: str
    alone: float | None
    least: float
    most: float
    mean: float
    volume_ml: float | None
    """Largest minus smallest volume; None for the mean over classes."""

    @property
    def width(self) -> float:
        """Largest minus smallest Dice."""
        return self.most - self.least


@dataclass(frozen=True)
class PartnerSummary:
    """A class of a modality over `patients`: the mean Dice of each form ("random" is the mean of all draws), the mean
    spread, the largest with its case, and the mean spread of volumes in ml (None for the mean over classes).

    `form_patients` says how many patients a form's mean is of: not every one may have a scan of its own beside.
    """

    modality: str
    class_name: str
    patients: int
    dice: Mapping[str, float]
    form_patients: Mapping[str, int]
    spread: float
    largest: float
    largest_case: str
    spread_ml: float | None


def spreads(rows: Sequence[PartnerRow]) -> list[Spread]:
    """The spread of every case and class, and of each case's mean over classes (`MEAN`, without volumes), in order of
    first appearance; cases without a Dice beside any partner are left out."""
    cases: dict[tuple[str, str], list[PartnerRow]] = {}
    for row in rows:
        cases.setdefault((row.case, row.class_name), []).append(row)
    of_cases = [spread for several in cases.values() if (spread := _spread(several)) is not None]
    for case in dict.fromkeys(row.case for row in rows):
        forms: dict[str, list[PartnerRow]] = {}
        for row in rows:
            if row.case == case and row.dice is not None:
                forms.setdefault(row.form, []).append(row)
        means = {form: fmean(row.dice or 0.0 for row in of_form) for form, of_form in forms.items()}
        beside = [value for form, value in means.items() if form != ALONE]
        if beside:
            row = next(iter(forms.values()))[0]
            ends = min(beside), max(beside), fmean(beside)
            of_cases.append(Spread(case, row.patient, row.modality, MEAN, means.get(ALONE), *ends, None))
    return of_cases


def summarize_partners(rows: Sequence[PartnerRow]) -> list[PartnerSummary]:
    """A summary per modality and class, the mean over classes last; means over patients."""
    every = spreads(rows)
    summaries: list[PartnerSummary] = []
    for modality in dict.fromkeys(row.modality for row in rows):
        of = [row for row in rows if row.modality == modality]
        for name in [*dict.fromkeys(row.class_name for row in of), MEAN]:
            widths = [spread for spread in every if (spread.modality, spread.class_name) == (modality, name)]
            if not widths:
                continue
            values, counts = _form_means(of, name)
            largest = max(widths, key=lambda spread: spread.width)
            volumes = [(row.patient, row.case, row.volume_ml) for row in widths if row.volume_ml is not None]
            summaries.append(
                PartnerSummary(
                    modality,
                    name,
                    len({spread.patient for spread in widths}),
                    values,
                    counts,
                    _over_patients((spread.patient, spread.case, spread.width) for spread in widths),
                    largest.width,
                    largest.case,
                    _over_patients(volumes) if volumes else None,
                )
            )
    return summaries


def _spread(rows: Sequence[PartnerRow]) -> Spread | None:
    beside = [row for row in rows if row.form != ALONE]
    values = [row.dice for row in beside if row.dice is not None]
    if not values:
        return None
    alone = next((row.dice for row in rows if row.form == ALONE), None)
    ml = [row.prediction_ml for row in beside]
    first = rows[0]
    ends = min(values), max(values), fmean(values)
    return Spread(first.case, first.patient, first.modality, first.class_name, alone, *ends, max(ml) - min(ml))


def _form_means(rows: Sequence[PartnerRow], class_name: str) -> tuple[dict[str, float], dict[str, int]]:
    """{form: mean Dice over patients} and {form: patients}; all random draws together are one form."""
    draws: dict[str, list[float]] = {}
    counts: dict[str, int] = {}
    for form in dict.fromkeys(row.form for row in rows):
        patients = patient_dice([row for row in rows if row.form == form], class_name)
        if patients:
            name = form.split()[0]
            draws.setdefault(name, []).append(fmean(patients.values()))
            counts[name] = max(counts.get(name, 0), len(patients))
    return {form: fmean(values) for form, values in draws.items()}, counts


def _over_patients(values: Iterable[tuple[str, str, float]]) -> float:
    """The mean over patients of (patient, case, value)."""
    return fmean(patient_values(values).values())
