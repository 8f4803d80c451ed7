"""Who a model was trained with and tested on, in numbers that single out nobody: a model card's demographics.

A patient counts once, with what the first of their cases says. Groups of fewer than `SMALLEST_GROUP` patients are not
told: smaller ones are counted together as "other", with the next smallest where they are too few even so, and a
breakdown of which one group is left is none at all. So no number that is left out follows from the others of its row;
rows of modalities that patients share may differ by a few.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from unpaired.data.dataset import CaseEntry, Dataset
from unpaired.data.demographics import DEMOGRAPHIC_FIELDS
from unpaired.data.simulated import of_patients as scans_of_patients
from unpaired.tables import Table

SMALLEST_GROUP = 5
OLDEST = 90
"""Ages from here on are one, as few people have them."""
OTHERS = "other"
UNSTATED = "not stated"
GROUPS: Mapping[str, tuple[str, ...]] = {"trained": ("train", "validation"), "tested": ("test",)}
"""{what patients did for a model: their sides}."""


def patient_groups(datasets: Sequence[Dataset], modalities: Iterable[str]) -> dict[str, Any]:
    """{modality: {"trained" or "tested": {"patients": n, "age": ..., "sex": ..., ...}}} of the datasets of runs.

    {} if their manifests say nothing of anybody. Of folds a patient is in both groups. Scans that are
    simulated beside those of patients are of nobody.
    """
    cases = [case for dataset in datasets for case in scans_of_patients(dataset)]
    if not any(getattr(case.demographics, name) is not None for case in cases for name in DEMOGRAPHIC_FIELDS):
        return {}
    return {
        modality: {
            group: of_patients([case for case in cases if case.modality == modality and case.split in sides])
            for group, sides in GROUPS.items()
            if any(case.modality == modality and case.split in sides for case in cases)
        }
        for modality in modalities
    }


def of_patients(cases: Iterable[CaseEntry]) -> dict[str, Any]:
    """The patients of these cases: how many, `age` and the counts of `sex`, `site` and `scanner`.

    `age` is {"median", "from", "to": whole years, `OLDEST` for all above; "known": of how many}. What nothing is known
    of, or of too few patients to tell, is left out.
    """
    patients: dict[str, dict[str, Any]] = {}
    for case in cases:
        known = patients.setdefault(case.patient, {})
        for name in DEMOGRAPHIC_FIELDS:
            if known.get(name) is None:
                known[name] = getattr(case.demographics, name)
    told: dict[str, Any] = {"patients": len(patients)}
    ages = [known["age"] for known in patients.values() if known["age"] is not None]
    if len(ages) >= SMALLEST_GROUP:
        middle, low, high = (min(int(years), OLDEST) for years in (median(ages), min(ages), max(ages)))
        told["age"] = {"median": middle, "from": low, "to": high, "known": len(ages)}
    for name in DEMOGRAPHIC_FIELDS[1:]:
        counted = counts(known[name] for known in patients.values())
        told |= {name: counted} if counted else {}
    return told


def counts(values: Iterable[str | None]) -> dict[str, int]:
    """{value: how many have it}, the most frequent first, then "other" and "not stated"; {} where that would single
    out few."""
    number = Counter(UNSTATED if value is None else value for value in values)
    unstated = number.pop(UNSTATED, 0)
    told = dict(sorted(number.items(), key=lambda item: (-item[1], item[0])))
    few = [value for value, count in told.items() if count < SMALLEST_GROUP or value == OTHERS]
    others = sum(told.pop(value) for value in few)
    while 0 < others < SMALLEST_GROUP and told:
        others += told.popitem()[1]
    if others and not told:
        return {}
    return told | ({OTHERS: others} if others else {}) | ({UNSTATED: unstated} if unstated and told else {})


def told_fields(told: Mapping[str, Any]) -> list[str]:
    """The fields of which something is told of any group."""
    groups = [of for sides in told.values() for of in sides.values()]
    return [name for name in DEMOGRAPHIC_FIELDS if any(name in of for of in groups)]


def patient_groups_table(told: Mapping[str, Any]) -> Table:
    """What `patient_groups` tells, a row for each modality and group, a column for each field that it tells of any."""
    rows = [(modality, group, of) for modality, groups in told.items() for group, of in groups.items()]
    columns = told_fields(told)
    return Table(
        ("modality", "patients", *(HEADS.get(name, name) for name in columns)),
        [[modality, f"{of['patients']} {group}", *(_cell(n, of) for n in columns)] for modality, group, of in rows],
        align="l",
        notes=[f"Groups of fewer than {SMALLEST_GROUP} patients are not told apart."],
    )


HEADS = {"age": "age in years, median (range)"}


def _cell(name: str, of: Mapping[str, Any]) -> str:
    if name not in of:
        return "not told"
    if name != "age":
        return ", ".join(f"{value} {count}" for value, count in of[name].items())
    age = of["age"]
    middle, low, high = (f"{age[key]}+" if age[key] == OLDEST else str(age[key]) for key in ("median", "from", "to"))
    return f"{middle} ({low} to {high})" + (f", known of {age['known']}" if age["known"] < of["patients"] else "")
