"""A trained network as a plain torch module of one modality, and that module as a graph: what leaves the package.

Everything that belongs to other modalities is left out (their norms, encoders, embeddings), and where a modality's
scales are constants they are folded into the layers before them (`networks.folding`). So are heads that serve training
alone. What a method trains besides the network is not part of it to begin with.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.export import Dim, ExportedProgram, export

from unpaired.errors import InputError
from unpaired.networks.deep_supervision import AuxiliaryOutputs
from unpaired.networks.folding import fold_modality
from unpaired.networks.independent import IndependentNetworks
from unpaired.networks.network import Network
from unpaired.networks.nnformer import NNFormer
from unpaired.networks.shared_network import SharedNetwork, check_modalities
from unpaired.networks.swin_unet import SwinUNet
from unpaired.shapes import Images, Logits

IMAGES, LOGITS = "images", "logits"
"""What a graph calls its input and its output."""


class OneModality(nn.Module):
    """Images (batch, channel, *spatial) of one modality to logits (batch, class, *spatial); in evaluation mode."""

    def __init__(self, network: Network, modality: str) -> None:
        super().__init__()
        self.network = network
        self.modality = modality
        for module in self.modules():  # onnxscript writes a bias of two axes where there is none (its issue 2931)
            if isinstance(module, nn.Conv3d) and module.bias is None:
                module.bias = nn.Parameter(module.weight.new_zeros(module.out_channels))
        # With gradients attention has sums in place and a result that lies otherwise in memory, which no graph takes.
        self.eval().requires_grad_(False)

    def forward(self, images: Images) -> Logits:
        """What `Network.forward` says of images of this modality alone, a network that fuses with itself included."""
        if isinstance(self.network, SharedNetwork):  # not by its forward: its checks of sizes need fixed ones
            return self.network.run(images, {self.modality: images.shape[0]}).logits
        return self.network({self.modality: images})[self.modality].logits


def one_modality(network: Network, modality: str) -> OneModality:
    """The part of a network that segments images of one modality, on the CPU; the network is left as it is.

    In evaluation its logits are the network's (of one image alone), up to rounding where scales were folded. Raises
    InputError for a modality that the network doesn't know.
    """
    check_modalities([modality], network.modalities)
    if isinstance(network, IndependentNetworks):
        return one_modality(network.alone(modality), modality)
    alone = copy.deepcopy(network).cpu().eval()
    if isinstance(alone, SwinUNet | NNFormer):
        folded = fold_modality(alone, modality)
        if isinstance(folded, NNFormer):
            del folded.outputs[1:]
        return OneModality(folded, modality)
    others = set(network.modalities) - {modality}
    for module in alone.modules():
        if isinstance(module, AuxiliaryOutputs):
            del module[:]
        if isinstance(module, nn.ModuleDict) and modality in module:
            for name in others & set(module):
                del module[name]
    return OneModality(alone, modality)


def trace(network: OneModality, size: Sequence[int], channels: int, *, any_size: bool = False) -> ExportedProgram:
    """The network as torch's graph of its operations, for one image (1, channels, *size).

    With `any_size` the spatial sizes are left open. Raises InputError for a network that can't be written as a
    graph, and for one whose graph depends on its image's size, as that of Transformers does, where sizes are to be
    left open.
    """
    example = torch.zeros(1, channels, *size)
    axes: Any = (dict.fromkeys(range(2, example.ndim), Dim.DYNAMIC),) if any_size else None
    try:
        with torch.no_grad():
            return without_unused(export(network, (example,), dynamic_shapes=axes))
    except InputError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        advice = "leave the sizes as they are" if any_size else "its forward has to be plain torch"
        kind = type(network.network).__name__
        raise InputError(
            f"{kind} can't be written as a graph for {'any size' if any_size else tuple(size)} ({reason}); {advice}"
        ) from error


def without_unused(program: ExportedProgram) -> ExportedProgram:
    """The program, whose stored tensors are those that its graph reads, without notes on this machine's files."""
    signature = program.graph_signature
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    used = []
    for spec in signature.input_specs:
        if spec.target is None or nodes[spec.arg.name].users:
            used.append(spec)
            continue
        program.graph.erase_node(nodes[spec.arg.name])
        program.state_dict.pop(spec.target, None)
        program.constants.pop(spec.target, None)
    signature.input_specs[:] = used
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    program.graph_module.recompile()
    return program
