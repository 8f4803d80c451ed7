"""Affinity matrices of CSA Eq. 3 side by side: each modality's, and how they differ, before training and after."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from unpaired.analyses.affinities.scores import Matrices, channel_order, differences, disagreements
from unpaired.errors import InputError
from unpaired.figures.matrices import draw_color_bar, draw_matrix
from unpaired.figures.style import LIGHT, Theme

PANEL_INCHES, GAP_INCHES, BLOCK_GAP_INCHES, FOOT_INCHES = 1.4, 0.06, 0.25, 0.22
LEFT_INCHES, RIGHT_INCHES, TOP_INCHES = 0.32, 0.68, 0.86
COLORS = {"cosine": "RdBu_r", "difference": "PuOr_r"}


@dataclass(frozen=True)
class AffinityView:
    """A run's matrices A^c of the layers `pair`, by modality and class, before and after training."""

    run: str
    pair: tuple[str, str]
    modalities: tuple[str, ...]
    classes: tuple[str, ...]
    before: Matrices
    after: Matrices


def draw_affinities(view: AffinityView, theme: Theme = LIGHT) -> Figure:
    """A row per class; before training, then after: each modality's matrix, then what they differ by.

    Of two modalities that is the first minus the second; of more, each minus the mean of all. The number below is the
    mean squared difference of entries, over all pairs of modalities. Channels stand in one order in all panels: that in
    which the trained matrices show their structure (`channel_order`). Raises InputError for less than two modalities.
    """
    if len(view.modalities) < 2:
        raise InputError(f"{view.run}: expected two modalities or more to compare, got {len(view.modalities)}")
    heads = [*view.modalities, *difference_names(view.modalities)]
    width = LEFT_INCHES + 2 * len(heads) * PANEL_INCHES + BLOCK_GAP_INCHES + RIGHT_INCHES
    height = TOP_INCHES + len(view.classes) * (PANEL_INCHES + FOOT_INCHES)
    figure = Figure(figsize=(width, height), facecolor=theme.paper)
    order, spread = channel_order(view.after), _largest_difference(view)
    images: dict[str, AxesImage] = {}
    for block, (word, matrices) in enumerate((("before training", view.before), ("after", view.after))):
        left = LEFT_INCHES + block * (len(heads) * PANEL_INCHES + BLOCK_GAP_INCHES)
        figure.text(left / width, 1 - 0.5 / height, word, color=theme.ink, fontsize=9.5, va="center")
        apart = disagreements(matrices)
        for number, name in enumerate(view.classes):
            of_class = [of_modality[number] for of_modality in matrices]
            bottom = height - TOP_INCHES - (number + 1) * (PANEL_INCHES + FOOT_INCHES) + FOOT_INCHES
            for column, matrix in enumerate([*of_class, *differences(of_class)]):
                size = (PANEL_INCHES - GAP_INCHES) / width, (PANEL_INCHES - GAP_INCHES) / height
                axes = figure.add_axes(((left + column * PANEL_INCHES) / width, bottom / height, *size))
                kind = "cosine" if column < len(view.modalities) else "difference"
                image = _draw_matrix(axes, matrix, order, 1.0 if kind == "cosine" else spread, kind, theme)
                images |= {} if image is None else {kind: image}
                if number == 0:
                    axes.set_title(heads[column], color=theme.ink, fontsize=8.5, pad=3)
                if block == column == 0:
                    axes.set_ylabel(name, color=theme.ink, fontsize=9)
            value = apart[number].elementwise
            middle = left + (len(view.modalities) + (len(heads) - len(view.modalities)) / 2) * PANEL_INCHES
            text = "" if value is None else f"{value:.2g}"
            place = (middle - GAP_INCHES / 2) / width, (bottom - FOOT_INCHES / 2) / height
            figure.text(*place, text, color=theme.ink, fontsize=8.5, ha="center", va="center")
    _draw_bars(figure, images, theme)
    title = f"{view.run}: affinity of {view.pair[0]} (rows) and {view.pair[1]} (columns)"
    place = LEFT_INCHES / width, 1 - 0.2 / height
    figure.text(*place, title, color=theme.ink, fontsize=10.5, fontweight="bold", va="center")
    return figure


def affinities_alt(view: AffinityView) -> str:
    """The picture in words."""
    parts: list[str] = []
    for word, matrices in (("before", view.before), ("after", view.after)):
        values = [
            f"{name} {disagreement.elementwise:.2g}"
            for name, disagreement in zip(view.classes, disagreements(matrices), strict=True)
            if disagreement.elementwise is not None
        ]
        parts.append(f"{word} training {', '.join(values)}")
    return (
        f"Affinity matrices of {' and '.join(view.pair)} of {view.run}, a row per class, a column per modality "
        f"({', '.join(view.modalities)}) and their difference. Mean squared difference {'; '.join(parts)}"
    )


def difference_names(modalities: Sequence[str]) -> list[str]:
    """What the columns of `differences` are called."""
    if len(modalities) == 2:
        return [" − ".join(modalities)]
    return [f"{name} − mean" for name in modalities]


def _largest_difference(view: AffinityView) -> float:
    """The 99.5th percentile of all differences, so that before and after share a scale that a few entries don't set."""
    absolute = [
        np.abs(difference).ravel()
        for matrices in (view.before, view.after)
        for of_class in zip(*matrices, strict=True)
        for difference in differences(of_class)
        if difference is not None
    ]
    return (float(np.quantile(np.concatenate(absolute), 0.995)) or 1.0) if absolute else 1.0


def _draw_matrix(
    axes: Axes, matrix: np.ndarray | None, order: tuple[np.ndarray, np.ndarray], limit: float, kind: str, theme: Theme
) -> AxesImage | None:
    axes.set_xticks([])
    axes.set_yticks([])
    ordered = None if matrix is None else matrix[np.ix_(*order)]
    return draw_matrix(axes, ordered, COLORS[kind], (-limit, limit), theme, stretched=True)


def _draw_bars(figure: Figure, images: Mapping[str, AxesImage], theme: Theme) -> None:
    width, height = figure.get_size_inches()
    for place, (kind, image) in enumerate(images.items()):
        bottom = height - TOP_INCHES - (place + 1) * (PANEL_INCHES + FOOT_INCHES) + FOOT_INCHES
        box = (width - RIGHT_INCHES + 0.06, bottom, 0.1, PANEL_INCHES - GAP_INCHES)
        draw_color_bar(figure, image, box, kind, 1, theme)
