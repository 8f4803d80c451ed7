"""Scores by those packages alone that the docs name: everything else that the package requires is out of reach."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from unpaired.data.dataset import Dataset
from unpaired.failures import reason_for

ROOT = Path(__file__).parent.parent.parent
MODULES = {"lightning-fabric": "lightning_fabric"}
"""Where a requirement is imported by another name than its own."""
SCRIPT = """
import sys
missing = set(sys.argv[1].split(","))
class OutOfReach:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, OutOfReach())
from unpaired.cli import main
classes = ["--classes", "500:LV,205:myo,600:RV,420:LA,820:AA"]
done = [main(["evaluate", folder, "references", *classes, "--out", f"{folder}_scores"]) for folder in ("a", "b")]
done.append(main(["compare", "a=a_scores", "b=b_scores", "--out", "comparison"]))
done.append(main(["import", "auto", "scans", "study.json", *classes]))
assert main(["train", "phantom/csa", "study.json", "run"]) == 2
print("codes", done)
"""


@pytest.mark.slow
def test_it_runs_with_what_the_docs_name(phantom: Dataset, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "how-to" / "evaluate.md").read_text(encoding="utf-8")
    listed = re.findall(r"^pip install (numpy .*)$", page, re.M)[0].lower().split()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    required = [re.split(r"[<>=\[]", text)[0].lower() for text in project["dependencies"]]
    assert set(listed) <= set(required)
    missing = [MODULES.get(name, name) for name in required if name not in listed]
    assert "torch" in missing
    for case in phantom.of("ct"):
        assert case.label is not None
        for folder in ("a", "b", "references", "scans/ct/labels"):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
            shutil.copy(case.label, tmp_path / folder / f"{case.id}.nii.gz")
        (tmp_path / "scans" / "ct" / "images").mkdir(exist_ok=True)
        shutil.copy(case.image, tmp_path / "scans" / "ct" / "images" / f"{case.id}.nii.gz")
    command = [sys.executable, "-c", SCRIPT, ",".join(missing)]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert "codes [0, 0, 0, 0]" in run.stdout, run.stderr
    assert "this needs the package" in run.stderr


@pytest.mark.parametrize(("name", "said"), [("torch.nn", "needs the package 'torch'"), ("unpaired.gone", "a fault of")])
def test_a_missing_package_is_said_in_one_line(
    name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert said in reason_for(ModuleNotFoundError(f"No module named {name!r}", name=name))
