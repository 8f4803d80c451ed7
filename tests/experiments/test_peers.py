"""What the peers' scripts change of a tool's plan. The tools themselves are not installed where tests run."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from unpaired.data.dataset import Dataset
from unpaired.errors import InputError

sys.path.append(str(Path(__file__).parents[2] / "studies" / "peers"))

from nnunet import cut, regrid  # pyright: ignore[reportMissingImports]
from peer_run import claim, options, run_as_command, sided_dataset  # pyright: ignore[reportMissingImports]


def _plan(blocks: str, patch: list[int], spacing: list[float]) -> dict[str, object]:
    strides = [[1] * len(patch), *([[1] * (len(patch) - 2) + [2, 2]] * 5)]
    network = {"n_stages": 6, "features_per_stage": [32, 64, 128, 256, 512, 512], "strides": strides}
    network |= {"kernel_sizes": [[3] * len(patch)] * 6, blocks: [2] * 6, "n_conv_per_stage_decoder": [2] * 5}
    return {
        "architecture": {"arch_kwargs": network},
        "patch_size": list(patch),
        "spacing": list(spacing),
        "batch_size": 49,
    }


def test_a_network_on_another_grid_keeps_the_stages_that_its_patch_can_halve() -> None:
    plan = _plan("n_conv_per_stage", [192, 192], [0.73, 0.73])
    regrid(plan, 1.3, 112)  # 112 = 16 * 7: four halvings
    cut(plan, 12, 8)
    network = plan["architecture"]["arch_kwargs"]  # pyright: ignore[reportIndexIssue]
    assert plan["spacing"] == [1.3, 1.3]
    assert plan["patch_size"] == [112, 112]
    assert plan["batch_size"] == 8
    assert network["n_stages"] == 5
    assert network["features_per_stage"] == [12, 24, 48, 96, 192]
    assert [len(network[name]) for name in ("strides", "kernel_sizes", "n_conv_per_stage")] == [5, 5, 5]
    assert network["n_conv_per_stage_decoder"] == [2] * 4


def test_slices_of_volumes_get_the_grid_and_planes_keep_their_distance() -> None:
    plan = _plan("n_blocks_per_stage", [12, 192, 192], [7.0, 0.73, 0.73])
    regrid(plan, 1.0, 64)  # 64 / 32 is a map of two pixels: too small
    assert plan["spacing"] == [7.0, 1.0, 1.0]
    assert plan["patch_size"] == [12, 64, 64]
    assert plan["architecture"]["arch_kwargs"]["n_stages"] == 5  # pyright: ignore[reportIndexIssue]
    assert len(plan["architecture"]["arch_kwargs"]["n_blocks_per_stage"]) == 5  # pyright: ignore[reportIndexIssue]


def test_without_a_wish_the_plan_stays() -> None:
    plan = _plan("n_conv_per_stage", [192, 192], [0.73, 0.73])
    regrid(plan, None, None)
    cut(plan, None, None)
    assert plan == _plan("n_conv_per_stage", [192, 192], [0.73, 0.73])


def test_a_folder_goes_on_when_a_script_has_more_options_and_not_with_others(phantom: Dataset, tmp_path: Path) -> None:
    options = {"out": tmp_path, "minutes": 5.0, "steps": None, "seed": 0, "width": 12}
    claim(phantom, argparse.Namespace(**options))
    claim(phantom, argparse.Namespace(**options, spacing=None, each=False))
    for other in ({"spacing": 1.3}, {"width": 8}, {"minutes": None, "steps": 5}):
        with pytest.raises(InputError, match="was begun with other options or sides"):
            claim(phantom, argparse.Namespace(**(options | other)))
    moved = tuple(replace(case, split="test") for case in phantom.cases)
    with pytest.raises(InputError, match="was begun with other options or sides"):
        claim(replace(phantom, cases=moved), argparse.Namespace(**options))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--minutes", "0"], "argument --minutes: expected a number above 0, got '0'"),
        (["--minutes", "nan"], "expected a number above 0, got 'nan'"),
        (["--minutes", "inf"], "expected a number above 0, got 'inf'"),
        (["--steps", "-1"], "argument --steps: expected a whole number of 1 or more, got '-1'"),
        (["--steps", "x"], "expected a whole number of 1 or more, got 'x'"),
    ],
)
def test_a_budget_that_is_none_is_refused(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, as everywhere: no minutes would be no end, or a traceback."""
    with pytest.raises(SystemExit) as ended:
        options("A peer.").parse_args(["data.json", str(tmp_path), *words])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["--minutes", "5", "--steps", "3"]])
def test_minutes_or_steps(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = options("A peer.").parse_args(["data.json", str(tmp_path), *words])
    with pytest.raises(SystemExit) as ended:
        run_as_command(lambda: sided_dataset(given), "nnU-Net")
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: expected a budget, either --minutes or --steps\n"


def test_a_tool_that_is_missing_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        raise ModuleNotFoundError("No module named 'nnunetv2'", name="nnunetv2")

    with pytest.raises(SystemExit) as ended:
        run_as_command(main, "nnU-Net")
    assert ended.value.code == 2
    said = "error: nnU-Net can't be used, nnunetv2 isn't installed; studies/peers/README.md says how to install it\n"
    assert capsys.readouterr().err == said
