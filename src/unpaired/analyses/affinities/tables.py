"""How far the modalities' affinity matrices are apart, as a table."""

from collections.abc import Mapping, Sequence

from unpaired.analyses.affinities.scores import Matrices, disagreements
from unpaired.tables import DASH, Table


def disagreement_table(runs: Mapping[str, tuple[Matrices, Matrices]], classes: Sequence[str]) -> Table:
    """Each run's mean squared difference between modalities by class, before training and after."""
    rows: list[list[str]] = []
    for name, (before, after) in runs.items():
        for word, matrices in (("before", before), ("after", after)):
            values = [disagreement.elementwise for disagreement in disagreements(matrices)]
            rows.append([name, word, *(DASH if value is None else f"{value:.2g}" for value in values)])
    return Table(["run", "training", *classes], rows, "llr", "mean squared differences")
