"""CMC's released objective: each defect is there as released, and gone where it is mended."""

import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch

from unpaired.data.batch import Batch
from unpaired.errors import InputError
from unpaired.methods.cmc_released import (
    CMCReleased,
    CMCReleasedConfig,
    dice_agreement,
    ramp_down,
    ramp_up,
    released_supervision,
    row_contrast,
)
from unpaired.networks.cmc_released import CMCReleasedNetworkConfig
from unpaired.networks.network import Network, NetworkOutput

C = 3
NAMES = ("ct", "mr")
RELEASED, MENDED = CMCReleasedConfig(), CMCReleasedConfig.mended()


class Logits(Network):
    """A network whose answer for each unlabeled image is a parameter, so that a term's own gradient can be seen."""

    def __init__(self, **logits: torch.Tensor) -> None:
        super().__init__()
        self.modalities, self.channels, self.size_multiples = tuple(logits), 1, (1, 1)
        self.feature_names = ("encoder4",)
        self.answers = torch.nn.ParameterDict(logits)

    def forward(self, images: Mapping[str, torch.Tensor]) -> dict[str, NetworkOutput]:
        return {name: NetworkOutput(self.answers[name] + 0 * x, {"encoder4": x}) for name, x in images.items()}


def batches(unlabeled: tuple[str, ...] = NAMES, count: int = 2) -> dict[str, Batch]:
    generator = torch.Generator().manual_seed(0)

    def draw() -> torch.Tensor:
        return torch.randn(count, 1, 16, 16, generator=generator)

    return {
        name: Batch(
            draw(),
            torch.randint(0, C, (count, 16, 16), generator=generator),
            torch.eye(C, dtype=torch.bool),
            draw() if name in unlabeled else None,
        )
        for name in NAMES
    }


def built(config: CMCReleasedConfig) -> CMCReleased:
    torch.manual_seed(0)
    return config.build(CMCReleasedNetworkConfig(width=2).build(NAMES, 1, C, 2), C)


def gradients(config: CMCReleasedConfig, data: dict[str, Batch], progress: float = 0.9) -> torch.Tensor:
    method = built(config)
    method(data, progress).loss.backward()
    return torch.cat([p.grad.flatten() for p in method.parameters() if p.grad is not None])


def test_unlabeled_images_train_nothing_as_released() -> None:
    """The defect that gave issue 24: with and without unlabeled images the weights move alike, to the last bit."""
    with_them = batches()
    without = {name: batch._replace(unlabeled=None) for name, batch in with_them.items()}
    assert torch.equal(gradients(RELEASED, with_them), gradients(RELEASED, without))
    terms = built(RELEASED)(with_them, 0.9).terms
    assert terms["csc"] > 0, "though both terms are logged"
    assert terms["cac"] != 0
    assert not torch.equal(gradients(MENDED, with_them), gradients(MENDED, without))


@pytest.mark.parametrize("term", ["csc", "cac"])
def test_each_mended_term_trains_what_the_unlabeled_images_pass(term: str) -> None:
    method = built(replace(MENDED, csc="gram"))
    unlabeled = {name: batch.unlabeled for name, batch in batches().items() if batch.unlabeled is not None}
    outputs = method.network(unlabeled)
    (method._csc if term == "csc" else method._cac)(outputs).backward()
    for name, parameter in method.network.named_parameters():
        trained = parameter.grad is not None and bool(parameter.grad.abs().max() > 0)
        if name.startswith("encoder") and name.endswith("convolution.weight"):
            assert trained, name
        if name.startswith(("decoder", "up", "output", "fuse", "convert")) and name.endswith("weight"):
            assert trained == (term == "cac"), name


def test_more_agreement_raises_the_released_loss() -> None:
    """Two networks that differ in how alike their answers for unlabeled images are."""
    answer = torch.randn(2, C, 8, 8, generator=torch.Generator().manual_seed(1))
    images = {name: torch.zeros(2, 1, 8, 8) for name in NAMES}
    cac = {}
    for config in (RELEASED, MENDED):
        for kind, other in (("alike", answer), ("apart", -answer)):
            method = config.build(Logits(ct=answer.clone(), mr=other.clone()), C)
            cac[config, kind] = method._cac(method.network(images)).item()
    assert cac[RELEASED, "alike"] == pytest.approx(1)
    assert cac[RELEASED, "apart"] == pytest.approx(-1), "a Dice of raw logits is no overlap"
    assert cac[RELEASED, "alike"] > cac[RELEASED, "apart"], "so that minimizing it draws predictions apart"
    assert cac[MENDED, "alike"] == pytest.approx(0, abs=1e-5)
    assert 0 < cac[MENDED, "apart"] <= 1


def test_a_step_down_the_mended_term_makes_predictions_alike_and_down_the_released_one_unlike() -> None:
    generator = torch.Generator().manual_seed(1)
    ct, mr = (torch.randn(2, C, 8, 8, generator=generator) for _ in NAMES)
    for config, closer in ((RELEASED, False), (MENDED, True)):
        network = Logits(ct=ct.clone(), mr=mr.clone())
        method = config.build(network, C)
        images = {name: torch.zeros(2, 1, 8, 8) for name in NAMES}
        before = agreement(network(images))
        method._cac(network(images)).backward()
        with torch.no_grad():
            for answer in network.answers.values():
                answer -= 50 * answer.grad
        assert (agreement(network(images)) > before) == closer


def agreement(outputs: Mapping[str, NetworkOutput]) -> float:
    return dice_agreement(*(output.logits.softmax(1) for output in outputs.values())).item()


def test_rows_are_pieces_of_channels_as_released() -> None:
    """NTXent in loops. Shuffling positions alike in both changes it: no channel is compared. "gram" stays."""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(2, 3, 2, 3, generator=generator) for _ in range(2))
    losses = []
    for first, second in zip(a, b, strict=True):
        flat = [*first.flatten().tolist()], [*second.flatten().tolist()]
        rows = [np.array(values[start : start + 3]) for values in flat for start in range(0, 18, 3)]
        rows = [row / np.sqrt((row**2).sum()) for row in rows]
        for j in range(12):
            scores = [math.exp(rows[j] @ rows[k] / 0.5) for k in range(12)]
            losses.append(-math.log(scores[(j + 6) % 12] / (sum(scores) - scores[j])))
    assert row_contrast(a, b, 0.5).item() == pytest.approx(np.mean(losses), rel=1e-5)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    moved = [F.flatten(2)[..., order].reshape(F.shape) for F in (a, b)]
    assert row_contrast(*moved, 0.5).item() != pytest.approx(np.mean(losses), rel=1e-3)
    for config, same in ((RELEASED, False), (MENDED, True)):
        method = config.build(Logits(ct=torch.zeros(1), mr=torch.zeros(1)), C)
        before, after = (
            float(method._csc({n: NetworkOutput(F, {"encoder4": F}) for n, F in zip(NAMES, pair, strict=True)}))
            for pair in ((a, b), moved)
        )
        assert (after == pytest.approx(before, rel=1e-4)) == same


def test_supervision_is_the_mean_over_modalities_of_dice_per_image_and_cross_entropy() -> None:
    generator = torch.Generator().manual_seed(0)
    data = batches()
    outputs = {name: NetworkOutput(torch.randn(2, C, 16, 16, generator=generator), {}) for name in NAMES}
    expected = []
    for name, batch in data.items():
        p = outputs[name].logits.softmax(1)
        for i in range(2):
            for c in range(C):
                g = (batch.label_map[i] == c).float()
                expected.append((1 - 2 * float((p[i, c] * g).sum() / (p[i, c].square().sum() + g.sum()))) / (4 * C))
            true = p[i].gather(0, batch.label_map[i].unsqueeze(0))
            expected.append(float(-true.log().mean()) / 4)
    objective = released_supervision(outputs, data)
    assert objective.loss.item() == pytest.approx(sum(expected), rel=1e-5)
    assert set(objective.terms) == {"dice/ct", "ce/ct", "dice/mr", "ce/mr"}


def test_both_terms_come_in_at_epoch_350_with_the_weights_of_the_whole_training() -> None:
    assert ramp_up(0.7) == pytest.approx(0.6376, abs=1e-4)
    assert ramp_down(0.7) == pytest.approx(0.2061, abs=1e-4)
    assert (ramp_up(1.0), ramp_down(0.0)) == (1.0, 1.0)
    method, data = built(RELEASED), batches()
    before, after = method(data, 0.699), method(data, 0.7)
    assert before.terms["csc"] == before.terms["cac"] == 0
    weighted = ramp_up(0.7) * after.terms["csc"] + ramp_down(0.7) * after.terms["cac"]
    torch.testing.assert_close(after.loss, before.loss + weighted)


def test_over_three_modalities_both_terms_are_means_over_pairs() -> None:
    generator = torch.Generator().manual_seed(0)
    maps = {name: torch.randn(2, C, 3, 3, generator=generator) for name in (*NAMES, "lge")}
    method = RELEASED.build(Logits(**{name: torch.zeros(1) for name in maps}), C)
    outputs = {name: NetworkOutput(z, {"encoder4": z}) for name, z in maps.items()}
    pairs = list(combinations([z.double().numpy() for z in maps.values()], 2))
    dice = [
        2 * np.sum(a[i, c] * b[i, c]) / np.sum(a[i, c] ** 2 + b[i, c] ** 2)
        for a, b in pairs
        for i in range(2)
        for c in range(C)
    ]
    assert method._cac(outputs).item() == pytest.approx(np.mean(dice), rel=1e-4)
    contrasts = [row_contrast(torch.from_numpy(a), torch.from_numpy(b), 0.5).item() for a, b in pairs]
    assert method._csc(outputs).item() == pytest.approx(np.mean(contrasts), rel=1e-4)


def test_a_modality_without_unlabeled_images_has_no_partner() -> None:
    terms = built(RELEASED)(batches(unlabeled=("ct",)), 0.9).terms
    assert terms["csc"] == terms["cac"] == 0


def test_wrong_values_get_one_line() -> None:
    with pytest.raises(InputError, match="no feature map 'neck'"):
        built(replace(RELEASED, layer="neck"))
    data = batches()
    data["ct"] = data["ct"]._replace(unlabeled=torch.randn(3, 1, 16, 16))
    alone = CMCReleasedNetworkConfig(width=2, fusion="alone").build(NAMES, 1, C, 2)
    with pytest.raises(InputError, match="pairs unlabeled image i") as caught:
        RELEASED.build(alone, C)(data, 0.9)
    assert "\n" not in str(caught.value)


def test_heads_that_nothing_would_train_are_refused() -> None:
    output = NetworkOutput(torch.zeros(2, C, 16, 16), {"logits/2": torch.zeros(2, C, 8, 8)})
    with pytest.raises(InputError, match=r"without coarser logits, .* got logits/2; set network\.deep_supervision"):
        released_supervision(dict.fromkeys(NAMES, output), batches())


def test_the_page_names_every_field() -> None:
    page = (Path(__file__).parents[2] / "docs" / "methods" / "cmc_released.md").read_text(encoding="utf-8")
    for config in (RELEASED, CMCReleasedNetworkConfig()):
        for field in config.__dataclass_fields__:
            assert f"`{field}" in page or field in ("width",), field
