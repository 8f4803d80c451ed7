"""Hostile copies of what people receive from others: datasets of other tools, tables, folds, plans' inputs, models.

    PYTHONPATH=tests python -m campaigns.received --seed 0 --count 400

One document after another is damaged as in `campaigns.fuzz` and given to the commands that read it: right is one line
and exit code 1 or 2, or an accepted document.
"""

import json
import shutil
import sys
from pathlib import Path

from campaigns.commands import run
from campaigns.fuzz import Document, try_documents
from campaigns.tally import Tally, run_alone
from campaigns.workspace import CACHE, CPU, DATA, RECIPE, RUN, STEPS, write_study

RAW, BIDS, LIST, FOLDERS = "nnunet", "bids", "datalist.json", "folders"
SCAN = f"{DATA}/ct/ct003.nii.gz"
FOLDS = "folds"
LABELS = {
    "ct": {"background": 0, "LV": 500, "myo": 205, "RV": 600, "LA": 420, "AA": 820},
    "lge": {"background": 0, "LV": 500, "myo": 200, "RV": 600, "LA": 420, "AA": 820},
}
TRAINING = ("--cache", CACHE, "--workers", "0", *CPU)
DOCUMENTS = (
    Document(f"{RAW}/Dataset001_ct/dataset.json", ("import", "nnunet", RAW, "OUT.json")),
    Document(f"{RAW}/Dataset001_ct/dataset.json", ("import", "auto", RAW, "OUT.json")),
    Document(LIST, ("import", "datalist", LIST, "OUT.json")),
    Document(LIST, ("import", "auto", LIST, "OUT.json")),
    Document(f"{BIDS}/participants.tsv", ("import", "bids", BIDS, "OUT.json")),
    Document(f"{BIDS}/dataset_description.json", ("import", "bids", BIDS, "OUT.json")),
    Document(f"{BIDS}/derivatives/labels/dseg.tsv", ("import", "bids", BIDS, "OUT.json")),
    Document("fingerprint.json", ("plan", DATA, "OUT.py", "--fingerprint", "fingerprint.json", "--hours", "0.001")),
    Document("model.unpaired", ("predict", "model.unpaired", SCAN, "OUT.nii.gz", "--modality", "ct", *CPU)),
    Document("model.unpaired", ("recipes", "model.unpaired")),
    Document("splits_final.json", ("train", RECIPE, DATA, "OUT", "--split", "splits_final.json:0", *TRAINING)),
    Document(f"{FOLDS}/fold0.json", ("train", RECIPE, DATA, "OUT", "--split", f"{FOLDS}/fold0.json", *TRAINING)),
    Document(f"{FOLDS}/fold0.json", ("nnunet-splits", "raw.json", FOLDS, "OUT")),
)


def campaign(seed: int, count: int, folder: Path, tally: Tally) -> None:
    """Every document and command in turn."""
    try_documents(DOCUMENTS, study, seed, count, folder, tally)


def study(place: Path, said: Path) -> None:
    """The phantom as nnU-Net, MONAI and BIDS lay data out, and what the package makes of it to give away."""
    write_study(place)
    cases = json.loads((place / DATA / "dataset.json").read_text(encoding="utf-8"))["cases"]
    _as_nnunet(place, cases)
    _as_datalist(place, cases)
    _as_bids(place, cases)
    for arguments in (
        *(STEPS[name].arguments for name in ("prepare", "train")),
        ("inspect", DATA, "--json", "fingerprint.json", "--workers", "1"),
        ("pack", RUN, "--out", "model.unpaired"),
        ("import", "nnunet", RAW, "raw.json"),
        ("split", "raw.json", FOLDS, "--folds", "2"),
    ):
        ended = run(arguments, place, said)
        if ended.code:
            raise AssertionError(f"{arguments}: {ended.error}")


def _as_nnunet(place: Path, cases: list[dict[str, str]]) -> None:
    """A dataset a modality, and folds of the second one's manifest."""
    for number, modality in enumerate(("ct", "lge"), start=1):
        folder = place / RAW / f"Dataset00{number}_{modality}"
        kept = [case for case in cases if case["modality"] == modality]
        for case in kept:
            _copy(place / DATA / case["image"], folder / "imagesTr" / f"{case['id']}_0000.nii.gz")
            _copy(place / DATA / case["label"], folder / "labelsTr" / f"{case['id']}.nii.gz")
        document = {
            "channel_names": {"0": modality.upper()},
            "labels": LABELS[modality],
            "numTraining": len(kept),
            "file_ending": ".nii.gz",
        }
        _write(folder / "dataset.json", document)
    sides = {side: [case["id"] for case in cases if case["split"] == side] for side in ("train", "validation")}
    _write(place / "splits_final.json", [{"train": sides["train"], "val": sides["validation"]}])


def _as_datalist(place: Path, cases: list[dict[str, str]]) -> None:
    """A MONAI datalist that says modality and patient."""
    rows = [
        {"image": f"{DATA}/{case['image']}", "label": f"{DATA}/{case['label']}"}
        | {"modality": case["modality"], "patient": case["patient"]}
        for case in cases
        if case["modality"] == "ct"
    ]
    labels = {str(value): name for name, value in LABELS["ct"].items()}
    _write(place / LIST, {"labels": labels, "training": rows[:2], "validation": rows[2:]})


def _as_bids(place: Path, cases: list[dict[str, str]]) -> None:
    """Subjects with a T1w scan each, label maps among the derivatives."""
    kept = [case for case in cases if case["modality"] == "lge"]
    for number, case in enumerate(kept, start=1):
        name = f"sub-0{number}"
        _copy(place / DATA / case["image"], place / BIDS / name / "anat" / f"{name}_T1w.nii.gz")
        labels = place / BIDS / "derivatives" / "labels"
        _copy(place / DATA / case["label"], labels / name / "anat" / f"{name}_T1w_dseg.nii.gz")
    _write(place / BIDS / "dataset_description.json", {"Name": "phantom", "BIDSVersion": "1.9.0"})
    people = [f"sub-0{number}\t{40 + number}\tF" for number in range(1, len(kept) + 1)]
    _write_table(place / BIDS / "participants.tsv", ["participant_id\tage\tsex", *people])
    values = [f"{value}\t{name}" for name, value in LABELS["lge"].items()]
    _write_table(place / BIDS / "derivatives" / "labels" / "dseg.tsv", ["index\tname", *values])


def _copy(source: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, path)


def _write(path: Path, document: object) -> None:
    path.write_text(json.dumps(document), encoding="utf-8")


def _write_table(path: Path, rows: list[str]) -> None:
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(run_alone(campaign, 400, __doc__))
