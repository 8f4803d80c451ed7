"""What a layer's channels see: feature maps beside the classes they are meant to find (CSA Fig. 2, with numbers)."""

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from unpaired.errors import InputError
from unpaired.figures.case_view import CaseView
from unpaired.figures.class_rows import draw_class_rows

PANEL_INCHES = 1.75


@dataclass(frozen=True)
class ClassChannels:
    """A class's most selective channels, the best first: their numbers, the AP (0 to 1) by which they were chosen, and
    |activation| on the slice (channel, height, width)."""

    numbers: tuple[int, ...]
    precisions: tuple[float, ...]
    maps: np.ndarray


@dataclass(frozen=True)
class FeatureView:
    """One slice of a case with the feature maps of a layer, on the prepared grid.

    `view` is the case (its reference may hold negative numbers where the class is not certain), `depth` the slice,
    `mean` (height, width) the mean of |activation| over all channels, `channels` one entry per class with background.
    """

    run: str
    layer: str
    view: CaseView
    depth: int
    mean: np.ndarray
    channels: tuple[ClassChannels, ...]


def telling_slice(reference: np.ndarray) -> int:
    """The slice with the most classes, of these the one with the largest foreground; without any, the middle one."""
    if not (reference > 0).any():
        return len(reference) // 2
    counts = [(len(np.unique(labels[labels > 0])), int((labels > 0).sum())) for labels in reference]
    return max(range(len(counts)), key=lambda index: counts[index])


def draw_feature_maps(view: FeatureView) -> Figure:
    """A row per class: the slice with the class's outline, the mean of |activation| over all channels, the same inside
    the class alone, the class's most selective channels, and the best of them inside the class (F^c of CSA Eq. 2).

    Below each map stands its mean inside and outside of the class; all maps of a channel have one scale, from 0 (black)
    to its largest value in the part shown. Raises InputError if a map hasn't the slice's shape.
    """
    case = view.view
    if case.reference is None or view.mean.shape != case.volume.shape[1:]:
        raise InputError(f"case {case.name}: expected a reference, and maps of shape {case.volume.shape[1:]}")
    shown = max(len(best.numbers) for best in view.channels)
    title = f"{view.run} · {view.layer} · {case.modality} · {case.name}, slice {view.depth + 1} of {len(case.volume)}"
    heads = [
        "image, class",
        "mean |F|",
        "mean |F| in class",
        *(f"channel, no. {n + 1}" for n in range(shown)),
        "best |F| in class",
    ]
    figure, rows = draw_class_rows(case, case.reference[view.depth], view.depth, heads, title, PANEL_INCHES)
    for row, best in zip(rows, view.channels, strict=True):
        row.draw(1, view.mean)
        row.draw_inside(2, view.mean)
        for column, (channel, precision) in enumerate(zip(best.numbers, best.precisions, strict=True)):
            row.draw(3 + column, best.maps[column], f"{channel} · AP {100 * precision:.0f} %")
        if best.numbers:
            row.draw_inside(-1, best.maps[0], f"{best.numbers[0]}")
        for axes in row.panels[:-1]:
            row.outline(axes)
    return figure


def feature_maps_alt(view: FeatureView) -> str:
    """The picture in words."""
    return (
        f"Feature maps of layer {view.layer} of {view.run} on a slice of {view.view.name} ({view.view.modality}), a "
        f"row per class ({', '.join(view.view.classes)}): the image, the mean of all channels, the class's best ones"
    )
