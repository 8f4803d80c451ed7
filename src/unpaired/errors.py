"""The one exception for what a person typed or fed: the command line prints it as one line and exits with code 2."""

from unicodedata import category, normalize

SHOWN = 16
"""How many known names a message lists; a line of all recipes or cases would hide what it says."""


TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Characters that turn the direction of text, so that a name reads as another."""
UNSEEN = "\u034f\u115f\u1160\u3164\uffa0" + "".join(map(chr, range(0xFE00, 0xFE10)))
"""What nobody sees besides format characters: a joiner, fillers of Hangul, variation selectors."""


class InputError(ValueError):
    """Something given to `unpaired` can't be used: a path, a file, a label value, a recipe's name.

    The message is one line that says what was expected, what came, where, and what to do.
    """


class UnwritableError(InputError):
    """A file can't be written: no space, no permission. Nor could the next one, so work on many cases stops."""


class Stopped(Exception):  # noqa: N818 (it is no error)
    """Work was interrupted by a person and saved; the same command goes on. The message is one line."""


def printable(text: str) -> str:
    """Text that a terminal shows as it is, on one line: what it would obey, or can't encode, as an escape ("\\x1b")."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


def require_name(name: str, where: str) -> None:
    """Raise InputError for a name with a control character, half of a surrogate pair, or a change of line or direction:
    in a file name, a terminal or a table it would do or show something else than it says. So for a blank one."""
    if name and not visible(name).strip():
        raise InputError(f"{where}: {name!r} is blank; give it a name")
    for character in name:
        if category(character) in ("Cc", "Cs", "Zl", "Zp") or character in TURNING:
            raise InputError(f"{where}: {name!r} holds {character!a}, which no name may; correct it there")


def visible(name: str) -> str:
    """A name without the characters that nobody sees in it: joiners, soft hyphens, marks of direction, fillers."""
    return "".join(sign for sign in name if category(sign) != "Cf" and sign not in UNSEEN)


def told_apart(first: str, second: str) -> tuple[str, str]:
    """Two names as a message quotes them: with code points where they look the same ("é" as one sign or two)."""
    same = normalize("NFKC", visible(first)) == normalize("NFKC", visible(second))
    return (ascii(first), ascii(second)) if same else (repr(first), repr(second))


def nearest(name: str, allowed: list[str]) -> str:
    """A hint for a name that is not one of `allowed`: the closest ones, else the list, cut where it gets long."""
    from difflib import get_close_matches

    looks = normalize("NFKC", visible(name))
    twin = next((other for other in allowed if other != name and normalize("NFKC", visible(other)) == looks), None)
    if twin is not None:
        return f"did you mean {twin!a}, which looks the same and is not {name!a}?"
    close = [other for other in allowed if other.casefold() == name.casefold() != ""]
    close = close or get_close_matches(name, allowed, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(close)}?" if close else known(allowed)


def known(allowed: list[str]) -> str:
    """The names that are known, cut where the list gets long: where a guess by spelling would be wrong or dangerous."""
    more = f" and {len(allowed) - SHOWN} more" if len(allowed) > SHOWN else ""
    return f"known: {', '.join(allowed[:SHOWN])}{more}"
