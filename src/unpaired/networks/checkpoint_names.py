"""How released checkpoints name their tensors, and how we do: tables of patterns, tried in order."""

import re
from collections.abc import Sequence

Rename = Sequence[tuple[str, str]]

BLOCKS: Rename = (
    (r"\.attn\.relative_position_bias_table$", ".attention.bias_table"),
    (r"\.attn\.", ".attention."),
)
SWIN_ENCODER: Rename = (
    (r"^patch_embed\.proj\.", "encoder.embedding."),
    (r"^patch_embed\.norm\.", "encoder.embedding_norm."),
    (r"^layers\.(\d+)\.blocks\.", r"encoder.stages.\1.blocks."),
    (r"^layers\.(\d+)\.downsample\.", r"encoder.merges.\1."),
    (r"^norm\.", "encoder.norm."),
    *BLOCKS,
)
SWIN_DECODER_BLOCKS: Rename = ((r"^layers\.(\d+)\.blocks\.", r"decoder.stages.\1.blocks."), *BLOCKS)
SWIN_NNFORMER: Rename = (
    (r"^patch_embed\.norm\.", "encoder.embedding_norm."),
    (r"^layers\.(\d+)\.blocks\.", r"encoder.stages.\1.blocks."),
    (r"^norm(\d+)\.", r"encoder.norms.\1."),
    *BLOCKS,
)
NNFORMER: Rename = (
    (r"^model_down\.patch_embed\.proj(\d)\.conv(\d)\.", r"encoder.project\1.convolution\2."),
    (r"^model_down\.patch_embed\.proj(\d)\.", r"encoder.project\1."),
    (r"^model_down\.patch_embed\.norm\.", "encoder.embedding_norm."),
    (r"^model_down\.layers\.(\d+)\.blocks\.", r"encoder.stages.\1.blocks."),
    (r"^model_down\.layers\.(\d+)\.downsample\.reduction\.", r"encoder.downs.\1.convolution."),
    (r"^model_down\.layers\.(\d+)\.downsample\.norm\.", r"encoder.downs.\1.norm."),
    (r"^model_down\.norm(\d+)\.", r"encoder.norms.\1."),
    (r"^decoder\.layers\.(\d+)\.blocks\.", r"decoder.stages.\1.blocks."),
    (r"^decoder\.layers\.(\d+)\.Upsample\.up\.", r"decoder.ups.\1.convolution."),
    (r"^decoder\.layers\.(\d+)\.Upsample\.norm\.", r"decoder.ups.\1.norm."),
    (r"^final\.(\d+)\.up\.", r"outputs.\1."),
    *BLOCKS,
)
SAM_MED3D: Rename = (
    (r"^image_encoder\.", ""),
    (r"^(?=(patch_embed|pos_embed|blocks|neck)\b)", "encoder."),
    (r"^encoder\.patch_embed\.proj\.", "encoder.embedding."),
    (r"^encoder\.pos_embed$", "encoder.positions"),
    (r"\.attn\.rel_pos_([dhw])$", r".attention.relative_\1"),
    (r"\.attn\.", ".attention."),
    (r"\.mlp\.lin(\d)\.", r".mlp.fc\1."),
)


def swin_unet_names(stages: int) -> Rename:
    """The released Swin-Unet's names for a network of so many stages. It counts the decoder from the deep end."""
    last = stages - 1
    decoder = [(r"^layers_up\.0\.(expand|norm)\.", rf"decoder.expands.{last - 1}.\1.")]
    for number in range(1, stages):
        decoder += [
            (rf"^layers_up\.{number}\.blocks\.", f"decoder.stages.{last - number}.blocks."),
            (rf"^layers_up\.{number}\.upsample\.", f"decoder.expands.{last - number - 1}."),
            (rf"^concat_back_dim\.{number}\.", f"decoder.joins.{last - number}."),
        ]
    return (*SWIN_ENCODER, *decoder, (r"^norm_up\.", "decoder.norm."), (r"^up\.", "decoder.expand."))


def residual_encoder_names(stages: int) -> Rename:
    """nnU-Net's names of a residual-encoder U-Net of so many stages. It counts the decoder from the deep end."""
    decoder: list[tuple[str, str]] = []
    for number in range(stages - 1):
        here = stages - 2 - number
        decoder += [
            (rf"^decoder\.stages\.{number}\.convs\.0\.", f"decoder.{here}."),
            (rf"^decoder\.transpconvs\.{number}\.", f"up.{here}."),
        ]
    return (
        (r"^encoder\.", ""),
        (r"^stem\.convs\.0\.", "stem."),
        (r"^stages\.(\d+)\.", r"encoder.\1."),
        (r"\.conv1\.", ".first."),
        (r"\.conv2\.", ".second."),
        (r"\.skip\.\d+\.", ".project."),
        *decoder,
        (r"\.conv\.(weight|bias)$", r".convolution.\1"),
    )


def renamed(name: str, table: Rename) -> str:
    """A checkpoint's name in our words; unchanged where the table has none."""
    for pattern, replacement in table:
        name = re.sub(pattern, replacement, name)
    return name


def plain_name(name: str) -> str:
    """The name of a network's tensor as if all modalities shared everything: what a checkpoint can speak of."""
    return re.sub(r"(shared|by_modality\.[^.]+)\.", "", name)
