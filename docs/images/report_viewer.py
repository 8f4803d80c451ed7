"""Take the picture of the report's viewer from a finished `make demo`, in headless Chromium. Simulated scans only.

make demo
.venv/bin/python docs/images/report_viewer.py demo/runs/csa
"""

import sys
import tempfile
from pathlib import Path

from PIL import Image

from unpaired.report.page import write_run_page
from unpaired.runs.run import Run
from unpaired.scores.tables import read_evaluation

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "report"))
from chromium import find_chromium, launched

OUT = Path(__file__).with_suffix(".webp")
READY = "document.getElementById('viewer-box').dataset.state === 'ready'"


def main(folder: Path) -> None:
    """The viewer as it opens, on the worst case of the first modality."""
    run = Run(folder)
    if not run.dataset.name.startswith("phantom"):
        sys.exit(f"{folder} was trained on {run.dataset.name}: only simulated scans may go into the documentation")
    chromium = find_chromium()
    if chromium is None:
        sys.exit("needs Chromium: install it, or name it in the variable CHROMIUM")
    with tempfile.TemporaryDirectory() as place, launched(chromium, Path(place) / "profile") as browser:
        page = Path(place) / "report.html"
        write_run_page(folder, run.dataset, run.predictions, read_evaluation(run.evaluation), page)
        browser.open(page, width=1000, height=1000)
        browser.run("document.getElementById('viewer-open').click()")
        browser.wait(READY)
        Image.fromarray(browser.picture("#viewer").astype("uint8")).save(OUT, quality=85, method=6)
    print(f"{OUT}: {OUT.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
