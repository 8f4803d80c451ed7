"""What a campaign counts, what it found wrong, and the command line that all campaigns share."""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

SHOWN = 40
"""So many faults are printed; the count is of all."""


@dataclass
class Tally:
    """Counts by (what was tried, how it ended), and a line for each wrong end."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, tried: str, ended: str, count: int = 1) -> None:
        """Count something that ended as it may."""
        self.counts[tried, ended] += count

    def fault(self, tried: str, what: str) -> None:
        """Count something that ended wrong; `what` says how to see it again."""
        self.counts[tried, "WRONG"] += 1
        self.wrong.append(f"{tried}: {what}")
        print(f"WRONG {tried}: {what}", file=sys.stderr, flush=True)  # hours before the others are counted

    @property
    def total(self) -> int:
        """How many things were tried."""
        return sum(self.counts.values())

    def lines(self) -> list[str]:
        """A line for each thing that was tried, with all its ends; then the faults."""
        width = max((len(tried) for tried, _ in self.counts), default=0)
        ends: dict[str, list[str]] = {}
        for (tried, ended), count in self.counts.items():
            ends.setdefault(tried, []).append(f"{count} {ended}")
        lines = [f"{tried:{width}}  {', '.join(parts)}" for tried, parts in ends.items()]
        return [*lines, *self.notes, *(f"WRONG {line}" for line in self.wrong[:SHOWN])]


Campaign = Callable[[int, int, Path, Tally], None]
"""(seed, count, an empty folder to work in, where to count)."""


def run_alone(campaign: Campaign, count: int, description: str | None) -> int:
    """The command line of one campaign; returns the exit code."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=count, help=f"default: {count}")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return report(campaign, sys.argv[0], arguments.seed, arguments.count, Path(folder))


def report(campaign: Campaign, name: str, seed: int, count: int, folder: Path) -> int:
    """Run a campaign and print its counts; 1 if anything was wrong, or if nothing was tried. Ctrl-C ends it early."""
    began, tally, stopped = time.monotonic(), Tally(), ""
    try:
        campaign(seed, count, folder.resolve(), tally)
    except KeyboardInterrupt:
        stopped = ", stopped early"
    print("\n".join(tally.lines()))
    minutes = (time.monotonic() - began) / 60
    print(
        f"{Path(name).stem}: {tally.total} tried, {len(tally.wrong)} wrong, seed {seed}, {minutes:.1f} minutes{stopped}"
    )
    return 1 if tally.wrong or not tally.total else 0
