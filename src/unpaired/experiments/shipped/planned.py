"""What `unpaired train auto` gives, which chooses everything, by the labels that there are, in equal minutes.

On MS-CMRSeg: all labels of bSSFP and LGE, a tenth of both, all of bSSFP and one LGE patient's, or none of LGE. Beside
the plans stands a plain network with the same labels: norms per modality, nothing borrowed, randomized or begun with.
For scans of your own: a file with a function that returns `planned_by_labels(size, scarce="t2", others=("ct",))`.
"""

from dataclasses import replace

from unpaired.experiments.labels import LabeledShare, OfPatients, ScarceLabels, Simulated
from unpaired.experiments.splits import Folds
from unpaired.experiments.study import Labels, Row, Size, Study
from unpaired.experiments.train_auto import AUTO
from unpaired.recipes.random_convolutions import small_unet_plain
from unpaired.recipes.your_data import msbn_2d

MINUTES = {"small": 10.0, "full": 720.0}
ALL = "all labels"


def planned_by_labels(size: Size = "small", scarce: str = "lge", others: tuple[str, ...] = ("bssfp",)) -> Study:
    """What `train auto` gives with all labels, a tenth, one LGE patient's, none of LGE; a plain network beside it."""
    plain = small_unet_plain() if size == "small" else msbn_2d()
    alone = replace(plain, modalities=others, batch_size=plain.batch_size * 2)
    labels: dict[str, Labels] = {
        ALL: Simulated(),
        "a tenth": OfPatients(LabeledShare(0.1)),
        "1 label": ScarceLabels(scarce, 1),
        "no label": ScarceLabels(scarce),
    }
    rows = [Row(f"plain, {said}", plain, seen) for said, seen in labels.items() if said != "no label"]
    rows.append(Row("plain, no label", alone, labels["no label"], norms_of=others[0]))
    rows += [Row(f"auto, {said}", AUTO, seen) for said, seen in labels.items()]
    return Study("What train auto gives", tuple(rows), Folds(), minutes=MINUTES[size], baseline=f"auto, {ALL}")


def planned_by_labels_simulated(
    size: Size = "small", scarce: str = "lge", others: tuple[str, ...] = ("bssfp",)
) -> Study:
    """The same, and a row of no LGE label beside simulated LGE scans: for a dataset joined with `phantom --like`."""
    study = planned_by_labels(size, scarce, others)
    row = Row("auto, no label, simulated", AUTO, ScarceLabels(scarce, simulated=True))
    return replace(study, rows=(*study.rows, row))
