"""A small run with everything a page has to show: two modalities, falling quality, a miss, a failure."""

import json

import numpy as np
import pytest

from unpaired.comparison.contenders import Contender
from unpaired.data.dataset import CaseEntry, Dataset, Modality
from unpaired.data.images import write_image
from unpaired.scores.evaluate import evaluate_dataset


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A dataset of two modalities with four and one test cases, predictions of falling quality, and a run folder."""
    folder = tmp_path_factory.mktemp("world")
    label = np.zeros((24, 24, 4), np.uint8)
    label[8:16, 8:16, 1:3] = 1
    label[17:20, 8:12, 1] = 2
    affine = np.diag([1.5, 1.5, 8.0, 1.0])
    cases = []
    for modality, names in (("ct", "abcd"), ("mr", "e")):
        for shift, name in enumerate(names):
            case_id = f"{name}_{modality}"
            write_image(folder / f"{case_id}.nii.gz", label.astype(np.int16) * 100, affine)
            write_image(folder / f"{case_id}_label.nii.gz", label, affine)
            files = (folder / f"{case_id}.nii.gz", folder / f"{case_id}_label.nii.gz")
            cases.append(CaseEntry(case_id, f"p_{name}", modality, *files, split="test"))
            prediction = np.roll(label, shift, axis=1)
            if name == "c":
                prediction[prediction == 2] = 0
            if name != "d":
                write_image(folder / "run" / "predictions" / f"{case_id}.nii.gz", prediction, affine)
    cases.append(CaseEntry("t_ct", "p_t", "ct", *files, split="train"))
    dataset = Dataset("hearts", ("background", "LV", "RV"), {"ct": Modality(), "mr": Modality()}, tuple(cases))
    run = folder / "run"
    run.mkdir(exist_ok=True)
    recipe = {"type": "unpaired.recipe:Recipe", "steps": 30, "method": {"type": "unpaired.methods.x:SupervisedConfig"}}
    recipe["network"] = {"type": "unpaired.networks.x:FCNConfig", "width": 8}
    (run / "recipe.json").write_text(json.dumps(recipe))
    (run / "split.json").write_text(json.dumps({"train": ["t_ct"], "validation": [], "test": ["a_ct", "e_mr"]}))
    (run / "versions.json").write_text(json.dumps({"unpaired": "0.1", "gpu": None, "git": {"changed": True}}))
    (run / "log.csv").write_text("step,loss,term/ce/ct,term/ce/mr,lr\n0,2.0,1.0,1.0,0.1\n10,1.0,0.5,0.5,0.1\n")
    (run / "validation.csv").write_text("step,modality,class,dice\n10,ct,LV,0.5\n")
    return dataset, run / "predictions", run


@pytest.fixture(scope="session")
def evaluation(world):
    dataset, predictions, _ = world
    return evaluate_dataset(dataset, predictions)


@pytest.fixture(scope="session")
def rivals(tmp_path_factory):
    """Four patients in two modalities; "good" is right, "bad" shifts and misses RV of b, <odd> & is as good as good."""
    folder = tmp_path_factory.mktemp("world")
    label = np.zeros((24, 24, 4), np.uint8)
    label[8:16, 8:16, 1:3] = 1
    label[17:20, 8:12, 1] = 2
    affine = np.diag([1.5, 1.5, 8.0, 1.0])
    cases = []
    for modality in ("ct", "mr"):
        for name in "abcd":
            case = f"{name}_{modality}"
            files = (folder / f"{case}.nii.gz", folder / f"{case}_label.nii.gz")
            write_image(files[0], label.astype(np.int16) * 100, affine)
            write_image(files[1], label, affine)
            cases.append(CaseEntry(case, f"p_{name}", modality, *files, split="test"))
            bad = np.roll(label, "abcd".index(name), axis=1)
            if case == "b_mr":
                bad[bad == 2] = 0
            for method, prediction in (("good", label), ("bad", bad)):
                write_image(folder / method / f"{case}.nii.gz", prediction, affine)
    modalities = {"ct": Modality(), "mr": Modality()}
    dataset = Dataset("hearts", ("background", "LV", "RV"), modalities, tuple(cases))
    scored = {method: evaluate_dataset(dataset, folder / method) for method in ("good", "bad")}
    contenders = [
        Contender("good", (scored["good"],), (folder / "good",)),
        Contender("bad", (scored["bad"],), (folder / "bad",)),
        Contender("<odd> &", (scored["good"], scored["bad"]), (folder / "good", folder / "bad")),
    ]
    predictions = {one.name: list(one.places) for one in contenders}
    return dataset, contenders, predictions, folder
