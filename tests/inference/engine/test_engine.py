"""Windows by the plan that is fastest: every plan says what the plain one says, and which is taken is kept."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from unpaired.errors import InputError
from unpaired.inference.backends import segmenter
from unpaired.inference.backends.segmenter import BackendSegmenter
from unpaired.inference.devices import has_bfloat16
from unpaired.inference.engine import engine as engine_module
from unpaired.inference.engine import measured as measured_module
from unpaired.inference.engine.engine import WindowEngine, says_the_same
from unpaired.inference.engine.kernels import laid_out, prepared_network
from unpaired.inference.engine.measured import Measured, fastest, keep, kept, place
from unpaired.inference.engine.plans import WindowPlan, candidates
from unpaired.inference.prepared import segment_prepared
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.cmc_released import CMCReleasedNetworkConfig
from unpaired.networks.fcn import FCNConfig
from unpaired.networks.independent import IndependentNetworksConfig
from unpaired.networks.network import Network, NetworkConfig
from unpaired.networks.nnformer import NNFormerConfig
from unpaired.networks.sam_med3d import SAMMed3DConfig
from unpaired.networks.specific_unets import SpecificUNetsConfig
from unpaired.networks.swin_unet import SwinUNetConfig
from unpaired.networks.ummkd_unet import UMMKDUNetConfig
from unpaired.networks.unet import UNetConfig
from unpaired.recipe import Recipe

CPU = torch.device("cpu")
UNET = UNetConfig(width=4, widest=8, blocks=(1, 1))
ALL: dict[str, tuple[NetworkConfig, int]] = {
    "FCN": (FCNConfig(width=1), 2),
    "UMMKD": (UMMKDUNetConfig(width=1, initialization="he"), 3),
    "U-Net, 2D": (UNET, 2),
    "U-Net, 3D, group norm": (replace(UNET, norm="group"), 3),
    "U-Net, 2D, batch norm": (replace(UNET, norm="batch"), 2),
    "fused": (replace(UNET, fusion="paired"), 3),
    "Swin-Unet": (SwinUNetConfig(width=4, depths=(1, 2), heads=(1, 2), window=2, patch=2, modality_scale=True), 2),
    "nnFormer": (
        NNFormerConfig(width=4, depths=(1, 1), heads=(1, 2), windows=(2, 2), strides=(2,), modality_norm=True),
        3,
    ),
    "SAM-Med3D": (SAMMed3DConfig(width=4, depth=2, heads=2, patch=4, size=8, window=2, global_blocks=(1,), neck=8), 3),
    "as in CMC": (SpecificUNetsConfig(UNET), 3),
    "CMC, released": (CMCReleasedNetworkConfig(width=2, batch_statistics=False), 3),
    "alone": (IndependentNetworksConfig(UNET), 2),
}


def built(config: NetworkConfig, dims: int) -> tuple[Network, Tensor]:
    """A network whose norms have statistics of their own, and five images that it takes."""
    torch.manual_seed(0)
    network = config.build(("ct", "mr"), 1, 3, dims).eval()
    with torch.no_grad():
        for buffer in network.buffers():
            if buffer.is_floating_point():
                buffer.uniform_(0.5, 1.5)
    size = [2 * max(2, multiple) for multiple in network.size_multiples]
    return network, torch.randn(5, network.channels, *size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", ALL)
def test_every_float32_plan_says_what_the_network_says(name: str) -> None:
    """Image by image, by the network as it is, against each plan; the network is left as it was."""
    network, images = built(*ALL[name])
    before = {key: (tensor.clone(), tensor.stride()) for key, tensor in network.state_dict().items()}
    with torch.inference_mode():
        expected = torch.cat([network({"mr": image[None]})["mr"].logits for image in images])
        for plan in candidates(WindowPlan(2), "float32"):
            other = prepared_network(network, plan)
            parts = [laid_out(part, plan) for part in images.split(plan.at_once)]
            logits = torch.cat([other({"mr": part})["mr"].logits for part in parts])
            torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)
    after = network.state_dict()
    assert all(torch.equal(after[key], tensor) for key, (tensor, _) in before.items())
    assert all(after[key].stride() == stride for key, (_, stride) in before.items())
    assert expected.std() > 0


def test_other_kernels_share_the_weights_and_are_taken() -> None:
    """A weight that changes afterwards counts, and convolutions and instance norms are of the other classes."""
    network, images = built(UNET, 3)
    other = prepared_network(network, WindowPlan(1, kernels="onednn"))
    kinds = {type(module).__name__ for module in other.modules()}
    assert {"_OneDNNConvolution3d", "GroupInstanceNorm3d"} <= kinds
    assert not {"Conv3d", "InstanceNorm3d"} & kinds
    with torch.no_grad():
        next(network.parameters()).mul_(2)
        torch.testing.assert_close(other({"ct": images})["ct"].logits, network({"ct": images})["ct"].logits)


def test_layers_that_other_kernels_lack_are_computed_as_they_are() -> None:
    class Padded(Network):
        modalities, channels, feature_names, size_multiples = ("ct",), 1, (), (1, 1)

        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(
                nn.Conv2d(1, 4, 3, padding=1, padding_mode="reflect"),
                nn.Conv2d(4, 4, 3, padding="same"),
                nn.InstanceNorm2d(4, track_running_stats=True),
            )

        def forward(self, images: dict[str, Tensor]) -> dict[str, Tensor]:  # type: ignore[override]
            return {name: self.layers(image) for name, image in images.items()}

    torch.manual_seed(0)
    network = Padded().eval()
    image = torch.randn(2, 1, 6, 7)
    with torch.no_grad():
        other = prepared_network(network, WindowPlan(1, kernels="onednn"))
        torch.testing.assert_close(other({"ct": image})["ct"], network({"ct": image})["ct"])


def test_half_the_threads_are_a_candidate_and_only_for_the_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert {plan.threads for plan in candidates(WindowPlan(2), "bf16")} == {None}
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    fewer = [plan for plan in candidates(WindowPlan(2), "bf16") if plan.threads is not None]
    assert {(plan.kernels, plan.precision) for plan in fewer} == {("onednn", "float32"), ("torch", "bf16")}
    assert {plan.threads for plan in fewer} == {4}
    assert str(fewer[0]).endswith(", 4 threads")
    set_to: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", set_to.append)
    with pytest.raises(ZeroDivisionError), fewer[0].its_threads():
        _ = 1 / 0
    with WindowPlan(2).its_threads():
        pass
    assert set_to == [4, 8]


def clocked(seconds: dict[WindowPlan, float], refused: tuple[WindowPlan, ...] = ()) -> tuple[Callable, Callable, list]:
    """A clock that only running plans moves, so many seconds each; which plans were run."""
    now, ran = [0.0], []

    def run(plan: WindowPlan) -> bool | None:
        ran.append(plan)
        now[0] += seconds[plan]
        return None if plan in refused else True

    return run, lambda: now[0], ran


def test_the_fastest_plan_that_says_the_same_is_taken() -> None:
    plain, alone, other, last = (
        WindowPlan(2),
        WindowPlan(1),
        WindowPlan(2, kernels="onednn"),
        WindowPlan(2, "channels last"),
    )
    seconds = {plain: 1.0, alone: 0.97, other: 0.5, last: 0.1}
    run, clock, ran = clocked(seconds, refused=(last,))
    assert fastest(run, plain, [alone, last, other], clock) == Measured(other, 2.0)
    assert ran == [plain] * 3 + [alone] * 3 + [last] + [other] * 3, "one that says something else is not timed"
    run, clock, _ = clocked({**seconds, other: 0.96})
    assert fastest(run, plain, [alone, other], clock).plan == plain, "a few percent may be chance"


def test_measuring_ends() -> None:
    """A plan that takes much longer is run once; when the time is used up no other is tried."""
    plain, slow, late = WindowPlan(2), WindowPlan(1), WindowPlan(2, kernels="onednn")
    run, clock, ran = clocked({plain: 1.0, slow: 40.0, late: 0.1})
    assert fastest(run, plain, [slow, late], clock).plan == plain
    assert ran == [plain] * 3 + [slow]


def test_what_was_measured_is_kept_by_all_that_it_depends_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNPAIRED_CACHE", str(tmp_path))
    network, plain = built(UNET, 2)[0], WindowPlan(16)
    path = place(network, (1, 8, 8), plain, "float32")
    assert path.parent == tmp_path / "engine"
    assert kept(path) is None
    answer = Measured(WindowPlan(1, kernels="onednn"), 1.5)
    keep(path, answer)
    assert kept(path) == answer
    others = [
        place(built(replace(UNET, width=6), 2)[0], (1, 8, 8), plain, "float32"),
        place(network, (1, 8, 16), plain, "float32"),
        place(network, (1, 8, 8), plain, "bf16"),
    ]
    monkeypatch.setattr(measured_module, "processor", lambda: "another")
    others.append(place(network, (1, 8, 8), plain, "float32"))
    assert len({path, *others}) == 5
    with torch.no_grad():
        next(network.parameters()).zero_()
    monkeypatch.undo()
    monkeypatch.setenv("UNPAIRED_CACHE", str(tmp_path))
    assert place(network, (1, 8, 8), plain, "float32") == path, "weights don't change how long it takes"
    for damaged in ("{", '{"schema": 1}', '{"schema": 1, "plan": {"at_once": "two"}, "speedup": 1.0}', '{"schema": 9}'):
        path.write_text(damaged)
        assert kept(path) is None
    path.unlink()
    path.mkdir()
    keep(path, answer)  # a folder can't be written: measured again the next time, which is no reason to stop
    assert kept(path) is None


def new_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **options: object
) -> tuple[WindowEngine, Tensor, list[str]]:
    monkeypatch.setenv("UNPAIRED_CACHE", str(tmp_path))
    network, images = built(UNET, 3)
    lines: list[str] = []
    method = SupervisedConfig().build(network, 3).eval()
    return WindowEngine(method, CPU, report=lines.append, **options), images, lines  # type: ignore[arg-type]


def test_the_engine_measures_once_and_says_what_it_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, choice = [], WindowPlan(1, kernels="onednn")

    def measure(run: Callable, plain: WindowPlan, others: list[WindowPlan]) -> Measured:
        asked.append((plain, others))
        assert all(run(plan) is not None for plan in (plain, *others))
        return Measured(choice, 1.6)

    monkeypatch.setattr(engine_module, "fastest", measure)
    for _ in range(2):
        engine, images, lines = new_engine(tmp_path, monkeypatch)
        assert engine.plan is None
        with torch.inference_mode():
            assert engine.at_once(images, "ct") == 1
            torch.testing.assert_close(engine.predict(images, "ct"), engine.method.predict(images, "ct"))
            torch.testing.assert_close(engine.predict(images, "mr"), engine.method.predict(images, "mr"))
        assert engine.plan == choice
        assert lines == [f"windows: {choice}: 1.6 times as fast as plain, measured here"]
    assert asked == [(WindowPlan(2), candidates(WindowPlan(2), "float32"))], "the second time it was known"


def test_a_plan_that_says_something_else_with_these_weights_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, images, lines = new_engine(tmp_path, monkeypatch)
    keep(
        place(engine.method.network, images.shape[1:], engine.plain, "float32"),
        Measured(WindowPlan(1, "channels last"), 2),
    )
    prepared = prepared_network

    def wrong(network: Network, plan: WindowPlan) -> Network:
        other = prepared(network, plan)
        if plan.layout == "channels last":
            with torch.no_grad():
                list(other.parameters())[-1].add_(torch.tensor([1.0, 0.0, 0.0]))
        return other

    monkeypatch.setattr(engine_module, "prepared_network", wrong)
    with torch.inference_mode():
        torch.testing.assert_close(engine.predict(images, "ct"), engine.method.predict(images, "ct"))
    assert engine.plan == WindowPlan(2)
    (line,) = lines
    assert line.endswith("says something else with these weights, torch's own way goes on")


def test_a_real_measurement_takes_some_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which one is the machine's business; its logits are the plain ones, and it is kept."""
    engine, images, _ = new_engine(tmp_path, monkeypatch)
    with torch.inference_mode():
        torch.testing.assert_close(
            engine.predict(images, "ct"), engine.method.predict(images, "ct"), atol=1e-4, rtol=1e-4
        )
    assert kept(place(engine.method.network, images.shape[1:], engine.plain, "float32")) is not None


def test_plain_measures_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "fastest", None)
    engine, images, lines = new_engine(tmp_path, monkeypatch, name="plain")
    with torch.inference_mode():
        assert torch.equal(engine.predict(images[:2], "ct"), engine.method.predict(images[:2], "ct"))
    assert (engine.plan, lines, list(tmp_path.iterdir())) == (WindowPlan(2), [], [])


def test_bfloat16_is_computed_where_it_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, images, _ = new_engine(tmp_path, monkeypatch, name="plain", precision="bf16")
    assert engine.chosen_precision == "float32"
    with torch.inference_mode():
        logits, expected = engine.predict(images, "ct"), engine.method.predict(images, "ct")
    assert engine.chosen_precision == "bf16"
    assert logits.dtype == torch.float32
    apart = float((logits - expected).abs().max())
    assert 1e-5 < apart < 0.1 * float(expected.abs().max())


def test_windows_that_bfloat16_has_no_answer_for_are_computed_in_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, images, lines = new_engine(tmp_path, monkeypatch, name="plain", precision="bf16")
    nowhere = torch.full((5, 3, 4, 4, 4), torch.nan)
    monkeypatch.setattr(engine, "_computed", lambda *arguments: nowhere)
    with torch.inference_mode():
        for _ in range(2):
            assert torch.equal(engine.predict(images, "ct"), engine.method.predict(images, "ct"))
    assert lines == ["precision bf16: some windows had no finite logits, they are computed in float32"]


def test_bfloat16_that_is_not_faster_is_said_and_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "fastest", lambda run, plain, others: Measured(plain, 1.0))
    for has, said in (
        (True, "precision bf16: float32 is as fast for this network on this processor, and goes on"),
        (False, "precision bf16: this processor has no bfloat16, float32 goes on"),
    ):
        monkeypatch.setattr(engine_module, "has_bfloat16", lambda device, has=has: has)
        engine, images, lines = new_engine(tmp_path / str(has), monkeypatch, precision="bf16")
        with torch.inference_mode():
            torch.testing.assert_close(engine.predict(images, "ct"), engine.method.predict(images, "ct"))
        assert lines == [said]
        assert engine.chosen_precision == "float32"
    assert isinstance(has_bfloat16("cpu"), bool)


def test_bfloat16_is_for_processors_and_cuda() -> None:
    method = SupervisedConfig().build(built(UNET, 2)[0], 3)
    with pytest.raises(InputError, match="not for device 'mps'"):
        WindowEngine(method, torch.device("mps"), precision="bf16")
    assert WindowEngine(method, torch.device("cuda"), precision="bf16").plan is None


def test_a_network_that_mixes_images_is_computed_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answers depend on the windows beside each: those of any other grouping would be others."""
    monkeypatch.setattr(engine_module, "fastest", None)
    monkeypatch.setenv("UNPAIRED_CACHE", str(tmp_path))
    network, images = built(CMCReleasedNetworkConfig(width=2), 3)
    assert network.mixes_images
    method = SupervisedConfig().build(network, 3).eval()
    with torch.inference_mode():
        together, alone = method.predict(images[:2], "ct"), method.predict(images[:1], "ct")
        assert not torch.allclose(together[:1], alone, atol=1e-3)
        assert torch.equal(WindowEngine(method, CPU).predict(images[:2], "ct"), together)
    lines: list[str] = []
    monkeypatch.setattr(segmenter, "require_backend", lambda name, precision: None)
    backend = BackendSegmenter(method, "openvino", images.shape[2:], lines.append)
    with torch.inference_mode():
        assert torch.equal(backend.predict(images[:2], "ct"), together)
    assert "depends on the windows beside it" in lines[0]


def test_windows_of_one_value_are_left_out_unless_the_network_mixes_images() -> None:
    for mixes in (False, True):
        network, _ = built(CMCReleasedNetworkConfig(width=2, batch_statistics=mixes), 3)
        method = SupervisedConfig().build(network, 3).eval()
        recipe = Recipe(CMCReleasedNetworkConfig(width=2), SupervisedConfig(), (16, 16, 16), steps=1)
        seen: list[int] = []
        network.register_forward_pre_hook(lambda module, given, seen=seen: seen.append(len(given[0]["ct"])))
        for _ in segment_prepared(method, recipe, np.zeros((32, 16, 16), np.float32), "ct", "cpu"):
            pass
        assert seen == ([2, 1] if mixes else [2]), "three windows of air, two at a time"


def test_partners_are_computed_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "fastest", None)
    engine, images, _ = new_engine(tmp_path, monkeypatch)
    with torch.inference_mode():
        said = engine.predict(images, "ct", {"mr": images})
        assert torch.equal(said, engine.method.predict(images, "ct", {"mr": images}))


def test_how_far_logits_may_lie_apart() -> None:
    logits = torch.tensor([[0.0, 5.0]])
    assert says_the_same(logits + 4e-4, logits, "float32")
    assert not says_the_same(logits + 6e-4, logits, "float32")
    assert not says_the_same(logits * torch.nan, logits, "float32")
    assert says_the_same(logits + 1, logits, "bf16")
    assert not says_the_same(logits * torch.inf, logits, "bf16")
