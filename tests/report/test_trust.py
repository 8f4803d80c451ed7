"""The report's part on trust: what was saved is shown with the case to look at first on top, broken files are named."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from undrawn import undrawn
from unpaired import cli
from unpaired.data.dataset import Dataset
from unpaired.data.images import read_label_map, write_image
from unpaired.data.probability_maps import write_probabilities
from unpaired.report.template import render
from unpaired.report.trust import TrustView, trust_view
from unpaired.scores.evaluate import evaluate_dataset
from unpaired.scores.trust.trust import Trust, evaluate_trust, read_trust
from unpaired.scores.trust.uncertainty import measure_uncertainty, write_uncertainty


@pytest.fixture(scope="module")
def predictions(phantom: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Predictions that are the reference, with probabilities, and members that disagree more in each next case."""
    folder = tmp_path_factory.mktemp("trust") / "predictions"
    cases = []
    for place, case in enumerate(phantom.of(split="test")):
        assert case.label is not None
        label = read_label_map(case.label)
        write_image(folder / f"{case.id}.nii.gz", label.array, label.affine)
        number = {value: phantom.classes.index(names[0]) for value, names in phantom.label_map_of(case).items()}
        truth = np.vectorize(number.__getitem__)(label.array).astype(np.uint8)
        said = np.eye(len(phantom.classes), dtype=np.float32)[truth]
        path = folder / "probabilities" / f"{case.id}.nii.gz"
        write_probabilities(path, np.moveaxis(said, -1, 0), truth.shape, label.affine, phantom.classes)
        members = [truth, np.roll(truth, place, axis=0)]
        cases.append(measure_uncertainty(truth, members, 0.01, phantom.classes, case.id, case.modality))
    write_uncertainty(cases, folder)
    return folder


def judged(phantom: Dataset, predictions: Path, out: Path) -> Trust:
    evaluation = evaluate_dataset(phantom, predictions, "test")
    return evaluate_trust(evaluation, phantom, predictions, "test", out)


@pytest.fixture(scope="module")
def view(phantom: Dataset, predictions: Path) -> TrustView:
    folder = predictions.parent / "evaluation"
    judged(phantom, predictions, folder)
    with undrawn():
        return trust_view(predictions, folder)


def test_what_was_judged_is_read_back(phantom: Dataset, predictions: Path, tmp_path: Path) -> None:
    found = judged(phantom, predictions, tmp_path)
    assert found.calibration is not None
    assert found.check is not None
    assert read_trust(predictions, tmp_path) == found
    assert {row.ece for row in found.calibration.rows("ct")} == {0.0}
    assert {point.dice for point in found.check.points} == {1.0}


def test_what_is_no_longer_there_is_not_shown(phantom: Dataset, predictions: Path, tmp_path: Path) -> None:
    """The same evaluation folder, then predictions that saved nothing: old numbers must go."""
    judged(phantom, predictions, tmp_path / "evaluation")
    bare = tmp_path / "predictions"
    bare.mkdir()
    for file in predictions.glob("*.nii.gz"):
        (bare / file.name).symlink_to(file)
    assert judged(phantom, bare, tmp_path / "evaluation") == Trust()
    assert list((tmp_path / "evaluation").iterdir()) == []
    assert trust_view(bare, tmp_path / "evaluation") == TrustView(dice={})


def test_the_section_shows_cases_and_calibration(phantom: Dataset, view: TrustView) -> None:
    assert [case.case for case in view.cases] == [case.id for case in phantom.of(split="test")][::-1]
    assert len(view.reliability) == len(phantom.modalities)
    assert view.agreement is not None
    assert all(picture.alt for picture in (*view.reliability, view.agreement))
    text = render("sections/trust.html.jinja", trust=view)
    places = [text.index(f'scope="row">{case.case}<') for case in view.cases]
    assert places == sorted(places)
    row = view.cases[0].classes[0]
    assert f"{row.volume_ml:.1f} <span" in text
    assert f"({row.low_ml:.1f} to {row.high_ml:.1f})" in text
    assert text.count("<picture>") == len(phantom.modalities) + 1
    assert "rank correlation" in text


def test_many_cases_are_folded(view: TrustView) -> None:
    many = tuple(replace(view.cases[0], case=f"case{number:02}") for number in range(23))
    text = render("sections/trust.html.jinja", trust=replace(view, cases=many))
    shown, folded = text.split("<details>")
    assert "3 more cases" in folded
    assert [f"case{number:02}<" in shown for number in range(23)] == [True] * 20 + [False] * 3
    assert all(f"case{number:02}<" in folded for number in range(20, 23))


def test_without_anything_the_section_says_how_to_get_it(tmp_path: Path) -> None:
    text = render("sections/trust.html.jinja", trust=trust_view(tmp_path, tmp_path))
    assert "unpaired predict --also RUN" in text
    assert 'id="trust"' in text
    assert "<table>" not in text


def test_a_broken_file_becomes_a_line(predictions: Path, tmp_path: Path) -> None:
    (tmp_path / "calibration.json").write_text("{}")
    text = render("sections/trust.html.jinja", trust=trust_view(predictions, tmp_path))
    assert "calibration.json: expected schema 1, found none" in text


def test_evaluate_judges_what_was_saved(
    predictions: Path, manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "evaluation"
    asked = ["evaluate", str(predictions), str(manifest), "--split", "test", "--out", str(out)]
    assert cli.main(asked) == 0
    said = capsys.readouterr().out
    assert "ECE per case" in said
    assert said.count("rank correlation of agreement and Dice") == 3
    assert {"calibration.json", "uncertainty_check.json", "scores.json"} <= {file.name for file in out.iterdir()}
    broken = tmp_path / "predictions"
    shutil.copytree(predictions, broken)
    next((broken / "probabilities").iterdir()).unlink()
    assert cli.main([asked[0], str(broken), *asked[2:]]) == 1
    assert "found no file at" in capsys.readouterr().err


def test_names_are_escaped(view: TrustView) -> None:
    odd = replace(view, cases=(replace(view.cases[0], case="<b>&"),))
    assert "&lt;b&gt;&amp;" in render("sections/trust.html.jinja", trust=odd)
