"""Colors that stand for something stay apart for readers who lack one kind of cones.

Simulation: G. M. Machado, M. M. Oliveira, L. A. F. Fernandes, A Physiologically-based Model for Simulation of Color
Vision Deficiency, IEEE TVCG 15(6), 2009, the matrices for severity 1.0, in linear RGB.
Distance: CIE 1976, in CIELAB with the white of sRGB (about 2.3 is just noticeable).
"""

from itertools import combinations

import numpy as np
import pytest

from unpaired.figures.style import DARK, LIGHT, OKABE_ITO

VISION = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def linear(color):
    encoded = np.array([int(color[start : start + 2], 16) for start in (1, 3, 5)]) / 255
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    ratio = XYZ @ rgb / XYZ.sum(axis=1)
    root = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2])])


def seen(color, vision):
    return lab(np.clip(np.asarray(VISION[vision]) @ linear(color), 0, 1))


def closest(colors, vision):
    places = [seen(color, vision) for color in colors]
    return min(float(np.linalg.norm(one - other)) for one, other in combinations(places, 2))


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("colors", [OKABE_ITO, LIGHT.series, DARK.series], ids=["classes", "light", "dark"])
def test_colors_stay_apart(colors, vision):
    assert closest(colors, vision) > 15


def test_the_simulation_confuses_what_it_should():
    """Red and green of one lightness: far apart, but for readers without red or green cones; gray stays gray."""
    red_green = ("#b06030", "#6a7c30")
    assert closest(red_green, "normal") > 35
    assert closest(red_green, "deuteranopia") < 12
    assert closest(red_green, "tritanopia") > 30
    for vision in VISION:
        assert np.linalg.norm(seen("#808080", vision) - seen("#808080", "normal")) < 0.1
    assert seen("#ffffff", "normal") == pytest.approx([100, 0, 0], abs=0.01)
    assert seen("#ff0000", "normal") == pytest.approx([53.24, 80.09, 67.20], abs=0.02)  # the textbook's
