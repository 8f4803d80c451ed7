"""SAM-Med3D's image encoder with a convolutional decoder: what CMC segments with, and a network like any other here.

    encoder      one for all modalities, or one for each as in CMC (`specific_encoders`); see `sam_med3d_encoder`
    fusion       CMC's awareness and fusion between the two, where asked for; see `fusion`
    decoder      per halving of the patch: a transposed convolution, then twice 3x3x3 convolution, group norm, ReLU;
                 channels halve each time (384 -> 192, 96, 48, 24)
    output       1x1x1 convolution to classes

CMC's own decoder is not published ("fine-tuned from the pre-trained decoder"); this one is plain, without skips, since
the encoder has one resolution only. All encoders of CMC are fine-tuned from the same weights, and so are its decoders:
those of the modalities begin alike, also where that is at random. It is 3D: the patches of SAM-Med3D are cubes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta
from torch import Tensor, nn
from torch.nn import functional as F

from unpaired.choices import nearest_divisor, nearest_multiple
from unpaired.configs import Depth, Digest, Name, Whole, Width
from unpaired.errors import InputError
from unpaired.networks.decomposed_attention import RelativePositions
from unpaired.networks.fusion import Fusion, Partners
from unpaired.networks.modality_layers import Groups, ModalityNorm, PerModality, begun_alike
from unpaired.networks.network import Network, NetworkConfig, NetworkOutput
from unpaired.networks.pretrained import load_into_sam_med3d
from unpaired.networks.sam_med3d_encoder import SAMMed3DEncoder
from unpaired.networks.shared_network import SharedNetwork
from unpaired.networks.transformer import Window
from unpaired.shapes import Features, Images


@dataclass(frozen=True)
class SAMMed3DConfig(NetworkConfig):
    """SAM-Med3D's `vit_b_ori` and a decoder. `cmc()` has the parts of the paper, `small()` is for two CPU cores."""

    width: Width = 768
    """Channels of a token in the encoder."""
    depth: Depth = 12
    """How many Transformer blocks the encoder has."""
    heads: Width = 12
    """Attention heads of each block."""
    patch: Annotated[int, Meta(ge=2, le=256)] = 16
    """Voxels along each edge of the patch that becomes one token; a power of 2."""
    size: Annotated[int, Meta(ge=2, le=2048)] = 128
    """Voxels along each axis of the images that the learned positions are made for; others are interpolated."""
    window: Window = 14
    """Tokens along each axis of a window."""
    global_blocks: tuple[Whole, ...] = (2, 5, 8, 11)
    """Blocks (from 0) that attend to the whole map instead of windows."""
    neck: Width = 384
    """Channels that the encoder returns."""
    relative_positions: RelativePositions = "released"
    """"released": as in the released code, with terms along the wrong axes and padding that is attended to; the
    released weights need it, and the encoder sees volumes as they did, (x, y, z). "intended": what was meant, several
    times cheaper; for training from scratch."""
    adapter: Width | None = None
    """Channels between the two layers of each block's adapter; None: no adapters."""
    frozen: bool = False
    """Of the encoder only the adapters are trained: attention, MLPs, norms and neck stay as they begin (CMC's figure
    freezes embeddings and attention alone). Needs `pretrained`, or a recipe with `init_from`."""
    specific_encoders: bool = False
    """One encoder per modality (CMC); all begin alike."""
    specific_decoders: bool = False
    """One decoder per modality (CMC); all begin alike."""
    fusion: Partners | None = None
    """CMC's awareness and fusion of what the encoders return. "paired": of all modalities in one pass, a lone one with
    itself; "alone": each with itself, in training too. None: decoders get what encoders return."""
    modality_norm: bool = False
    """The decoder's group norms per modality."""
    pretrained: Name | None = None
    """A checkpoint of SAM-Med3D to start from. See `networks/pretrained.py`."""
    pretrained_sha256: Digest | None = None
    """SHA-256 that the file must have."""
    concatenate: bool | None = None
    """All modalities in one pass (True), or one pass each (False); None is by device, see `run_modalities`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.patch & (self.patch - 1):
            below = 2 ** (self.patch.bit_length() - 1)
            raise InputError(
                f"SAMMed3DConfig.patch: expected a power of 2 (the decoder doubles the size until it is whole again), "
                f"got {self.patch}; take {below} or {2 * below}"
            )
        for name in ("neck", "size"):
            value = getattr(self, name)
            if value % self.patch:
                raise InputError(
                    f"SAMMed3DConfig.{name}: expected a multiple of patch={self.patch}, got {value}; take "
                    f"{nearest_multiple(value, self.patch)}"
                )
        if self.width % self.heads:
            raise InputError(
                f"SAMMed3DConfig.heads: expected a divisor of width={self.width}, got {self.heads}; take "
                f"{nearest_divisor(self.heads, self.width)}"
            )
        if any(number >= self.depth for number in self.global_blocks):
            raise InputError(
                f"SAMMed3DConfig.global_blocks: expected blocks from 0 to {self.depth - 1}, got {self.global_blocks}; "
                "leave out those above, or raise depth"
            )

    @classmethod
    def cmc(cls, pretrained: str | None = None, pretrained_sha256: str | None = None) -> "SAMMed3DConfig":
        """As in CMC: encoders frozen but for adapters (width 192) and decoders per modality, with a paired fusion."""
        return cls(
            adapter=192,
            frozen=True,
            specific_encoders=True,
            specific_decoders=True,
            fusion="paired",
            pretrained=pretrained,
            pretrained_sha256=pretrained_sha256,
        )

    @classmethod
    def small(cls) -> "SAMMed3DConfig":
        """For machines without a GPU, trained from scratch: 64x64x64 as 8x8x8 tokens of 96 channels, six blocks."""
        return cls(
            width=96,
            depth=6,
            heads=6,
            patch=8,
            size=64,
            window=4,
            global_blocks=(2, 5),
            neck=96,
            relative_positions="intended",
        )

    def build(self, modalities: Sequence[str], channels: int, classes: int, spatial_dims: int) -> "SAMMed3D":
        """Raises InputError for 2D images."""
        if spatial_dims != 3:
            raise InputError(
                f"SAM-Med3D segments volumes, got spatial_dims={spatial_dims}; for slices take another network"
            )
        return SAMMed3D(self, modalities, channels, classes)

    def load_pretrained(self, network: Network) -> dict[str, Any] | None:
        """Fill the network from the file that `pretrained` names, if any.

        Raises InputError for a file that can't be read, or is of another network, and for
        a frozen encoder that would stay at random numbers.
        """
        if self.pretrained is None:
            if self.frozen:
                raise InputError(
                    "network.frozen keeps the encoder as it begins, and nothing says where its weights come from: set "
                    "network.pretrained to a checkpoint of SAM-Med3D, or init_from to a run"
                )
            return None
        released = self.relative_positions == "released"
        report = load_into_sam_med3d(network, released, self.pretrained, self.pretrained_sha256)
        if self.frozen:
            weights = dict(network.named_parameters())
            missing = [name for name in report.fresh if name in weights and not weights[name].requires_grad]
            if missing:
                raise InputError(
                    f"{self.pretrained} has nothing that fits {len(missing)} of the frozen weights ({missing[0]} is "
                    "the first); take the checkpoint's width, depth, patch, neck and one channel, or set "
                    "network.frozen=false"
                )
        return report.as_json()


class SAMMed3D(SharedNetwork):
    """See the module's docstring. Features, for twelve blocks and a patch of 16:

    "encoder1" to "encoder12": after each block; "neck": what the encoder returns (F of CMC); with a fusion "awareness"
    (F_mia) and "fusion": what decoders get; "decoder4" to "decoder1": twice as large
    each time, "decoder1" has the images' size.
    """

    def __init__(self, config: SAMMed3DConfig, modalities: Sequence[str], channels: int, classes: int) -> None:
        super().__init__()
        self.config, self.modalities, self.channels, self.classes = config, tuple(modalities), channels, classes
        self.size_multiples = (config.patch,) * 3
        self.concatenate, self.mixed = config.concatenate, config.fusion == "paired"
        levels = config.patch.bit_length() - 1
        self.feature_names = (
            *(f"encoder{n}" for n in range(1, config.depth + 1)),
            "neck",
            *(("awareness", "fusion") if config.fusion else ()),
            *(f"decoder{n}" for n in range(levels, 0, -1)),
        )

        def encoder() -> SAMMed3DEncoder:
            return SAMMed3DEncoder(
                channels,
                config.width,
                config.depth,
                config.heads,
                config.patch,
                config.size,
                config.window,
                config.global_blocks,
                config.neck,
                config.relative_positions,
                config.adapter,
                config.frozen,
            )

        def decoder(names: Sequence[str]) -> Decoder:
            return Decoder(names, config.neck, levels, classes, shared_norms=not config.modality_norm)

        names = self.modalities
        specific = config.specific_encoders
        self.encoder = PerModality(begun_alike(lambda name: encoder(), names)) if specific else encoder()
        self.fusion = None if config.fusion is None else Fusion(names, config.neck, config.fusion)
        specific = config.specific_decoders
        self.decoder = PerModality(begun_alike(lambda name: decoder([name]), names)) if specific else decoder(names)

    def run(self, x: Images, groups: Groups) -> NetworkOutput:
        """One pass over `x`, whose batch axis holds the modalities of `groups` one after the other."""
        maps = self._encoded(x, groups)
        if self.fusion is not None:
            maps += self.fusion(maps[-1], groups)
        *decoded, logits = self.decoder(maps[-1], groups)
        return NetworkOutput(logits, dict(zip(self.feature_names, [*maps, *decoded], strict=True)))

    def _encoded(self, x: Images, groups: Groups) -> list[Tensor]:
        """The encoder's maps. The released weights know volumes by the axes of a file, (x, y, z), all of them flipped
        at random; (depth, height, width) of an axial volume is that the other way round."""
        if self.config.relative_positions != "released":
            return [*self.encoder(x, groups)]
        return [maps.transpose(2, 4) for maps in self.encoder(x.transpose(2, 4), groups)]


class Decoder(nn.Module):
    """Doubles the size `levels` times, halving the channels, and ends in logits."""

    def __init__(self, modalities: Sequence[str], channels: int, levels: int, classes: int, shared_norms: bool) -> None:
        super().__init__()
        self.levels = nn.ModuleList(Level(modalities, channels // 2**level, shared_norms) for level in range(levels))
        self.output = nn.Conv3d(channels // 2**levels, classes, 1)

    def forward(self, x: Features, groups: Groups) -> list[Tensor]:
        """The map of each level, deepest first, then the logits."""
        maps: list[Tensor] = []
        for level in self.levels:
            x = level(x, groups)
            maps.append(x)
        return [*maps, self.output(x)]


class Level(nn.Module):
    """Transposed convolution to twice the size and half the channels, then twice convolution, group norm, ReLU."""

    def __init__(self, modalities: Sequence[str], channels: int, shared_norms: bool) -> None:
        super().__init__()
        half = channels // 2

        def norm() -> ModalityNorm:
            return ModalityNorm("group", half, modalities, 3, shared_norms, eps=1e-5)

        self.up = nn.ConvTranspose3d(channels, half, 2, 2)
        self.convolution1, self.norm1 = nn.Conv3d(half, half, 3, padding=1), norm()
        self.convolution2, self.norm2 = nn.Conv3d(half, half, 3, padding=1), norm()

    def forward(self, x: Features, groups: Groups) -> Tensor:
        """(batch, half the channels, *twice the size)."""
        x = F.relu(self.norm1(self.convolution1(self.up(x)), groups))
        return F.relu(self.norm2(self.convolution2(x), groups))
