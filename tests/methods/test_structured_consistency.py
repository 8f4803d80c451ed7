"""SSC as a whole: its objective, rows, embeddings and training, and fields that do not fit."""

from dataclasses import replace

import pytest
import torch
from random_batches import C, random_batches
from torch import Tensor, nn

from oracles import structured_consistency_in_volumes as in_volumes
from unpaired.data.batch import Batch
from unpaired.errors import InputError
from unpaired.methods.structured_consistency import (
    SSC,
    SSCConfig,
)
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.class_embeddings import ClassEmbeddings
from unpaired.networks.external_attention import EAMConfig
from unpaired.networks.fcn import FCN, FCNConfig
from unpaired.networks.swin_unet import SwinUNetConfig
from unpaired.networks.ummkd_unet import UMMKDUNetConfig

SCALES = ("group9", "group5", "group3")

PLAIN = SSCConfig(scales=SCALES)

SMALL = FCNConfig(width=2, dropout=0.0)


def method_of(names: tuple[str, ...] = ("ct", "mr"), config: SSCConfig = PLAIN) -> SSC:
    torch.manual_seed(0)
    return config.build(SMALL.build(names, 1, C, 2), C)


@pytest.mark.parametrize("names", [("ct", "mr"), ("ct", "mr", "lge")], ids=len)
def test_equation_12(names: tuple[str, ...]) -> None:
    config = replace(PLAIN, auxiliary_weight=0.3, modality_weight=0.5, image_weight=0.7, dice_weight=2.0)
    method, data = method_of(names, config), random_batches(names)
    loss, terms = method(data, 0.0)
    supervised = SupervisedConfig(dice_weight=2.0).build(method.network, C)(data, 0.0)
    auxiliary = [f"aux/{name}" for name in names]
    distances = [f"class_distance/{number}" for number in range(C)]
    assert list(terms) == [*supervised.terms, *auxiliary, "mod", "img", *distances]
    torch.testing.assert_close(terms["mod"], sum(terms[name] for name in distances) / C)
    expected = supervised.loss + 0.3 * sum(terms[name] for name in auxiliary) + 0.5 * terms["mod"] + 0.7 * terms["img"]
    torch.testing.assert_close(loss, expected)
    assert all(term > 0 for term in terms.values())


@pytest.mark.parametrize("names", [("ct", "mr"), ("ct", "mr", "lge")], ids=len)
def test_equations_1_to_12_in_volumes(names: tuple[str, ...]) -> None:
    """From feature maps and logits to the loss; predictions on 1x2x4, 2x4x8 and 4x8x16 become 8x16x32."""
    torch.manual_seed(0)
    config = SSCConfig(
        scales=("encoder4", "decoder3", "decoder2"),
        auxiliary_weight=0.3,
        modality_weight=0.5,
        image_weight=0.7,
        attention=EAMConfig(heads=(4, 2, 2)),
    )
    network = UMMKDUNetConfig(width=1, norm="instance", initialization="he").build(names, 1, C, 3)
    method, data = config.build(network, C).double(), random_batches(names, (8, 16, 32))
    data = {name: batch._replace(images=batch.images.double()) for name, batch in data.items()}
    with torch.no_grad():
        for parameter in method.attention.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
        loss, terms = method(data, 0.0)
        outputs = network({name: batch.images for name, batch in data.items()})
    labels = {name: batch.label_map.numpy() for name, batch in data.items()}
    expected = in_volumes.terms(
        {name: [output.features[scale].numpy() for scale in config.scales] for name, output in outputs.items()},
        labels,
        {name: method.class_embeddings(name).detach().numpy() for name in names},
        {name: {key: x.numpy() for key, x in method.attention[name].state_dict().items()} for name in names},
        (4, 2, 2),
        config.temperature,
    )
    assert {name: terms[name].item() for name in expected} == pytest.approx(expected, rel=1e-8)
    weights = {"mod": 0.5, "img": 0.7}
    segmentation = sum(in_volumes.segmentation_loss(outputs[n].logits.numpy(), labels[n]) for n in names)
    consistency = sum(weights.get(name, 0.3) * value for name, value in expected.items())
    assert loss.item() == pytest.approx(segmentation + consistency, rel=1e-8)


@pytest.mark.parametrize(
    ("weights", "terms"),
    [
        ({"modality_weight": 0.0, "image_weight": 0.0}, {"aux/ct", "aux/mr"}),
        ({"image_weight": 0.0}, {"aux/ct", "aux/mr", "mod"}),
        ({"modality_weight": 0.0}, {"aux/ct", "aux/mr", "img"}),
        ({"auxiliary_weight": 0.0, "image_scales": "first"}, {"mod", "img"}),
        ({"auxiliary_weight": 0.0, "modality_weight": 0.0, "image_weight": 0.0}, set()),
    ],
)
def test_a_row_has_its_terms_and_trains_all_it_has(weights: dict[str, float], terms: set[str]) -> None:
    """Every weight gets a gradient, so that several processes (DDP) never wait for one that doesn't."""
    method = method_of(config=replace(PLAIN, **weights))  # pyright: ignore[reportArgumentType]
    objective = method(random_batches(("ct", "mr")), 0.0)
    assert {name for name in objective.terms if not name.startswith(("dice/", "ce/", "class_distance/"))} == terms
    objective.loss.backward()
    without = {name for name, p in method.named_parameters() if p.grad is None and not name.startswith("embeddings")}
    assert not without
    if terms:
        assert all(p.grad is not None for p in method.class_embeddings.parameters())


def trained_by(method: SSC, **weights: float) -> set[str]:
    silent = {"dice_weight": 0.0, "cross_entropy_weight": 0.0, "auxiliary_weight": 0.0}
    config = replace(method.config, **(silent | {"modality_weight": 0.0, "image_weight": 0.0} | weights))
    method = config.build(method.network, C)
    method.zero_grad()
    method(random_batches(("ct", "mr")), 0.0).loss.backward()
    return {name for name, p in method.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}


def test_each_term_trains_what_it_is_meant_to() -> None:
    method = method_of()
    embeddings = {f"embeddings.by_modality.{name}.weight" for name in ("ct", "mr")}
    assert trained_by(method, modality_weight=1.0) == embeddings
    image = trained_by(method, image_weight=1.0)
    below = ("network.first", *(f"network.groups.{i}." for i in range(9)))
    assert embeddings <= image
    assert {n for n in image if n.startswith("network.")} == {
        n for n, _ in method.named_parameters() if n.startswith(below)
    }
    for modality in ("ct", "mr"):
        for scale, parts in enumerate((("query", "key", "filters"), ("query", "key", "filters", "reduce"))):
            assert {f"attention.{modality}.scales.{scale}.{part}.weight" for part in parts} <= image
    auxiliary = trained_by(method, auxiliary_weight=1.0)
    assert {f"attention.{m}.scales.{s}.predict.weight" for m in ("ct", "mr") for s in range(3)} <= auxiliary
    assert not any("filters" in name for name in auxiliary)


def test_prediction_needs_no_attention_module() -> None:
    """Deleting the EAMs, and the embeddings, leaves the logits as they are."""
    method = method_of().eval()
    images = random_batches(("ct",))["ct"].images
    before = method.predict(images, "ct")
    del method.attention, method.embeddings
    torch.testing.assert_close(method.predict(images, "ct"), before, rtol=0, atol=0)


def test_the_attention_module_leaves_the_networks_start_alone() -> None:
    """Same seed, same network weights, whether a row has EAMs or not: rows start equal."""
    torch.manual_seed(0)
    plain = SMALL.build(("ct", "mr"), 1, C, 2)
    for name, parameter in method_of().network.named_parameters():
        assert torch.equal(parameter, plain.get_parameter(name))


class FCNWithEmbeddings(FCN):
    """A network that has class embeddings of its own."""

    class_embeddings: ClassEmbeddings


def test_embeddings_of_the_network_are_used_where_it_has_them() -> None:
    torch.manual_seed(0)
    network = FCNWithEmbeddings(SMALL, ("ct", "mr"), 1, C, 2)
    network.class_embeddings = ClassEmbeddings(("ct", "mr"), C, 7)
    method = PLAIN.build(network, C)
    assert method.embeddings is None
    assert method.class_embeddings is network.class_embeddings
    assert method(random_batches(("ct", "mr")), 0.0).terms["mod"] > 0
    assert sum("class_embeddings" in name for name, _ in method.named_parameters()) == 2


def test_v3_on_a_transformer_begins_as_v2_and_trains_all_it_has() -> None:
    """Row V3 + CR: the embeddings are the network's, and L_mod, EAM and channel scale all pull at them."""
    v2_config = SwinUNetConfig(width=4, depths=(1, 1, 1), heads=(1, 1, 1), window=2, patch=2, drop_path=0.0)
    data = random_batches(("ct", "mr"), (16, 16))
    methods = []
    for network_config in (v2_config, replace(v2_config, modality_scale=True, image_embedding=True)):
        torch.manual_seed(0)
        network = network_config.build(("ct", "mr"), 1, C, 2)
        methods.append(SSCConfig(scales=("decoder2", "decoder1")).build(network, C))
    v2, v3 = methods
    assert v2.embeddings is not None
    assert v3.embeddings is None
    assert v3.class_embeddings is v3.network.class_embeddings
    v2_weights = v2.network.state_dict()
    shared = {name: v2_weights[name] for name in v3.network.state_dict() if name in v2_weights}
    assert set(shared) == set(v2_weights)
    v3.network.load_state_dict(shared, strict=False)
    images = {name: batch.images for name, batch in data.items()}
    plain = v2.network(images)
    v3.network.image_embedding = None
    for name, output in v3.network(images).items():
        torch.testing.assert_close(output.logits, plain[name].logits, rtol=0, atol=0)
    v3(data, 0.0).loss.backward()
    unmoved = {name for name, p in v3.named_parameters() if p.grad is None or p.grad.abs().max() == 0}
    # at the first step W_agg has no gradient yet, because P_l begins at 0
    assert all("aggregate" in name or "relative" in name for name in unmoved), unmoved
    assert not any(p.grad is None for p in v3.parameters())


def test_half_precision_features_are_compared_in_full_precision() -> None:
    method, data = method_of(), random_batches(("ct", "mr"))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, terms = method(data, 0.0)
    assert loss.dtype == terms["img"].dtype == terms["aux/ct"].dtype == torch.float32


def test_a_step_with_one_modality_has_nothing_to_agree_on() -> None:
    _, terms = method_of()(random_batches(("ct",)), 0.0)
    assert terms["mod"] == 0
    assert terms["img"] == 0


def visible_batches() -> dict[str, Batch]:
    """Blocks of 8x8 pixels that show their class: brighter from class to class in CT, darker in MR. Double precision.

    Labels drawn apart from the images teach nothing: what a few steps do to the terms then hangs on rounding.
    """
    generator = torch.Generator().manual_seed(0)
    batches = {}
    for name, sign in (("ct", 1), ("mr", -1)):
        label_map = torch.randint(0, C, (2, 4, 4), generator=generator).repeat_interleave(8, 1).repeat_interleave(8, 2)
        noise = torch.randn(2, 1, 32, 32, generator=generator, dtype=torch.float64)
        batches[name] = Batch(sign * label_map[:, None] + 0.1 * noise, label_map, torch.eye(C, dtype=torch.bool))
    return batches


def terms_before_and_after_training(config: SSCConfig, steps: int, momentum: float) -> list[dict[str, Tensor]]:
    """Plain gradient descent in double precision: Adam turns a gradient that is only rounding into a full step."""
    method, data = method_of(config=config).double(), visible_batches()
    for embeddings in method.class_embeddings.parameters():
        nn.init.normal_(embeddings)
    optimizer = torch.optim.SGD(method.parameters(), lr=1e-2, momentum=momentum)
    before = method(data, 0.0).terms
    for _ in range(steps):
        optimizer.zero_grad()
        method(data, 0.0).loss.backward()
        optimizer.step()
    return [dict(before), dict(method(data, 0.0).terms)]


UNSUPERVISED = replace(PLAIN, dice_weight=0.0, cross_entropy_weight=0.0)


def test_training_finds_the_classes_and_brings_embeddings_together() -> None:
    before, after = terms_before_and_after_training(UNSUPERVISED, steps=30, momentum=0.9)
    assert after["mod"] < 0.2 * before["mod"]
    assert all(after[name] < 0.6 * before[name] for name in ("aux/ct", "aux/mr"))


def test_training_brings_correlations_together() -> None:
    alone = replace(UNSUPERVISED, auxiliary_weight=0.0, modality_weight=0.0, temperature=0.01)
    before, after = terms_before_and_after_training(alone, steps=10, momentum=0.0)
    assert after["img"] < 0.6 * before["img"]


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (SSCConfig(scales=("decoder3",)), "scales: the network has no feature map 'decoder3'"),
        (replace(PLAIN, scales=("grop3",)), "no feature map 'grop3'; did you mean group3"),
        (
            replace(PLAIN, attention=EAMConfig(heads=(3, 2, 1))),
            r"divides its channels \(64, 32, 8\), got \(3, 2, 1\); take \(2, 2, 2\)",
        ),
        (replace(PLAIN, attention=EAMConfig(heads=(2, 2))), "one number for each scale"),
    ],
)
def test_fields_that_do_not_fit(config: SSCConfig, says: str) -> None:
    with pytest.raises(InputError, match=says):
        config.build(SMALL.build(("ct", "mr"), 1, C, 2), C)
