"""Correlations of classes (SSC Eq. 8) in numbers: how far the modalities' are apart, and every entry of all."""

from collections.abc import Sequence
from itertools import product

from unpaired.analyses.affinities.scores import disagreements
from unpaired.analyses.attention.figure import CorrelationView
from unpaired.tables import DASH, Table, csv_text


def correlation_table(views: Sequence[CorrelationView]) -> Table:
    """The mean squared difference between modalities' R, a row for each run and scale."""
    rows: list[list[str]] = []
    for view in views:
        for scale, disagreement in zip(view.scales, disagreements(view.matrices), strict=True):
            value = disagreement.elementwise
            rows.append([view.run, scale, DASH if value is None else f"{value:.2g}"])
    return Table(["run", "scale", "of R between modalities"], rows, "llr", "mean squared differences")


def correlation_entries(views: Sequence[CorrelationView]) -> str:
    """Every entry of every R as CSV: run, scale, modality, the two classes, r."""
    entries: list[list[str]] = []
    for view in views:
        for number, scale in enumerate(view.scales):
            for modality, of_modality in zip(view.modalities, view.matrices, strict=True):
                R = of_modality[number]
                if R is None:
                    continue
                for place in product(range(len(view.classes)), repeat=2):
                    names = [view.classes[index] for index in place]
                    entries.append([view.run, scale, modality, *names, f"{R[place]:.6g}"])
    return csv_text(["run", "scale", "modality", "class", "other_class", "r"], entries)
