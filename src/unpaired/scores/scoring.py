"""How scores are made: which surface, which tolerances, what an empty mask gets, which other protocols are shown."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from unpaired.choices import require_choice
from unpaired.errors import InputError, nearest
from unpaired.scores.scores import OWN_TOLERANCE, PRESET_COLUMNS, Policy, Surface, nsd_name


@dataclass(frozen=True)
class Scoring:
    """The choices behind an evaluation. Raises InputError for a choice that there isn't.

    policy: "diagonal" or "excluded": the distances of a missed or false positive class.
    surface: "voxel" or "area".
    tolerances_mm: a column NSD@t for each.
    class_tolerances_mm: {class: its own tolerance} for the column NSD@own; classes that aren't named have no number.
    presets: names of `PRESET_COLUMNS`.
    """

    policy: Policy = "diagonal"
    surface: Surface = "voxel"
    tolerances_mm: tuple[float, ...] = (1.0, 2.0)
    class_tolerances_mm: Mapping[str, float] = field(default_factory=dict[str, float], hash=False)
    presets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require_choice(self.policy, Policy, "policy")
        require_choice(self.surface, Surface, "surface")
        for preset in self.presets:
            if preset not in PRESET_COLUMNS:
                raise InputError(f"there is no preset {preset!r}; {nearest(preset, list(PRESET_COLUMNS))}")
        for tolerance in (*self.tolerances_mm, *self.class_tolerances_mm.values()):
            if not 0 <= tolerance < math.inf:
                raise InputError(f"expected tolerances of 0 mm or more, got {tolerance:g}")
        columns = [nsd_name(tolerance) for tolerance in self.tolerances_mm]
        for what, names in (("tolerance", columns), ("preset", self.presets)):
            if len(set(names)) != len(names):
                raise InputError(f"expected each {what} once, got {', '.join(names)}")

    def require_classes(self, names: Iterable[str]) -> None:
        """Raise InputError for a tolerance of a class that is not one of the foreground classes `names`."""
        known = list(names)
        for name in self.class_tolerances_mm:
            if name not in known:
                raise InputError(
                    f"a tolerance is given for {name!r}, which is not a foreground class; {nearest(name, known)}"
                )

    def nsd_tolerances(self, class_name: str) -> dict[str, float]:
        """{column: tolerance in mm} of one class."""
        columns = {nsd_name(tolerance): tolerance for tolerance in self.tolerances_mm}
        if class_name in self.class_tolerances_mm:
            columns[OWN_TOLERANCE] = self.class_tolerances_mm[class_name]
        return columns


def parse_tolerances(texts: Iterable[str]) -> tuple[tuple[float, ...], dict[str, float]]:
    """Tolerances in mm for all classes, and {class: its own}, from texts such as "2" and "LV=1.5".

    Raises InputError for anything else.
    """
    everyone: list[float] = []
    own: dict[str, float] = {}
    for text in texts:
        name, equals, number = text.rpartition("=")
        try:
            value = float(number)
        except ValueError as error:
            raise InputError(f'expected tolerances in mm such as 2 or "LV=1.5", got {text!r}') from error
        if not equals:
            everyone.append(value)
        elif not name.strip() or name.strip() in own:
            raise InputError(f'expected each class\'s tolerance once, such as "LV=1.5", got {text!r}')
        else:
            own[name.strip()] = value
    return tuple(everyone), own
