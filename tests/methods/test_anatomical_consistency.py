"""CAC on top of any other method: its own objective unchanged, one more term on unlabeled images."""

from dataclasses import replace

import pytest
import torch
from random_batches import C, random_batches

from unpaired.data.batch import Batch
from unpaired.errors import InputError
from unpaired.methods.anatomical_consistency import AnatomicalConsistencyConfig
from unpaired.methods.anatomy import AnatomyConfig
from unpaired.methods.class_specific_affinity import CSAConfig
from unpaired.methods.cross_modality_collaboration import CMCConfig
from unpaired.methods.knowledge_distillation import KnowledgeDistillationConfig
from unpaired.methods.mean_teacher import MeanTeacher, MeanTeacherConfig
from unpaired.methods.method import MethodConfig
from unpaired.methods.ramp import Ramp
from unpaired.methods.structured_consistency import SSCConfig
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.unet import UNetConfig
from unpaired.recipe import from_json, to_json

UNET = UNetConfig(width=2, widest=4, blocks=(1, 1, 1))
METHODS: dict[str, MethodConfig] = {
    "msbn": SupervisedConfig(),
    "csa": CSAConfig(layer_pairs=(("encoder2", "encoder3"),)),
    "ummkd": KnowledgeDistillationConfig(),
    "ssc": SSCConfig(scales=("encoder3", "encoder2")),
}


def batches(unlabeled: int = 2) -> dict[str, Batch]:
    return random_batches(("ct", "mr"), (8, 8), unlabeled=dict.fromkeys(("ct", "mr"), unlabeled) if unlabeled else None)


def around(method: MethodConfig) -> AnatomicalConsistencyConfig:
    return AnatomicalConsistencyConfig(method, 0.5, AnatomyConfig(frame_size=8), Ramp(length=0.0))


@pytest.mark.parametrize("name", METHODS)
def test_it_adds_one_term_to_any_method(name: str) -> None:
    torch.manual_seed(0)
    network = UNET.build(("ct", "mr"), 1, C, 2)
    alone = METHODS[name].build(network, C)
    both = around(METHODS[name]).build(network, C)
    both.method.load_state_dict(alone.state_dict())
    torch.manual_seed(1)
    without = alone(batches(), 0.0)
    torch.manual_seed(1)
    loss, terms = both(batches(), 0.0)
    assert {term: value for term, value in terms.items() if term != "cac"} == without.terms
    torch.testing.assert_close(loss, without.loss + 0.5 * terms["cac"])
    labeled_only = {modality: batch._replace(unlabeled=None) for modality, batch in batches().items()}
    gradients = []
    for data in (batches(), labeled_only):
        torch.manual_seed(1)
        drawn = torch.autograd.grad(both(data, 0.0).loss, [*network.parameters()], allow_unused=True)
        gradients.append([torch.zeros(1) if gradient is None else gradient for gradient in drawn])
    assert max((a - b).abs().max() for a, b in zip(*gradients, strict=True)) > 1e-3


def test_the_network_is_stored_once_and_predicts_alone() -> None:
    network = UNET.build(("ct", "mr"), 1, C, 2).eval()
    method = around(SupervisedConfig()).build(network, C)
    assert method.network is network
    assert set(method.state_dict()) == {f"method.network.{name}" for name in network.state_dict()}
    images = batches()["ct"].images
    assert torch.equal(method.predict(images, "ct"), network({"ct": images})["ct"].logits)


def test_what_the_other_method_does_after_a_step_is_done() -> None:
    network = UNET.build(("ct", "mr"), 1, C, 2)
    method = around(MeanTeacherConfig(SupervisedConfig())).build(network, C)
    assert method.needs_unlabeled
    assert isinstance(method.method, MeanTeacher)
    method.after_step()
    assert method.method.steps == 1
    assert method.further_networks == method.method.further_networks


def test_its_time_and_batches_without_unlabeled_images() -> None:
    network = UNET.build(("ct", "mr"), 1, C, 2)
    config = around(SupervisedConfig())
    assert config.build(network, C)(batches(0), 0.0).terms["cac"] == 0
    labels_in_one = batches() | {"mr": batches()["mr"]._replace(unlabeled=None)}
    assert config.build(network, C)(labels_in_one, 0.0).terms["cac"] > 0
    late = replace(config, ramp=Ramp(begin=0.5, length=0.0)).build(network, C)
    assert late(batches(), 0.4).terms["cac"] == 0
    assert late(batches(), 0.5).terms["cac"] > 0


def test_training_is_told_what_cac_did() -> None:
    network = UNET.build(("ct", "mr"), 1, C, 2)
    for config in (
        around(MeanTeacherConfig(SupervisedConfig())),
        MeanTeacherConfig(around(SupervisedConfig())),
        CMCConfig(layer="encoder3"),
    ):
        assert "CAC harmed where it was measured" in config.build(network, C).caution
    without = (
        replace(around(SupervisedConfig()), weight=0.0),
        CMCConfig(layer="encoder3", cac_weight=0.0),
        MeanTeacherConfig(SupervisedConfig()),
    )
    assert [config.build(network, C).caution for config in without] == ["", "", ""]


def test_a_run_folder_can_hold_it() -> None:
    config = around(METHODS["csa"])
    assert from_json(to_json(config)) == config


def test_fields_that_do_not_fit() -> None:
    network = UNET.build(("ct", "mr"), 1, C, 2)
    shape = replace(around(SupervisedConfig()), anatomy=AnatomyConfig(form="shape"))
    for config, classes, words in (
        (shape, 2, "with one foreground class they are the same"),
        (around(CSAConfig(layer_pairs=(("group4", "group5"),))), C, "no feature map 'group4'"),
    ):
        with pytest.raises(InputError, match=words):
            config.build(network, classes)
