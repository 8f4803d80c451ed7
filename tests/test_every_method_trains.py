"""Every term of every method reaches the weights that it is for, and no others: found by their existing.

A term that was computed without gradient, or that nobody adds to the loss, trains nothing and looks well in the log:
the losses on unlabeled images in CMC's released code are of that kind.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from every_method import CONFIGS, LATE
from unpaired.data.batch import Batch
from unpaired.data.dataset import Dataset
from unpaired.data.prepare import prepare
from unpaired.methods.method import Method, Objective
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.unet import UNetConfig
from unpaired.recipes.phantom import csa
from unpaired.training.validate import validate

C = 3
NAMES = ("ct", "mr", "lge")
UNET = UNetConfig(width=2, widest=4, blocks=(1, 1))


@dataclass(frozen=True)
class Term:
    """The parts of a method that a term trains, and whether it looks at unlabeled images."""

    trains: set[str]
    unlabeled: bool = False


TERMS = {
    "dice": Term({"network"}),
    "ce": Term({"network"}),
    "kd": Term({"network"}),
    "csa": Term({"network"}),
    "aux": Term({"network", "attention", "embeddings"}),
    "mod": Term({"embeddings"}),
    "img": Term({"network", "attention", "embeddings"}),
    "csc": Term({"network"}, unlabeled=True),
    "cac": Term({"network"}, unlabeled=True),
    "mean_teacher": Term({"network"}, unlabeled=True),
    "weak_to_strong": Term({"network"}, unlabeled=True),
    "views": Term({"network"}),
    "norms": Term({"network"}),
    "unlabeled_views": Term({"network"}, unlabeled=True),
    "cross_pseudo": Term({"network", "second"}, unlabeled=True),
    "second": Term({"second"}),
    "translated_dice": Term({"network"}),
    "translated_ce": Term({"network"}),
    "consistency": Term({"network"}, unlabeled=True),
    "co_training": Term({"network"}, unlabeled=True),
}
"""By what stands before "/<modality>" in a term's name."""
LOOKED_AT = {"class_distance"}
"""Not terms of an objective: numbers for the log."""
TRAIN_NOTHING = {"CMCReleasedConfig": {"csc", "cac"}}
"""Terms that reach no weight on purpose, because a released code that is kept as it is has them so."""
IN_PAIRS = ("CMCReleasedConfig", "CMCReleasedConfig.mended")
"""Methods that compare unlabeled image i of one modality with image i of another, and refuse unequal numbers."""


def batches(name: str) -> dict[str, Batch]:
    """Unequal numbers of unlabeled images, and none of the last modality; gradients of all images are wanted."""
    generator = torch.Generator().manual_seed(1)
    result = {}
    for modality, unlabeled in zip(NAMES, (2, 2, 0) if name in IN_PAIRS else (3, 1, 0), strict=True):
        images = torch.randn(2, 1, 8, 8, generator=generator).requires_grad_()
        more = torch.randn(unlabeled, 1, 8, 8, generator=generator).requires_grad_() if unlabeled else None
        labels = torch.randint(0, C, (2, 8, 8), generator=generator)
        result[modality] = Batch(images, labels, torch.eye(C, dtype=torch.bool), more)
    return result


def built(name: str) -> Method:
    torch.manual_seed(0)
    return CONFIGS[name].build(UNET.build(NAMES, 1, C, 2), C)


def objective_with_gradients(method: Method, data: dict[str, Batch]) -> tuple[Objective, dict[str, Tensor]]:
    """The objective, and those of its terms that are part of the loss."""
    for _ in range(2):  # the first step is a teacher's beginning, where it has nothing to say yet
        objective = method(data, LATE)
        method.after_step()
        with torch.no_grad():
            for parameter in method.network.parameters():
                parameter += 0.01 * torch.randn_like(parameter) * parameter.requires_grad
    objective = method(data, LATE)
    looked_at = {term for term in objective.terms if term.partition("/")[0] in LOOKED_AT}
    assert not any(objective.terms[term].requires_grad for term in looked_at)
    return objective, {term: value for term, value in objective.terms.items() if term not in looked_at}


def parts_of(method: Method) -> dict[str, list[Tensor]]:
    """{"network", "second" (further networks), and each of the method's own parts by name: trainable parameters}."""
    parts = {"network": [*method.network.parameters()]}
    for network in method.further_networks:
        parts.setdefault("second", []).extend(network.parameters())
    taken = {id(parameter) for members in parts.values() for parameter in members}
    for name, parameter in method.named_parameters():
        if id(parameter) not in taken and parameter.requires_grad:
            parts.setdefault(name.partition(".")[0], []).append(parameter)
    return parts


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_every_term_trains_what_it_is_for(name: str) -> None:
    method, data = built(name), batches(name)
    objective, live = objective_with_gradients(method, data)
    unknown = {term.partition("/")[0] for term in live} - set(TERMS)
    assert not unknown, f"say in TERMS what {unknown} are to train"
    parts = parts_of(method)
    unlabeled = {m: batch.unlabeled for m, batch in data.items() if batch.unlabeled is not None}
    own = {m: [p for key, p in method.network.named_parameters() if f"by_modality.{m}." in key] for m in NAMES}
    tensors = [tensor for part in parts.values() for tensor in part if tensor.requires_grad] + list(unlabeled.values())
    for full_name, term in live.items():
        kind, _, modality = full_name.partition("/")
        if kind in TRAIN_NOTHING.get(name, ()):
            assert not term.requires_grad
            continue
        assert term.requires_grad, f"{full_name} is computed without gradient"
        (share,) = torch.autograd.grad(objective.loss, [term], retain_graph=True, allow_unused=True)
        assert share is not None, f"{full_name} is no part of the loss"
        assert share > 0, f"{full_name} is no part of the loss"
        gradients = torch.autograd.grad(term, tensors, retain_graph=True, allow_unused=True)
        found = {id(t): g for t, g in zip(tensors, gradients, strict=True) if g is not None and bool(g.any())}
        trained = {part for part, members in parts.items() if any(id(member) in found for member in members)}
        assert trained == TERMS[kind].trains & set(parts), full_name
        if modality and "network" in trained:
            assert {m for m in NAMES if any(id(p) in found for p in own[m])} == {modality}, f"whose norms: {full_name}"
        looked_at = {m for m in unlabeled if modality in ("", m) and TERMS[kind].unlabeled}
        assert {m for m, images in unlabeled.items() if id(images) in found} == looked_at, full_name
        for m in looked_at:
            assert found[id(unlabeled[m])].flatten(1).any(dim=1).all(), f"{full_name} leaves images of {m} out"


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_a_step_leaves_modes_and_what_is_not_trained_alone(name: str) -> None:
    method, data = built(name), batches(name)
    for training in (True, False):
        method.train(training)
        loss, _ = method(data, LATE)
        assert {module.training for module in method.modules()} == {training}
    loss.backward()
    frozen = [parameter for parameter in method.parameters() if not parameter.requires_grad]
    assert all(parameter.grad is None for parameter in frozen)
    trained = [p for part in parts_of(method).values() for p in part if p.requires_grad]
    assert len({id(p) for p in trained}) + len({id(p) for p in frozen}) == len(list(method.parameters()))


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_images_of_one_kind_are_never_cut_to_the_number_of_the_other(name: str) -> None:
    """With three labeled images or one, three unlabeled or one: the loss is finite and each labeled image is heard."""
    data = batches(name)
    one = {m: Batch(b.images[:1].detach().requires_grad_(), b.label_map[:1], *b[2:]) for m, b in data.items()}
    for given in (data, one):
        loss, _ = built(name)(given, LATE)
        assert torch.isfinite(loss)
        for batch in given.values():
            (gradient,) = torch.autograd.grad(loss, [batch.images], retain_graph=True)
            assert (gradient.flatten(1).abs().amax(dim=1) > 0).all()


def test_validation_leaves_training_as_it_was(thin_phantom: Dataset, tmp_path: Path) -> None:
    wrapping = {name: config for name, config in CONFIGS.items() if hasattr(config, "method")}
    assert len(wrapping) >= 2
    case = thin_phantom.of("ct", "validation")[0]
    cases = {"ct": [prepare(thin_phantom, csa().preprocessing, tmp_path, only={case.id}).cases[case.id]]}
    recipe = replace(csa(), network=UNET, method=SupervisedConfig(), patch_size=(16, 16), context_slices=1)
    for name, config in wrapping.items():
        method = config.build(UNET.build(["ct", "lge"], 1, len(thin_phantom.classes), 2), len(thin_phantom.classes))
        for training in (True, False):
            method.train(training)
            validate(method, recipe, thin_phantom, cases, "cpu")
            assert {module.training for module in method.modules()} == {training}, name
