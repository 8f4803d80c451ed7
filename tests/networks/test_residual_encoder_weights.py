"""nnU-Net's and nnssl's residual-encoder checkpoints into the U-Net, against a plain network with their names."""

from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unpaired.errors import InputError
from unpaired.networks.checkpoint_names import plain_name
from unpaired.networks.independent import IndependentNetworksConfig
from unpaired.networks.residual_encoder_weights import load_into_unet
from unpaired.networks.specific_unets import SpecificUNetsConfig
from unpaired.networks.unet import UNet, UNetConfig

WIDTHS, BLOCKS = (4, 8, 10, 10), (1, 2, 1, 1)
"""Four stages of which the last two are as wide as each other, as in ResEnc-L."""
CONFIG = UNetConfig(width=4, widest=10, blocks=BLOCKS)


class Convolution(nn.Module):
    """Convolution, norm and LeakyReLU under nnU-Net's names, each a second time in `all_modules`."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, bias: bool, active: bool) -> None:
        super().__init__()
        self.conv = nn.Conv3d(before, after, kernel, stride, padding=kernel // 2, bias=bias)
        self.norm = nn.InstanceNorm3d(after, eps=1e-5, affine=True)
        self.all_modules = nn.Sequential(self.conv, self.norm, *([nn.LeakyReLU()] if active else []))
        nn.init.normal_(self.norm.weight)
        nn.init.normal_(self.norm.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.all_modules(x)


class Block(nn.Module):
    """`BasicBlockD`: the shortcut is pooled where it strides and projected where it widens."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = Convolution(before, after, 3, stride, bias=True, active=True)
        self.conv2 = Convolution(after, after, 3, 1, bias=True, active=False)
        pool = [nn.AvgPool3d(stride, stride)] if stride > 1 else []
        project = [Convolution(before, after, 1, 1, bias=False, active=False)] if before != after else []
        self.skip = nn.Sequential(*pool, *project)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.conv2(self.conv1(x)) + self.skip(x), 0.01)


class Stack(nn.Module):
    def __init__(self, name: str, *modules: nn.Module) -> None:
        super().__init__()
        setattr(self, name, nn.Sequential(*modules))


class Encoder(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.stem = Stack("convs", Convolution(channels, WIDTHS[0], 3, 1, bias=True, active=True))
        stages, before = [], WIDTHS[0]
        for number, (width, count) in enumerate(zip(WIDTHS, BLOCKS, strict=True)):
            blocks = [Block(before, width, 2 if number else 1), *(Block(width, width, 1) for _ in range(count - 1))]
            stages.append(Stack("blocks", *blocks))
            before = width
        self.stages = nn.Sequential(*stages)


class Decoder(nn.Module):
    def __init__(self, encoder: Encoder, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        pairs = list(zip(WIDTHS[:0:-1], WIDTHS[-2::-1], strict=True))
        self.stages = nn.ModuleList(
            Stack("convs", Convolution(2 * width, width, 3, 1, bias=True, active=True)) for _, width in pairs
        )
        self.transpconvs = nn.ModuleList(nn.ConvTranspose3d(deep, width, 2, 2) for deep, width in pairs)
        self.seg_layers = nn.ModuleList(nn.Conv3d(width, classes, 1) for _, width in pairs)


class ResidualEncoderUNet(nn.Module):
    """The network of `dynamic_network_architectures` as nnssl builds it, smaller: its names, its forward pass."""

    def __init__(self, channels: int = 1, classes: int = 1) -> None:
        super().__init__()
        self.encoder = Encoder(channels)
        self.decoder = Decoder(self.encoder, classes)

    def features(self, x: Tensor) -> list[Tensor]:
        x = self.encoder.stem.convs(x)
        maps = []
        for stage in self.encoder.stages:
            x = stage.blocks(x)
            maps.append(x)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        maps = self.features(x)
        x = maps[-1]
        for number, stage in enumerate(self.decoder.stages):
            x = stage.convs(torch.cat((self.decoder.transpconvs[number](x), maps[-2 - number]), 1))
        return self.decoder.seg_layers[-1](x)


@pytest.fixture(scope="module")
def theirs() -> ResidualEncoderUNet:
    torch.manual_seed(0)
    return ResidualEncoderUNet()


@pytest.fixture(scope="module")
def checkpoint(theirs: ResidualEncoderUNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as nnssl's trainer saves it: the weights among its plan, its settings and its optimizer's state."""
    path = tmp_path_factory.mktemp("nnssl") / "checkpoint_final.pth"
    plan = {"architecture_plans": {"arch_class_name": "ResEncL"}, "key_to_encoder": "encoder.stages"}
    content = {
        "network_weights": theirs.state_dict(),
        "optimizer_state": {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 0.01}]},
        "grad_scaler_state": None,
        "logging": {"train_losses": [0.5, 0.25]},
        "current_epoch": 1000,
        "trainer_name": "BaseMAETrainer_BS8_1000ep",
        "nnssl_adaptation_plan": plan,
    }
    torch.save(content, path)
    return path


def built(config: UNetConfig = CONFIG, channels: int = 1, dims: int = 3, names: tuple[str, ...] = ("ct", "mr")) -> UNet:
    torch.manual_seed(1)
    return config.build(names, channels, 3, dims)


def test_features_equal_the_checkpoints_network(theirs: ResidualEncoderUNet, checkpoint: Path) -> None:
    network = built()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    report = load_into_unet(network, False, checkpoint, None)
    x = torch.randn(2, 1, 16, 16, 16)
    with torch.no_grad():
        output = network({"ct": x, "mr": x})
        for name in ("ct", "mr"):
            for number, maps in enumerate(theirs.features(x), start=1):
                torch.testing.assert_close(output[name].features[f"encoder{number}"], maps, rtol=1e-4, atol=1e-5)
    decoder = {name for name in before if name.startswith(("decoder.", "up.", "output."))}
    assert set(report.fresh) == decoder
    assert all(torch.equal(network.state_dict()[name], before[name]) for name in decoder)


def test_the_report_has_every_tensor_once(theirs: ResidualEncoderUNet, checkpoint: Path) -> None:
    report = load_into_unet(built(), False, checkpoint, None)
    state = theirs.state_dict()
    assert set(report.loaded.values()) | set(report.skipped) == set(state)
    assert not set(report.loaded.values()) & set(report.skipped)
    record = report.as_json()["skipped"]
    decoder = [name for name in state if name.startswith("decoder.") and ".all_modules." not in name]
    own = [name for name in decoder if not name.startswith(("decoder.encoder.", "decoder.seg_layers."))]
    assert record["the decoder, which network.pretrained_decoder=true loads"] == len(own)
    assert record["an output, of other classes"] == 2 * 3
    assert record["another name of a tensor that has been read"] == len(state) - len(own) - 6 - len(
        set(report.loaded.values())
    )
    assert set(record) == {
        "the decoder, which network.pretrained_decoder=true loads",
        "an output, of other classes",
        "another name of a tensor that has been read",
    }


def test_with_the_decoder_logits_equal_but_for_the_output(theirs: ResidualEncoderUNet, checkpoint: Path) -> None:
    network = CONFIG.build(("ct",), 1, 1, 3)
    config = replace(CONFIG, pretrained=str(checkpoint), pretrained_decoder=True)
    record = config.load_pretrained(network)
    assert record is not None
    assert record["fresh"] == 2
    network.output.load_state_dict(theirs.decoder.seg_layers[-1].state_dict())
    x = torch.randn(1, 1, 16, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(network({"ct": x})["ct"].logits, theirs(x), rtol=1e-4, atol=1e-5)


def test_it_is_the_library_that_is_imitated() -> None:
    """Needs `dynamic_network_architectures`, which is not in the tests' requirements."""
    library = pytest.importorskip("dynamic_network_architectures.architectures.unet", exc_type=ImportError)
    real = library.ResidualEncoderUNet(
        input_channels=1,
        n_stages=4,
        features_per_stage=WIDTHS,
        conv_op=nn.Conv3d,
        kernel_sizes=[[3, 3, 3]] * 4,
        strides=[[1, 1, 1], *[[2, 2, 2]] * 3],
        n_blocks_per_stage=BLOCKS,
        num_classes=1,
        n_conv_per_stage_decoder=[1, 1, 1],
        conv_bias=True,
        norm_op=nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
    )
    copy = ResidualEncoderUNet()
    copy.load_state_dict(real.state_dict())
    x = torch.randn(1, 1, 16, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(copy(x), real(x))


def test_resenc_l_is_the_u_net_with_320_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shapes of the released architecture; its encoder has so many weights in nnU-Net's library (0.4.4)."""
    monkeypatch.setattr(nn.Conv3d, "reset_parameters", lambda convolution: None)  # no values: 100 million take seconds
    monkeypatch.setattr(nn.ConvTranspose3d, "reset_parameters", lambda convolution: None)
    monkeypatch.setattr("unpaired.networks.unet.initialize_convolutions", lambda network, kind, slope: None)
    state = UNetConfig(widest=320, modality_norm=False).build(("mr",), 1, 2, 3).state_dict()
    widths = [len(state[f"encoder.{number}.blocks.0.first.convolution.bias"]) for number in range(6)]
    assert widths == [32, 64, 128, 256, 320, 320]
    encoder = [tensor for name, tensor in state.items() if name.startswith(("stem.", "encoder."))]
    assert len(encoder) == 4 + 8 * (1 + 3 + 4 + 6 + 6 + 6) + 3 * 4
    assert sum(tensor.numel() for tensor in encoder) == 90_296_576


def test_every_copy_of_a_modality_is_filled(checkpoint: Path) -> None:
    named = replace(CONFIG, pretrained=str(checkpoint))
    records = []
    for config in (
        replace(named, own=("encoder1", "encoder2")),
        SpecificUNetsConfig(named),
        IndependentNetworksConfig(named),
    ):
        torch.manual_seed(1)
        network = config.build(("ct", "mr"), 2, 3, 3)
        records.append(config.load_pretrained(network))
        state = network.state_dict()
        both = [[tensor for name, tensor in state.items() if f"by_modality.{one}." in name] for one in ("ct", "mr")]
        encoders = {plain_name(name) for name in state if plain_name(name).startswith(("stem.", "encoder."))}
        assert all(torch.equal(ct, mr) for ct, mr in zip(*both, strict=True))
        assert len(encoders) == 2 + 2 + sum(8 * count for count in BLOCKS) + 2 * 3  # two stages widen
    assert all(record is not None and record["skipped"] for record in records)


def test_one_channel_spreads_over_several(theirs: ResidualEncoderUNet, checkpoint: Path, tmp_path: Path) -> None:
    two = built(channels=2)
    load_into_unet(two, False, checkpoint, None)
    x = torch.randn(1, 1, 16, 16, 16)
    with torch.no_grad():
        maps = two({"ct": x.expand(-1, 2, -1, -1, -1)})["ct"].features["encoder4"]
        torch.testing.assert_close(maps, theirs.features(x)[-1], rtol=1e-4, atol=1e-5)
    several = ResidualEncoderUNet(channels=3)
    torch.save(several.state_dict(), tmp_path / "three.pth")
    one = built()
    load_into_unet(one, False, tmp_path / "three.pth", None)
    with torch.no_grad():
        maps = one({"ct": x})["ct"].features["encoder4"]
        torch.testing.assert_close(maps, several.features(x.expand(-1, 3, -1, -1, -1))[-1], rtol=1e-4, atol=1e-5)
    report = load_into_unet(built(channels=2), False, tmp_path / "three.pth", None)
    assert report.skipped["encoder.stem.convs.0.conv.weight"].startswith("shape (4, 3, 3, 3, 3) in the checkpoint")


def test_slices_get_the_sum_over_depth(theirs: ResidualEncoderUNet, checkpoint: Path) -> None:
    """One convolution of a slice is that of a volume whose slices are all alike, inside."""
    thick = replace(CONFIG, strides=((1, 2, 2), (1, 2, 2), (2, 2, 2)))
    flat, deep = built(dims=2), built(thick)
    for network in (flat, deep):
        assert not [name for name in load_into_unet(network, False, checkpoint, None).fresh if "encoder" in name]
    image = torch.randn(1, 1, 8, 8)
    volume = image[:, :, None].expand(-1, -1, 5, -1, -1)
    with torch.no_grad():
        expected = theirs.encoder.stem.convs[0].conv(volume)[:, :, 2]
        torch.testing.assert_close(flat.stem.convolution(image), expected)
        torch.testing.assert_close(deep.stem.convolution(volume)[:, :, 2], expected)
    assert deep.encoder[0].blocks[0].first.convolution.weight.shape[2] == 1
    torch.testing.assert_close(
        flat.encoder[3].blocks[0].second.convolution.weight,
        theirs.encoder.stages[3].blocks[0].conv2.conv.weight.sum(2),
    )


def test_wrappers_and_prefixes_go(theirs: ResidualEncoderUNet, checkpoint: Path, tmp_path: Path) -> None:
    """As compiled or distributed networks save themselves, and as an encoder alone does."""
    expected = load_into_unet(built(), False, checkpoint, None)
    for number, prefix in enumerate(("module.", "_orig_mod.", "module._orig_mod.")):
        path = tmp_path / f"{number}.pth"
        torch.save({"state_dict": {prefix + name: tensor for name, tensor in theirs.state_dict().items()}}, path)
        assert load_into_unet(built(), False, path, None).loaded == expected.loaded
    torch.save(theirs.encoder.state_dict(), tmp_path / "encoder.pth")
    assert load_into_unet(built(), False, tmp_path / "encoder.pth", None).loaded.keys() == expected.loaded.keys()


@pytest.mark.parametrize(
    ("content", "fields", "words"),
    [
        ({"layers.0.blocks.0.attn.qkv.weight": torch.zeros(3)}, {}, "it looks like swin"),
        ({"conv1.weight": torch.zeros(3)}, {}, r"nothing known\); a U-Net begins with those of nnU-Net and nnssl"),
        (None, {"width": 6, "widest": 6}, "not one tensor fits this network"),
    ],
)
def test_files_that_do_not_fit_are_one_line(
    content: dict[str, Tensor] | None, fields: dict[str, Any], words: str, checkpoint: Path, tmp_path: Path
) -> None:
    path = checkpoint
    if content is not None:
        torch.save(OrderedDict(content), path := tmp_path / "other.pth")
    with pytest.raises(InputError, match=words):
        load_into_unet(built(replace(CONFIG, **fields)), False, path, None)


def test_what_does_not_fit_is_left_out_and_said(checkpoint: Path) -> None:
    wider = built(replace(CONFIG, widest=16))
    report = load_into_unet(wider, False, checkpoint, None)
    shape = "shape (10, 8, 3, 3, 3) in the checkpoint, (16, 8, 3, 3, 3) here"
    assert report.skipped["encoder.stages.2.blocks.0.conv1.conv.weight"] == shape
    assert "encoder.2.blocks.0.first.convolution.weight" in report.fresh
    assert "encoder.1.blocks.1.first.convolution.weight" in report.loaded
    shallower = load_into_unet(built(replace(CONFIG, blocks=(1, 2, 1))), False, checkpoint, None)
    assert shallower.skipped["encoder.stages.3.blocks.0.conv2.norm.bias"] == "no counterpart in the network"
