"""Fingerprints like those of public data sets: sizes and spacings as their papers and readmes give them, rounded."""

from collections.abc import Sequence

from unpaired.planning.fingerprint import Fingerprint, ModalityFacts

Triple = tuple[float, float, float]


def modality(
    name: str,
    shape: Triple,
    spacing: Triple,
    labeled: int = 20,
    planes: Sequence[str] = ("axial",),
    body: float = 1.0,
    is_ct: bool = False,
) -> ModalityFacts:
    millimetres = tuple(size * step for size, step in zip(shape, spacing, strict=True))
    return ModalityFacts(
        name,
        30,
        30,
        labeled,
        is_ct,
        shape,
        spacing,
        (spacing, spacing),
        dict.fromkeys(planes, 30),
        body,
        (millimetres[0], millimetres[1], millimetres[2]),
        (-150.0, -50.0, 0.0, 40.0, 80.0, 150.0, 250.0),
        {"organ": labeled},
        {"organ": 100.0} if labeled else {},
    )


def fingerprint(*modalities: ModalityFacts) -> Fingerprint:
    return Fingerprint("study", ("background", "organ"), modalities, ())


HEART_SHORT_AXIS = fingerprint(
    modality("bssfp", (12, 192, 192), (8, 0.73, 0.73), planes=("oblique",)),
    modality("lge", (15, 192, 192), (5, 0.73, 0.73), planes=("oblique",)),
)
ABDOMEN_CT_AND_THICK_MR = fingerprint(
    modality("ct", (148, 512, 512), (3, 0.76, 0.76), is_ct=True, body=0.5),
    modality("t2", (36, 256, 256), (7.7, 1.25, 1.25)),
)
WHOLE_HEART = fingerprint(
    modality("ct", (220, 512, 512), (0.6, 0.43, 0.43), is_ct=True, body=0.9),
    modality("mr", (140, 320, 320), (1.1, 1.0, 1.0), planes=("coronal", "sagittal")),
)
BRAIN = fingerprint(modality("t1w", (138, 170, 138), (1, 1, 1)), modality("flair", (138, 170, 138), (1, 1, 1)))
HIPPOCAMPUS = fingerprint(modality("mr", (36, 50, 35), (1, 1, 1)))
PROSTATE = fingerprint(modality("t2", (20, 320, 320), (3.6, 0.62, 0.62)))
ACDC = fingerprint(modality("cine", (9, 256, 216), (10, 1.56, 1.56), planes=("oblique",)))
TOTALSEGMENTATOR = fingerprint(
    modality("ct", (250, 280, 280), (1.5, 1.5, 1.5), is_ct=True), modality("mr", (60, 280, 280), (1.5, 1.5, 1.5))
)
SINGLE_SLICES = fingerprint(modality("xray", (1, 512, 512), (1, 0.5, 0.5)))
AMOS = fingerprint(
    modality("ct", (104, 640, 640), (5, 0.68, 0.68), is_ct=True), modality("mr", (72, 320, 260), (3, 1.2, 1.2))
)
ALL = {
    "heart": HEART_SHORT_AXIS,
    "abdomen": ABDOMEN_CT_AND_THICK_MR,
    "whole heart": WHOLE_HEART,
    "brain": BRAIN,
    "hippocampus": HIPPOCAMPUS,
    "prostate": PROSTATE,
    "acdc": ACDC,
    "totalsegmentator": TOTALSEGMENTATOR,
    "slices": SINGLE_SLICES,
    "amos": AMOS,
}
