"""The process in which `watch` lets a prediction run: it is asked once, tells line by line, and may die."""

import json
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

OUT_OF_MEMORY_SCORE = "500"
"""From -1000 to 1000: the kernel kills what has more, so that it takes this process and not the one that watches it."""
STOPPED = 130
"""The exit code of a process that was told to stop."""
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def serve() -> int:
    """Carry out the request on standard input; what becomes of it are lines of JSON on what was standard output."""
    return answer_once(_answer, _end_with_parent)


def answer_once(answer: Callable[[Any, BinaryIO], int], left_alone: Callable[[], None]) -> int:
    """Read the question (pickled) from standard input, and return `answer` of it and of what was standard output.

    What else is printed goes to standard error. `left_alone` waits in a thread for the end of standard input, which
    says that nobody watches this process any more. `STOPPED` after Ctrl-C.
    """
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # what libraries print is no answer
        try:
            try:
                on_stop(signal.default_int_handler)
                if hasattr(signal, "pthread_sigmask"):  # held back until here: an import that is torn apart shows
                    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
                be_killed_first()
                with os.fdopen(0, "rb", closefd=False) as questions:
                    question = pickle.load(questions)
                threading.Thread(target=left_alone, daemon=True).start()
                return answer(question, answers)
            finally:
                on_stop(signal.SIG_IGN)  # nothing is left to stop, and Python on its way out would show where it was
        except KeyboardInterrupt:  # or one that came after the answer, in the moment before it would be ignored
            on_stop(signal.SIG_IGN)
            return STOPPED


def on_stop(handler: Any) -> None:
    """What Ctrl-C and SIGTERM do from now on."""
    for number in STOP_SIGNALS:
        signal.signal(number, handler)


def _answer(question: Any, answers: BinaryIO) -> int:
    from unpaired.errors import InputError, UnwritableError
    from unpaired.failures import reason_for

    def tell(kind: str, fields: dict[str, Any]) -> None:
        answers.write(json.dumps([kind, fields], default=str).encode() + b"\n")
        answers.flush()

    request, finished = question
    try:
        from unpaired.inference.requested import predict_requested

        predict_requested(request, lambda event: tell(type(event).__name__, asdict(event)), finished)
    except InputError as error:
        tell("wrong", {"text": str(error), "unwritable": isinstance(error, UnwritableError)})
    except Exception as error:  # noqa: BLE001 (whatever it is: one line, and a file with the traceback)
        tell("wrong", {"text": reason_for(error), "unwritable": False})
    else:
        tell("done", {})
    return 0


def be_killed_first() -> None:
    """Ask Linux to take this process first where memory runs out."""
    with suppress(OSError):  # no Linux
        Path("/proc/self/oom_score_adj").write_text(OUT_OF_MEMORY_SCORE, encoding="ascii")


def _end_with_parent() -> None:
    """Nothing more comes on standard input; that it ends says that the process that watches is gone."""
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(serve())
