"""The chest around the phantom's heart: wall, lungs, and the organs below the diaphragm.

World: RAS+ mm, origin at the middle of the mitral plane, as in `heart`.
"""

# Points are arrays, and `array + (x, y, z)` moves one: not the concatenation that this rule suspects.
# ruff: noqa: RUF005

import numpy as np

from unpaired.phantom.canvas import Canvas, ellipsoid


def paint_chest_wall(canvas: Canvas, scale: float, lumps: np.ndarray) -> None:
    """Skin fat, muscle, ribs, sternum and spine around an empty (lung-filled) chest cavity.

    `scale` is 1 for an average adult; `lumps` is a random field on the canvas's grid that roughens the surfaces.
    """
    box, points = canvas.everywhere(), canvas.points
    torso = ellipsoid(points, (15, -12, 0), (172 * scale, 122 * scale, 900)) + 3 * lumps
    canvas.paint(box, torso, "fat")
    canvas.paint(box, torso + 14 + 3 * lumps, "muscle")
    cavity = ellipsoid(points, (15, -8, 0), (136 * scale, 92 * scale, 600))
    # Ribs run obliquely: downward from back to front, one about every 24 mm.
    phase = np.mod(points[2] + np.float32(0.45) * points[1], 24) - 12
    rib = np.sqrt((cavity - 6) ** 2 + phase**2 * np.float32(0.6)) - 5
    canvas.paint(box, rib, "bone")
    canvas.paint(box, rib + 2.5, "marrow")
    canvas.paint(box, cavity, "lung")
    spine = (15.0, -84 * scale)
    front = 84 * scale
    canvas.tube("muscle", [(*spine, -200), (*spine, 200)], 32)
    for height in range(-154, 155, 26):
        canvas.ellipsoid("bone", (*spine, height), (20, 16, 17))
        canvas.ellipsoid("marrow", (*spine, height), (18, 14, 15))
        canvas.tube("bone", [(15, spine[1] - 20, height), (15, spine[1] - 44, height - 10)], 4)
        for side in (-1, 1):
            canvas.tube("bone", [(15 + side * 12, spine[1] - 18, height), (15 + side * 34, spine[1] - 26, height)], 5)
    canvas.tube("csf", [(15, spine[1] - 23, -200), (15, spine[1] - 23, 200)], 8)
    canvas.tube("muscle", [(15, front + 6, -60), (15, front - 4, 120)], 12)
    canvas.ellipsoid("bone", (15, front + 1, 35), (19, 6, 95))
    canvas.ellipsoid("marrow", (15, front + 1, 35), (17, 4, 93))


def paint_lungs(canvas: Canvas, rng: np.random.Generator) -> None:
    """Vessels and bronchi that branch from each hilum toward the chest wall."""
    for side in (-1, 1):
        hilum = np.array([15 + side * 42, -25, 22])
        for _ in range(40):
            direction = rng.normal(size=3) * (0.9, 1.0, 1.0) + (side * 0.7, -0.1, -0.1)
            direction /= np.linalg.norm(direction)
            root = hilum + rng.normal(0, 7, 3)
            middle = root + direction * rng.uniform(18, 40) + rng.normal(0, 9, 3)
            radius = rng.uniform(1.5, 3.8)
            canvas.tube("venous blood", [root, middle], [radius + 1.2, radius])
            for _ in range(4):
                end = middle + direction * rng.uniform(8, 30) + rng.normal(0, 17, 3)
                canvas.tube("venous blood", [middle, end], [radius * 0.75, 0.7])


def paint_upper_abdomen(canvas: Canvas, diaphragm_mm: float, lumps: np.ndarray, rng: np.random.Generator) -> None:
    """The diaphragm's two domes with liver on the right, stomach and spleen on the left; `diaphragm_mm` lifts both."""
    right = np.array([68, -5, -132 + diaphragm_mm])
    left = np.array([-42, -12, -134 + diaphragm_mm])
    box = canvas.everywhere()
    for center, semiaxes, inside in ((right, (78, 84, 92), "liver"), (left, (76, 82, 74), "fat")):
        dome = ellipsoid(canvas.points, center, semiaxes) + 2.5 * lumps
        canvas.paint(box, dome - 2.5, "muscle")
        canvas.paint(box, dome, inside)
    canvas.ellipsoid("liver", right + (-80, 38, 6), (66, 46, 58))
    for _ in range(22):
        start = right + rng.uniform(-1, 1, 3) * (45, 45, 20) + (0, 0, 45)
        canvas.tube("liver vessel", [start, start + rng.normal(0, 22, 3)], [3.2, 1.2])
    canvas.ellipsoid("bowel wall", left + (-8, 0, 18), (40, 44, 46))
    canvas.ellipsoid("fluid", left + (-8, -4, 16), (36, 40, 40))
    canvas.ellipsoid("gas", left + (-8, 16, 26), (28, 20, 30))
    canvas.ellipsoid("spleen", left + (-42, -42, 20), (22, 30, 42))
