"""A run begins with another's weights, also where its network has a part more: CMC's two stages."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_runs import power_cut_at

from unpaired.analyses.diagnosis.analysis import diagnose
from unpaired.data.dataset import Dataset, Modality, without_labels
from unpaired.data.images import read_image
from unpaired.errors import InputError
from unpaired.export.pack import pack
from unpaired.inference.predictor import Predictor
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.class_rows import ClassRows, class_rows
from unpaired.networks.fcn import FCNConfig
from unpaired.networks.independent import IndependentNetworksConfig
from unpaired.networks.network import NetworkConfig
from unpaired.networks.specific_unets import SpecificUNetsConfig
from unpaired.networks.unet import UNetConfig
from unpaired.networks.weights import load_weights
from unpaired.recipe import Optimization, Recipe, build_method
from unpaired.recipes.phantom import csa
from unpaired.runs.run import Run
from unpaired.training.loop import Hardware, train

IN_PROCESS = Hardware(device="cpu", workers=0)
UNET = UNetConfig(width=2, widest=4, blocks=(1, 1))
NAMES = ("bssfp", "ct")


def recipe(network: NetworkConfig, init_from: Path | None = None) -> Recipe:
    return replace(
        csa(),
        network=network,
        method=SupervisedConfig(),
        optimization=Optimization(learning_rate=1e-12),
        patch_size=(16, 16),
        window_overlap=0.0,
        context_slices=1,
        batch_size=1,
        steps=1,
        modalities=NAMES,
        validate_every=1,
        save_every=1,
        init_from=None if init_from is None else str(init_from),
    )


def test_networks_trained_apart_meet_in_a_fresh_fusion(
    phantom: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = recipe(IndependentNetworksConfig(UNET))
    apart = Run.create(tmp_path / "apart", first, phantom)
    apart.save_weights(build_method(first, NAMES, len(phantom.classes)).network, "best")
    second = replace(recipe(SpecificUNetsConfig(UNET), apart.folder), seed=1)
    together = train(second, phantom, tmp_path / "together", hardware=IN_PROCESS)
    assert f"all weights from {apart.folder}, fusion begins fresh" in capsys.readouterr().err
    record = json.loads((together.folder / "versions.json").read_text(encoding="utf-8"))["init_from"]
    assert record == {"run": str(apart.folder), "weights": "best", "fresh": ["fusion"]} | {
        "new_modalities": {},
        "new_classes": [],
        "renamed_classes": {},
    }
    start, end = load_file(apart.weights("best")), load_file(together.weights("last"))
    fresh = build_method(second, NAMES, len(phantom.classes)).network.state_dict()
    assert {name.partition(".")[0] for name in set(end) - set(start)} == {"fusion"}
    for name, tensor in end.items():
        torch.testing.assert_close(tensor, start.get(name, fresh[name]), rtol=0, atol=1e-9)


def test_anything_but_a_whole_part_more_is_another_network(tmp_path: Path) -> None:
    def weights(config: NetworkConfig, modalities: tuple[str, ...] = NAMES) -> Path:
        path = tmp_path / "weights.safetensors"
        save_file(config.build(modalities, 1, 4, 2).state_dict(), path)
        return path

    def fused(modalities: tuple[str, ...] = NAMES):
        return replace(UNET, fusion="alone").build(modalities, 1, 4, 2)

    assert load_weights(fused(), weights(UNET), larger=True) == (("fusion",), {})
    with pytest.raises(InputError, match=r"another network.*fusion"):
        load_weights(fused(), weights(UNET))
    with pytest.raises(InputError, match=r"another network.*lge"):
        load_weights(UNET.build((*NAMES, "lge"), 1, 4, 2), weights(UNET))
    with pytest.raises(InputError, match=r"another network.*fusion"):  # a part less: what was learned would be lost
        load_weights(UNET.build(NAMES, 1, 4, 2), weights(replace(UNET, fusion="alone")), larger=True)
    with pytest.raises(
        InputError,
        match=r"another network: '.*' has size 3 x .* in the file and 2 x .* \(and \d+ more like it\);.*=null",
    ):
        load_weights(fused(), weights(replace(UNET, width=3)), larger=True)
    save_file({}, tmp_path / "weights.safetensors")
    with pytest.raises(InputError, match=r"another network: '.*' is not in the file \(and"):
        load_weights(fused(), tmp_path / "weights.safetensors", larger=True)


def test_a_new_modality_joins_and_what_was_there_stays_bit_by_bit(
    phantom: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Karani et al., 2018: own norms for LGE, all else frozen; stopped and resumed it ends with the same weights."""
    first = recipe(UNET)
    before = Run.create(tmp_path / "before", first, phantom)
    before.save_weights(build_method(first, NAMES, len(phantom.classes)).network, "best")
    joined = replace(
        recipe(replace(UNET, norm="batch"), before.folder),
        modalities=(*NAMES, "lge"),
        begin_as="bssfp",
        trained="new_modalities",
        optimization=Optimization(learning_rate=0.1),
        steps=2,
        batch_size=2,
    )
    before.save_weights(
        build_method(replace(first, network=joined.network), NAMES, len(phantom.classes)).network, "best"
    )
    run = train(joined, phantom, tmp_path / "joined", hardware=IN_PROCESS)
    said = capsys.readouterr().err
    assert "lge begins as bssfp" in said
    start, end = load_file(before.weights("best")), load_file(run.weights("last"))
    for name, tensor in start.items():
        assert torch.equal(end[name], tensor), name
    new = set(end) - set(start)
    assert new
    assert all(".by_modality.lge." in name for name in new)
    moved = [name for name in new if not torch.equal(end[name], start[name.replace(".lge.", ".bssfp.")])]
    assert any(name.endswith("weight") for name in moved)
    assert any(name.endswith("running_mean") for name in moved)
    terms = set(run.rows("log")[-1])
    assert any("lge" in term for term in terms)
    assert not any("bssfp" in term or "ct" in term for term in terms)


def test_a_run_that_joined_goes_on_with_what_it_trains(
    phantom: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = recipe(UNET)
    before = Run.create(tmp_path / "before", first, phantom)
    before.save_weights(build_method(first, NAMES, len(phantom.classes)).network, "best")
    joined = replace(
        recipe(UNET, before.folder), modalities=(*NAMES, "lge"), trained="new_modalities", steps=4, save_every=2
    )
    joined = replace(joined, optimization=Optimization(learning_rate=0.1))
    whole = train(joined, phantom, tmp_path / "whole", hardware=IN_PROCESS, show=False)
    with power_cut_at(3, monkeypatch):
        train(joined, phantom, tmp_path / "stopped", hardware=IN_PROCESS, show=False)
    resumed = train(joined, phantom, tmp_path / "stopped", hardware=IN_PROCESS, show=False)
    for name, tensor in load_file(whole.weights("last")).items():
        assert torch.equal(tensor, load_file(resumed.weights("last"))[name]), name


def test_a_modality_joins_a_run_whose_own_scans_are_not_there(phantom: Dataset, tmp_path: Path) -> None:
    """Of the old modalities the manifest has names and options alone; they are segmented as before, packed too."""
    first = recipe(UNET)
    before = Run.create(tmp_path / "before", first, phantom)
    before.save_weights(build_method(first, NAMES, len(phantom.classes)).network, "best")
    lge_alone = replace(phantom, cases=tuple(phantom.of("lge")))
    joined = replace(recipe(UNET, before.folder), modalities=None, begin_as="ct", trained="new_modalities", steps=2)
    run = train(joined, lge_alone, tmp_path / "joined", hardware=IN_PROCESS, show=False)
    assert (run.modalities, run.joined) == (("ct", "bssfp", "lge"), ("lge",))
    scan = read_image(phantom.of("ct", "test")[0].image)
    expected = Predictor(before, device="cpu").segment(scan, "ct")
    np.testing.assert_array_equal(Predictor(run, device="cpu").segment(scan, "ct"), expected)
    assert {term.name for term in diagnose(run, batches=2, device="cpu").terms} == {"dice", "ce"}
    packed = Run.open(pack(run, tmp_path / "joined.unpaired").path)
    assert packed.recipe.init_from is None
    np.testing.assert_array_equal(Predictor(packed, device="cpu").segment(scan, "ct"), expected)
    nothing = without_labels(lge_alone, {case.id for case in lge_alone.cases if case.split == "train"})
    with pytest.raises(InputError, match="no labeled training case"):
        train(joined, nothing, tmp_path / "nothing", hardware=IN_PROCESS)
    with_ct = without_labels(phantom, {case.id for case in phantom.of("lge", "train")})
    with pytest.raises(InputError, match=r"no labeled training case of modality 'lge', which is to join"):
        train(joined, with_ct, tmp_path / "nothing", hardware=IN_PROCESS)
    turned = replace(lge_alone, classes=tuple(reversed(lge_alone.classes)))
    with pytest.raises(InputError, match=r"new_modalities, but classes is \['background', .* is frozen"):
        train(joined, turned, tmp_path / "nothing", hardware=IN_PROCESS)
    unclipped = replace(lge_alone, modalities={**lge_alone.modalities, "ct": Modality()})
    with pytest.raises(InputError, match=r"modalities\.ct\.clip is \(-250\.0, 600\.0\) there and None here"):
        train(joined, unclipped, tmp_path / "nothing", hardware=IN_PROCESS)
    coarser = replace(joined, preprocessing=replace(joined.preprocessing, spacing_mm=(None, 3.0, 3.0)))
    with pytest.raises(InputError, match=r"recipe\.preprocessing\.spacing_mm is None there"):
        train(coarser, lge_alone, tmp_path / "nothing", hardware=IN_PROCESS)
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize(
    ("network", "changes", "message"),
    [
        (UNET, {"trained": "new_modalities"}, "has all of bssfp, ct or the network has nothing of a modality's own"),
        (UNET, {"modalities": (*NAMES, "lge"), "begin_as": "pet"}, "holds nothing of modality 'pet'"),
        (
            replace(UNET, modality_norm=False),
            {"modalities": (*NAMES, "lge"), "trained": "new_modalities"},
            "nothing of a modality's own",
        ),
        (
            replace(UNET, norm="batch", modality_norm=False, own=("output",)),
            {"modalities": (*NAMES, "lge"), "trained": "new_modalities"},
            r"batch norm stem\.norm\.shared is shared by all modalities, so images of lge would change",
        ),
        (
            UNET,
            {
                "network": replace(UNET, fusion="alone"),
                "modalities": (*NAMES, "lge"),
                "trained": "new_modalities",
            },
            "has no fusion, which would stay as random as it begins",
        ),
    ],
)
def test_what_cannot_join_is_one_line(
    phantom: Dataset, tmp_path: Path, network: UNetConfig, changes: dict[str, Any], message: str
) -> None:
    first = recipe(network)
    before = Run.create(tmp_path / "before", first, phantom)
    before.save_weights(build_method(first, NAMES, len(phantom.classes)).network, "best")
    with pytest.raises(InputError, match=message):
        train(replace(recipe(network, before.folder), **changes), phantom, tmp_path / "run", hardware=IN_PROCESS)
    assert not (tmp_path / "run").exists()


def test_what_was_learned_of_a_class_goes_to_the_class_of_that_name(
    phantom: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One norm for all modalities in the first run, one for each in the second, other classes in another order."""
    first = recipe(replace(UNET, modality_norm=False))
    before = Run.create(tmp_path / "before", first, phantom)
    before.save_weights(build_method(first, NAMES, len(phantom.classes)).network, "best")
    called = {"LA": "scar", "background": "nothing", "AA": "aa"}
    known = {
        name: {value: tuple(called.get(c, c) for c in of) for value, of in table.items()}
        for name, table in phantom.label_maps.items()
    }
    other = replace(phantom, classes=("nothing", "aa", "scar", "myo", "LV", "RV"), label_maps=known)
    run = train(recipe(UNET, before.folder), other, tmp_path / "run", hardware=IN_PROCESS)
    said = " ".join(capsys.readouterr().err.split())
    assert "bssfp begins as shared, ct begins as shared, class aa begins as AA, class scar begins fresh" in said
    start, end = load_file(before.weights("best")), load_file(run.weights("last"))
    fresh = build_method(run.recipe, NAMES, len(other.classes)).network.state_dict()
    for name, tensor in end.items():
        if name.startswith("output."):
            for number, class_name in enumerate(other.classes):
                was = {"nothing": 0, "aa": 5, "scar": None, "myo": 2, "LV": 1, "RV": 3}[class_name]
                torch.testing.assert_close(tensor[number], fresh[name][number] if was is None else start[name][was])
        else:
            as_one = re.sub(r"by_modality\.[^.]+", "shared", name)
            torch.testing.assert_close(tensor, start[as_one], rtol=0, atol=1e-9)


def test_rows_of_classes_are_known_in_every_network() -> None:
    """Shapes say which tensors have an axis of classes; one that has several rows for a class begins anew."""
    network = UNET.build(NAMES, 1, 3, 2)
    rows = class_rows(UNET, network, 2, ("background", "a"), ("background", "b", "a"))
    assert rows.axes == {"output.weight": (0,), "output.bias": (0,)}
    assert rows.fresh == ("b",)
    begun = {"output.bias": torch.tensor([10.0, 20.0, 30.0])}
    assert rows.translated({"output.bias": torch.tensor([1.0, 2.0])}, begun)[0]["output.bias"].tolist() == [1, 20, 2]
    other, anew = rows.translated({"output.bias": torch.arange(5.0)}, begun)
    assert (other["output.bias"].tolist(), anew) == ([10, 20, 30], ("output.bias",))


def test_a_layer_from_classes_to_classes_keeps_what_is_between_known_ones(tmp_path: Path) -> None:
    """As the FCN's, which upsample the scores of classes."""
    rows = ClassRows({"up": (0, 1)}, ("background", "a", "b"), ("background", "new", "a"))
    learned, begun = torch.arange(9.0).reshape(3, 3), -torch.arange(1.0, 10.0).reshape(3, 3)
    came = rows.translated({"up": learned}, {"up": begun})[0]["up"]
    assert came.tolist() == [[0, -2, 1], [-4, -5, -6], [3, -8, 4]]
    config = FCNConfig(width=4)
    network = config.build(NAMES, 1, 4, 2)
    rows = class_rows(config, network, 2, ("background", "a"), ("background", "b", "a", "c"))
    before = config.build(NAMES, 1, 2, 2).state_dict()
    tensors, anew = rows.translated(before, network.state_dict())
    network.load_state_dict(tensors)
    severally = ("deconvolution", "deconvolution_norm", "output")  # they have several maps of each class
    assert {name.partition(".")[0] for name in anew} == set(severally)
    save_file(before, tmp_path / "weights.safetensors")
    parts, _ = load_weights(network, tmp_path / "weights.safetensors", larger=True, rows=rows)
    assert parts == severally


def test_joining_is_about_a_run_that_was_before() -> None:
    with pytest.raises(InputError, match=r"name it in recipe\.init_from"):
        replace(recipe(UNET), trained="new_modalities")
