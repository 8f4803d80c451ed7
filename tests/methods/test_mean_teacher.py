"""Mean teacher: its equations in loops, a teacher that follows and never learns, a method that stays what it is."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from random_batches import random_batches
from torch import Tensor

from oracles import semi_supervision_loops as loops
from unpaired.data.batch import Batch
from unpaired.methods.mean_teacher import MeanTeacher, MeanTeacherConfig, disagreement
from unpaired.methods.ramp import Ramp
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.network import NetworkConfig
from unpaired.networks.sam_med3d import SAMMed3DConfig
from unpaired.networks.unet import UNetConfig

C = 3
NAMES = ("ct", "mr", "lge")
UNET = UNetConfig(width=2, widest=4, blocks=(1, 1))
CONFIG = MeanTeacherConfig(SupervisedConfig(), noise=0.0)


def batches(dims: int = 2, **unlabeled: int) -> dict[str, Batch]:
    """Two labeled images of every modality, and so many unlabeled ones of those named."""
    return random_batches(NAMES, (4,) * dims, unlabeled=unlabeled, seed=1)


def built(config: MeanTeacherConfig = CONFIG, network: NetworkConfig = UNET, dims: int = 2) -> MeanTeacher:
    torch.manual_seed(0)
    return config.build(network.build(NAMES, 1, C, dims), C)


def moved(method: MeanTeacher, dims: int = 2) -> MeanTeacher:
    """After one step of training, so that teacher and student differ."""
    method(batches(dims, ct=1), 0.0).loss.backward()
    with torch.no_grad():
        for parameter in method.network.parameters():
            parameter -= 0.5 * parameter.grad if parameter.grad is not None else 0
    method.after_step()
    method.zero_grad()
    return method


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("consistency", ["squared", "divergence"])
@pytest.mark.parametrize("labeled", [False, True])
def test_the_objective_equals_the_loops(dims: int, consistency: str, labeled: bool) -> None:
    config = replace(CONFIG, consistency=consistency, labeled=labeled, weight=3.0, ramp=Ramp(length=0.5))
    method = moved(built(config, dims=dims), dims)
    data = batches(dims, ct=3, lge=1)
    loss, terms = method(data, 0.2)
    expected: dict[str, float] = {}
    distance = {"squared": loops.squared, "divergence": loops.divergence}[consistency]
    passes = [{"ct": data["ct"].unlabeled, "lge": data["lge"].unlabeled}]
    passes += [{name: batch.images for name, batch in data.items()}] if labeled else []
    for images in passes:
        student, teacher = method.network(images), method.teacher(images)
        for name in images:
            outputs = (of[name].logits.detach().numpy().astype(float) for of in (student, teacher))
            expected[f"mean_teacher/{name}"] = expected.get(f"mean_teacher/{name}", 0.0) + distance(*outputs)
    inner = method.method(data, 0.2)
    assert set(terms) == set(inner.terms) | set(expected)
    for name, value in expected.items():
        assert value > 0
        assert terms[name].item() == pytest.approx(value, rel=1e-4)
    total = inner.loss.item() + 3.0 * loops.rise(0.2, 0.5) * sum(expected.values())
    assert loss.item() == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("decay", [0.0, 0.6, 0.99])
def test_the_teacher_is_the_moving_average(decay: float) -> None:
    method = built(replace(CONFIG, decay=decay))
    method(batches(ct=1), 0.0)
    path: list[list[float]] = []
    first = [parameter.flatten()[0].item() for parameter in method.network.parameters()]
    for step in range(6):
        with torch.no_grad():
            for number, parameter in enumerate(method.network.parameters()):
                parameter.copy_(torch.full_like(parameter, float(np.sin(step + number))))
        path.append([parameter.flatten()[0].item() for parameter in method.network.parameters()])
        method.after_step()
    for number, parameter in enumerate(method.teacher.parameters()):
        expected = loops.moving_average(first[number], [weights[number] for weights in path], decay)
        assert parameter.flatten()[0].item() == pytest.approx(expected, abs=1e-6)


def test_the_teacher_begins_as_the_student_begins_training() -> None:
    """Pre-trained weights come after the method is built."""
    method = built()
    with torch.no_grad():
        for parameter in method.network.parameters():
            parameter.fill_(0.25)
    objective = method(batches(ct=2), 0.5)
    assert all(bool((parameter == 0.25).all()) for parameter in method.teacher.parameters())
    assert objective.terms["mean_teacher/ct"] == 0, "the same weights, no noise, no dropout"


def test_noise_makes_them_differ_and_comes_from_the_global_random_state() -> None:
    method = built(replace(CONFIG, noise=0.5))
    torch.manual_seed(3)
    first = method(batches(ct=2), 0.5).terms["mean_teacher/ct"]
    assert first > 0
    torch.manual_seed(3)
    assert method(batches(ct=2), 0.5).terms["mean_teacher/ct"] == first


def test_student_and_teacher_each_get_noise_of_their_own_of_the_deviation_asked_for() -> None:
    method = built(replace(CONFIG, noise=0.5))
    seen: list[Tensor] = []
    for network in (method.teacher, method.network):
        network.register_forward_pre_hook(lambda module, given: seen.append(given[0]["ct"]))
    torch.manual_seed(0)
    method.compare({"ct": torch.full((2, 1, 64, 64), 3.0)})
    noises = [images - 3 for images in seen]
    assert len(noises) == 2
    for noise in noises:
        assert noise.mean().item() == pytest.approx(0, abs=0.03)
        assert noise.std().item() == pytest.approx(0.5, abs=0.03)
    correlation = np.corrcoef(*(noise.flatten().numpy() for noise in noises))[0, 1]
    assert abs(correlation) < 0.05


def test_without_unlabeled_images_it_is_the_method_itself() -> None:
    method = built(replace(CONFIG, noise=0.5, labeled=True))
    torch.manual_seed(5)
    alone = method.method(batches(), 0.5)
    state = torch.get_rng_state()
    torch.manual_seed(5)
    wrapped = method(batches(), 0.5)
    assert torch.equal(wrapped.loss, alone.loss)
    assert list(wrapped.terms) == list(alone.terms)
    assert torch.equal(torch.get_rng_state(), state)


def test_only_the_student_learns_and_modes_stay() -> None:
    method = moved(built(replace(CONFIG, noise=0.3)))
    for training in (True, False):
        method.train(training)
        before = [module.training for module in method.modules()]
        images = batches(ct=2)
        loss = method(images, 1.0).loss
        loss.backward()
        assert [module.training for module in method.modules()] == before
        assert all(module.training == training for module in method.teacher.modules())
    assert all(not p.requires_grad and p.grad is None for p in method.teacher.parameters())
    student = {id(p) for p in method.network.parameters()}
    assert {id(p) for p in method.parameters() if p.requires_grad} <= student


def test_batch_norms_running_statistics_see_both_passes_and_the_teachers_are_its_own() -> None:
    method = built(network=replace(UNET, norm="batch"))
    method(batches(ct=2), 0.5)

    def passes(network: torch.nn.Module, modality: str) -> set[int]:
        return {
            int(buffer)
            for name, buffer in network.named_buffers()
            if name.endswith(f"by_modality.{modality}.num_batches_tracked")
        }

    assert passes(method.network, "ct") == {2}
    assert passes(method.network, "mr") == {1}
    assert passes(method.teacher, "ct") == {1}
    assert passes(method.teacher, "mr") == {0}


def test_a_frozen_encoder_is_held_once() -> None:
    config = SAMMed3DConfig(
        width=4, depth=2, heads=2, patch=4, size=8, window=2, global_blocks=(1,), neck=8, frozen=True
    )
    method = built(network=replace(config, adapter=2), dims=3)
    student, teacher = dict(method.network.named_parameters()), dict(method.teacher.named_parameters())
    shared = {name for name in student if student[name] is teacher[name]}
    assert shared == {name for name in student if not student[name].requires_grad}
    assert shared
    before = {name: student[name].clone() for name in shared}
    method.after_step()
    assert all(torch.equal(student[name], before[name]) for name in shared)


def test_how_far_the_teacher_is_comes_back_with_its_state() -> None:
    method = moved(moved(built()))
    other = built()
    other.load_state_dict(method.state_dict())
    assert other.steps == method.steps == 2
    for trained in (method, other):
        trained.after_step()
    assert all(torch.equal(a, b) for a, b in zip(method.teacher.parameters(), other.teacher.parameters(), strict=True))


def test_equal_logits_agree_and_low_precision_is_no_trap() -> None:
    logits: Tensor = 40 * torch.randn(2, C, 3, 3)
    for consistency in ("squared", "divergence"):
        assert disagreement(logits, logits, consistency) == 0
        assert disagreement(logits.half(), -logits.half(), consistency).dtype == torch.float32
        assert torch.isfinite(disagreement(logits.half(), -logits.half(), consistency))
