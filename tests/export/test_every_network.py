"""Every network of the package leaves it with equal logits: as a program of torch, and as ONNX in ONNX Runtime."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from test_methods_on_networks import NETWORKS
from unpaired.export.formats import PACKAGES, Format, write_graph
from unpaired.networks.adapt import AdaptedConfig
from unpaired.networks.cmc_released import CMCReleasedNetworkConfig
from unpaired.networks.fcn import FCNConfig
from unpaired.networks.independent import IndependentNetworksConfig
from unpaired.networks.multiresunet import MultiResUNetConfig
from unpaired.networks.network import Network, NetworkConfig
from unpaired.networks.nnformer import NNFormerConfig
from unpaired.networks.one_modality import one_modality, trace
from unpaired.networks.sam_med3d import SAMMed3DConfig
from unpaired.networks.spatial_configuration import SpatialConfigurationConfig
from unpaired.networks.specific_unets import SpecificUNetsConfig
from unpaired.networks.swin_unet import SwinUNetConfig
from unpaired.networks.ummkd_unet import UMMKDUNetConfig
from unpaired.networks.unet import UNetConfig

pytestmark = pytest.mark.usefixtures("shallow_fcn")
NAMES = ("ct", "mr", "lge")
UNET = UNetConfig(width=4, widest=8, blocks=(1, 1))
SHALLOW = {"channels": (4, 8), "strides": (2,), "num_res_units": 1, "norm": "batch"}
MONAI = AdaptedConfig("monai.networks.nets:UNet", ("model.0",), SHALLOW)
TINY: dict[str, tuple[NetworkConfig, int]] = {
    "FCN": (FCNConfig(width=1), 2),
    "UMMKD": (UMMKDUNetConfig(width=1, initialization="he"), 3),
    "U-Net": (UNET, 3),
    "SCN": (SpatialConfigurationConfig(width=2, levels=2, spatial_width=2, norm="instance"), 2),
    "MultiResUNet": (MultiResUNetConfig(width=2, stages=2), 3),
    "fused": (replace(UNET, fusion="paired"), 2),
    "Swin-Unet": (SwinUNetConfig(width=4, depths=(1, 2), heads=(1, 2), window=2, patch=2, modality_scale=True), 2),
    "nnFormer": (
        NNFormerConfig(width=4, depths=(1, 1), heads=(1, 2), windows=(2, 2), strides=(2,), modality_norm=True),
        3,
    ),
    "SAM-Med3D": (SAMMed3DConfig(width=4, depth=2, heads=2, patch=4, size=8, window=2, global_blocks=(1,), neck=8), 3),
}
PROGRAMS: dict[str, tuple[NetworkConfig, int]] = {
    "batch norm, shared": (replace(UNET, norm="batch", modality_norm=False), 2),
    "as in CMC": (SpecificUNetsConfig(UNET), 2),
    "CMC, released": (CMCReleasedNetworkConfig(width=2), 3),
    "alone": (IndependentNetworksConfig(UNET), 3),
    "your own": (NETWORKS["your own"][0], 2),
    "SAM-Med3D, as in CMC": (NETWORKS["SAM-Med3D, as in CMC"][0], 3),
}


def built(config: NetworkConfig, dims: int, modalities: tuple[str, ...] = NAMES) -> Network:
    torch.manual_seed(0)
    network = config.build(modalities, 1, 3, dims).eval()
    with torch.no_grad():
        for buffer in network.buffers():  # of batch norms: else each modality's statistics are 0 and 1
            if buffer.is_floating_point():
                buffer.uniform_(0.5, 1.5)
    return network


def check(config: NetworkConfig, dims: int, format: Format, folder: Path) -> None:
    """The middle modality's logits, of an image as large as the network needs."""
    for package in PACKAGES[format]:
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed (extra onnx)")
    network = built(config, dims, NAMES[:2] if isinstance(config, CMCReleasedNetworkConfig) else NAMES)
    size = [max(4, 2 * multiple) for multiple in network.size_multiples]
    engine = write_graph(format, trace(one_modality(network, "mr"), size, 1), folder / "mr.graph")
    images = torch.randn(1, 1, *size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = network({"mr": images})["mr"].logits
    torch.testing.assert_close(torch.from_numpy(engine(images.numpy())), expected, atol=1e-4, rtol=1e-4)
    assert expected.std() > 0


@pytest.mark.parametrize("name", TINY)
def test_onnx(name: str, tmp_path: Path) -> None:
    check(*TINY[name], "onnx", tmp_path)


def test_monais_as_onnx(tmp_path: Path) -> None:
    pytest.importorskip("monai", reason="MONAI is not installed (extra dev)")
    check(MONAI, 2, "onnx", tmp_path)


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_of_torch(name: str, tmp_path: Path) -> None:
    check(*PROGRAMS[name], "torch", tmp_path)
