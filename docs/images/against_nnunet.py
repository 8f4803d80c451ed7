"""Draw docs/images/against_nnunet.webp: Dice against minutes of training, ours and nnU-Net's, from stored numbers.

    .venv/bin/python docs/images/against_nnunet.py

The tables are those of docs/results/against-nnunet.json, one for each budget ("5 minutes"), which
`studies/results_pages.py --add` fills from the study `against_nnunet`.
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
    """A point for each row, modality and budget; tables of another name than "5 minutes" are left out."""
    made = list[CurvePoint]()
    for name, table in tables.items():
        minutes, _, unit = name.partition(" ")
        rows, groups = table["rows"], table["groups"]
        if unit == "minutes" and isinstance(rows, list) and isinstance(groups, dict):
            made += [
                CurvePoint(
                    row["name"],
                    f"{group} ({groups[group]} patients)",
                    float(minutes),
                    dice["mean"] / 100,
                    groups[group],
                    p=row["differences"].get(group, {}).get("p"),
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
