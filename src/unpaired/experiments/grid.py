"""Which repetitions of a table can be compared: those that all of its rows have finished, as many as there are."""

from collections.abc import Collection, Mapping

Place = tuple[str, int]
"""(split, seed)"""


def comparable(done: Mapping[str, Collection[Place]]) -> tuple[list[str], list[Place]]:
    """(rows, places): every row has finished every place, and each split has as many seeds as the others.

    `done` has the finished places of each row. Rows that finished nothing are left out; while the others have nothing
    in common, the one with the fewest places is (of equal ones the last). Of the common places as many are taken as
    make a whole grid.
    """
    rows = [row for row, places in done.items() if places]
    while rows:
        common = set.intersection(*(set(done[row]) for row in rows))
        if common:
            return rows, _whole_grid(common)
        rows.remove(min(reversed(rows), key=lambda row: len(done[row])))
    return [], []


def _whole_grid(places: Collection[Place]) -> list[Place]:
    seeds: dict[str, list[int]] = {}
    for split, seed in sorted(places):
        seeds.setdefault(split, []).append(seed)
    grids = [
        [(split, seed) for split, of_split in seeds.items() if len(of_split) >= count for seed in of_split[:count]]
        for count in range(1, max(map(len, seeds.values())) + 1)
    ]
    return max(grids, key=len)
