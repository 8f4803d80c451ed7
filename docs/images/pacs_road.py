"""Draw the road of a series from an archive over `unpaired dicom watch` back into it.

.venv/bin/python docs/images/pacs_road.py
"""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from PIL import Image

OUT = Path(__file__).with_suffix(".webp")
INK, PAPER, EDGE, FILL, OURS = "#1d2733", "#ffffff", "#7b8794", "#eef2f6", "#dcecf9"
SIZE = 9.5
SPOOL = "each image is on disk\nbefore it is confirmed;\nthe queue survives\nkill -9; limited size"
BACK = "C-STORE, STOW-RS;\ntried again until\nthe archive answers"


def box(axes: Axes, place: tuple[float, float, float, float], title: str, text: str, color: str = FILL) -> None:
    """A box of (left, bottom, width, height) with a title and what happens in it."""
    left, bottom, width, height = place
    shape = FancyBboxPatch((left, bottom), width, height, "round,pad=0.02,rounding_size=0.08", fc=color, ec=EDGE, lw=1)
    axes.add_patch(shape)
    middle = left + width / 2
    axes.text(middle, bottom + height - 0.12, title, ha="center", va="top", size=SIZE + 1.5, weight="bold", color=INK)
    axes.text(middle, bottom + height - 0.48, text, ha="center", va="top", size=SIZE, color=INK, linespacing=1.35)


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], text: str, above: float = 0.08) -> None:
    """An arrow with a word in its middle."""
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=13, lw=1.3, color=INK))
    x, y = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2 + above
    axes.text(x, y, text, ha="center", va="bottom", size=SIZE - 0.5, color=INK, linespacing=1.25)


def main() -> None:
    """Archive, spool, run, and back; and who looks."""
    figure = Figure(figsize=(10.6, 4.5), facecolor=PAPER)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 10.6), ylim=(0, 4.5))
    axes.set_axis_off()
    box(axes, (0.15, 2.15, 1.75, 1.7), "Archive, scanner", "PACS, Orthanc,\nmodality\n\nDICOMweb or DIMSE,\nTLS")
    axes.add_patch(FancyBboxPatch((3.3, 0.2), 5.2, 4.1, "round,pad=0.02,rounding_size=0.1", fc=PAPER, ec=EDGE, ls="--"))
    axes.text(5.9, 4.2, "unpaired dicom watch", ha="center", va="top", size=SIZE + 2, family="monospace", color=INK)
    box(
        axes,
        (3.5, 2.15, 2.1, 1.7),
        "Spool on disk",
        "each image is on disk\nbefore it is confirmed;\nthe queue survives\nkill -9; limited size",
        OURS,
    )
    box(axes, (6.35, 2.15, 1.95, 1.7), "Run, loaded once", "series that fit\nare predicted,\nat most once each", OURS)
    box(axes, (3.5, 0.35, 4.8, 0.95), "watch.log, health page", "UIDs and AE titles, nobody's name", OURS)
    box(axes, (9.0, 2.15, 1.45, 1.7), "Objects", "DICOM SEG,\nRTSTRUCT,\ncoded anatomy,\nsame study")
    arrow(axes, (1.95, 3.15), (3.45, 3.15), "C-STORE, or\npolled: C-GET,\nC-MOVE, WADO")
    arrow(axes, (5.65, 2.8), (6.3, 2.8), "quiet\n30 s")
    arrow(axes, (8.35, 2.8), (8.95, 2.8), "")
    axes.plot([9.72, 9.72, 1.02], [2.1, 0.08, 0.08], color=INK, lw=1.3, solid_joinstyle="round")
    arrow(axes, (1.02, 0.08), (1.02, 2.1), "")
    axes.text(
        1.12, 0.62, "C-STORE, STOW-RS;\ntried again until\nthe archive answers", va="center", size=SIZE - 0.5, color=INK
    )
    figure.savefig(OUT.with_suffix(".png"), dpi=110, facecolor=PAPER)
    with Image.open(OUT.with_suffix(".png")) as picture:
        picture.convert("RGB").save(OUT, quality=88, method=6)
    OUT.with_suffix(".png").unlink()
    print(f"{OUT}: {OUT.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
