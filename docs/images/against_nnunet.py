"""Draw docs/images/against_nnunet.webp: Dice against minutes of training, ours and nnU-Net's, from stored numbers.

    .venv/bin/python docs/images/against_nnunet.py

The tables are those of docs/results/against-nnunet.json, one for each budget ("5 minutes"), which
`studies/results_pages.py --add` fills from the study `against_nnunet`; where MSBN was not run for a budget, the table
"40 minutes, against nnU-Net" has the others.
"""

import json
from pathlib import Path

from unpaired.experiments.curve import CurvePoint, StudyCurve
from unpaired.experiments.curve_figure import draw_curve
from unpaired.figures.style import webp
from unpaired.files import write_bytes

OUT = Path(__file__).with_suffix(".webp")
NUMBERS = Path(__file__).parents[1] / "results" / "against-nnunet.json"


def points(tables: dict[str, dict[str, object]]) -> list[CurvePoint]:
    """A point for each row, modality and budget; p, against MSBN, is of the tables that have it."""
    made = list[CurvePoint]()
    for name, table in tables.items():
        minutes, _, rest = name.partition(" ")
        rows, groups = table["rows"], table["groups"]
        alone = rest == "minutes, against nnU-Net" and f"{minutes} minutes" not in tables
        if (rest == "minutes" or alone) and isinstance(rows, list) and isinstance(groups, dict):
            made += [
                CurvePoint(
                    row["name"],
                    f"{group} ({groups[group]} patients)",
                    float(minutes),
                    dice["mean"] / 100,
                    groups[group],
                    p=None if alone else row["differences"].get(group, {}).get("p"),
                )
                for row in rows
                for group, dice in row["dice"].items()
            ]
    return made


def main() -> None:
    """Write the picture beside this file."""
    tables = json.loads(NUMBERS.read_text(encoding="utf-8"))["tables"]
    write_bytes(OUT, webp(draw_curve(StudyCurve(tuple(points(tables)), "MSBN")), 110))
    print(f"{OUT}: {OUT.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
