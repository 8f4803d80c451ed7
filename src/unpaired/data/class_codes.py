"""What a class is called in DICOM: coded terms, which viewers and archives understand whatever the class's name.

A segment of a DICOM SEG says what it shows in terms of a coding scheme (PS3.3 C.8.20.4): a category such as anatomical
structure, a type such as kidney, and modifiers such as left. A manifest may give a class its own under "codes".
"""

from dataclasses import dataclass

from unpaired.errors import InputError

LONGEST = {"value": 16, "meaning": 64, "scheme": 16}
"""Characters that DICOM has room for."""


@dataclass(frozen=True)
class Code:
    """A term of a coding scheme: "64033007" of SCT (SNOMED CT) means "Kidney"."""

    value: str
    meaning: str
    scheme: str = "SCT"

    def __post_init__(self) -> None:
        for name, longest in LONGEST.items():
            text = getattr(self, name)
            if not 1 <= len(text) <= longest:
                raise InputError(f"{name}: expected text of 1 to {longest} characters, got {text!r}")
            if "\\" in text or not text.isprintable() or text != text.strip():
                raise InputError(f"{name}: expected text that DICOM can hold (no backslash, no line end), got {text!r}")


ANATOMY = Code("91723000", "Anatomical Structure")
"""The usual category, of DICOM's context group 7150."""


@dataclass(frozen=True)
class ClassCode:
    """What a class shows, in coded terms, and the color that viewers should give it.

    `modifier` refines `type`, such as left of a kidney. `region` says where something lies that may lie anywhere, such
    as a cyst in the kidney; `region_modifier` refines it. `color` is red, green, blue, 0 to 255.
    """

    type: Code
    category: Code = ANATOMY
    modifier: Code | None = None
    region: Code | None = None
    region_modifier: Code | None = None
    color: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        if self.color is not None and not all(0 <= level <= 255 for level in self.color):
            raise InputError(f"color: expected red, green, blue between 0 and 255, got {list(self.color)}")
