"""The weights that come with the package: taken wherever a run is, small, and a start for other classes and norms."""

import re
from dataclasses import replace
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from unpaired.cli import main
from unpaired.errors import InputError
from unpaired.networks.unet import UNetConfig
from unpaired.planning.labels import SIMULATED_CLASSES, SIMULATED_NETWORK
from unpaired.recipes.random_convolutions import small_unet_plain
from unpaired.runs.beginning import Beginning, begin_with_run
from unpaired.runs.model_file import absolute, holds_runs
from unpaired.runs.run import Run
from unpaired.runs.shipped import shipped_file

HEART = "unpaired://phantom_heart"


def test_a_shipped_model_is_taken_as_a_run_is() -> None:
    assert holds_runs(HEART)
    run = Run(Path(HEART))  # a path loses a slash
    assert run.called == HEART
    assert run.origin == {"model": HEART, "sha256_begins": sha256(shipped_file(HEART).read_bytes()).hexdigest()[:32]}
    assert run.dataset.classes == ("background", "LV", "myo", "RV", "LA", "AA")
    assert run.modalities == ("ct", "bssfp", "lge")
    assert not any(case.image.exists() for case in run.dataset.cases)  # there were scans; none came along
    assert run.dataset.classes[1:] == SIMULATED_CLASSES
    assert isinstance(run.recipe.network, UNetConfig)
    assert replace(run.recipe.network, modality_norm=True) == SIMULATED_NETWORK  # what a plan takes for it
    assert absolute(Path(HEART)) == absolute(HEART) == HEART


def test_what_is_shipped_is_small_and_named() -> None:
    folder = Path(str(files("unpaired"))) / "weights"
    assert shipped_file(HEART) == folder / "phantom_heart.unpaired"
    assert sum(file.stat().st_size for file in folder.iterdir()) < 5e6
    with pytest.raises(InputError, match="unpaired comes with no model 'phantom_hart'; did you mean phantom_heart"):
        Run("unpaired://phantom_hart")


@pytest.mark.parametrize(
    ("command", "possible"),
    [
        (["watch", "MODEL"], "follow the run folder"),
        (["evaluate", "MODEL", "data.json"], r"predict with it \(`unpaired predict MODEL DATA OUT`\) and evaluate OUT"),
        (["evaluate", ".", "MODEL"], "name the manifest, the run or the folder that has the references"),
        (["compare", "a=MODEL", "b=MODEL"], r"predict with it .* and compare OUT, with --reference DATA"),
        (["report", "MODEL"], "--predictions OUT"),
    ],
)
@pytest.mark.parametrize("model", [HEART, "hf://owner/hearts@v1", "heart.unpaired"])
def test_what_a_model_cannot_be_taken_for_is_said_with_what_is_possible(
    command: list[str],
    possible: str,
    model: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("heart.unpaired").write_bytes(b"not opened")
    assert main([word.replace("MODEL", model) for word in command]) == 2
    said = capsys.readouterr().err.strip()
    assert "\n" not in said
    assert f"{model} is a model" in said
    assert re.search(possible.replace("MODEL", re.escape(model)), said)


def test_other_modalities_and_classes_begin_with_it() -> None:
    recipe = replace(small_unet_plain(), init_from=HEART)
    classes = ("background", "scar", "RV")
    assert isinstance(recipe.network, UNetConfig)
    network = recipe.network.build(("pet", "lge"), 1, len(classes), 2)
    fresh = network.output.bias.detach().clone()
    begun = begin_with_run(network, recipe, classes)
    assert begun == Beginning((), {"pet": "shared", "lge": "shared"}, ("scar",), {})
    learned = load_file(Run(HEART).weights("best"))
    state = network.state_dict()
    assert state["output.bias"].tolist() == [
        float(learned["output.bias"][0]),
        float(fresh[1]),
        float(learned["output.bias"][3]),
    ]
    for modality in ("pet", "lge"):
        torch.testing.assert_close(
            state[f"decoder.0.norm.by_modality.{modality}.weight"], learned["decoder.0.norm.shared.weight"].float()
        )


def test_a_class_begins_with_what_was_learned_of_it_whatever_it_is_called() -> None:
    recipe = replace(small_unet_plain(), init_from=HEART)
    classes = ("background", "Myocardium", "heart_ventricle_left", "aorta", "rv")
    network = recipe.network.build(("lge",), 1, len(classes), 2)
    fresh = float(network.output.bias.detach()[3])
    begun = begin_with_run(network, recipe, classes)
    assert begun.new_classes == ("aorta",), "AA is a part of it"
    assert begun.renamed_classes == {"heart_ventricle_left": "LV", "Myocardium": "myo", "rv": "RV"}
    learned = load_file(Run(HEART).weights("best"))["output.bias"]
    assert network.output.bias.tolist() == [*map(float, learned[[0, 2, 1]]), fresh, float(learned[3])]


def test_a_message_about_weights_names_the_model_and_not_the_cache() -> None:
    recipe = replace(small_unet_plain(), init_from=HEART, network=UNetConfig(width=8, blocks=(1, 1, 1, 1, 1)))
    network = recipe.network.build(("lge",), 1, 2, 2)
    with pytest.raises(InputError, match=rf"^{HEART}/weights_best.safetensors holds the weights of another network"):
        begin_with_run(network, recipe, ("background", "LV"))
