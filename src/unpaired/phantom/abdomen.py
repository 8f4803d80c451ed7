"""The abdomen phantom's anatomy: liver, spleen and kidneys with what lies around them, different in every patient.

World: RAS+ mm, origin in front of the first lumbar vertebra. Adult sizes: liver 1.2-1.8 L, spleen 0.12-0.35 L, kidney
0.12-0.22 L. Means in CT, women and men (Geraghty 2004, Abdom Imaging 29:482): liver 1.41 and 1.71 L, spleen 0.18 and
0.24 L, one kidney 0.16 and 0.19 L.
"""

# Points are arrays, and `array + (x, y, z)` moves one: not the concatenation that this rule suspects.
# ruff: noqa: RUF005

from dataclasses import dataclass

import numpy as np

from unpaired.phantom.canvas import Canvas, Waves, ellipsoid

CLASSES = ("background", "liver", "spleen", "left kidney", "right kidney")
LIVER, SPLEEN, LEFT_KIDNEY, RIGHT_KIDNEY = range(1, 5)


@dataclass(frozen=True)
class Abdomen:
    """One patient's sizes (factors around an average adult), positions in mm, and random fields."""

    girth: float
    fat_mm: float
    liver: float
    spleen: float
    kidney: float
    liver_shift_mm: np.ndarray
    spleen_shift_mm: np.ndarray
    kidney_shift_mm: np.ndarray
    displacement: tuple[Waves, Waves, Waves]
    lumps: Waves
    detail: np.random.SeedSequence

    @classmethod
    def random(cls, rng: np.random.Generator) -> "Abdomen":
        """A plausible adult."""
        return cls(
            girth=float(rng.uniform(0.92, 1.1)),
            fat_mm=float(rng.uniform(12, 28)),
            liver=float(rng.normal(1.0, 0.05)),
            spleen=float(rng.uniform(0.87, 1.13)),
            kidney=float(rng.normal(1.0, 0.05)),
            liver_shift_mm=rng.normal(0, 6, 3),
            spleen_shift_mm=rng.normal(0, 6, 3),
            kidney_shift_mm=rng.normal(0, 5, (2, 3)),
            displacement=tuple(Waves(rng, 70, 150, 14) for _ in range(3)),  # type: ignore[arg-type]
            lumps=Waves(rng, 25, 60, 24),
            detail=np.random.SeedSequence(int(rng.integers(2**62))),
        )


def paint_abdomen(canvas: Canvas, abdomen: Abdomen) -> None:
    """Paint the trunk from outside to inside; the labels are numbers into `CLASSES`."""
    rng = np.random.default_rng(abdomen.detail)
    lumps = abdomen.lumps.on(canvas.labels.shape, canvas.affine)
    paint_trunk(canvas, abdomen, lumps)
    paint_bowel(canvas, rng)
    _paint_stomach_and_pancreas(canvas, rng)
    _paint_liver(canvas, abdomen, lumps, rng)
    _paint_spleen(canvas, abdomen)
    _paint_kidneys(canvas, abdomen, rng)
    _paint_lung_bases(canvas, lumps)
    canvas.tube("arterial blood", [(-8, -38, 200), (-7, -40, -30), (-4, -40, -200)], [11, 9.5, 8])
    canvas.tube("venous blood", [(24, -30, 120), (20, -36, 0), (16, -38, -200)], [13, 11, 10])


def paint_trunk(canvas: Canvas, abdomen: Abdomen, lumps: np.ndarray) -> None:
    """Skin fat, abdominal wall, ribs, abdominal fat, spine with its muscles."""
    box, points, girth = canvas.everywhere(), canvas.points, abdomen.girth
    trunk = ellipsoid(points, (0, -4, 0), (168 * girth, 112 * girth, 1400)) + 1.2 * lumps
    canvas.paint(box, trunk, "fat")
    wall = trunk + abdomen.fat_mm + 1.5 * lumps
    canvas.paint(box, wall, "muscle")
    phase = np.mod(points[2] + np.float32(0.7) * points[1] + np.float32(0.2) * np.abs(points[0]), 30) - 15
    lowest = np.maximum(-points[2] - 30, points[1] - 50 - points[2])
    rib = np.maximum(np.sqrt((wall + 7) ** 2 + phase**2 * np.float32(0.5)) - 4.5, lowest)
    canvas.paint(box, rib, "bone")
    canvas.paint(box, rib + 2.2, "marrow")
    canvas.paint(box, wall + 13, "fat")
    for side in (-1, 1):
        canvas.tube("muscle", [(side * 36, -78, 220), (side * 36, -82, -220)], 27)
        canvas.tube("muscle", [(side * 30, -52, 20), (side * 46, -46, -160)], [9, 24])
    for height in range(-192, 193, 32):
        canvas.ellipsoid("bone", (0, -62, height), (24, 18, 19))
        canvas.ellipsoid("marrow", (0, -62, height), (22, 16, 17))
        canvas.tube("bone", [(0, -92, height), (0, -118, height - 12)], 4)
        for side in (-1, 1):
            canvas.tube("bone", [(side * 14, -82, height), (side * 42, -86, height)], 4.5)
    canvas.tube("cartilage", [(0, -62, -220), (0, -62, 220)], 13)
    for height in range(-192, 193, 32):
        canvas.ellipsoid("marrow", (0, -62, height), (21, 15, 13))
    canvas.tube("csf", [(0, -86, 220), (0, -86, -220)], 8.5)


def paint_bowel(canvas: Canvas, rng: np.random.Generator) -> None:
    """Loops of bowel that wander through the middle and lower belly, some with gas, and strands of fat vessels."""
    for _ in range(16):
        point = rng.uniform((-75, 8, -110), (75, 62, 10))
        path = [point]
        for _ in range(6):
            point = np.clip(point + rng.normal(0, 20, 3), (-95, 0, -130), (95, 70, 25))
            path.append(point)
        radius = rng.uniform(9, 15)
        canvas.tube("bowel wall", path, radius)
        canvas.tube("gas" if rng.random() < 0.3 else "fluid", path, radius - rng.uniform(2.5, 8))
    for side in (-1, 1):
        path = [(side * 108, 8, -140), (side * 106, 0, -60), (side * 100, 22, 0), (side * 72, 58, 8), (0, 68, -5)]
        canvas.tube("bowel wall", path, [22, 20, 19, 18, 17])
        canvas.tube("gas" if side == 1 else "bowel wall", path, [17, 12, 15, 13, 12])
    for _ in range(60):
        start = rng.uniform((-90, -45, -120), (90, 60, 60))
        canvas.tube("venous blood", [start, start + rng.normal(0, 16, 3)], [1.8, 0.8])


def _paint_stomach_and_pancreas(canvas: Canvas, rng: np.random.Generator) -> None:
    shift = rng.normal(0, 5, 3)
    path = [shift + (-62, 4, 92), shift + (-66, 24, 60), shift + (-48, 44, 30), shift + (-8, 46, 18)]
    canvas.tube("bowel wall", path, [34, 33, 27, 16])
    canvas.tube("fluid", path, [29, 28, 22, 11])
    canvas.tube("gas", [path[0] + (0, 16, -6), path[1] + (0, 16, 0), path[2] + (0, 12, 0)], [15, 14, 8])
    canvas.tube("pancreas", [(30, 8, 2), (6, 2, 14), (-30, -8, 24), (-64, -24, 34)], [15, 11, 11, 9])
    canvas.tube("venous blood", [(24, -4, 16), (-20, -12, 24), (-70, -30, 36)], [6, 4, 4])


def _paint_liver(canvas: Canvas, abdomen: Abdomen, lumps: np.ndarray, rng: np.random.Generator) -> None:
    """A right lobe under the dome, a left lobe that thins toward the stomach, portal and hepatic veins, gallbladder."""
    center = np.array([72, -2, 50]) + abdomen.liver_shift_mm
    size = abdomen.liver
    box = canvas.everywhere()
    right = ellipsoid(canvas.points, center, np.array([66, 80, 82]) * size)
    turned = np.array([[0.94, -0.25, 0.25], [0.28, 0.96, 0.0], [-0.22, 0.05, 0.97]])
    left = ellipsoid(canvas.points, center + (-58, 36, 20), np.array([68, 36, 46]) * size, turned)
    # A smooth minimum blends the lobes without a crease.
    blend = np.float32(8)
    liver = -blend * np.log(np.exp(-np.clip(right, -99, 99) / blend) + np.exp(-np.clip(left, -99, 99) / blend))
    # The visceral face is hollow where bowel and right kidney press into it.
    hollow = np.minimum(
        ellipsoid(canvas.points, center + (-42, -8, -66), (62, 62, 62)),
        ellipsoid(canvas.points, center + (-16, -60, -62), (48, 62, 66)),
    )
    canvas.paint(box, np.maximum(liver + 1.5 * lumps, -hollow), "liver", LIVER)
    hilum = center + (-40, 4, 2)
    for _ in range(14):
        direction = rng.normal(size=3) * (0.6, 0.8, 0.8) + (0.9, 0, 0.1)
        middle = hilum + direction / np.linalg.norm(direction) * rng.uniform(25, 45)
        end = middle + direction / np.linalg.norm(direction) * 25 + rng.normal(0, 8, 3)
        canvas.tube("liver vessel", [hilum, middle, end], [5.0, 3.0, 1.2], None)
    canvas.tube("venous blood", [hilum + (-10, -6, -18), hilum], [7, 7], None)
    gallbladder = center + (-28, 46, -46)
    canvas.tube("bowel wall", [gallbladder, gallbladder + (6, 16, -18)], [10, 14])
    canvas.tube("fluid", [gallbladder, gallbladder + (6, 16, -18)], [8, 12])


def _paint_spleen(canvas: Canvas, abdomen: Abdomen) -> None:
    """A curved wedge against the left ribs, its hilum hollowed by stomach and kidney."""
    center = np.array([-98, -36, 52]) + abdomen.spleen_shift_mm
    turned = np.array([[0.90, 0.36, 0.25], [-0.40, 0.90, 0.15], [-0.17, -0.24, 0.96]])
    semiaxes = np.array([26, 46, 56]) * abdomen.spleen
    box = canvas.box(center, float(semiaxes.max()))
    if box is None:
        return
    points = canvas.points[:, *box]
    body = ellipsoid(points, center, semiaxes, turned)
    hollow = ellipsoid(points, center + (44, 18, -6), (33, 34, 46))
    canvas.paint(box, np.maximum(body, -hollow), "spleen", SPLEEN)


def _paint_kidneys(canvas: Canvas, abdomen: Abdomen, rng: np.random.Generator) -> None:
    """Cortex, medullary pyramids and a fatty sinus open to the middle; the right one lies lower."""
    for side, label, shift in (
        (-1, LEFT_KIDNEY, abdomen.kidney_shift_mm[0]),
        (1, RIGHT_KIDNEY, abdomen.kidney_shift_mm[1]),
    ):
        center = np.array([side * 61, -50, -4 - 10 * side]) + shift
        long = np.array([side * -0.2, -0.25, 0.95])
        long /= np.linalg.norm(long)
        across = np.array([1.0, side * 0.45, 0.0])
        across -= long * (across @ long)
        across /= np.linalg.norm(across)
        axes = np.stack([across, np.cross(long, across), long])
        semiaxes = np.array([27, 25.5, 55]) * abdomen.kidney
        canvas.ellipsoid("fat", center, semiaxes + 4, 0, axes)
        canvas.ellipsoid("renal cortex", center, semiaxes, label, axes)
        for _ in range(11):
            offset = rng.normal(size=3)
            offset *= 0.66 / np.linalg.norm(offset)
            canvas.ellipsoid("renal medulla", center + (offset * semiaxes) @ axes, (6.5, 6.5, 7.5), None)
        inward = center - across * side * 15
        canvas.ellipsoid("fat", inward, np.array([17, 11, 26]) * abdomen.kidney, 0, axes)
        canvas.tube("venous blood", [inward, (side * 14, -36, 5)], [5, 5])


def _paint_lung_bases(canvas: Canvas, lumps: np.ndarray) -> None:
    """Lung above the two domes of the diaphragm and the underside of the heart, at the top of the stack."""
    for side, height in ((-1, 8), (1, 0)):
        box = canvas.everywhere()
        points = canvas.points
        dome = ellipsoid(points, (side * 66, -4, 42 - height), (76, 90, 92))
        chest = ellipsoid(points, (0, -4, 0), (140, 86, 1400))
        upper = np.maximum(np.maximum(chest, -dome), 60 - points[2])
        apart = 24 - side * points[0] - np.float32(0.15) * points[1]
        canvas.paint(box, np.maximum(upper, apart) + 2 * lumps, "lung", 0)
    canvas.ellipsoid("fat", (-24, 16, 140), (62, 54, 46))
    canvas.ellipsoid("muscle", (-26, 16, 140), (55, 47, 40))
    canvas.ellipsoid("venous blood", (-6, 22, 142), (26, 30, 30))
    canvas.ellipsoid("arterial blood", (-48, 10, 142), (22, 22, 26))
