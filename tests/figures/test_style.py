"""Colors can be told apart, and a figure's bytes depend on nothing but the figure."""

import pytest
from matplotlib.figure import Figure

from unpaired.figures.style import DARK, LIGHT, class_color, class_style, png, svg, webp


def luminance(color):
    """Relative luminance (WCAG 2.2)."""
    channels = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    dark, bright = sorted((luminance(one), luminance(other)))
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_lines_and_text_stand_out_from_the_paper(theme):
    assert contrast(theme.ink, theme.paper) >= 7
    assert min(contrast(color, theme.paper) for color in theme.series) >= 3


def test_no_two_of_twenty_classes_look_the_same():
    assert len({(class_color(number), class_style(number)) for number in range(1, 21)}) == 20
    assert len({class_color(number) for number in range(1, 8)}) == 7
    assert {class_style(number) for number in range(1, 8)} == {"-"}


@pytest.mark.parametrize(("render", "start"), [(png, b"\x89PNG"), (webp, b"RIFF"), (svg, b"<?xml")])
def test_bytes_have_the_format_and_no_date(render, start):
    def draw():
        figure = Figure(figsize=(1, 1))
        figure.add_subplot().plot([0, 1])
        return render(figure)

    assert draw().startswith(start)
    assert draw() == draw()
    assert b"<dc:date>" not in draw()


@pytest.mark.parametrize("render", [png, svg, webp])
def test_names_are_no_formulas(render):
    figure = Figure()
    axes = figure.add_subplot()
    axes.set_title(r"case $\frac{")
    axes.set_xticks([0, 1], ["a$x^", "b$_{$"])
    axes.text(0, 0, "$x^$")
    axes.set_yscale("log")
    assert render(figure)
