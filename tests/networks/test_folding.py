from typing import Any

import pytest
import torch
from torch import nn

from unpaired.errors import InputError
from unpaired.networks.class_embeddings import ModalityScale
from unpaired.networks.folding import fold_modality
from unpaired.networks.network import NetworkConfig
from unpaired.networks.nnformer import NNFormerConfig
from unpaired.networks.swin_unet import SwinUNetConfig

NAMES = ("ct", "mr")
FIELDS: dict[str, Any] = {"width": 8, "depths": (1, 2), "heads": (1, 2)}
SCALED = {"modality_scale": True, "image_embedding": True}
EVERYTHING = {**SCALED, "modality_norm": True, "specific_encoders": True}


def trained(config: NetworkConfig, dims: int) -> nn.Module:
    """With every weight moved away from where it begins."""
    torch.manual_seed(0)
    network = config.build(NAMES, 1, 3, dims).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return network.eval()


@pytest.mark.parametrize("options", [SCALED, EVERYTHING, {}], ids=["scaled", "everything", "nothing"])
@pytest.mark.parametrize("kind", ["swin_unet", "nnformer"])
def test_the_folded_network_says_the_same(kind: str, options: dict[str, bool]) -> None:
    if kind == "swin_unet":
        network, x = trained(SwinUNetConfig(window=3, patch=2, **FIELDS, **options), 2), torch.randn(2, 1, 8, 12)
    else:
        config = NNFormerConfig(windows=(2, 3), strides=(2,), **FIELDS, **options)
        network, x = trained(config, 3), torch.randn(2, 1, 4, 12, 8)
    x = x.double()
    for modality in NAMES:
        before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        plain = fold_modality(network, modality)  # pyright: ignore
        assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
        assert plain.modalities == (modality,)
        assert not [m for m in plain.modules() if isinstance(m, ModalityScale)]
        assert plain.class_embeddings is None
        assert not plain.training
        with torch.no_grad():
            whole, folded = network({modality: x})[modality], plain({modality: x})[modality]
        torch.testing.assert_close(folded.logits, whole.logits)
        torch.testing.assert_close(folded.features, whole.features)
        alone = {name for name, _ in plain.named_parameters() if "image_embedding" not in name}
        assert not [name for name in alone if "by_modality" in name]


def test_a_modality_it_does_not_know() -> None:
    network = SwinUNetConfig(**FIELDS).build(NAMES, 1, 3, 2)
    with pytest.raises(InputError, match="known: ct, mr"):
        fold_modality(network, "mri")  # pyright: ignore
