"""The pages that take somebody from the folders they have to scores: their five commands, run as they stand there."""

import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from undrawn import undrawn
from unpaired import Run
from unpaired.cli import main
from unpaired.data.dataset import Dataset
from unpaired.data.images import read_image, write_image
from unpaired.scores.tables import read_evaluation
from unpaired.training import planned
from unpaired.training.probe import StepCost

PAGES = Path(__file__).parent.parent / "docs" / "how-to"
CUT = {
    "inspect": ["--workers", "1"],
    "train": [
        *("--device", "cpu", "--workers", "0"),
        *("--set", "steps=2", "validate_every=2", "network.width=2", "batch_size=1", "patch_size=[8,32,32]"),
    ],
    "predict": ["--device", "cpu", "--no-worker"],
}
"""What is added to a command of a page for it to take seconds."""
VALUES = {"myocardium": 1, "left ventricle": 2, "right ventricle": 3}


def commands_of(page: str) -> list[list[str]]:
    """The arguments of the commands in a page's first block of commands."""
    text = (PAGES / page).read_text(encoding="utf-8")
    block = re.findall(r"^```bash\n(.*?)^```", text, re.M | re.S)[0]
    return [shlex.split(line, comments=True)[1:] for line in block.splitlines()]


@pytest.fixture
def scans(phantom: Dataset) -> Callable[[str, Path, Path], None]:
    """Writes one of the phantom's scans, such as "ct 3", and its label map with `VALUES` to two files."""

    def write(name: str, image: Path, label: Path | None) -> None:
        modality, number = name.split()
        case = phantom.of(modality)[int(number)]
        image.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(case.image, image)
        if label is not None:
            assert case.label is not None
            drawn = read_image(case.label)
            label.parent.mkdir(parents=True, exist_ok=True)
            values = sorted(set(np.unique(drawn.array)) - {0})[:3]
            labels = sum(number * (drawn.array == value) for number, value in enumerate(values, 1))
            write_image(label, np.asarray(labels, np.uint8), drawn.affine)

    return write


def nnunet(scan: Callable[[str, Path, Path | None], None]) -> None:
    for number, modality in enumerate(("ct", "lge"), 1):
        folder = Path("nnUNet_raw") / f"Dataset{number:03d}_Heart{number}"
        for case in range(4):
            scan(
                f"{modality} {case}",
                folder / f"imagesTr/h{number}_{case}_0000.nii.gz",
                folder / f"labelsTr/h{number}_{case}.nii.gz",
            )
        labels = {"background": 0, **VALUES}
        text = {"channel_names": {"0": modality.upper()}, "labels": labels, "numTraining": 4, "file_ending": ".nii.gz"}
        (folder / "dataset.json").write_text(json.dumps(text), encoding="utf-8")


def monai(scan: Callable[[str, Path, Path | None], None]) -> None:
    entries = []
    for modality in ("CT", "T2"):
        for case in range(4):
            image, label = (f"{modality.lower()}/p{case}{end}.nii.gz" for end in (modality, f"{modality}_seg"))
            scan(f"{'ct' if modality == 'CT' else 'bssfp'} {case}", Path(image), Path(label))
            entries.append({"image": image, "label": label, "modality": modality, "patient": f"{modality}{case}"})
    labels = {"0": "background", **{str(value): name for name, value in VALUES.items()}}
    Path("datalist.json").write_text(json.dumps({"labels": labels, "training": entries}), encoding="utf-8")


def hospital(scan: Callable[[str, Path, Path | None], None]) -> None:
    for modality, first in (("ct", 0), ("lge", 4)):
        for case in range(4):
            name = f"scans/{modality}/p{first + case:02d}"
            drawn = None if (modality, case) == ("lge", 3) else Path(f"{name}_seg.nii.gz")
            scan(f"{modality} {case}", Path(f"{name}.nii.gz"), drawn)
    scan("lge 3", Path("new_scans/monday/q1.nii.gz"), None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "lay_out"), [("from-nnunet.md", nnunet), ("from-monai.md", monai), ("from-hospital-folders.md", hospital)]
)
def test_the_five_commands_of_a_page(
    page: str,
    lay_out: Callable[[Callable[[str, Path, Path | None], None]], None],
    scans: Callable[[str, Path, Path | None], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNPAIRED_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(planned, "time_step", lambda *_: StepCost(1.0, 0.1))
    lay_out(scans)
    commands = commands_of(page)
    assert len(commands) == 5
    with undrawn():
        for arguments in commands:
            assert main([*arguments, *CUT.get(arguments[0], [])]) == 0, (arguments, capsys.readouterr().err)
    said = capsys.readouterr()
    assert "patients drawn (seed 0)" in said.err
    run = Run.open("runs/study")
    assert len(run.modalities) == 2
    assert {case.split for case in run.dataset.cases} == {"train", "validation", "test"}
    assert Path("data/study.html").is_file()
    if page == "from-hospital-folders.md":
        assert Path("segmented/monday/q1.nii.gz").is_file()
        assert main(["predict", "heart.unpaired", "new_scans", "again", "--modality", "lge", *CUT["predict"]]) == 0
        assert np.array_equal(
            read_image(Path("again/monday/q1.nii.gz")).array, read_image(Path("segmented/monday/q1.nii.gz")).array
        )
    else:
        evaluation = read_evaluation(Path("runs/study/evaluation"))
        assert sorted(evaluation.modalities) == sorted(run.modalities)
        assert not evaluation.failures
    if page == "from-nnunet.md":
        assert main(["nnunet-splits", "data/study.json", "runs/study", "nnUNet_preprocessed"]) == 0
        assert len(list(Path("nnUNet_preprocessed").glob("Dataset00*/splits_final.json"))) == 2
