"""What a tissue looks like in each modality: tissue constants, signal equations, noise, coil sensitivity.

Tissue constants are at 1.5 T (ms) and in CT (HU). docs/explanation/phantom.md lists each with its source and whether it
was checked; none was compared with the paper's own table, only with abstracts and with tables in public simulators.
Confirmed so: T1 of blood, T1 and T2 of muscle and cartilage, T1 of myocardium (Stanisz 2005, Magn Reson Med 54:507);
myocardium's T2 (Hanson 2020, Radiology 297:344); liver, spleen, pancreas, kidney, marrow (de Bazelaire 2004, Radiology
230:652). The T2 of blood falls with deoxygenation (Wright 1991, J Magn Reson Imaging 1:275: 30-250 ms): hence two kinds
of blood. Myocardium's T1 after gadolinium is that of volunteers at 15 minutes (aus dem Siepen 2018, Open Heart
5:e000717). Adjusted by eye, to look like the real scans we had: T2 of blood, T1 and T2 of fat, every other T1 after
gadolinium (scar > blood > fat > nulled myocardium, as readers expect), proton density, enhanced HU. Bowel wall, lung,
bone and fluids are plausible fillers that carry no label.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage


@dataclass(frozen=True)
class Tissue:
    """Constants of one tissue: CT number without contrast (HU), T1, T2 and T1 after gadolinium (ms), proton density."""

    hu: float
    t1_ms: float
    t2_ms: float
    gadolinium_t1_ms: float
    proton_density: float


TISSUES: dict[str, Tissue] = {
    "air": Tissue(-1000.0, 1000.0, 50.0, 1000.0, 0.0),
    "lung": Tissue(-840.0, 1200.0, 35.0, 600.0, 0.12),
    "fat": Tissue(-95.0, 343.0, 58.0, 320.0, 0.9),
    "muscle": Tissue(55.0, 1008.0, 44.0, 480.0, 0.85),
    "bone": Tissue(650.0, 800.0, 12.0, 700.0, 0.15),
    "marrow": Tissue(190.0, 549.0, 49.0, 450.0, 0.6),
    "cartilage": Tissue(95.0, 1024.0, 30.0, 700.0, 0.7),
    "csf": Tissue(10.0, 3500.0, 900.0, 3500.0, 1.0),
    "arterial blood": Tissue(42.0, 1441.0, 240.0, 268.0, 0.95),
    "venous blood": Tissue(42.0, 1441.0, 130.0, 285.0, 0.95),
    "myocardium": Tissue(48.0, 1030.0, 52.0, 410.0, 0.85),
    "scar": Tissue(42.0, 1080.0, 60.0, 228.0, 0.9),
    "no-reflow": Tissue(45.0, 1030.0, 55.0, 440.0, 0.85),
    "liver": Tissue(58.0, 586.0, 46.0, 330.0, 0.85),
    "liver vessel": Tissue(42.0, 1441.0, 150.0, 276.0, 0.95),
    "spleen": Tissue(48.0, 1057.0, 79.0, 380.0, 0.9),
    "renal cortex": Tissue(34.0, 966.0, 87.0, 300.0, 0.9),
    "renal medulla": Tissue(32.0, 1412.0, 85.0, 300.0, 0.95),
    "pancreas": Tissue(40.0, 584.0, 46.0, 350.0, 0.85),
    "bowel wall": Tissue(42.0, 1000.0, 60.0, 450.0, 0.85),
    "fluid": Tissue(12.0, 2800.0, 500.0, 2800.0, 1.0),
    "gas": Tissue(-980.0, 1000.0, 50.0, 1000.0, 0.0),
}


def bssfp_signal(
    t1_ms: float, t2_ms: float, flip_degrees: float, repetition_ms: float = 3.2, echo_ms: float = 1.6
) -> float:
    """Steady state of balanced SSFP on resonance, for proton density 1 (Scheffler, Lehnhardt 2003, Eur Radiol 13:2409).

    sin a (1 - E1) / (1 - (E1 - E2) cos a - E1 E2) * exp(-TE / T2).
    """
    angle = np.deg2rad(flip_degrees)
    e1, e2 = np.exp(-repetition_ms / t1_ms), np.exp(-repetition_ms / t2_ms)
    steady = np.sin(angle) * (1 - e1) / (1 - (e1 - e2) * np.cos(angle) - e1 * e2)
    return float(steady * np.exp(-echo_ms / t2_ms))


def inversion_recovery_signal(t1_ms: float, inversion_ms: float, repetition_ms: float) -> float:
    """Magnitude after an inversion pulse repeated every `repetition_ms`: |1 - 2 exp(-TI/T1) + exp(-TR/T1)|."""
    return float(abs(1 - 2 * np.exp(-inversion_ms / t1_ms) + np.exp(-repetition_ms / t1_ms)))


def nulling_inversion_ms(t1_ms: float, repetition_ms: float) -> float:
    """The inversion time at which a tissue gives no signal: T1 ln(2 / (1 + exp(-TR/T1)))."""
    return float(t1_ms * np.log(2 / (1 + np.exp(-repetition_ms / t1_ms))))


def spin_echo_signal(t1_ms: float, t2_ms: float, repetition_ms: float, echo_ms: float) -> float:
    """Spin echo: (1 - exp(-TR/T1)) exp(-TE/T2)."""
    return float((1 - np.exp(-repetition_ms / t1_ms)) * np.exp(-echo_ms / t2_ms))


def ct_values(rng: np.random.Generator, anatomy: str) -> dict[str, float]:
    """HU of each tissue in one patient; iodine differs by chamber (bolus timing), organ and patient."""
    values = {name: tissue.hu for name, tissue in TISSUES.items()}
    if anatomy == "heart":
        values["arterial blood"] = rng.uniform(290, 430)
        values["venous blood"] = rng.uniform(140, 330)
        values["myocardium"] = values["scar"] = values["no-reflow"] = rng.uniform(85, 125)
        values["liver"], values["liver vessel"] = rng.uniform(60, 85), rng.uniform(75, 105)
        values["spleen"] = rng.uniform(90, 140)
        return values
    values["arterial blood"], values["venous blood"] = rng.uniform(150, 200), rng.uniform(140, 180)
    values["liver"], values["liver vessel"] = rng.uniform(95, 120), rng.uniform(140, 175)
    values["spleen"], values["pancreas"] = rng.uniform(110, 135), rng.uniform(85, 110)
    values["renal cortex"] = rng.uniform(165, 210)
    values["renal medulla"] = values["renal cortex"] - rng.uniform(5, 50)
    values["bowel wall"] = rng.uniform(70, 100)
    return values


def bssfp_values(rng: np.random.Generator) -> dict[str, float]:
    """Balanced SSFP signal of each tissue, relative to arterial blood; flip angle and T1, T2 vary by patient."""
    flip = rng.uniform(45, 60)
    values = {
        name: tissue.proton_density * bssfp_signal(tissue.t1_ms, tissue.t2_ms * rng.uniform(0.94, 1.06), flip)
        for name, tissue in TISSUES.items()
    }
    values["scar"] = values["no-reflow"] = values["myocardium"]
    return _relative(values)


def lge_values(rng: np.random.Generator) -> dict[str, float]:
    """Late gadolinium enhancement of each tissue, relative to blood: the inversion time nulls normal myocardium.

    The operator's inversion time is a few percent off, and contrast wash-out varies by patient.
    """
    repetition = rng.uniform(1500, 2000)
    washout = rng.uniform(0.92, 1.08)
    t1_ms = {name: tissue.gadolinium_t1_ms * washout * rng.uniform(0.97, 1.03) for name, tissue in TISSUES.items()}
    inversion = nulling_inversion_ms(t1_ms["myocardium"], repetition) * rng.uniform(0.88, 1.04)
    values = {
        name: tissue.proton_density * inversion_recovery_signal(t1_ms[name], inversion, repetition)
        for name, tissue in TISSUES.items()
    }
    return _relative(values)


def t2_values(rng: np.random.Generator) -> dict[str, float]:
    """Fat-suppressed T2-weighted spin echo (SPIR) of each tissue, relative to spleen; TE and leftover fat vary."""
    echo, repetition = rng.uniform(65, 85), rng.uniform(1800, 2600)
    values = {
        name: tissue.proton_density
        * spin_echo_signal(tissue.t1_ms, tissue.t2_ms * rng.uniform(0.94, 1.06), repetition, echo)
        for name, tissue in TISSUES.items()
    }
    values["fat"] *= rng.uniform(0.15, 0.35)
    values["marrow"] *= 0.6
    # Flowing blood leaves the slice between excitation and echo.
    values["arterial blood"] *= 0.1
    values["venous blood"] *= 0.2
    values["liver vessel"] *= 0.9
    return {name: value / values["spleen"] for name, value in values.items()}


def add_rician_noise(image: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Magnitude of a complex image with Gaussian noise of `sigma` in both channels (Gudbjartsson, Patz 1995)."""
    real = image + rng.normal(0, sigma, image.shape).astype(np.float32)
    imaginary = rng.normal(0, sigma, image.shape).astype(np.float32)
    return np.sqrt(real * real + imaginary * imaginary)


def add_ct_noise(image: np.ndarray, sigma_hu: float, kernel_voxels: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise of standard deviation `sigma_hu`, correlated in plane as a reconstruction kernel leaves it."""
    noise = rng.normal(size=image.shape).astype(np.float32)
    noise = ndimage.gaussian_filter(noise, (kernel_voxels, kernel_voxels, 0.0))
    return image + noise * np.float32(sigma_hu / noise.std())


def coil_sensitivity(points: np.ndarray, coil: np.ndarray, reach_mm: float) -> np.ndarray:
    """Sensitivity of a surface coil around `coil` (RAS mm): 1 / (1 + (distance / reach)^2), for points (3, ...)."""
    offset = points - coil.astype(np.float32).reshape((3,) + (1,) * (points.ndim - 1))
    return 1 / (1 + (offset * offset).sum(0) / np.float32(reach_mm**2))


def _relative(values: dict[str, float]) -> dict[str, float]:
    return {name: value / values["arterial blood"] for name, value in values.items()}
