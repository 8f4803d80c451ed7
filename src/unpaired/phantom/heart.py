"""The heart phantom's anatomy: chambers, vessels and what lies between the lungs, different in every patient.

World: RAS+ mm, origin at the middle of the mitral plane. Heart frame: rows of `axes` are toward the septum, toward the
anterior wall, and from base to apex. Sizes are meant for adults at end-diastole: LV 90-210 mL, RV 90-230 mL, LA 40-120
mL, LV mass 70-180 g, ascending aorta 25-37 mm wide. Those limits were written from memory; the tables to hold them
against are in Kawel-Boehm 2020 (J Cardiovasc Magn Reson 22:87, doi 10.1186/s12968-020-00683-3).
"""

# Points are arrays, and `array + (x, y, z)` moves one: not the concatenation that this rule suspects.
# ruff: noqa: RUF005

from dataclasses import dataclass

import numpy as np

from unpaired.phantom.canvas import Canvas, Number, Waves, ellipsoid, tube
from unpaired.phantom.chest import paint_chest_wall, paint_lungs, paint_upper_abdomen

CLASSES = ("background", "LV", "myo", "RV", "LA", "AA")
LV, MYO, RV, LA, AA = range(1, 6)


@dataclass(frozen=True)
class Scar:
    """An infarct: where it lies around the ventricle (radians from the septum), how wide, how deep, and its core."""

    angle: float
    half_width: float
    from_base_mm: float
    to_base_mm: float
    transmural: float
    no_reflow: bool


@dataclass(frozen=True)
class Heart:
    """One patient's sizes in mm, directions, and random fields."""

    axes: np.ndarray
    cavity_mm: float
    cavity_length_mm: float
    wall_mm: float
    right_mm: tuple[float, float, float]
    left_atrium_mm: tuple[float, float, float]
    aorta_mm: float
    fat_mm: float
    chest: float
    diaphragm_mm: float
    scar: Scar | None
    displacement: tuple[Waves, Waves, Waves]
    trabeculae: Waves
    lumps: Waves
    detail: np.random.SeedSequence

    @classmethod
    def random(cls, rng: np.random.Generator, scarred: bool) -> "Heart":
        """A plausible adult. `scarred`: three in four get an infarct in one coronary artery's territory."""
        size = rng.normal(1.0, 0.05)
        apex = np.array([-0.60, 0.58, -0.54]) + rng.normal(0, 0.07, 3)
        septum = np.array([0.68, 0.72, -0.02]) + rng.normal(0, 0.05, 3)
        apex /= np.linalg.norm(apex)
        septum -= apex * (septum @ apex)
        septum /= np.linalg.norm(septum)
        return cls(
            axes=np.stack([septum, np.cross(septum, apex), apex]),
            cavity_mm=float(rng.uniform(22.5, 27.5) * size),
            cavity_length_mm=float(rng.uniform(50, 60) * size),
            wall_mm=float(rng.uniform(8.5, 11.5)),
            right_mm=(
                float(rng.uniform(31, 36) * size),
                float(rng.uniform(37, 43) * size),
                float(rng.uniform(52, 60) * size),
            ),
            left_atrium_mm=(
                float(rng.uniform(26, 32) * size),
                float(rng.uniform(22, 27) * size),
                float(rng.uniform(20, 25) * size),
            ),
            aorta_mm=float(rng.uniform(14, 17.5)),
            fat_mm=float(rng.uniform(2.5, 6.5)),
            chest=float(rng.uniform(0.93, 1.07)),
            diaphragm_mm=float(rng.uniform(-6, 6)),
            scar=_random_scar(rng) if scarred and rng.random() < 0.75 else None,
            displacement=tuple(Waves(rng, 60, 140, 14) for _ in range(3)),  # type: ignore[arg-type]
            trabeculae=Waves(rng, 6, 12, 48),
            lumps=Waves(rng, 25, 60, 24),
            detail=np.random.SeedSequence(int(rng.integers(2**62))),
        )

    def point(self, septal: Number, anterior: Number, apical: Number) -> np.ndarray:
        """World position of heart coordinates (mm)."""
        return np.array([septal, anterior, apical]) @ self.axes


def _random_scar(rng: np.random.Generator) -> Scar:
    """LAD (anterior and septal), RCA (inferior) or LCX (lateral) territory; always starts at the endocardium."""
    center = {"LAD": 0.9, "RCA": -1.9, "LCX": 3.0}[str(rng.choice(["LAD", "RCA", "LCX"]))]
    start = rng.uniform(0, 25)
    return Scar(
        angle=float(center + rng.normal(0, 0.3)),
        half_width=float(rng.uniform(0.5, 1.05)),
        from_base_mm=float(start),
        to_base_mm=float(start + rng.uniform(25, 55)),
        transmural=float(rng.uniform(0.5, 1.1)),
        no_reflow=bool(rng.random() < 0.35),
    )


def paint_heart(canvas: Canvas, heart: Heart) -> None:
    """Paint the whole chest from outside to inside; the labels are numbers into `CLASSES`."""
    rng = np.random.default_rng(heart.detail)
    shape = canvas.labels.shape
    lumps, trabeculae = heart.lumps.on(shape, canvas.affine), heart.trabeculae.on(shape, canvas.affine)
    paint_chest_wall(canvas, heart.chest, lumps)
    paint_lungs(canvas, rng)
    paint_upper_abdomen(canvas, heart.diaphragm_mm, lumps, rng)
    _paint_mediastinum(canvas, heart, lumps, rng)
    _paint_right_heart(canvas, heart, trabeculae)
    _paint_atria_and_vessels(canvas, heart)
    _paint_left_ventricle(canvas, heart, lumps, trabeculae, rng)


def _paint_mediastinum(canvas: Canvas, heart: Heart, lumps: np.ndarray, rng: np.random.Generator) -> None:
    """Fat between the lungs and around the heart, pericardium, airways and esophagus."""
    box = canvas.everywhere()
    column = ellipsoid(canvas.points, (12, -14, 60), (30, 80 * heart.chest, 130)) + 4 * lumps
    canvas.paint(box, column, "fat")
    center, radius = heart.point(20, 0, 10), 115.0
    box = canvas.box(center, radius)
    if box is not None:
        # Fat fills the grooves between the chambers, so its outside is a blend of theirs, not a shell around each.
        surface = _epicardium(canvas.points[:, *box], heart) - heart.fat_mm * (1 + 0.35 * lumps[box])
        canvas.paint(box, surface, "fat")
        # The pericardium: a thin line inside the fat.
        canvas.paint(box, np.abs(surface + 0.4 * heart.fat_mm) - 0.6, "muscle")
    canvas.tube("muscle", [(4, -58, 130), (0, -60, -60)], 7)
    canvas.tube("cartilage", [(14, -34, 130), (14, -42, 62)], 11)
    canvas.tube("gas", [(14, -34, 130), (14, -42, 62)], 9)
    for side in (-1, 1):
        path = [(14, -42, 62), (14 + side * 26, -44, 38), (14 + side * 46, -38, 24)]
        canvas.tube("cartilage", path, 7.5)
        canvas.tube("gas", path, 6)
    for _ in range(40):
        start = (rng.normal(0, 1, 3) * (45, 45, 40) + (20, 0, 10)) @ heart.axes
        canvas.tube("muscle", [start, start + rng.normal(0, 9, 3)], 0.9)


def _epicardium(points: np.ndarray, heart: Heart) -> np.ndarray:
    """Distance to the outside of both ventricles and atria, blended smoothly."""
    radius = heart.cavity_mm + heart.wall_mm
    length = heart.cavity_length_mm + heart.wall_mm * 0.75
    wide, tall, long = heart.right_mm
    chambers = (
        (heart.point(0, 0, 18), (radius, radius, length)),
        (heart.point(radius + 3, 2, 4), (wide + 3, tall + 3, long + 3)),
        (heart.point(radius + 10, -10, -32), (29, 32, 27)),
        (heart.point(-1, -6, -heart.left_atrium_mm[2] * 0.93), heart.left_atrium_mm),
    )
    blend = np.float32(7)
    total = sum(np.exp(-np.clip(ellipsoid(points, *chamber, heart.axes), -90, 300) / blend) for chamber in chambers)
    return -blend * np.log(total + np.float32(1e-30))


def _paint_right_heart(canvas: Canvas, heart: Heart, trabeculae: np.ndarray) -> None:
    """Right atrium, its veins, right ventricle with a thin wall, outflow tract and pulmonary arteries."""
    epicardium = heart.cavity_mm + heart.wall_mm
    wide, tall, long = heart.right_mm
    atrium = heart.point(epicardium + 10, -10, -32)
    canvas.tube("venous blood", [atrium, atrium + (-2, -6, 40), atrium + (-10, -2, 110)], [14, 10, 9])
    canvas.tube("venous blood", [atrium, atrium + (-4, -6, -35), atrium + (-12, -12, -95)], [16, 12, 12])
    canvas.ellipsoid("myocardium", atrium, (29, 32, 27), 0, heart.axes)
    canvas.ellipsoid("venous blood", atrium, (27, 30, 25), 0, heart.axes)
    outflow = [heart.point(epicardium * 0.75, tall * 0.72, 4), (-8, 32, 40), (-13, 18, 62), (-10, 2, 68)]
    canvas.tube("myocardium", outflow, [17, 15.5, 14.5, 13])
    center = heart.point(epicardium + 3, 2, 4)
    box = canvas.box(center, max(heart.right_mm))
    if box is not None:
        points = canvas.points[:, *box]
        body = ellipsoid(points, center, (wide, tall, long), heart.axes)
        base = -np.tensordot(heart.axes[2].astype(np.float32), points, 1) - 8
        cavity = np.maximum(body, base)
        canvas.paint(box, cavity - 3, "myocardium", 0)
        canvas.paint(box, np.maximum(body + 0.8 * trabeculae[box] + 0.3, base), "venous blood", RV, cavity)
    canvas.tube("venous blood", outflow[1:], [13.5, 12.5, 11])
    canvas.tube("venous blood", outflow[:2], [15, 13.5], RV)
    branch = np.array([-10, 2, 68])
    canvas.tube("venous blood", [branch, (8, -18, 58), (58, -26, 50)], [11, 10, 8])
    canvas.tube("venous blood", [branch, (-34, -22, 60), (-58, -40, 52)], [11, 10, 8])


def _paint_atria_and_vessels(canvas: Canvas, heart: Heart) -> None:
    """Left atrium with four pulmonary veins, and the aorta; only its ascending part carries a label."""
    wide, tall, deep = heart.left_atrium_mm
    center = heart.point(-1, -6, -deep * 0.93)
    for side, high in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
        ostium = center + np.array([side * wide * 0.75, -8, high * 9 + 4])
        canvas.tube("arterial blood", [center, ostium, ostium + (side * 34, -14, high * 7)], [9, 7.5, 5.5])
    canvas.tube("arterial blood", [center, center + (-30, 14, 12), center + (-36, 30, 14)], [9, 8, 5])
    canvas.ellipsoid("myocardium", center, (wide + 2, tall + 2, deep + 2), 0, heart.axes)
    canvas.ellipsoid("arterial blood", center, (wide, tall, deep), LA, heart.axes)
    root = heart.point(12, 12, 2)
    radius = heart.aorta_mm
    arch = [(9, 2, 80), (-4, -22, 86), (-11, -50, 76), (-11, -58, 40), (-7, -58, -80)]
    canvas.tube("muscle", arch, radius * 0.8 + 1.5)
    canvas.tube("arterial blood", arch, [radius * 0.9, radius * 0.85, *[radius * 0.78] * 3])
    ascending = [root, (13, 16, 26), (17, 14, 50), (9, 2, 80)]
    canvas.tube("muscle", ascending, radius + 1.6)
    canvas.tube("arterial blood", ascending, [radius * 1.02, radius * 1.08, radius, radius * 0.9], AA)


def _paint_left_ventricle(
    canvas: Canvas, heart: Heart, lumps: np.ndarray, trabeculae: np.ndarray, rng: np.random.Generator
) -> None:
    """Myocardium, blood pool with papillary muscles and trabeculae, scar; open at the mitral plane."""
    center, radius, length = heart.point(0, 0, 18), heart.cavity_mm, heart.cavity_length_mm
    outer = (radius + heart.wall_mm, radius + heart.wall_mm, length + heart.wall_mm * 0.75)
    box = canvas.box(center, max(outer))
    if box is None:
        return
    points = canvas.points[:, *box]
    base = -np.tensordot(heart.axes[2].astype(np.float32), points, 1)
    cavity = ellipsoid(points, center, (radius, radius * 0.96, length), heart.axes) + 0.7 * lumps[box]
    wall = ellipsoid(points, center, outer, heart.axes) - 0.5 * lumps[box]
    canvas.paint(box, np.maximum(wall, base), "myocardium", MYO)
    pool = np.maximum(cavity, base)
    apical = np.clip(-base / 60, 0, 1)
    rough = np.maximum(cavity + (0.4 + 1.8 * apical) * np.maximum(trabeculae[box], 0), base)
    canvas.paint(box, rough, "arterial blood", LV, pool)
    for angle in (2.0, -2.3):
        angle += rng.normal(0, 0.15)
        direction = np.array([np.cos(angle), np.sin(angle)])
        foot, head = direction * radius * 0.72, direction * radius * 0.5
        stem = tube(points, heart.point(foot[0], foot[1], 50), heart.point(head[0], head[1], 24), 5.0, 3.2)
        canvas.paint(box, np.maximum(stem + 0.8 * trabeculae[box], pool), "myocardium", None)
    if heart.scar is not None:
        _paint_scar(canvas, heart, heart.scar, box, cavity, wall, trabeculae[box])


def _paint_scar(
    canvas: Canvas,
    heart: Heart,
    scar: Scar,
    box: tuple[slice, slice, slice],
    cavity: np.ndarray,
    wall: np.ndarray,
    ragged: np.ndarray,
) -> None:
    """Enhanced myocardium from the endocardium outward, with a dark no-reflow core in some large infarcts."""
    septal, anterior, apical = np.tensordot(heart.axes.astype(np.float32), canvas.points[:, *box], 1)
    turn = np.angle(np.exp(1j * (np.arctan2(anterior, septal) - scar.angle))).astype(np.float32)
    around = (np.abs(turn) - scar.half_width) * np.hypot(septal, anterior)
    along = np.maximum(scar.from_base_mm - apical, apical - scar.to_base_mm)
    inside = np.maximum(np.maximum(-cavity, wall), np.maximum(around, along))
    depth = cavity - scar.transmural * heart.wall_mm
    infarct = np.maximum(inside, depth) + np.float32(0.7) * ragged
    canvas.paint(box, np.maximum(infarct, np.maximum(-cavity, wall)), "scar", None)
    if scar.no_reflow and scar.transmural > 0.5:
        core = np.maximum(np.maximum(around + 4, along + 5), np.abs(cavity - 0.3 * heart.wall_mm) - 1.8)
        canvas.paint(box, core, "no-reflow", None)
