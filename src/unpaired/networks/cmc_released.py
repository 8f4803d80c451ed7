"""The network of CMC's released code (github.com/med-air/CMC, commit cb8dd11, `Semi_SM_model_MIA.py`): "CMC-code".

It is not the paper's. Instead of a SAM-Med3D encoder with adapters for each modality there is one U-Net that all share:

    S1, S2, S3, F^m = E(x^m)             CNR pairs of 32-64, 64-128, 128-256, 256-512 channels, max-pooled between
    F_mia^m = F^m + gamma A^m F^m        A = softmax(max_l E_kl - E_kl), E = F F^T over positions; gamma starts at 0
    U       = sigmoid(CNR(CNR([F_mia^a, F_mia^b])))                          CNR: convolution, norm, ReLU
    z^m     = C1(ReLU(GN16([U, F_mia^m])))                                   C1: a convolution of 1
    y^m     = D(z^m, S3, S2, S1)         transposed convolutions and pairs of 256, 128, 64 channels; D is shared too

A is the channel attention of DANet (Fu et al., CVPR 2019), as its code has it: the more two channels differ, the more
they attend to each other. After two ReLU-ed convolutions U lies in [1/2, 1).

What the released network does wrong is kept, each as a field with a mended value; `docs/methods/cmc_released.md` lists
them. What is ours: any number of modalities, whose maps U's first convolution gets in the network's order (with two it
is the released one); slices; and that a lone modality is fused with itself, where the released network needs both. A
modality that is absent, while at least one is there, is stood in for by the mean of those that are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unpaired.configs import Width
from unpaired.errors import InputError
from unpaired.networks.blocks import CONVOLUTIONS, TRANSPOSED_CONVOLUTIONS, Pair, check_spatial_dims
from unpaired.networks.fusion import Partners
from unpaired.networks.modality_layers import BATCH_NORMS, Groups, ModalityNorm
from unpaired.networks.network import Network, NetworkConfig, NetworkOutput
from unpaired.networks.precision import without_autocast
from unpaired.networks.shared_network import check_images
from unpaired.shapes import LINEAR, Features, Images

UnequalSizes = Literal["refused", "interpolated"]
POOLS = {2: F.max_pool2d, 3: F.max_pool3d}


@dataclass(frozen=True)
class CMCReleasedNetworkConfig(NetworkConfig):
    """The released network; its 14 classes in 3D make 40,838,095 parameters."""

    width: Width = 32
    """Channels of the first convolution; F has 16 times as many."""
    batch_statistics: bool = True
    """Released: batch norm by the statistics of whatever is in the pass, at prediction too, so that a window's
    segmentation depends on the windows beside it. False: by running statistics, of each modality its own."""
    fusion: Partners = "paired"
    """Released: "paired", image i of one modality with image i of the other, whoever they are: the prediction for a CT
    depends on the MR beside it. "alone": each image with itself, always."""
    unequal_sizes: UnequalSizes = "refused"
    """Paired images of different sizes. Released: where first axes differ, the fusion overwrites the second one's
    features by the first one's; it then stops, as the result is on the first one's grid. "refused" says so in a line.
    "interpolated": the other modalities' features are brought to each one's grid."""

    def build(self, modalities: Sequence[str], channels: int, classes: int, spatial_dims: int) -> "CMCReleasedNetwork":
        """Raises InputError for images that are neither 2D nor 3D. Weights are torch's defaults.

        The released code starts encoder and decoder from a CLIP-driven universal model, which isn't loaded here.
        """
        check_spatial_dims(spatial_dims)
        return CMCReleasedNetwork(self, modalities, channels, classes, spatial_dims)


class CMCReleasedNetwork(Network):
    """See the module's docstring. Features "encoder1" to "encoder3" (S), "encoder4" (F), "awareness" (F_mia), "fusion"
    (z), and "decoder3" to "decoder1" (full size)."""

    def __init__(
        self,
        config: CMCReleasedNetworkConfig,
        modalities: Sequence[str],
        channels: int,
        classes: int,
        spatial_dims: int,
    ) -> None:
        super().__init__()
        self.config, self.modalities, self.channels = config, tuple(modalities), channels
        self.size_multiples = (8,) * spatial_dims
        self.mixes_images = config.batch_statistics
        encoders, decoders = (f"encoder{n}" for n in range(1, 5)), (f"decoder{n}" for n in range(3, 0, -1))
        self.feature_names = (*encoders, "awareness", "fusion", *decoders)

        def unit(before: int, after: int, shared: bool = False) -> Unit:
            return Unit(before, after, None if config.batch_statistics else self.modalities, spatial_dims, shared)

        width = config.width
        widths = [2 * width, 4 * width, 8 * width, 16 * width]
        self.encoder = nn.ModuleList(
            Pair(unit(before, after // 2), unit(after // 2, after))
            for before, after in zip((channels, *widths[:-1]), widths, strict=True)
        )
        deep = widths[-1]
        self.gamma = nn.Parameter(torch.zeros(1))
        self.fuse = Pair(unit(len(self.modalities) * deep, deep, True), unit(deep, deep, True))
        self.convert_norm = nn.GroupNorm(16, 2 * deep)
        self.convert = CONVOLUTIONS[spatial_dims](2 * deep, deep, 1)
        self.up = nn.ModuleList()
        self.decoder = nn.ModuleList()
        before = deep
        for skip in reversed(widths[:-1]):
            self.up.append(TRANSPOSED_CONVOLUTIONS[spatial_dims](before, before, 2, 2))
            self.decoder.append(Pair(unit(before + skip, skip), unit(skip, skip)))
            before = skip
        self.output = CONVOLUTIONS[spatial_dims](before, classes, 1)

    def forward(self, images: Mapping[str, Images]) -> dict[str, NetworkOutput]:
        """One pass for each modality, whose norms thus never mix modalities but for the fusion's.

        Raises InputError for an unknown modality, images that don't fit, and, where modalities are paired, unequal
        numbers or (`unequal_sizes`) sizes.
        """
        check_images(images, self.modalities, self.channels, self.size_multiples)
        self._check_norms(images)
        encoded = {name: self._encode(x, name) for name, x in images.items()}
        aware = {name: channel_attention(maps["encoder4"], self.gamma) for name, maps in encoded.items()}
        fused = self._fused(aware)
        return {
            name: self._decode(maps | {"awareness": aware[name]}, fused[name], name) for name, maps in encoded.items()
        }

    def _encode(self, x: Images, modality: str) -> dict[str, Tensor]:
        maps: dict[str, Tensor] = {}
        for number, pair in enumerate(self.encoder, start=1):
            x = pair(x if number == 1 else POOLS[x.ndim - 2](x, 2), {modality: len(x)})
            maps[f"encoder{number}"] = x
        return maps

    def _fused(self, aware: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """U for each modality: the same tensor for all that are paired, if they are of one size."""
        if len(aware) == 1 or self.config.fusion == "alone":
            return {name: self._layer({name: maps}, name) for name, maps in aware.items()}
        if len({len(maps) for maps in aware.values()}) > 1:
            counts = {name: len(maps) for name, maps in aware.items()}
            raise InputError(
                f"a paired fusion needs as many images of each modality in one step, got {counts}; use one batch size, "
                'or fusion="alone"'
            )
        if len({maps.shape for maps in aware.values()}) == 1:
            fused = self._layer(aware, next(iter(aware)))
            return dict.fromkeys(aware, fused)
        if self.config.unequal_sizes == "refused":
            sizes = {name: tuple(8 * size for size in maps.shape[2:]) for name, maps in aware.items()}
            raise InputError(
                f"CMC's released network pairs images of one size, got {sizes}; use one patch size, "
                'unequal_sizes="interpolated" or fusion="alone"'
            )
        return {name: self._layer(_resized(aware, maps), name) for name, maps in aware.items()}

    def _layer(self, aware: Mapping[str, Tensor], modality: str) -> Tensor:
        stand_in = torch.stack(list(aware.values())).mean(0)
        x = torch.cat([aware.get(name, stand_in) for name in self.modalities], dim=1)
        return self.fuse(x, {modality: len(x)}).sigmoid()

    def _decode(self, maps: dict[str, Tensor], fused: Tensor, modality: str) -> NetworkOutput:
        x = self.convert(F.relu(self.convert_norm(torch.cat([fused, maps["awareness"]], dim=1))))
        maps["fusion"] = x
        for up, pair, number in zip(self.up, self.decoder, (3, 2, 1), strict=True):
            x = pair(torch.cat([up(x), maps[f"encoder{number}"]], dim=1), {modality: len(x)})
            maps[f"decoder{number}"] = x
        return NetworkOutput(self.output(x), {name: maps[name] for name in self.feature_names})

    def _check_norms(self, images: Mapping[str, Images]) -> None:
        """A batch norm has no statistics of one value; torch would say so in a traceback."""
        if not (self.config.batch_statistics or self.training):
            return
        for name, x in images.items():
            if len(x) * prod(size // 8 for size in x.shape[2:]) == 1:
                raise InputError(
                    f"modality {name!r}: batch norm needs more than one value of each channel at 1/8 of the size, got "
                    f"one image of {tuple(x.shape[2:])}; give larger patches or more images"
                )


class Unit(nn.Module):
    """Convolution, batch norm, ReLU: by the pass's own statistics for `modalities=None`, else by running statistics, of
    each modality, or of all together if `shared`."""

    def __init__(
        self, before: int, after: int, modalities: Sequence[str] | None, spatial_dims: int, shared: bool
    ) -> None:
        super().__init__()
        self.convolution = CONVOLUTIONS[spatial_dims](before, after, 3, padding=1)
        if modalities is None:
            self.norm = BATCH_NORMS[spatial_dims](after, track_running_stats=False)
        else:
            self.norm = ModalityNorm("batch", after, modalities, spatial_dims, shared, eps=1e-5)

    def forward(self, x: Tensor, groups: Groups) -> Tensor:
        """Images of one modality, or of all together in a shared norm; the spatial size stays."""
        x = self.convolution(x)
        return F.relu(self.norm(x, groups) if isinstance(self.norm, ModalityNorm) else self.norm(x))


def channel_attention(x: Features, gamma: Tensor) -> Features:
    """MIA as released: x + gamma A x, A = softmax over l of (max_l E_kl - E_kl), E_kl = <x_k, x_l>; shape of `x`.

    In float32 at least: at the released size a product sums 4096 positions, which half precision can't hold.
    """
    with without_autocast(x.device):
        rows = x.flatten(2).to(torch.promote_types(x.dtype, torch.float32))
        energy = rows @ rows.mT
        attention = (energy.amax(dim=-1, keepdim=True) - energy).softmax(dim=-1)
        attended = (attention @ rows).reshape(x.shape)
    return x + (gamma * attended).to(x.dtype)


def _resized(aware: Mapping[str, Tensor], like: Tensor) -> dict[str, Tensor]:
    """All maps on the grid of `like`, by linear interpolation with corners kept, as the released line has it."""
    size, mode = like.shape[2:], LINEAR[like.ndim - 2]
    return {
        name: maps if maps.shape == like.shape else F.interpolate(maps, size, mode=mode, align_corners=True)
        for name, maps in aware.items()
    }
