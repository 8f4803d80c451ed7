"""How long `unpaired --help` and `import unpaired` take, beside an empty Python and `import torch`. Prints ratios.

python benchmarks/start_up.py
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from datetime import date

from unpaired import __version__

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import unpaired": [sys.executable, "-c", "import unpaired"],
    "unpaired --help": [sys.executable, "-m", "unpaired.cli", "--help"],
    "unpaired train --help": [sys.executable, "-m", "unpaired.cli", "train", "--help"],
    "import torch": [sys.executable, "-c", "import torch"],
}


def seconds(command: list[str]) -> float:
    """Wall time of one process, which must succeed."""
    began = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def main() -> None:
    """Time the commands in turn, so that a machine that slows down slows all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--small", action="store_true", help="two repeats: a smoke run")
    options = parser.parse_args()
    repeats = 2 if options.small else options.repeats
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for command in COMMANDS.values():
        seconds(command)  # warm the file cache
    for _ in range(repeats):
        for name, command in COMMANDS.items():
            times[name].append(seconds(command))
    help_time = statistics.median(times["unpaired --help"])
    print(f"unpaired {__version__}, Python {platform.python_version()}, {os.cpu_count()} cores, {date.today()}")
    for name, values in times.items():
        median = statistics.median(values)
        print(f"{name:24} {median:6.2f} s (median of {repeats})   {median / help_time:5.2f} x `unpaired --help`")


if __name__ == "__main__":
    main()
