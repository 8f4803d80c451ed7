"""The process that does one task of a study: it is asked once, answers once, and may die; no other dies with it."""

import json
import os
import signal
import sys
import time
from typing import BinaryIO

from unpaired.inference.worker import STOPPED, answer_once

SAVING_SECONDS = 300.0
"""How long a training may take to end its step and save, once nobody waits for it any more."""


def serve() -> int:
    """Do the task on standard input; what comes of it is one line of JSON on what was standard output."""
    return answer_once(_answer, _stop_with_parent)


def _answer(task: object, answers: BinaryIO) -> int:
    from unpaired.errors import InputError, Stopped
    from unpaired.failures import reason_for

    assert callable(task)
    try:
        answer = {"done": task()}
    except Stopped:
        return STOPPED
    except InputError as error:
        answer = {"failed": str(error)}
    except Exception as error:  # noqa: BLE001 (whatever it is: one line, and a file with the traceback)
        answer = {"failed": reason_for(error)}
    answers.write(json.dumps(answer).encode() + b"\n")
    return 0


def _stop_with_parent() -> None:
    """Nothing more comes on standard input; that it ends says that the process which watches is gone: save and stop."""
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(SAVING_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(serve())
