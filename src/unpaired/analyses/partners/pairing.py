"""Who may be a case's partner: a scan of another modality, of the same patient or of another one.

By patient id, as everything about sides. Labels are never looked at: an unlabeled scan is as good a partner.
"""

from collections.abc import Iterable, Sequence
from zlib import crc32

import numpy as np

from unpaired.choices import require_seed
from unpaired.data.dataset import CaseEntry, Dataset
from unpaired.data.simulated import of_patients
from unpaired.errors import InputError

Partners = dict[str, CaseEntry]
"""{modality: scan}, one of each modality but the case's own."""


def own_scans(dataset: Dataset, case: CaseEntry, modalities: Sequence[str]) -> Partners:
    """The patient's own scans of the other modalities (the first by id); those that there are."""
    own = {name: _by_id(scan for scan in dataset.of(name) if scan.patient == case.patient) for name in modalities}
    return {name: scans[0] for name, scans in own.items() if scans and name != case.modality}


def sorted_partners(dataset: Dataset, case: CaseEntry, modalities: Sequence[str]) -> Partners:
    """CMC's released pairing: the i-th scan of a side and modality by sorted id, with the i-th of each other modality.

    Where the other modality has fewer scans on the case's side, counting starts again; it is left out where it has
    none. By chance, or in a set of pairs by design, the partner may be the same patient.
    """
    here = _by_id(dataset.of(case.modality, case.split))
    place = [scan.id for scan in here].index(case.id)
    others = {name: _by_id(dataset.of(name, case.split)) for name in modalities if name != case.modality}
    return {name: scans[place % len(scans)] for name, scans in others.items() if scans}


def random_partners(
    dataset: Dataset, case: CaseEntry, modalities: Sequence[str], count: int, seed: int = 0, side: str = "train"
) -> list[Partners]:
    """`count` draws of partners from a side, other patients only, without repetition as long as there are scans.

    Fewer draws where no modality has that many scans. From the training side by default: those scans are at hand
    wherever the network is used, and a prediction that depended on other test patients would be no test. The same seed
    draws the same. A scan that is simulated beside those of patients is drawn where a modality has no other. Raises
    InputError where a modality has no scan of another patient.
    """
    if count < 1:
        raise InputError(f"expected one partner or more, got {count}")
    require_seed(seed)
    orders: dict[str, list[CaseEntry]] = {}
    for name in modalities:
        if name == case.modality:
            continue
        scans = of_patients(dataset, name, side) or dataset.of(name, side)
        pool = _by_id(scan for scan in scans if scan.patient != case.patient)
        if not pool:
            raise InputError(
                f"case {case.id} has no partner: dataset {dataset.name} has no {name} scan of another patient on the "
                f"{side} side; a manifest with such scans, labeled or not, is needed"
            )
        rng = np.random.default_rng([seed, crc32(case.id.encode()), crc32(name.encode())])
        orders[name] = [pool[place] for place in rng.permutation(len(pool))]
    draws = min(count, max((len(order) for order in orders.values()), default=0))
    return [{name: order[draw % len(order)] for name, order in orders.items()} for draw in range(draws)]


def _by_id(cases: Iterable[CaseEntry]) -> list[CaseEntry]:
    return sorted(cases, key=lambda case: case.id)
