"""What a dataset is like, as tables: a row a modality, a row a class."""

from unpaired.planning.fingerprint import Fingerprint, ModalityFacts
from unpaired.tables import DASH, Table


def modality_table(fingerprint: Fingerprint) -> Table:
    """A row a modality: cases, sizes, spacing, planes, body and values."""
    some = any(facts.simulated_patients for facts in fingerprint.modalities)
    rows = [
        [
            facts.name,
            f"{facts.cases}",
            f"{facts.patients}",
            f"{facts.labeled_patients}",
            *([f"{facts.simulated_patients}"] if some else []),
            "×".join(f"{size:g}" for size in facts.shape),
            "×".join(f"{size:.3g}" for size in facts.spacing_mm),
            _range(facts),
            ", ".join(f"{plane} {count}" for plane, count in facts.planes.items()),
            f"{facts.body_share:.0%}",
            f"{facts.percentiles[0]:.4g} to {facts.percentiles[-1]:.4g}",
        ]
        for facts in fingerprint.modalities
    ]
    counts = ["cases", "patients", "labeled", *(["simulated"] if some else [])]
    head = ["modality", *counts, "size", "spacing mm", "from - to", "planes", "body", "values"]
    note = (
        "Sizes and spacings are medians (across the slices x rows x columns); labeled counts patients; body: its box's "
        "share of the scan; values: where 99 % of the organs' (or the body's) voxels lie."
    )
    simulated = (
        "Simulated: labeled scans beside those of patients; the other columns are of patients alone, or of simulated "
        "scans where a modality has no others."
    )
    align = f"l{'r' * len(counts)}rrrlrr"
    return Table(head, rows, align=align, notes=[note, simulated] if some else [note])


def organ_table(fingerprint: Fingerprint) -> Table:
    """A row a class: how many patients show it, and how large it is, in each modality."""
    head = ["class", *(facts.name for facts in fingerprint.modalities)]
    rows = [[name, *(_organ(facts, name) for facts in fingerprint.modalities)] for name in fingerprint.classes[1:]]
    return Table(head, rows, notes=["Patients whose label map shows the class, and its median volume."])


def _organ(facts: ModalityFacts, name: str) -> str:
    count = facts.labeled_with.get(name, 0)
    return f"{count} · {_milliliters(facts.volumes_ml[name])}" if count else DASH


def _milliliters(volume: float) -> str:
    """Three digits of a volume, and never an exponent: 1,760 ml, 41.3 ml."""
    digits = f"{volume:.3g}"
    return f"{float(digits):,.0f} ml" if "e+" in digits else f"{digits} ml"


def _range(facts: ModalityFacts) -> str:
    least, most = facts.spacing_range
    across, within = (
        f"{low:.3g}" if low == high else f"{low:.3g}-{high:.3g}"
        for low, high in ((least[0], most[0]), (min(least[1:]), max(most[1:])))
    )
    return f"{across}, {within}"
