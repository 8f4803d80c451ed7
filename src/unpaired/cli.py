"""The command line. A command imports what it needs when it runs, so that `unpaired --help` answers at once.

Exit codes: 0 done; 1 done but some cases failed or a check found errors; 2 bad input, one line says which; 130 stopped.
With --json whatever is wrong, with the arguments too, is also a JSON object on standard output.
"""

import functools
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import tyro

from unpaired.commands.archive import cluster_script
from unpaired.commands.comparison import compare
from unpaired.commands.consent import trust
from unpaired.commands.data import few_shot, import_, join, labeled_fraction, phantom, prepare, split, verify
from unpaired.commands.diagnosis import diagnose
from unpaired.commands.dicom import dicom_fetch, dicom_list, dicom_send, dicom_watch
from unpaired.commands.errors import (
    open_closed_streams,
    parsed_or_input_error,
    report_error,
    require_options_once,
    wants_json,
)
from unpaired.commands.evaluation import evaluate, report
from unpaired.commands.export import export, nnunet_splits
from unpaired.commands.features import features
from unpaired.commands.help import with_readable_help
from unpaired.commands.packing import pack, push
from unpaired.commands.partners import misalignment, partners
from unpaired.commands.planning import inspect, plan
from unpaired.commands.prediction import predict
from unpaired.commands.study import studies, study, study_script
from unpaired.commands.taken import given_to, taken_by
from unpaired.commands.training import demo, find_postprocessing, recipes, self_train, train, watch
from unpaired.commands.unknown import refuse_unknown, require_command
from unpaired.commands.values import complaint, refuse_empty
from unpaired.errors import InputError, Stopped, known
from unpaired.failures import reason_for

COMMANDS = {
    "demo": demo,
    "phantom": phantom,
    "import": import_,
    "join": join,
    "verify": verify,
    "inspect": inspect,
    "split": split,
    "few-shot": few_shot,
    "labeled-fraction": labeled_fraction,
    "recipes": recipes,
    "plan": plan,
    "prepare": prepare,
    "train": train,
    "self-train": self_train,
    "watch": watch,
    "find-postprocessing": find_postprocessing,
    "studies": studies,
    "study": study,
    "study-script": study_script,
    "predict": predict,
    "cluster-script": cluster_script,
    "evaluate": evaluate,
    "compare": compare,
    "features": features,
    "diagnose": diagnose,
    "partners": partners,
    "misalignment": misalignment,
    "report": report,
    "pack": pack,
    "push": push,
    "export": export,
    "nnunet-splits": nnunet_splits,
    "trust": trust,
    "dicom list": dicom_list,
    "dicom fetch": dicom_fetch,
    "dicom send": dicom_send,
    "dicom watch": dicom_watch,
}
"""A name of two words is a command of a group: `unpaired dicom list`, `unpaired dicom --help`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    # Threads that wait for each other spin for 10,000 rounds, then sleep. Without a limit a training step is many times
    # slower as soon as another process wants the cores, and threads that never spin make small networks as slow as one
    # thread (measured on two cores). Has to be set before torch is imported; values of the user's own win.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    open_closed_streams()
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:  # through a pipe, lines would wait for the command's end
        reconfigure(line_buffering=True)
    in_main_thread = threading.current_thread() is threading.main_thread()
    # SIGTERM is Slurm's way to say Ctrl-C.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler) if in_main_thread else None
    json = wants_json(arguments)
    paths, hooks = list(sys.path), list(sys.path_hooks)  # a file that somebody trusts adds its folder
    try:
        if (sys.argv[1:] if arguments is None else list(arguments)) == ["--version"]:
            print(f"unpaired {version('unpaired')}")
            return 0
        code = _parse(arguments)()
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # whoever reads, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains on its way out
        return 0
    except InputError as error:
        return report_error(str(error), 2, json)
    except OSError as error:  # what the system refuses anywhere: permission, a name that is too long, no space
        where = error.filename or "standard output or an open file"
        return report_error(
            f"{where}: {error.strerror or error}; check the path, its permissions and its disk", 2, json
        )
    except (KeyboardInterrupt, Stopped) as stopped:
        return report_error(str(stopped) or "stopped; the same command goes on where it can", 130, json)
    except Exception as error:  # noqa: BLE001 (a fault of this package: one line, and a file with the traceback)
        return report_error(reason_for(error), 2, json)
    finally:
        if in_main_thread:
            signal.signal(signal.SIGTERM, before)
        sys.path[:], sys.path_hooks[:] = paths, hooks


def _parse(arguments: Sequence[str] | None) -> Callable[[], int]:
    """The command with its arguments, to be run; tyro leaves by SystemExit after --help."""
    require_options_once(arguments)
    words = list(sys.argv[1:] if arguments is None else arguments)
    group = f"{words[0]} " if words else ""
    of_group = {name.removeprefix(group): command for name, command in COMMANDS.items() if name.startswith(group)}
    if group and of_group:
        return _chosen(f"unpaired {words[0]}", f"The commands about {words[0].upper()}.", of_group, words[1:])
    about = "One network that segments every modality you have, trained on scans of different patients. "
    return _chosen("unpaired", f"{about}`unpaired --version` says which version this is.", COMMANDS, words)


def _chosen(
    program: str, about: str, commands: Mapping[str, Callable[..., int]], words: Sequence[str]
) -> Callable[[], int]:
    if words and not words[0].startswith("-"):
        require_command(program, words[0], [name.partition(" ")[0] for name in commands])
    if words and words[0] in commands:  # what the other commands take needs no look
        return _of_command(f"{program} {words[0]}", commands[words[0]], words[1:])
    subcommands = {name: _later(command, brief=True) for name, command in commands.items()}
    return parsed_or_input_error(
        lambda: tyro.extras.subcommand_cli_from_dict(subcommands, prog=program, description=about, args=words),
        lambda: (
            f"expected a command, got {repr(words[0]) if words else 'none'}; {known(list(commands))} "
            f"(see {program} --help)"
        ),
    )


def _of_command(program: str, command: Callable[..., int], words: Sequence[str]) -> Callable[[], int]:
    taken, later = taken_by(command), _later(command, brief=False)

    def complain() -> str:
        refuse_unknown(program, taken, words, given_to(taken, words).unknown)
        return complaint(program, taken, words)

    parsed, unknown = parsed_or_input_error(
        lambda: tyro.cli(later, prog=program, args=words, return_unknown_args=True), complain
    )
    refuse_unknown(program, taken, words, unknown)
    refuse_empty(program, taken, words)
    return parsed


def _later(command: Callable[..., int], brief: bool) -> Callable[..., Callable[[], int]]:
    """The same command line; but the command runs after all arguments were understood, so that what it prints and
    raises is never taken for what the parser says."""

    def parsed(*values: Any, **named: Any) -> Callable[[], int]:
        return functools.partial(command, *values, **named)

    return with_readable_help(parsed, command, brief)


if __name__ == "__main__":
    sys.exit(main())
