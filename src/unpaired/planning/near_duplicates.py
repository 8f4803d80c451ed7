"""Scans of different patients that look like one: the same scan twice, saved anew, cropped a little or rescaled.

What is equal voxel by voxel is found by `unpaired verify`; here means over coarse blocks of two volumes are correlated,
which neither rescaled values nor noise, a few rows less or another voxel size change much.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from unpaired.planning.case_facts import CaseFacts, CasePicture

ALIKE = 0.97
"""The correlation of block means from which on two scans look like one. Between scans of different people of MS-CMRSeg
and CHAOS it is 0.89 at most, between a scan and itself with noise, in other units or with coarser voxels 0.998."""
ROWS = 1024
"""How many cases are compared with all others at a time, for memory."""


@dataclass(frozen=True)
class Alike:
    """Two cases of one modality and of different patients, and the correlation of their block means."""

    first: str
    second: str
    correlation: float


def near_duplicates(cases: Sequence[CaseFacts], pictures: Mapping[str, CasePicture]) -> tuple[Alike, ...]:
    """The pairs of cases that look like one scan, in the order of the cases."""
    groups: defaultdict[tuple[str, tuple[int, ...]], list[CaseFacts]] = defaultdict(list)
    for case in cases:
        groups[case.modality, pictures[case.id].blocks.shape].append(case)
    return tuple(pair for group in groups.values() for pair in _alike_within(group, pictures))


def _alike_within(cases: Sequence[CaseFacts], pictures: Mapping[str, CasePicture]) -> list[Alike]:
    means = np.stack([pictures[case.id].blocks.reshape(-1) for case in cases])
    means = means - means.mean(axis=1, keepdims=True)
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    patients = np.unique([case.patient for case in cases], return_inverse=True)[1]
    pairs: list[Alike] = []
    for start in range(0, len(cases), ROWS):
        correlation = means[start : start + ROWS] @ means.T
        differ = patients[start : start + ROWS, None] != patients
        later = np.arange(len(cases)) > np.arange(start, start + len(correlation))[:, None]
        for row, column in np.argwhere((correlation >= ALIKE) & differ & later).tolist():
            pairs.append(Alike(cases[start + row].id, cases[column].id, round(float(correlation[row, column]), 4)))
    return pairs
