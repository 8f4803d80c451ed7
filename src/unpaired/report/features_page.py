"""One self-contained HTML page about what runs have learned: localization, feature maps, affinities, segmentations."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from unpaired.analyses.affinities.figure import AffinityView, affinities_alt, draw_affinities
from unpaired.analyses.affinities.tables import disagreement_table
from unpaired.analyses.attention.figure import (
    AttentionView,
    CorrelationView,
    attention_alt,
    correlations_alt,
    draw_attention,
    draw_correlations,
)
from unpaired.analyses.attention.tables import correlation_entries, correlation_table
from unpaired.analyses.localization.comparison import LocalizationComparison
from unpaired.analyses.localization.figure import draw_localization, localization_alt
from unpaired.analyses.localization.tables import (
    KIND_NAMES,
    by_class,
    by_layer,
    definitions,
    overview,
    reported_kinds,
    write_localization,
)
from unpaired.figures.curves import Curve, draw_curve
from unpaired.figures.feature_maps import FeatureView, draw_feature_maps, feature_maps_alt
from unpaired.figures.segmentation_grid import GridCase, draw_segmentation_grid, segmentation_grid_alt
from unpaired.figures.style import DARK, LIGHT, Theme, png, svg, webp_of
from unpaired.files import write_bytes, write_text
from unpaired.report.pictures import Picture, data_uri
from unpaired.report.template import render
from unpaired.runs.folder import FEATURES_PAGE
from unpaired.tables import Table

PLOTTED = ("best", "shared")
DPI = 140


def write_features(
    out: Path,
    comparison: LocalizationComparison | None,
    choosing: Mapping[str, str],
    maps: Sequence[FeatureView],
    affinities: Sequence[AffinityView],
    grid: Sequence[GridCase],
    notes: Sequence[str] = (),
    correlations: Sequence[CorrelationView] = (),
    attention: Sequence[AttentionView] = (),
    distances: Sequence[Curve] = (),
) -> Path:
    """Write tables, figures (`figures/`) and the page into the folder `out`; returns the page.

    Scans and matrices are PNG, plots SVG. Parts without content are left out of the page. Raises InputError if `out`
    can't be written.
    """
    files = [] if comparison is None else write_localization(comparison, choosing, out)
    keep = _Keeper(out)
    page = render(
        "features.html.jinja",
        comparison=comparison,
        names=comparison.names if comparison else list(grid[0].views) if grid else [],
        warnings=[*(comparison.warnings() if comparison else ()), *notes],
        **_localization(comparison, choosing, keep),
        maps=[
            keep.scan(f"maps_{view.run}_{view.view.modality}", draw_feature_maps(view), feature_maps_alt(view))
            for view in maps
        ],
        **_affinities(affinities, keep),
        grid=keep.scan("segmentations", draw_segmentation_grid(grid), segmentation_grid_alt(grid)) if grid else None,
        **_external_attention(correlations, attention, distances, keep),
        files=[*files, *keep.written],
    )
    write_text(out / FEATURES_PAGE, page)
    return out / FEATURES_PAGE


def _localization(
    comparison: LocalizationComparison | None, choosing: Mapping[str, str], keep: "_Keeper"
) -> dict[str, Any]:
    """Where classes are found in the layers: plots, and a table over all, by layer and by class."""
    if comparison is None:
        return {"definitions": [], "overviews": [], "plots": {}, "layer_tables": {}, "class_tables": []}
    kinds = reported_kinds(comparison)
    return {
        "definitions": definitions(choosing),
        "overviews": [replace(overview(comparison, kind), title=KIND_NAMES[kind]) for kind in kinds],
        "plots": {modality: list(_plots(comparison, modality, keep)) for modality in comparison.modalities},
        "layer_tables": {
            modality: [by_layer(comparison, modality, kind) for kind in kinds] for modality in comparison.modalities
        },
        "class_tables": [by_class(comparison, modality) for modality in comparison.modalities],
    }


def _affinities(affinities: Sequence[AffinityView], keep: "_Keeper") -> dict[str, Any]:
    """CSA's matrices and how far the modalities' are apart."""
    return {
        "affinities": [
            keep.matrices(
                f"affinity_{view.run}", lambda theme, view=view: draw_affinities(view, theme), affinities_alt(view)
            )
            for view in affinities
        ],
        "affinity_table": _affinity_table(affinities, keep),
        "pair": affinities[0].pair if affinities else None,
        "modalities": affinities[0].modalities if affinities else (),
    }


def _external_attention(
    correlations: Sequence[CorrelationView],
    attention: Sequence[AttentionView],
    distances: Sequence[Curve],
    keep: "_Keeper",
) -> dict[str, Any]:
    """SSC's correlations of classes, where each class attends, and how its embeddings met in training."""
    return {
        "correlations": [
            keep.matrices(
                f"correlation_{view.run}",
                lambda theme, view=view: draw_correlations(view, theme),
                correlations_alt(view),
            )
            for view in correlations
        ],
        "correlation_table": _correlation_table(correlations, keep),
        "attention": [
            keep.scan(f"attention_{view.run}_{view.view.modality}", draw_attention(view), attention_alt(view))
            for view in attention
        ],
        "distances": [
            keep.plot(curve.title, lambda theme, curve=curve: draw_curve(curve, (), theme), curve.alt)
            for curve in distances
        ],
    }


def _affinity_table(affinities: Sequence[AffinityView], keep: "_Keeper") -> Table | None:
    """The numbers below the differences, also as affinities.csv."""
    if not affinities:
        return None
    table = disagreement_table({view.run: (view.before, view.after) for view in affinities}, affinities[0].classes)
    keep.csv("affinities.csv", table.csv())
    return table


def _correlation_table(correlations: Sequence[CorrelationView], keep: "_Keeper") -> Table | None:
    """How far the modalities' R are apart; every R that is drawn as correlations.csv."""
    if not correlations:
        return None
    keep.csv("correlations.csv", correlation_entries(correlations))
    return correlation_table(correlations)


class _Keeper:
    """Draws each figure once, writes it as a file for papers, and gives it back for the page."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.written: list[str] = []

    def scan(self, name: str, figure: Figure, alt: str) -> Picture:
        """A picture of scans: one for light and dark pages."""
        content = png(figure, dpi=DPI)
        self._write(f"{name}.png", content)
        uri = data_uri("image/webp", webp_of(content))
        return Picture(name, uri, uri, alt)

    def plot(self, name: str, draw: Callable[[Theme], Figure], alt: str) -> Picture:
        """A plot of numbers: SVG, drawn for light and dark pages."""
        light, dark = (svg(draw(theme)) for theme in (LIGHT, DARK))
        self._write(f"{name}.svg", light)
        return Picture(name, data_uri("image/svg+xml", light), data_uri("image/svg+xml", dark), alt)

    def matrices(self, name: str, draw: Callable[[Theme], Figure], alt: str) -> Picture:
        """Matrices, drawn for light and dark pages: pictures, as they have too many entries for SVG."""
        light, dark = (png(draw(theme), dpi=DPI) for theme in (LIGHT, DARK))
        self._write(f"{name}.png", light)
        return Picture(name, data_uri("image/webp", webp_of(light)), data_uri("image/webp", webp_of(dark)), alt)

    def csv(self, name: str, text: str) -> None:
        """Write a table for programs beside the page."""
        write_text(self.out / name, text)
        self.written.append(name)

    def _write(self, name: str, content: bytes) -> None:
        safe = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in name)
        write_bytes(self.out / "figures" / safe, content)
        self.written.append(f"figures/{safe}")


def _plots(comparison: LocalizationComparison, modality: str, keep: _Keeper) -> Iterator[Picture]:
    for kind in [kind for kind in PLOTTED if kind in reported_kinds(comparison)]:
        yield keep.plot(
            f"localization_{modality}_{kind}",
            lambda theme, kind=kind: draw_localization(comparison, modality, kind, theme),
            localization_alt(comparison, modality, kind),
        )
