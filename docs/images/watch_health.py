"""Take the picture of the health page of `unpaired dicom watch`, in headless Chromium. Invented series.

.venv/bin/python docs/images/watch_health.py
"""

import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from PIL import Image

from unpaired.pacs.health import page

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "report"))
from chromium import find_chromium, launched

OUT = Path(__file__).with_suffix(".webp")
BEGUN = datetime(2026, 11, 29, 8, 0, tzinfo=UTC).timestamp()
LATEST = (
    (5400, "1.2.826.0.1.3680043.8.498.11", "predicting", 312, ""),
    (5280, "1.2.826.0.1.3680043.8.498.10", "sending", 180, "can't connect: Connection refused; check host and port"),
    (4900, "1.2.826.0.1.3680043.8.498.7", "done", 96, ""),
    (4875, "1.2.826.0.1.3680043.8.498.8", "skipped", 3, "it fits no modality of the run (a localizer)"),
    (1200, "1.2.826.0.1.3680043.8.498.4", "failed", 41, "1 missing slice: 5.00 mm between 0012.dcm and 0014.dcm"),
)


def main() -> None:
    """The page as a browser shows it."""
    chromium = find_chromium()
    if chromium is None:
        sys.exit("needs Chromium: install it, or name it in the variable CHROMIUM")
    counts = {"receiving": 0, "predicting": 1, "sending": 1, "done": 1, "failed": 1, "skipped": 1}
    names = ("changed", "uid", "state", "images", "note")
    latest = [dict(zip(names, (BEGUN + row[0], *row[1:]), strict=True)) for row in LATEST]
    sizes = {"spool_bytes": 212_860_928, "limit_bytes": 20_000_000_000}
    told = {"status": "ok", "running_seconds": 5421, **counts, **sizes, "latest": latest}
    with tempfile.TemporaryDirectory() as place, launched(chromium, Path(place) / "profile") as browser:
        file = Path(place) / "health.html"
        file.write_text(page(told), encoding="utf-8")
        browser.open(file, width=1080, height=760)
        Image.fromarray(browser.picture("body").astype("uint8")).save(OUT, quality=85, method=6)
    print(f"{OUT}: {OUT.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
