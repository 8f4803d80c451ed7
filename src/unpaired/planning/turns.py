"""How far a plan turns what it trains on, and what it segments."""

from unpaired.data.augment import Augmentation

LARGEST = 60.0
"""Degrees that slices are turned by in training at most (docs/results/core-hour.md)."""
PREDICTED = 30.0
"""Degrees that slices are turned by, both ways, when they are segmented (docs/results/turned-predictions.md)."""


def augmentation_of(volumes: bool, far_apart: bool, reasons: dict[str, str]) -> Augmentation:
    """The augmentation of volumes, whose slices may lie `far_apart`, or of slices."""
    reasons["augmentation.mirror"] = "not mirrored: a left kidney is no right one"
    if not volumes:
        reasons["augmentation.rotation_degrees"] = (
            "it cost nothing on hearts, and those that lie turned by 45 degrees were segmented as well as others"
        )
        return Augmentation(rotation_degrees=LARGEST)
    if far_apart:
        reasons["augmentation.in_plane_only"] = "slices are far apart: turned within them only"
    return Augmentation(in_plane_only=far_apart)


def turned_predictions(volumes: bool, reasons: dict[str, str]) -> tuple[float, ...]:
    """By what slices are turned for further predictions to average; on volumes nothing of it was measured."""
    if volumes:
        return ()
    reasons["turned_degrees"] = (
        f"predictions of slices turned by {PREDICTED:g} degrees both ways are averaged in, which gave hearts 0.3 to 1 "
        "Dice; it takes three times as long (predict --turned 0 leaves them out)"
    )
    return (PREDICTED,)
