"""What is said, in one line, of arguments that are missing or have a value that they can't have."""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import get_args

from unpaired.commands.taken import Argument, Given, Taken, given_to
from unpaired.errors import InputError

NUMBERS = {int: "a whole number", float: "a number"}


def complaint(program: str, taken: Taken, words: Sequence[str]) -> str:
    """What is wrong with `words`, which the parser refused: the first fault, in one line."""
    given = given_to(taken, words)
    faults = [*_of_options(taken, given), *_missing_names(taken, given), *_of_names(taken, given)]
    faults += [*_missing_options(taken, given), "was given arguments that don't fit;"]
    return _line(program, faults[0])


def refuse_empty(program: str, taken: Taken, words: Sequence[str]) -> None:
    """Raise InputError for a list without anything where that says nothing: the parser takes what somebody forgot."""
    given = given_to(taken, words)
    has_list = any(argument.most is None for argument in taken.names.values())
    for fault in (*_empty_options(taken, given), *(_missing_names(taken, given) if has_list else ())):
        raise InputError(_line(program, fault))


def _line(program: str, fault: str) -> str:
    return f"{program.removeprefix('unpaired ')} {fault} see {program} --help"


def _of_options(taken: Taken, given: Given) -> Iterator[str]:
    yield from _empty_options(taken, given)
    for option, after in given.options:
        for word in after:
            if not _fits(word, taken.options[option]):
                more = f" {_takes_all(option)};" if taken.options[option].most is None else ""
                yield _expected(taken.options[option], f"after {option}", (word,)) + more


def _empty_options(taken: Taken, given: Given) -> Iterator[str]:
    for option, after in given.options:
        if len(after) < taken.options[option].fewest:
            yield _expected(taken.options[option], f"after {option}", after)


def _missing_options(taken: Taken, given: Given) -> Iterator[str]:
    for option, argument in taken.options.items():
        if argument.required and option not in dict(given.options):
            yield f"needs {option} {argument.metavar};"


def _of_names(taken: Taken, given: Given) -> Iterator[str]:
    for (name, argument), word in zip(taken.names.items(), given.plain, strict=False):
        if not _fits(word, argument):
            yield _expected(argument, f"as {name}", (word,))


def _missing_names(taken: Taken, given: Given) -> Iterator[str]:
    needed = [name for name, argument in taken.names.items() if argument.required]
    missing = needed[len(given.plain) :]
    if missing:
        takes = " ".join(f"{name} ..." if taken.names[name].most is None else name for name in needed)
        got, verb = " ".join(map(repr, given.plain)) or "nothing", "is" if len(missing) == 1 else "are"
        greedy = [f" {_takes_all(option)};" for option, after in given.options if len(after) > 1]
        yield f"takes {takes}, got {got}, so {_listed(missing, 'and')} {verb} missing;{''.join(greedy[:1])}"


def _takes_all(option: str) -> str:
    return f"{option} takes all words up to the next option"


def _expected(argument: Argument, where: str, got: Sequence[str]) -> str:
    choices = _choices(argument)
    what = _listed(choices, "or") or NUMBERS.get(argument.type, argument.metavar)
    close = get_close_matches(got[0], choices, n=1) if got else []
    guess = f"; did you mean {close[0]}?" if close else ";"
    return f"expects {what} {where}, got {' '.join(map(repr, got)) or 'nothing'}{guess}"


def _choices(argument: Argument) -> list[str]:
    return [str(choice) for choice in get_args(argument.type)]


def _fits(word: str, argument: Argument) -> bool:
    if argument.type in NUMBERS:
        try:
            argument.type(word)
        except ValueError:
            return False
    return word in (_choices(argument) or [word])


def _listed(words: Sequence[str], last: str) -> str:
    return f" {last} ".join([", ".join(words[:-1]), *words[-1:]] if len(words) > 1 else words)
