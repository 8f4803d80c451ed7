"""The live picture of a training: when it is drawn, what it shows, and that it never ends a training."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unpaired.data.dataset import Dataset
from unpaired.errors import InputError
from unpaired.recipes.phantom import msbn
from unpaired.training import loop, picture
from unpaired.training.loop import Hardware


@pytest.fixture
def recipe():
    from dataclasses import replace

    from unpaired.networks.unet import UNetConfig

    return replace(
        msbn(),
        network=UNetConfig(width=2, blocks=(1, 1)),
        patch_size=(32, 32),
        batch_size=1,
        steps=4,
        validate_every=2,
        modalities=("ct", "lge"),
    )


def test_curves_and_a_case_of_each_modality(recipe, phantom: Dataset, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(picture, "AT_LEAST_SECONDS", 0.0)
    monkeypatch.setattr(picture, "SHARE", 1e9)
    run = loop.train(recipe, phantom, tmp_path / "run", hardware=Hardware("cpu", workers=0), show=False)
    sheet = np.asarray(Image.open(io.BytesIO(run.picture.read_bytes())))
    assert sheet.shape[0] > 800  # a row of curves, and two cases of two rows each
    colored = sheet.max(2).astype(int) - sheet.min(2) > 60
    thirds = np.array_split(colored.any(1), 3)
    assert all(third.any() for third in thirds)


def test_short_trainings_are_not_drawn(recipe, phantom: Dataset, tmp_path: Path) -> None:
    run = loop.train(recipe, phantom, tmp_path / "run", hardware=Hardware("cpu", workers=0), show=False)
    assert not run.picture.exists()


def test_what_can_not_be_drawn_ends_no_training(recipe, phantom, tmp_path, monkeypatch, capsys) -> None:
    def fail(*given):
        raise InputError("no font for that")

    monkeypatch.setattr(picture, "AT_LEAST_SECONDS", 0.0)
    monkeypatch.setattr("unpaired.figures.training_picture.draw_training", fail)
    run = loop.train(recipe, phantom, tmp_path / "run", hardware=Hardware("cpu", workers=0))
    assert run.weights().is_file()
    assert "progress.png could not be drawn: no font for that" in capsys.readouterr().err.replace("\n", " ")
