"""All campaigns one after the other, each in a process of its own: `make campaign`.

    PYTHONPATH=tests python -m campaigns [NAME ...] [--seed 0]

Prints each one's counts and, at the end, which of them found something wrong; the exit code is 1 if any did.
"""

import argparse
import subprocess
import sys

CAMPAIGNS = ("orientation", "fuzz", "received", "kills", "disk_full", "together", "thousand_cases")


def main() -> int:
    """Run the campaigns that were named, or all; the exit code is 1 if one of them found something wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CAMPAIGNS)}; default: all")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for name in arguments.names:
        if name not in CAMPAIGNS:
            parser.error(f"there is no campaign {name!r}; known: {', '.join(CAMPAIGNS)}")
    wrong = [
        name
        for name in arguments.names or CAMPAIGNS
        if subprocess.call([sys.executable, "-m", f"campaigns.{name}", "--seed", str(arguments.seed)])
    ]
    print(f"wrong: {', '.join(wrong)}" if wrong else "nothing wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
