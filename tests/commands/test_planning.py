"""The memory that a plan may take, as people write it."""

from pathlib import Path

import pytest

import unpaired
from unpaired.cli import main


@pytest.mark.parametrize(
    ("text", "gigabytes"), [("8", 8), ("8GB", 8), ("8 gib", 8), (".5G", 0.5), ("512MB", 0.512), ("auto", None)]
)
def test_memory_is_given_with_its_unit(text: str, gigabytes: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float | None] = []

    def plan(*_: object, memory_gb: float | None, **__: object) -> None:
        asked.append(memory_gb)
        raise unpaired.InputError("asked")

    monkeypatch.setattr(unpaired, "plan_training", plan)
    assert main(["plan", "data.json", "recipe.py", "--memory", text]) == 2
    assert asked == [gigabytes]


def test_memory_that_is_no_number_gets_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "data.json", str(tmp_path / "recipe.py"), "--memory", "lots"]) == 2
    error = capsys.readouterr().err
    assert error == "unpaired: --memory: expected 8GB, 512MB, a number of gigabytes or auto, got 'lots'\n"
