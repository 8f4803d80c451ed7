"""One series UID to the volumes that it holds: directions, echoes, phases, b-values, stacks, acquisitions, localizers.

What can't lie in one grid is always kept apart (size, spacing, direction, localizers). Beyond that slices stay together
unless two lie at one place, or at distances that only parts explain: then the first attribute of `header.KEYS` that
sets them apart does so.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from unpaired.data.image import ImageError
from unpaired.dicom.header import KEYS, Slice
from unpaired.dicom.stack import SAME_PLACE_MM, doubled, require_places, stacked

SAME_DIRECTION = 1e-3
"""How far direction cosines of two slices may differ: more than rounding is another direction."""
SAME_SPACING = 1e-3
"""As a share."""
RANKED = ("time point", "cardiac phase", "acquisition time", "content time")
"""Times differ from slice to slice: where every place was visited equally often, the n-th visits make a volume."""
Part = tuple[tuple[str, ...], list[Slice]]
"""What sets slices apart, in words, and the slices."""


def split_series(slices: Sequence[Slice]) -> list[tuple[str, list[Slice]]]:
    """The slices of one series in parts, each with what sets it apart ("echo time 4.6"; "" for a series of one part).

    Parts are in the order of their slices; slices without a place in the patient make a part of their own.
    """
    parts: list[Part] = []
    for words, group in _fitting(slices):
        parts += _apart(group, words)
    named = [(", ".join(words), part) for words, part in parts]
    return [("", named[0][1])] if len(named) == 1 else named


def is_localizer(slice_: Slice) -> bool:
    """Whether a slice was made to plan others."""
    return any("LOCALIZER" in str(word).upper() for word in slice_.keys.get("image type", ()))


def _fitting(slices: Sequence[Slice]) -> list[Part]:
    """Slices that may share a grid, with the words that set each group apart from the others."""
    groups: list[tuple[tuple[Any, ...], list[Slice]]] = []
    for slice_ in slices:
        grid = _grid(slice_)
        for other, group in groups:
            if _same_grid(grid, other):
                group.append(slice_)
                break
        else:
            groups.append((grid, [slice_]))
    return [(_grid_words(grid, [other for other, _ in groups]), group) for grid, group in groups]


def _grid(slice_: Slice) -> tuple[Any, ...]:
    frame = slice_.frame
    placed = frame.position is not None and frame.row is not None and frame.column is not None
    direction = np.array([frame.row, frame.column]) if placed else None
    return is_localizer(slice_), placed, frame.size, frame.spacing_mm, direction, frame.class_uid


def _same_grid(grid: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    if grid[:3] != other[:3] or grid[5] != other[5]:
        return False
    if (grid[3] is None) != (other[3] is None) or (grid[3] and not np.allclose(grid[3], other[3], rtol=SAME_SPACING)):
        return False
    return grid[4] is None or float(np.abs(grid[4] - other[4]).max()) <= SAME_DIRECTION


def _grid_words(grid: tuple[Any, ...], all_grids: Sequence[tuple[Any, ...]]) -> tuple[str, ...]:
    """In words what differs between the grids."""
    words = []
    if len({other[0] for other in all_grids}) > 1 and grid[0]:
        words.append("localizer")
    if len({other[2] for other in all_grids}) > 1:
        words.append(f"{grid[2][0]} x {grid[2][1]} pixels")
    if len({other[3] for other in all_grids}) > 1 and grid[3]:
        words.append(f"pixels of {grid[3][0]:.4g} x {grid[3][1]:.4g} mm")
    directions = {direction_word(other[4]) for other in all_grids}
    if grid[4] is not None and (len(directions) > 1 or (len(all_grids) > 1 and not words)):
        words.append(direction_word(grid[4]))
    return tuple(words)


def direction_word(directions: np.ndarray | None) -> str:
    """The plane that rows and columns (2, 3) lie in: axial, coronal or sagittal, "oblique" beyond 20 degrees of it."""
    if directions is None:
        return "without a place"
    normal = np.abs(np.cross(directions[0], directions[1]))
    plane = ("sagittal", "coronal", "axial")[int(normal.argmax())]
    return plane if normal.max() > 0.94 else f"oblique {plane}"


def _apart(group: list[Slice], words: tuple[str, ...]) -> list[Part]:
    """A group that is one volume, or its parts."""
    try:
        require_places([slice_.frame for slice_ in group])
    except ImageError:
        return [(words, group)]
    if _is_stack(group) or is_localizer(group[0]):
        return [(words, group)]
    crowded = doubled([slice_.frame for slice_ in group])
    for key in ("image type", *KEYS):
        parts = _parts(group, key)
        if len(parts) > 1 and _is_better(list(parts.values()), crowded):
            return [
                part for value, slices in parts.items() for part in _apart(slices, (*words, _key_words(key, value)))
            ]
    return [(words, group)]


def _is_better(parts: Sequence[list[Slice]], crowded: int) -> bool:
    """Whether parts have fewer doubled places than their whole; where it had none, whether each is a volume."""
    if crowded:
        return sum(doubled([slice_.frame for slice_ in part]) for part in parts) < crowded
    return all(_is_stack(part) for part in parts)


def _is_stack(group: Sequence[Slice]) -> bool:
    try:
        stacked([slice_.frame for slice_ in group])
    except ImageError:
        return False
    return True


def _parts(group: Sequence[Slice], key: str) -> dict[Any, list[Slice]]:
    """Slices by the value of a key, in the order of the values; by their rank at each place, where that is a time."""
    by_value = _grouped(group, lambda slice_: slice_.keys.get(key))
    if key in RANKED and len(by_value) > 1:
        places = _grouped(
            group, lambda slice_: tuple(np.round(np.array(slice_.frame.position) / SAME_PLACE_MM).astype(np.int64))
        )
        visits = {len(place) for place in places.values()}
        if len(visits) == 1 and visits != {1}:
            ranked = [sorted(place, key=lambda slice_: _order(slice_.keys.get(key))) for place in places.values()]
            distinct = all(len({slice_.keys.get(key) for slice_ in place}) == len(place) for place in ranked)
            if distinct:
                return {rank + 1: [place[rank] for place in ranked] for rank in range(visits.pop())}
    return {value: by_value[value] for value in sorted(by_value, key=_order)}


def _grouped(group: Iterable[Slice], value_of: Callable[[Slice], Any]) -> dict[Any, list[Slice]]:
    groups: dict[Any, list[Slice]] = defaultdict(list)
    for slice_ in group:
        groups[value_of(slice_)].append(slice_)
    return groups


def _order(value: Any) -> tuple[int, float, str]:
    """Nothing first, then numbers, then words."""
    if value is None:
        return 0, 0.0, ""
    return (1, float(value), "") if isinstance(value, int | float) else (2, 0.0, str(value))


def _key_words(key: str, value: Any) -> str:
    if value is None:
        return f"no {key}"
    if isinstance(value, tuple):
        value = "\\".join(f"{part:.3g}" if isinstance(part, float) else str(part) for part in value)
    return f"{key} {value:.6g}" if isinstance(value, int | float) else f"{key} {value}"
