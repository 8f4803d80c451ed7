"""What a dataset looks like, on one page: a slice of every case, histograms, sizes, and who labeled what."""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image as PillowImage

from unpaired.data.dataset import Dataset
from unpaired.data.manifest import as_dataset
from unpaired.data.overwriting import Subject, require_own_file, subject
from unpaired.figures.style import DARK, LIGHT, OKABE_ITO, Theme, svg
from unpaired.files import write_text
from unpaired.planning.case_facts import CaseFacts, CasePicture
from unpaired.planning.fingerprint import Fingerprint, take_fingerprint, write_fingerprint
from unpaired.planning.tables import modality_table, organ_table
from unpaired.report.pictures import Picture, data_uri
from unpaired.report.template import render

BINS = 60
OUTLINE = tuple(int(OKABE_ITO[0][start : start + 2], 16) for start in (1, 3, 5))
SCALE = 2
"""Pixels of the page's pictures for each of a case's."""


@dataclass(frozen=True)
class Thumbnail:
    """One case on the page: its name, a line of facts, and its picture."""

    case: str
    facts: str
    picture: Picture


def inspect_dataset(
    data: Dataset | str | Path,
    *,
    page: str | Path | None = None,
    json: str | Path | None = None,
    workers: int = 1,
    progress: Callable[[int, int, str], None] | None = None,
) -> Fingerprint:
    """The fingerprint of a dataset (or its manifest): sizes, spacings, values and organs by case and by modality.

    `page` is an HTML file to write, with a slice of every case, in which a scan that lies upside down is seen at once;
    `json` a file for programs and for `unpaired plan`. Every scan is read once, by `workers` processes; `progress` is
    called with (cases done, cases in all, case id). Scans that can't be read are in `failures` and stop no other.
    Raises InputError if none can be read, if a file can't be written, and before any is read where `page` or `json` is
    there and isn't of this dataset.
    """
    dataset, about = as_dataset(data), subject("inspect", data)
    for path in (json, page):
        if path is not None:
            require_own_file(Path(path), about)
    fingerprint, pictures = take_fingerprint(dataset, workers, progress)
    if json is not None:
        write_fingerprint(fingerprint, json, about.mark)
    if page is not None:
        write_page(fingerprint, pictures, Path(page), about)
    return fingerprint


def write_page(fingerprint: Fingerprint, pictures: Mapping[str, CasePicture], path: Path, about: Subject) -> None:
    """Write the page of a fingerprint, one file that opens offline; its head says what it is about."""
    cases = {
        facts.name: sorted((case for case in fingerprint.cases if case.modality == facts.name), key=_as_people_count)
        for facts in fingerprint.modalities
    }
    text = render(
        "fingerprint.html.jinja",
        about,
        dataset=fingerprint.dataset,
        classes=fingerprint.classes[1:],
        modalities=fingerprint.modalities,
        failures=fingerprint.failures,
        warnings=fingerprint.warnings(),
        table=modality_table(fingerprint),
        organs=organ_table(fingerprint),
        histograms={name: _histogram(name, [pictures[case.id].values for case in own]) for name, own in cases.items()},
        thumbnails={name: [_thumbnail(case, pictures[case.id]) for case in own] for name, own in cases.items()},
    )
    write_text(path, text)


def _as_people_count(case: CaseFacts) -> list[tuple[int, str]]:
    """A key that sorts p2 before p10."""
    return [(int(part) if part.isdecimal() else 0, part) for part in re.split(r"([0-9]+)", case.id)]


def _histogram(name: str, values: Sequence[np.ndarray]) -> Picture:
    """The values of each case as a line over the range that they share."""
    low, high = np.percentile(np.concatenate(values), (0.5, 99.5))
    edges = np.linspace(low, max(high, low + 1e-6), BINS + 1)
    shares = [np.histogram(case, edges)[0] / max(len(case), 1) for case in values]

    def draw(theme: Theme) -> Figure:
        figure = Figure(figsize=(7, 2.6), facecolor=theme.paper, layout="constrained")
        axes = figure.add_subplot(facecolor=theme.paper)
        for share in shares:
            axes.plot((edges[:-1] + edges[1:]) / 2, share, color=theme.series[0], alpha=max(0.12, 1 / len(shares)))
        axes.plot((edges[:-1] + edges[1:]) / 2, np.mean(shares, axis=0), color=theme.series[1], linewidth=2)
        axes.set_xlabel("value in the file", color=theme.ink)
        axes.set_yticks([])
        axes.tick_params(colors=theme.ink)
        for side, spine in axes.spines.items():
            spine.set_visible(side == "bottom")
            spine.set_color(theme.faint)
        return figure

    alt = f"Histogram of the values of {len(values)} cases of {name}, from {low:.4g} to {high:.4g}; their mean in bold."
    light, dark = (data_uri("image/svg+xml", svg(draw(theme))) for theme in (LIGHT, DARK))
    return Picture(name, light, dark, alt)


def _thumbnail(case: CaseFacts, picture: CasePicture) -> Thumbnail:
    rgb = np.repeat(picture.gray[..., None], 3, axis=2)
    rgb[picture.outline] = OUTLINE
    large = PillowImage.fromarray(rgb).resize(
        (rgb.shape[1] * SCALE, rgb.shape[0] * SCALE), PillowImage.Resampling.NEAREST
    )
    stream = io.BytesIO()
    large.save(stream, "WEBP", quality=70)
    uri = data_uri("image/webp", stream.getvalue())
    size = "×".join(f"{count}" for count in case.shape)
    spacing = "×".join(f"{step:.3g}" for step in case.spacing_mm)
    facts = f"{size} · {spacing} mm · {case.plane} {case.axes}{'' if case.labeled else ' · unlabeled'}"
    words = "its organs outlined" if case.labeled else "without a label map"
    return Thumbnail(case.id, facts, Picture(case.id, uri, uri, f"A slice of {case.id}, {words}"))
