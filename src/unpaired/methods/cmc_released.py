"""The objective of CMC's released code (github.com/med-air/CMC, commit cb8dd11, `main.py`, `trainer.py`): "CMC-code".

    L = L_sup                                                             in the first 350 of 500 epochs
    L = L_sup + exp(-5 (1 - t)^2) L_CSC + (cos(pi t) + 1) / 2 L_CAC       after, t the share of training done
    L_sup = the mean over modalities of Dice (squared, per image) and cross-entropy
    L_CSC = the mean over images of NTXent({r_j}, {s_j}), temperature 0.5, r and s rows of the two modalities' F
    L_CAC = the mean over images and classes of 2 sum(a b) / (sum(a^2) + sum(b^2)), a and b logits

Both terms are of unlabeled images. It is not the paper's objective (`methods.cross_modality_collaboration`), and as
released neither term can train anything. Each defect is a field here, with a mended value; by default nothing is
mended, for this is a baseline that shows what the published code does. `docs/methods/cmc_released.md` has the list.
"""

import math
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from unpaired.configs import Name, Positive, Share
from unpaired.data.batch import Batch
from unpaired.errors import InputError
from unpaired.methods.anatomical_consistency import unlabeled_outputs
from unpaired.methods.cross_modality_collaboration import channel_consistency
from unpaired.methods.losses import cross_entropy, in_full_precision, soft_dice_loss
from unpaired.methods.method import Method, MethodConfig, Objective
from unpaired.methods.supervised import coarser_logits, labeled_outputs
from unpaired.networks.network import Network, NetworkOutput
from unpaired.shapes import Features, Logits, Scalar

CSC = Literal["rows", "gram", "gap", "vec"]
SMOOTH = 1e-6
"""Of L_CAC: in the numerator too, so a class that both logits are 0 in agrees."""


@dataclass(frozen=True)
class CMCReleasedConfig(MethodConfig):
    """The released objective; `CMCReleasedConfig.mended()` is the same with every defect mended."""

    start: Share = 0.7
    """The share of training after which both terms come in: epoch 350 of 500. Both ramps run over the whole training,
    so L_CSC comes in with 0.64, L_CAC with 0.21."""
    layer: Name = "encoder4"
    """F: what the encoder returns, before awareness."""
    unlabeled_gradient: bool = False
    """Released: unlabeled images are segmented under `no_grad`, so both terms are numbers that train nothing."""
    csc: CSC = "rows"
    """Released: "rows", contrast between rows of F reshaped to (positions, channels): a row is a piece of a channel in
    its order of storage, neither a channel nor a position. Mended: the cosine of channels, in a form of
    `methods.cross_modality_collaboration`, of which "gram" is the one for images of different people."""
    temperature: Positive = 0.5
    """What the similarities of csc="rows" are divided by."""
    cac_of: Literal["logits", "probabilities"] = "logits"
    """Released: Dice of raw logits, which is no overlap and is negative where they have opposite signs."""
    cac_minimizes: Literal["agreement", "disagreement"] = "agreement"
    """Released: the Dice itself is added, so that what is minimized is agreement. Mended: one minus it."""

    @classmethod
    def mended(cls) -> "CMCReleasedConfig":
        """Both terms train, on what the paper names, in its direction. L_CAC still compares voxel with voxel."""
        return cls(unlabeled_gradient=True, csc="gram", cac_of="probabilities", cac_minimizes="disagreement")

    def build(self, network: Network, classes: int) -> "CMCReleased":
        """Raises InputError if `network` lacks the feature map `layer`."""
        network.require_features([self.layer], "layer")
        return CMCReleased(network, self)


class CMCReleased(Method):
    """Terms "dice/<modality>", "ce/<modality>", "csc" and "cac"."""

    needs_unlabeled = True
    takes_unlabeled = True
    compares_unlabeled = True

    def __init__(self, network: Network, config: CMCReleasedConfig) -> None:
        super().__init__()
        self.network = network
        self.config = config

    def forward(self, batches: Mapping[str, Batch], progress: float) -> Objective:
        """The whole objective. "csc" and "cac" are 0 before `start`, and with unlabeled images of fewer than two
        modalities; over more than two they are means over pairs, of which the released code has one.

        Raises InputError for pairs of unlabeled images that differ in number or size.
        """
        outputs = labeled_outputs(self.network, batches)
        supervised = released_supervision(outputs, batches)
        csc, cac = supervised.loss.new_zeros(()), supervised.loss.new_zeros(())
        if progress >= self.config.start:
            with nullcontext() if self.config.unlabeled_gradient else torch.no_grad():
                unlabeled = unlabeled_outputs(self.network, batches)
            if len(unlabeled) > 1:
                _check_pairs(unlabeled)
                csc, cac = self._csc(unlabeled), self._cac(unlabeled)
        return supervised.plus("csc", ramp_up(progress), csc).plus("cac", ramp_down(progress), cac)

    def _csc(self, outputs: Mapping[str, NetworkOutput]) -> Scalar:
        features = {name: output.features[self.config.layer] for name, output in outputs.items()}
        if self.config.csc != "rows":
            return channel_consistency(features, self.config.csc)
        pairs = combinations(features.values(), 2)
        return torch.stack([row_contrast(a, b, self.config.temperature) for a, b in pairs]).mean()

    def _cac(self, outputs: Mapping[str, NetworkOutput]) -> Scalar:
        maps = [in_full_precision(output.logits) for output in outputs.values()]
        if self.config.cac_of == "probabilities":
            maps = [logits.softmax(dim=1) for logits in maps]
        agreement = torch.stack([dice_agreement(a, b) for a, b in combinations(maps, 2)]).mean()
        return agreement if self.config.cac_minimizes == "agreement" else 1 - agreement


def ramp_up(progress: float) -> float:
    """The weight of L_CSC, exp(-5 (1 - t)^2): from 0.007 to 1 over the whole training."""
    return math.exp(-5 * (1 - progress) ** 2)


def ramp_down(progress: float) -> float:
    """The weight of L_CAC, (cos(pi t) + 1) / 2: from 1 to 0 over the whole training."""
    return (math.cos(math.pi * progress) + 1) / 2


def released_supervision(outputs: Mapping[str, NetworkOutput], batches: Mapping[str, Batch]) -> Objective:
    """L_sup, and its terms by modality: MONAI's DiceCE as the code sets it, with squared denominators, of all classes.

    Dice is taken per image and class, an absent class counting 1 without gradient; here with 1e-7 in the denominator
    for its 1e-6. The modalities' mean, not sum. Raises InputError for coarser logits, which it has no losses for.
    """
    terms: dict[str, Tensor] = {}
    for modality, batch in batches.items():
        if coarser := coarser_logits(outputs[modality]):
            raise InputError(
                f"CMCReleasedConfig: expected a network without coarser logits, whose heads nothing would train, got "
                f"{', '.join(coarser)}; set network.deep_supervision to false, or take CMCConfig"
            )
        logits, labels = outputs[modality].logits, batch.label_map
        dice = [soft_dice_loss(logits[i : i + 1], labels[i : i + 1], batch.label_sets) for i in range(len(logits))]
        terms[f"dice/{modality}"] = torch.stack(dice).mean()
        terms[f"ce/{modality}"] = cross_entropy(logits, labels, batch.label_sets, "none")
    loss = torch.stack(list(terms.values())).sum() / len(batches)
    return Objective(loss, terms)


def row_contrast(a: Features, b: Features, temperature: float) -> Scalar:
    """L_CSC as released: the mean over images of SimCLR's loss between rows of a and of b, (batch, K, *spatial) both.

    F (K, *spatial) of an image is reshaped, not transposed, to rows of K entries. Row j of a and row j of b attract
    each other and repel all other rows of both. The code asks for a batch of 2, which MONAI 1.3.0, the one it
    names, ignores: it takes all rows. At the released size it makes a tensor of 137 GB of them; this, a matrix product.
    """
    losses: list[Tensor] = []
    for image_a, image_b in zip(in_full_precision(a), in_full_precision(b), strict=True):
        rows = torch.cat([image.reshape(-1, len(image)) for image in (image_a, image_b)])
        with torch.autocast(rows.device.type, enabled=False):
            units = F.normalize(rows, eps=1e-8)
            similarity = (units @ units.mT) / temperature
        N = len(rows) // 2
        positive = torch.cat([similarity.diagonal(N), similarity.diagonal(-N)])
        itself = torch.eye(2 * N, dtype=torch.bool, device=rows.device)
        losses.append((similarity.masked_fill(itself, -math.inf).logsumexp(dim=1) - positive).mean())
    return torch.stack(losses).mean()


def dice_agreement(a: Logits, b: Logits) -> Scalar:
    """The mean over images and all classes of 2 sum(a b) / (sum(a^2) + sum(b^2)), in [-1, 1]; voxel with voxel."""
    overlap, total = (a * b).flatten(2).sum(dim=2), (a.square() + b.square()).flatten(2).sum(dim=2)
    return ((2 * overlap + SMOOTH) / (total + SMOOTH)).mean()


def _check_pairs(outputs: Mapping[str, NetworkOutput]) -> None:
    shapes = {name: tuple(output.logits.shape) for name, output in outputs.items()}
    if len(set(shapes.values())) > 1:
        raise InputError(
            f"CMC's released code pairs unlabeled image i of one modality with image i of the other, got {shapes}; "
            "give one patch size, and unlabeled images in equal numbers"
        )
