"""Every method on every network, in 2D and 3D, with three modalities: one step trains, and the network then segments.

MONAI's networks are adapted by name; without MONAI (extra `dev`) their rows are skipped.
"""

import functools
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from unpaired.data.batch import Batch
from unpaired.methods.class_specific_affinity import CSAConfig
from unpaired.methods.cross_modality_collaboration import CMCConfig
from unpaired.methods.cross_pseudo_supervision import CrossPseudoSupervisionConfig
from unpaired.methods.knowledge_distillation import KnowledgeDistillationConfig
from unpaired.methods.mean_teacher import MeanTeacherConfig
from unpaired.methods.method import MethodConfig
from unpaired.methods.structured_consistency import SSCConfig
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.adapt import AdaptedConfig
from unpaired.networks.cmc_released import CMCReleasedNetworkConfig
from unpaired.networks.fcn import FCNConfig
from unpaired.networks.independent import IndependentNetworksConfig
from unpaired.networks.multiresunet import MultiResUNetConfig
from unpaired.networks.network import NetworkConfig
from unpaired.networks.nnformer import NNFormerConfig
from unpaired.networks.sam_med3d import SAMMed3DConfig
from unpaired.networks.spatial_configuration import SpatialConfigurationConfig
from unpaired.networks.specific_unets import SpecificUNetsConfig
from unpaired.networks.swin_unet import SwinUNetConfig
from unpaired.networks.ummkd_unet import UMMKDUNetConfig
from unpaired.networks.unet import UNetConfig

pytestmark = pytest.mark.usefixtures("probed_once", "shallow_fcn")
NAMES = ("ct", "mr", "lge")
C = 3
MONAI = "monai.networks.nets:"
UNET = UNetConfig(width=4, widest=12, blocks=(1, 1, 1))
UNET_LAYERS = ("encoder2", "encoder3")
SAM_MED3D = SAMMed3DConfig(
    width=4, depth=2, heads=2, patch=4, size=8, window=2, global_blocks=(1,), neck=8, relative_positions="intended"
)


class Yours(nn.Module):
    """A network of somebody's own, which knows nothing of modalities."""

    def __init__(self, channels: int, classes: int, spatial_dims: int) -> None:
        super().__init__()
        convolution = {2: nn.Conv2d, 3: nn.Conv3d}[spatial_dims]
        norm = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[spatial_dims]
        self.first = nn.Sequential(convolution(channels, 4, 3, padding=1), norm(4), nn.ReLU())
        self.second = nn.Sequential(convolution(4, 6, 3, padding=1, stride=2), norm(6), nn.ReLU())
        self.up = nn.Upsample(scale_factor=2)
        self.output = convolution(10, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the images' size."""
        shallow = self.first(x)
        return self.output(torch.cat([shallow, self.up(self.second(shallow))], dim=1))


# network -> the two feature maps whose affinity CSA compares, and which SSC's attention reads
NETWORKS: dict[str, tuple[NetworkConfig, tuple[str, str]]] = {
    "fcn": (FCNConfig(width=2, dropout=0.0, initialization="he"), ("group4", "group5")),
    "UMMKD's U-Net": (UMMKDUNetConfig(width=2, initialization="he"), ("encoder3", "encoder4")),
    "SCN": (SpatialConfigurationConfig(width=2, levels=2, spatial_width=3, downsampling=2), ("encoder1", "encoder2")),
    "MultiResUNet": (MultiResUNetConfig(width=2, stages=3, norm="instance"), ("encoder2", "encoder3")),
    "unet": (UNET, UNET_LAYERS),
    "unet, batch norm": (replace(UNET, norm="batch"), UNET_LAYERS),
    "unet, joint": (replace(UNET, norm="batch", modality_norm=False), UNET_LAYERS),
    "unet, single": (IndependentNetworksConfig(UNET), UNET_LAYERS),
    "unet, fused": (replace(UNET, fusion="paired"), ("encoder3", "fusion")),
    "unet, as in CMC": (SpecificUNetsConfig(UNET), ("encoder3", "fusion")),
    "Swin-Unet": (
        SwinUNetConfig(width=4, depths=(1, 2, 1), heads=(1, 2, 2), window=2, patch=2, modality_scale=True),
        ("decoder1", "decoder2"),
    ),
    "nnFormer": (
        NNFormerConfig(
            width=4,
            depths=(1, 2, 1),
            heads=(1, 2, 2),
            windows=(2, 2, 2),
            patch_strides=(1, 2),
            strides=(2, 2),
            deep_supervision=False,
            modality_scale=True,
        ),
        ("decoder1", "decoder2"),
    ),
    "SAM-Med3D": (SAM_MED3D, ("encoder2", "neck")),
    "SAM-Med3D, as in CMC": (
        replace(SAM_MED3D, adapter=2, frozen=True, specific_encoders=True, specific_decoders=True, fusion="paired"),
        ("neck", "fusion"),
    ),
    "CMC's released code": (CMCReleasedNetworkConfig(width=1), ("encoder4", "awareness")),
    "your own": (AdaptedConfig(f"{__name__}:Yours", ("first", "second")), ("first", "second")),
    "MONAI UNet": (
        AdaptedConfig(
            f"{MONAI}UNet",
            ("model.0", "model.1.submodule.0"),
            {"channels": (4, 8, 12), "strides": (2, 2), "num_res_units": 1, "norm": "batch"},
        ),
        ("model.0", "model.1.submodule.0"),
    ),
    "MONAI DynUNet": (
        AdaptedConfig(
            f"{MONAI}DynUNet",
            ("downsamples.0", "bottleneck"),
            {"kernel_size": (3, 3, 3), "strides": (1, 2, 2), "upsample_kernel_size": (2, 2), "filters": (4, 8, 12)},
        ),
        ("downsamples.0", "bottleneck"),
    ),
    "MONAI SegResNet": (
        AdaptedConfig(
            f"{MONAI}SegResNet",
            ("down_layers.1", "down_layers.2"),
            {"init_filters": 8, "blocks_down": (1, 1, 1), "blocks_up": (1, 1)},
        ),
        ("down_layers.1", "down_layers.2"),
    ),
    "MONAI SwinUNETR": (
        AdaptedConfig(
            f"{MONAI}SwinUNETR",
            ("encoder2", "encoder3"),
            {
                "feature_size": 12,
                "depths": (1, 1, 1, 1),
                "num_heads": (1, 2, 3, 4),
                "window_size": 2,
                "norm_name": ("group", {"num_groups": 2}),  # an instance norm needs an image of twice the voxels
            },
        ),
        ("encoder2", "encoder3"),
    ),
}
METHODS: dict[str, MethodConfig] = {
    "supervised": SupervisedConfig(),
    "UMMKD": KnowledgeDistillationConfig(),
    "affinity": CSAConfig(class_specific=False),
    "CSA": CSAConfig(),
    "CSA, literal": CSAConfig(consistency="literal"),
    "SSC": SSCConfig(),
    "CMC": CMCConfig(),
    "mean teacher of SSC": MeanTeacherConfig(SSCConfig()),
    "cross pseudo supervision of CSA": CrossPseudoSupervisionConfig(CSAConfig(), labeled=False),
}
DIMS = {"SAM-Med3D": (3,), "SAM-Med3D, as in CMC": (3,)}
"""Spatial axes of the networks that don't segment both slices and volumes."""
ROWS = [(name, dims) for name in NETWORKS for dims in DIMS.get(name, (2, 3))]
COSTLY = ("MONAI SwinUNETR", "MONAI SegResNet")
"""Networks that can't be made small: a step of theirs takes seconds. They meet the methods that read feature maps and
unlabeled images; what the others do with logits is the same on every network."""
TELLING = ("CSA", "CMC", "mean teacher of SSC")
TERMS = {
    "supervised": set(),
    "UMMKD": {"kd"},
    "affinity": {"affinity"},
    "SSC": {"mod", "img"},
    "CMC": {"csc", "cac"},
    "mean teacher of SSC": {"mod", "img"},
    "cross pseudo supervision of CSA": {"csa", "second"},
}
"""A row's terms besides those of single modalities, where they aren't CSA's."""


@functools.cache
def size_multiple(name: str) -> int:
    """What each side of a slice must be a multiple of, as it is found."""
    return built(name, 2)[0].size_multiples[0]


def built(name: str, dims: int):
    """The network, once for all methods: building and probing cost more than a step."""
    config, layers = NETWORKS[name]
    if "MONAI" in name:
        pytest.importorskip("monai")
    if name in COSTLY and dims == 3:  # found by trying sizes, which takes seconds in 3D; volumes' are those of slices
        assert isinstance(config, AdaptedConfig)
        config = replace(config, size_multiples=(size_multiple(name),) * dims)
    torch.manual_seed(0)
    return config.build(NAMES, 1, C, dims), layers


def fitted(config: MethodConfig, layers: tuple[str, str]) -> MethodConfig:
    """The method, and what it wraps, on a network's feature maps."""
    if isinstance(config, CSAConfig):
        return replace(config, layer_pairs=(layers,))
    if isinstance(config, SSCConfig):
        return replace(config, scales=(layers[1], layers[0]))
    if isinstance(config, CMCConfig):
        return replace(config, layer=layers[1])
    if isinstance(config, MeanTeacherConfig | CrossPseudoSupervisionConfig):
        return replace(config, method=fitted(config.method, layers))
    return config


def batches(size: tuple[int, ...], images: int = 2) -> dict[str, Batch]:
    """Of the last modality there are no unlabeled images."""
    generator = torch.Generator().manual_seed(len(size))
    return {
        name: Batch(
            torch.randn(images, 1, *size, generator=generator),
            torch.randint(0, C, (images, *size), generator=generator),
            torch.eye(C, dtype=torch.bool),
            torch.randn(images, 1, *size, generator=generator) if name != NAMES[-1] else None,
        )
        for name in NAMES
    }


SLOW = ("MONAI SwinUNETR", 3)


@pytest.mark.parametrize(
    ("name", "dims"), [pytest.param(*row, marks=pytest.mark.slow) if row == SLOW else row for row in ROWS]
)
def test_every_method_trains_it(name: str, dims: int) -> None:
    network, layers = built(name, dims)
    if name == "SCN":  # it begins with all classes alike everywhere: CAC would compare rounding errors
        torch.manual_seed(0)
        for weight in network.parameters():
            if weight.ndim > 1:
                torch.nn.init.kaiming_normal_(weight)
    shortest, *others = network.size_multiples
    least = 1 if name == "MONAI SwinUNETR" else 2
    size = (least * shortest, *others)  # as small as it goes: an instance norm needs two voxels at the bottom
    images = 1 if name in COSTLY or (dims == 3 and name != "SCN") else 2  # UMMKD compares nothing in one so small
    data = batches(size, images)
    for row in TELLING if name in COSTLY else METHODS:
        method_config = METHODS[row]
        method = fitted(method_config, layers).build(network, C)
        method.zero_grad(set_to_none=True)
        objective = method(data, 0.0)
        assert torch.isfinite(objective.loss), row
        extra = {term for term in objective.terms if "/" not in term}
        assert extra == TERMS.get(row, {"csa"}), row
        assert all(objective.terms[term] > 0 for term in extra), row
        unlabeled = {term.partition("/")[2] for term in objective.terms if term.startswith(("mean_", "cross_"))}
        if isinstance(method_config, MeanTeacherConfig | CrossPseudoSupervisionConfig):
            assert unlabeled == set(NAMES[:-1])
        objective.loss.backward()
        for modality in NAMES:  # every modality's own weights are trained, where it has some
            own = [p for key, p in network.named_parameters() if f"by_modality.{modality}." in key]
            assert not own or any(p.grad is not None and p.grad.abs().max() > 0 for p in own), (row, modality)
    network.eval()
    with torch.no_grad():
        logits = method.predict(data["mr"].images, "mr")
    assert logits.shape == (images, C, *size)
