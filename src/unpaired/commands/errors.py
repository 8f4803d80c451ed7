"""How a command says what is wrong: a line on standard error and, with --json, a JSON object on standard output."""

import io
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, suppress
from typing import TypeVar

from unpaired.commands.arguments import print_json
from unpaired.errors import InputError, printable

Parsed = TypeVar("Parsed")
REPEATABLE = ("--also",)


def wants_json(arguments: Sequence[str] | None = None) -> bool:
    """Whether the arguments (None: those of this process) ask for JSON, so that errors have to be JSON too."""
    arguments = sys.argv[1:] if arguments is None else arguments
    flags = [argument for argument in arguments if argument in ("--json", "--no-json")]
    return flags[-1:] == ["--json"]


def require_options_once(arguments: Sequence[str] | None = None) -> None:
    """Raise InputError for an option that is given twice: the parser would take the last one's values alone.

    `arguments` None are those of this process. `--also` may be repeated: it takes one value each time.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    options = [argument.partition("=")[0] for argument in arguments if argument[:2] == "--"]
    for option in dict.fromkeys(options):
        if options.count(option) > 1 and option not in REPEATABLE:
            values = "steps=100 batch_size=4" if option == "--set" else "FIRST SECOND"
            raise InputError(
                f"{option} was given {options.count(option)} times; give it once, with all its values after it, such "
                f"as {option} {values}"
            )


def report_error(message: str, code: int, json: bool, failures: Sequence[tuple[str, str]] = ()) -> int:
    """Say in one line what is wrong, for programs too if they asked; returns `code`, the exit code.

    `failures` are (case, message) of what was tried and failed before.
    """
    with suppress(OSError):  # a log on a full disk: the exit code has to say it alone
        print(f"unpaired: {printable(message)}", file=sys.stderr)
    if json:
        listed = [{"case": case, "message": reason} for case, reason in failures]
        with suppress(OSError):
            print_json({"error": {"message": message, "exit_code": code}, "failures": listed})
    return code


def open_closed_streams() -> None:
    """What whoever started this process closed (a daemon, `>&-`) becomes the null device, for its processes too.

    Else Python has None there, and the next file that is opened gets the number, with all that libraries print.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            null = os.fdopen(os.open(os.devnull, os.O_RDWR), "r" if name == "stdin" else "w", encoding="utf-8")
            os.set_inheritable(null.fileno(), True)  # the lowest number that is free: its own
            setattr(sys, name, null)


def parsed_or_input_error(parse: Callable[[], Parsed], complain: Callable[[], str]) -> Parsed:
    """What `parse` returns; where tyro refuses the arguments in a box, InputError of `complain`'s line.

    `--help`, which ends the process with code 0, still does.
    """
    try:
        with redirect_stderr(io.StringIO()):
            return parse()
    except SystemExit as leaving:
        if not leaving.code:
            raise
        raise InputError(complain()) from leaving
