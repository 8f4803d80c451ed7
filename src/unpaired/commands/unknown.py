"""What is said, in one line, of arguments that a command doesn't take: what it takes, and the nearest guess."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from unpaired.commands.taken import Taken
from unpaired.errors import InputError, known

DASHES = "-\N{EN DASH}\N{EM DASH}\N{MINUS SIGN}"
"""Word processors turn two hyphens into a dash, which no program takes for an option."""
LONGEST = 8
"""More words than a path has as a rule."""


def require_command(program: str, word: str, commands: Sequence[str]) -> None:
    """Raise InputError for a word that stands where a command should and is none, with the nearest ones."""
    if word not in commands:
        close = get_close_matches(word, commands, n=2)
        hint = f"did you mean {' or '.join(close)}?" if close else known(list(commands))
        raise InputError(f"there is no command {word!r}; {hint} (see {program} --help)")


def refuse_unknown(program: str, taken: Taken, words: Sequence[str], unknown: Sequence[str]) -> None:
    """Raise InputError for the first of the words that a command left over, `unknown`; none are fine.

    `words` are all that it was given, in their order.
    """
    if not unknown:
        return
    first, name = unknown[0], program.removeprefix("unpaired ")
    if first.startswith("-"):
        option = first.partition("=")[0]
        place, close = option[2:].upper(), _close(option, taken, 0.6)
        guess = f"did you mean {' or '.join(close)}? " if close else ""
        if place in taken.names:
            guess = f"{place} is given by its place: {program} {' '.join(taken.names)}; "
        raise InputError(f"{name} has no option {option}; {guess}see {program} --help")
    takes = f"takes {' '.join(taken.names)} and no more" if taken.names else "takes options alone"
    raise InputError(f"{name} {takes}, so {first!r} is one too many; {_guess(taken, words, first)}see {program} --help")


def _close(word: str, taken: Taken, cutoff: float) -> list[str]:
    """The options whose names are nearest to a word, which may begin with dashes of any kind."""
    names = [option[2:] for option in (*taken.options, *taken.flags)]
    return [f"--{name}" for name in get_close_matches(word.lstrip(DASHES), names, n=2, cutoff=cutoff)]


def _guess(taken: Taken, words: Sequence[str], word: str) -> str:
    """What a person may have meant by a word too many; "" where nothing is likely."""
    place = list(words).index(word) if word in words else 0
    flag = next((flag for flag in taken.flags if f"{flag}={word}" in words), words[place - 1] if place else "")
    if flag in taken.flags:
        return f"{flag} takes no value; "
    if place > 1 and words[place - 2] in taken.options:
        return f"{words[place - 2]} takes one value, {words[place - 1]!r} here; "
    if path := _path_with_spaces(words):
        return f"a path with spaces stands in quotes: {path!r}; "
    name, equals, value = word.partition("=")
    if close := _close(name, taken, 0.8):
        return f"did you mean {close[0]}{' ' if equals else ''}{value}? "
    pairs = [option for option, argument in taken.options.items() if "=" in argument.metavar]
    if equals and pairs:
        return f"did you mean {pairs[0]} {word}? "
    if _is_there(word):
        return "where a pattern such as *.nii.gz stands for several files, name their folder; "
    return ""


def _path_with_spaces(words: Sequence[str]) -> str | None:
    """The path that neighboring words, up to `LONGEST`, are when joined by spaces, if there is one."""
    for start in range(len(words)):
        for stop in range(start + 2, min(start + LONGEST, len(words)) + 1):
            if _is_there(joined := " ".join(words[start:stop])):
                return joined
    return None


def _is_there(name: str) -> bool:
    try:
        return Path(name).exists()
    except (OSError, ValueError):  # no name of a file, such as a longer one than the system allows
        return False
