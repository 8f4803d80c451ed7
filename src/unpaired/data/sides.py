"""Left and right: which classes come in pairs, and which mirrored axes would turn one of a pair into the other."""

from collections.abc import Sequence

LEFT_RIGHT = {"axial": ("width",), "coronal": ("width",), "sagittal": ("depth",), "native": ("depth", "width")}
"""Of a plane's prepared volumes: the axes that run from left to right, or may, where slices are as acquired."""


def side_pairs(classes: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of class names that differ in the words left and right alone: "left kidney", "kidney_left"."""
    words = {name: tuple(name.lower().replace("_", " ").replace("-", " ").split()) for name in classes}
    by_words = {split: name for name, split in words.items()}
    swapped = {name: tuple("right" if word == "left" else word for word in split) for name, split in words.items()}
    return [(name, by_words[swapped[name]]) for name in classes if "left" in words[name] and swapped[name] in by_words]


def mirror_warning(classes: Sequence[str], plane: str, mirrored: Sequence[str]) -> str | None:
    """What mirroring along these axes does to paired organs, in one line; None if it does nothing to them.

    Mirrored from left to right, a left kidney looks like a right one and keeps its label, so that a network can't tell
    them apart. Labels are not swapped: of "left" and "right ventricle" that would be wrong, as each stays what it is.
    """
    pairs = side_pairs(classes)
    axes = [axis for axis in LEFT_RIGHT[plane] if axis in mirrored]
    if not pairs or not axes:
        return None
    named = "; ".join(f"{left} and {right}" for left, right in pairs)
    return (
        f"mirroring along {' and '.join(axes)} turns left into right in {plane} slices while labels stay, so it hides "
        f"what tells {named} apart; leave that axis out of augmentation.mirror"
    )
