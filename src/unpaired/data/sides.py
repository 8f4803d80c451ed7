"""Left and right: which classes come in pairs, and what mirroring makes of them.

Mirrored from left to right, a left kidney looks like a right one. Training that mirrors so must either leave that axis
out, or say which classes turn into each other (`augmentation.mirror_swaps`): labels are swapped with the image then,
and probabilities of mirrored predictions swapped back. Names alone don't decide it: the left and the right ventricle
of a mirrored heart each stay what they are.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from unpaired.errors import InputError, nearest

LEFT_RIGHT = {"axial": ("width",), "coronal": ("width",), "sagittal": ("depth",), "native": ("depth", "width")}
"""Of a plane's prepared volumes: the axes that run from left to right, or may, where slices are as acquired."""
SIDES = {
    "left": ("right",),
    "l": ("r",),
    "lt": ("rt",),
    "lh": ("rh",),
    "links": ("rechts",),
    "linke": ("rechte",),
    "linker": ("rechter",),
    "linkes": ("rechtes",),
    "gauche": ("droit", "droite"),
    "sx": ("dx",),
    "sinistro": ("destro",),
    "sinistra": ("destra", "dextra"),
    "sinister": ("dexter",),
    "izquierdo": ("derecho",),
    "izquierda": ("derecha",),
}
"""The words for a side, and for the other one: English, German, French, Italian, Latin, Spanish."""
ABBREVIATED = re.compile(r"l(?!v)[^\W\d_]{3}")
"""How a word begins that may have the side as its first letter: "lkidney", but not "lv" and "lvmyo", which have theirs
in the heart, not in the body."""
Swaps = Literal["by_name"] | tuple[tuple[str, str], ...]
"""Which classes turn into each other when mirrored: named two by two, or all that `side_pairs` finds."""


@dataclass(frozen=True)
class MirrorSwap:
    """What mirroring an odd number of times along `axes` makes of labels: number i becomes `numbers[i]`."""

    axes: tuple[str, ...]
    numbers: tuple[int, ...]

    def is_due(self, mirrored: Sequence[str]) -> bool:
        """Whether mirroring along these axes turns left into right."""
        return sum(axis in self.axes for axis in mirrored) % 2 == 1


def side_pairs(classes: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of class names that differ in the side alone: "left kidney", "kidney_left", "kidney L", "lkidney"."""
    by_words = {_words(name): name for name in classes}
    pairs = ((name, by_words.get(words)) for name in classes for words in _other_sides(_words(name)))
    return [(name, other) for name, other in pairs if other is not None]


def _other_sides(words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """What a left structure's words may be on the other side: its words for the side swapped, or one's first letter."""
    if any(word in SIDES for word in words):
        forms = (tuple(SIDES.get(word, (word,))[form] for word in words) for form in (0, -1))
        yield from dict.fromkeys(forms)
    else:
        for place, word in enumerate(words):
            if ABBREVIATED.match(word):
                yield (*words[:place], f"r{word[1:]}", *words[place + 1 :])


def swapped_pairs(classes: Sequence[str], swaps: Swaps) -> list[tuple[str, str]]:
    """The pairs of classes that are swapped.

    Raises InputError for a name that is no structure or comes twice, and where no names make a pair.
    """
    if swaps == "by_name":
        named = side_pairs(classes)
        if not named:
            raise InputError(
                f"augmentation.mirror_swaps: no two of the classes {', '.join(classes[1:])} differ in left and right "
                'alone; name the pairs, such as [["kidney A", "kidney B"]], or swap nothing'
            )
        return named
    pairs = [(first, second) for first, second in swaps]
    names = [name for pair in pairs for name in pair]
    for name in names:
        if name not in classes[1:]:
            raise InputError(f"augmentation.mirror_swaps: {name!r} is no structure; {nearest(name, [*classes[1:]])}")
        if names.count(name) > 1:
            raise InputError(f"augmentation.mirror_swaps: expected each class once, got {name!r} twice")
    return pairs


def class_swap(classes: Sequence[str], plane: str, swaps: Swaps) -> MirrorSwap | None:
    """What mirroring makes of class numbers in volumes of a plane; None where nothing is swapped.

    Raises InputError as `swapped_pairs` does.
    """
    pairs = swapped_pairs(classes, swaps)
    if not pairs:
        return None
    other = {name: partner for pair in pairs for name, partner in (pair, pair[::-1])}
    return MirrorSwap(LEFT_RIGHT[plane], tuple(classes.index(other.get(name, name)) for name in classes))


def label_swap(
    label_sets: Sequence[Sequence[int]], classes: MirrorSwap | None
) -> tuple[tuple[tuple[int, ...], ...], MirrorSwap | None]:
    """(label sets, what mirroring makes of their indices): the sets, and behind them those that mirroring adds.

    Where the left kidney alone was looked for, "background or the right one" becomes "background or the left one",
    which no case may hold as it is.
    """
    sets = [tuple(sorted(members)) for members in label_sets]
    if classes is None:
        return tuple(sets), None
    mirrored = [tuple(sorted(classes.numbers[number] for number in members)) for members in sets]
    sets += sorted(set(mirrored) - set(sets))
    place = {members: index for index, members in enumerate(sets)}
    numbers = (place[tuple(sorted(classes.numbers[number] for number in members))] for members in sets)
    return tuple(sets), MirrorSwap(classes.axes, tuple(numbers))


def mirror_warning(classes: Sequence[str], plane: str, mirrored: Sequence[str], swaps: Swaps = ()) -> str | None:
    """What mirroring along these axes does to paired organs whose labels stay, in one line; None if it does nothing."""
    swapped = {frozenset(pair) for pair in swapped_pairs(classes, swaps)}
    pairs = [pair for pair in side_pairs(classes) if frozenset(pair) not in swapped]
    axes = [axis for axis in LEFT_RIGHT[plane] if axis in mirrored]
    if not pairs or not axes:
        return None
    named = "; ".join(f"{left} and {right}" for left, right in pairs)
    return (
        f"mirroring along {' and '.join(axes)} turns left into right in {plane} slices while labels stay, so it "
        f"hides what tells {named} apart; leave that axis out of augmentation.mirror, or name those that turn into "
        "each other in augmentation.mirror_swaps"
    )


def _words(name: str) -> tuple[str, ...]:
    """The words of a class's name: "kidney", "left" of "kidney_left", "KidneyLeft", "kidney (Left)"."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return tuple(re.findall(r"[^\W_]+", apart.lower()))
