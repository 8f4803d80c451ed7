"""Real CT and MR hearts as single slices with colored masks (PNG): write label maps and a table of them.

    python studies/heart_slices.py FOLDER data/heart_slices
    unpaired import table data/heart_slices/table.csv data/heart_slices.json

FOLDER holds chd68-ct (CT angiography, 28 axial slices of 5 patients) and hvsmr2-mr (MR, 30 slices of 4 patients, cut in
other directions), each with images/PATIENT_SLICE.png and masks of the same names. The two color their masks
differently. CT slices come mirrored and are turned back. Nobody labeled the myocardium in MR, so it is not taken for
background there. Veins that only MR's masks have are background.
"""

import argparse
import csv
import json
from pathlib import Path

import numpy as np
from PIL import Image

from unpaired.files import write_text

CLASSES = ("background", "LV", "RV", "LA", "RA", "myocardium", "aorta", "pulmonary artery")
RED, GREEN, BLUE, YELLOW = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)
MAGENTA, CYAN, GRAY, WHITE = (255, 0, 255), (0, 255, 255), (128, 128, 128), (255, 255, 255)
COLORS = {
    "ct": {
        RED: "LV",
        GREEN: "RV",
        BLUE: "LA",
        YELLOW: "RA",
        MAGENTA: "myocardium",
        CYAN: "aorta",
        GRAY: "pulmonary artery",
    },
    "mr": {
        RED: "LV",
        BLUE: "RV",
        YELLOW: "LA",
        CYAN: "RA",
        GREEN: "aorta",
        WHITE: "pulmonary artery",
        MAGENTA: "background",
        GRAY: "background",
    },
}
FOLDERS = {"ct": "chd68-ct", "mr": "hvsmr2-mr"}
UNLABELED_IN_MR = "myocardium"


def label_map(path: Path, modality: str) -> np.ndarray:
    """Class numbers (rows, columns) of a colored mask; stops at a color that nobody named."""
    colors = np.asarray(Image.open(path).convert("RGB")).astype(np.int64) @ (65536, 256, 1)
    names = {(r << 16) + (g << 8) + b: name for (r, g, b), name in COLORS[modality].items()} | {0: "background"}
    unknown = sorted({f"{color:06x}" for color in np.unique(colors).tolist() if color not in names})
    if unknown:
        raise SystemExit(f"{path}: colors without a name: {', '.join(unknown)}")
    numbers = np.zeros(colors.shape, np.uint8)
    for color, name in names.items():
        numbers[colors == color] = CLASSES.index(name)
    return numbers


def main() -> None:
    """Write images, label maps, the table and what it needs beside it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    for name in FOLDERS.values():
        if not (options.folder / name / "images").is_dir():
            raise SystemExit(f"{options.folder}: expected {name}/images and {name}/masks in it, found no {name}/images")
    options.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for modality, name in FOLDERS.items():
        for path in sorted((options.folder / name / "images").glob("*.png")):
            mask = options.folder / name / "masks" / path.name
            if not mask.is_file():
                raise SystemExit(f"{path}: expected its mask at {mask}, found none")
            image, numbers = np.asarray(Image.open(path).convert("L")), label_map(mask, modality)
            if modality == "ct":
                image, numbers = image[:, ::-1], numbers[:, ::-1]
            case = f"{modality}{path.stem}"
            Image.fromarray(image).save(options.out / f"{case}.png")
            Image.fromarray(numbers).save(options.out / f"{case}_label.png")
            looked_for = [one for one in CLASSES[1:] if modality == "ct" or one != UNLABELED_IN_MR]
            rows.append(
                {
                    "id": case,
                    "patient": modality + path.stem.split("_")[0],
                    "modality": modality,
                    "image": f"{case}.png",
                    "label": f"{case}_label.png",
                    "annotated": ";".join(looked_for),
                }
            )
    with (options.out / "table.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    write_text(options.out / "table.json", json.dumps({"classes": CLASSES}, indent=1))  # value i is class i
    print(f"{len(rows)} slices; next: unpaired import table {options.out / 'table.csv'} {options.out}.json")


if __name__ == "__main__":
    main()
