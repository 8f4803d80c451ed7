"""A diagnosis says of terms made for it what they are: inert, against the labels, sampling noise, of use."""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from unpaired.analyses.diagnosis.computation import (
    TermDiagnosis,
    diagnose_terms,
    mean_interval,
    noise_share,
    shared_weights,
    with_layers_of,
)
from unpaired.analyses.diagnosis.scores import advice, verdict
from unpaired.analyses.diagnosis.tables import diagnosis_table
from unpaired.cli import main
from unpaired.data.batch import Batch
from unpaired.data.dataset import Dataset
from unpaired.methods.anatomical_consistency import AnatomicalConsistency, AnatomicalConsistencyConfig
from unpaired.methods.anatomy import AnatomyConfig
from unpaired.methods.class_specific_affinity import CSAConfig
from unpaired.methods.method import Method, MethodConfig, Objective
from unpaired.methods.norm_shrinkage import NormShrinkageConfig
from unpaired.methods.pseudo_correlation import PseudoCorrelationConfig
from unpaired.methods.supervised import SupervisedConfig, labeled_outputs, supervised_terms
from unpaired.methods.weak_to_strong import WeakToStrongConfig
from unpaired.networks.fcn import FCNConfig
from unpaired.networks.independent import IndependentNetworksConfig
from unpaired.networks.network import Network
from unpaired.networks.unet import UNetConfig
from unpaired.recipes.phantom import csa
from unpaired.runs.run import Run
from unpaired.statistics import Interval
from unpaired.training.loop import Hardware, train

NAMES = ("ct", "mr")
UNET = UNetConfig(width=4, widest=8, blocks=(1, 1))


class Made(Method):
    """Terms whose verdict is known from how they are made."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.own = torch.nn.Parameter(torch.ones(()))
        self.sign = 1.0

    def forward(self, batches: Mapping[str, Batch], progress: float) -> Objective:
        outputs = labeled_outputs(self.network, batches)
        supervised, again = (supervised_terms(outputs, batches, SupervisedConfig()) for _ in range(2))
        means = [output.features["encoder1"].mean(dim=(0, 2, 3)) for output in outputs.values()]
        brightness = [batch.images.mean() for batch in batches.values()]
        return (
            supervised.plus("against", 0.5, -again.loss)
            .plus("tiny", 1e-9, 1.0 * again.loss)
            .plus("off", 0.0, 2.0 * again.loss)
            .plus("own", 1.0, self.own.square())
            .plus("drawn", 0.1, sum(output.logits.square().mean() for output in outputs.values()))
            .plus("modalities", 0.01, (brightness[0] - brightness[1]).square() * again.loss)
            .plus("around_0", 1.0, self.sign * (brightness[0] + brightness[1]) * means[0].square().sum())
            .plus("below_0", 0.002, -(brightness[0] - brightness[1]).square() * again.loss)
            .plus("looked_at", 0.0, supervised.loss.detach())
        )


def steps(count: int = 4) -> list[dict[str, Batch]]:
    """CT is dark and MR is bright; which pixels are of which class is random."""
    generator = torch.Generator().manual_seed(0)
    result = []
    for _ in range(count):
        step = {}
        for name, level in zip(NAMES, (-3.0, 3.0), strict=True):
            images = torch.randn(2, 1, 8, 8, generator=generator) + level
            labels = torch.randint(0, 3, (2, 8, 8), generator=generator)
            step[name] = Batch(images, labels, torch.eye(3, dtype=torch.bool))
        result.append(step)
    return result


@pytest.fixture(scope="module")
def method() -> Made:
    torch.manual_seed(0)
    made = Made(UNET.build(NAMES, 1, 3, 2))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return made


def test_every_term_gets_the_verdict_it_was_made_for(method: Made) -> None:
    levels = [sum(batch.images.mean().item() for batch in step.values()) for step in steps()]
    assert min(levels) < 0 < max(levels)
    method.sign = -1.0 if sum(levels) > 0 else 1.0  # "around_0" is not above 0 in the mean
    found = {term.name: term for term in diagnose_terms(method, steps(), 0.5)}
    assert {name: verdict(term) for name, term in found.items()} == {
        "dice": "supervised",
        "ce": "supervised",
        "against": "fights supervision",
        "tiny": "inert",
        "off": "off",
        "own": "elsewhere",
        "drawn": "noise",
        "modalities": "useful",
        "around_0": "noise",
        "below_0": "against the labels",
    }
    assert found["against"].cosine == pytest.approx(-1, abs=1e-4)
    assert found["against"].strength == pytest.approx(0.5, rel=1e-4)
    assert found["against"].weight == pytest.approx(0.5)
    assert found["tiny"].cosine == pytest.approx(1, abs=1e-4)
    assert found["drawn"].noise == pytest.approx(1, abs=0.3)
    assert found["modalities"].noise == pytest.approx(0, abs=0.05)
    assert (found["around_0"].noise, found["below_0"].noise) == (1.0, None)
    assert all("\n" not in advice(term) for term in found.values())
    assert len(diagnosis_table(list(found.values())).rows) == len(found)
    assert "Cosine: +1 where they pull" in diagnosis_table(list(found.values())).markdown()


def test_numbers_are_those_of_the_terms_and_gradients_of_one_step(method: Made) -> None:
    data = steps(2)[:1] * 2
    found = {term.name: term for term in diagnose_terms(method, data, 0.5)}
    outputs = labeled_outputs(method.network, data[0])
    objective = supervised_terms(outputs, data[0], SupervisedConfig())
    shared = shared_weights(method)
    gradients = {}
    for kind in ("dice", "ce"):
        terms = [value for name, value in objective.terms.items() if name.startswith(kind)]
        assert found[kind].value == pytest.approx(sum(term.item() for term in terms), rel=1e-4)
        grads = torch.autograd.grad(sum(terms), shared, retain_graph=True)
        gradients[kind] = torch.cat([g.flatten() for g in grads])
    whole = gradients["dice"] + gradients["ce"]
    for kind, gradient in gradients.items():
        assert found[kind].strength == pytest.approx((gradient.norm() / whole.norm()).item(), rel=1e-3)
        assert found[kind].cosine == pytest.approx(F.cosine_similarity(gradient, whole, dim=0).item(), abs=1e-3)


def test_shared_weights_are_those_of_no_modality(method: Made) -> None:
    names = {id(p): name for name, p in method.network.named_parameters()}
    shared = [names[id(weight)] for weight in shared_weights(method)]
    assert shared
    assert not [name for name in shared if "by_modality" in name]
    assert len(shared) < len(names)


def test_the_method_and_random_states_are_left_alone(method: Made) -> None:
    before = {name: value.clone() for name, value in method.state_dict().items()}
    state = torch.get_rng_state()
    method.eval()
    diagnose_terms(method, steps(2), 0.0)
    assert not method.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in method.state_dict().items())
    assert all(parameter.grad is None for parameter in method.parameters())


def test_layers_of_one_modality_make_the_modalities_one() -> None:
    torch.manual_seed(1)
    config = FCNConfig(width=2, dropout=0.0)
    method = CSAConfig(layer_pairs=(("group4", "group5"),)).build(config.build(NAMES, 1, 3, 2), 3)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    images = torch.randn(2, 1, 16, 16)
    method.eval()
    assert not torch.equal(method.predict(images, "ct"), method.predict(images, "mr"))
    alike = with_layers_of(method, "mr")
    assert torch.equal(alike.predict(images, "ct"), method.predict(images, "mr"))
    assert torch.equal(alike.predict(images, "mr"), method.predict(images, "mr"))


@pytest.mark.parametrize("names", [("0", "1"), ("conv", "output"), ("weight", "body")])
def test_a_modality_called_as_a_part_of_the_network_owns_its_norms_alone(names: tuple[str, str]) -> None:
    """Weights are told apart by the modules that hold them, not by words in their names."""
    torch.manual_seed(1)
    method, alike = (
        SupervisedConfig().build(FCNConfig(width=2, dropout=0.0).build(modalities, 1, 3, 2), 3)
        for modalities in (names, NAMES)
    )
    assert len(shared_weights(method)) == len(shared_weights(alike))
    with torch.no_grad():
        for parameter in method.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    images = torch.randn(2, 1, 16, 16)
    method.eval()
    first, second = names
    assert torch.equal(with_layers_of(method, second).predict(images, first), method.predict(images, second))


def test_networks_of_their_own_hold_the_names_of_their_modalities() -> None:
    """As row Single: each modality's network has norms that are called like it, in another place than the others'."""
    torch.manual_seed(1)
    network = IndependentNetworksConfig(FCNConfig(width=2, dropout=0.0)).build(("ct", "mr"), 1, 3, 2)
    method = SupervisedConfig().build(network, 3).eval()
    with torch.no_grad():
        for parameter in method.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    images = torch.randn(2, 1, 16, 16)
    assert not torch.equal(method.predict(images, "ct"), method.predict(images, "mr"))
    assert torch.equal(with_layers_of(method, "mr").predict(images, "ct"), method.predict(images, "mr"))


@pytest.mark.parametrize(
    ("apart", "alike", "expected"),
    [
        ([2.0, 4.0], [1.0, 2.0, 3.0], 2 / 3),
        ([0.5, -0.1], [-0.2, 0.0], 0.5),  # an estimate around 0: the size of what one modality has
        ([0.2, -0.4], [0.1], 1.0),
        ([-0.2, -0.4], [0.1], None),
        ([0.0, 0.0], [0.0], None),
    ],
)
def test_the_share_of_noise(apart: list[float], alike: list[float], expected: float | None) -> None:
    share = noise_share(apart, alike)
    assert share == expected if expected is None else share == pytest.approx(expected)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"strength": 0.5, "cosine": -0.9}, "fights supervision"),
        ({"strength": 0.05, "cosine": -0.9}, "against the labels"),
        ({"strength": 1.5}, "outweighs supervision"),
        ({"strength": 1.5, "cosine": 0.6, "noise": 0.1}, "useful"),
        ({"strength": 1.5, "cosine": -0.4}, "fights supervision"),
        ({"strength": 0.005, "noise": 1.0}, "inert"),
        ({"strength": 0.2, "noise": 0.9}, "noise"),
        ({"strength": 0.2, "noise": 0.3}, "beside the labels"),
        ({"strength": 0.2, "noise": 0.3, "cosine": 0.2}, "useful"),
        ({"strength": 0.2, "noise": 0.3, "cosine": -0.18}, "against the labels"),
        ({"cosine": -0.18, "cosines": Interval(-1.0, 0.6)}, "unclear"),
        ({"cosine": 0.3, "cosines": Interval(0.05, 0.55)}, "unclear"),
        ({"cosine": 0.3, "cosines": Interval(0.15, 0.45)}, "useful"),
        ({"cosine": -0.18, "cosines": Interval(-0.25, -0.11)}, "against the labels"),
        ({"cosine": -0.05, "cosines": Interval(-0.08, -0.02)}, "beside the labels"),
        ({"strength": 0.012, "strengths": Interval(0.0, 0.03), "cosine": 0.9}, "unclear"),
        ({"strength": 0.004, "strengths": Interval(0.001, 0.008), "cosines": Interval(-1.0, 1.0)}, "inert"),
        ({"strength": 0.012, "strengths": Interval(0.0, 0.03), "noise": 0.9}, "noise"),
        ({"strength": 1.5, "cosine": -0.6, "cosines": Interval(-0.9, -0.2)}, "fights supervision"),
        ({"strength": 0.2, "weight": 0.0}, "off"),
    ],
    ids=str,
)
def test_verdicts(fields: dict, expected: str) -> None:
    numbers = {"strength": 0.2, "cosine": 0.0, "noise": None} | fields
    term = TermDiagnosis(**{"name": "csa", "value": 1.0, "weight": 0.1} | numbers)
    assert verdict(term) == expected
    assert "{" not in advice(term)


@pytest.mark.parametrize("cosine", [-1.0, -0.5, -0.18, -0.01, 0.0])
def test_what_does_not_go_with_the_labels_is_never_useful(cosine: float) -> None:
    for strength in (0.0, 0.005, 0.05, 0.5, 5.0):
        for noise in (None, 0.1, 0.9):
            for cosines in (None, Interval(cosine, cosine), Interval(-1.0, 1.0)):
                term = TermDiagnosis("csa", 1.0, 0.1, strength, cosine, noise, cosines=cosines)
                assert verdict(term) != "useful"


def test_two_batches_that_differ_decide_nothing(method: Made) -> None:
    """Student's interval of two values reaches 6.3 standard errors, and says so; one value has none."""
    (term,) = (term for term in diagnose_terms(method, steps(2), 0.5) if term.name == "drawn")
    assert term.batches == 2
    assert term.strengths is not None
    assert term.cosines is not None
    assert term.cosines.low <= (term.cosine or 0.0) <= term.cosines.high
    strengths = [0.05, 0.07]
    interval = mean_interval(strengths)
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx((0.06 - 6.3138 * 0.01, 0.06 + 6.3138 * 0.01), abs=1e-5)
    unsure = TermDiagnosis(
        "csa", 1.0, 0.1, 0.06, -0.18, None, strengths=interval, cosines=Interval(-1.0, 1.0), batches=2
    )
    assert verdict(unsure) == "unclear"
    said = advice(unsure)
    assert "its gradient is 0.06 (-0.0031 to 0.12) of the supervised one, cosine -0.18 (-1.00 to +1.00)" in said
    assert "2 batches leave open whether it is 'against the labels' or " in said
    assert mean_interval([1.0]) is None
    assert mean_interval([2.0, 2.0, 2.0]) == Interval(2.0, 2.0)


def diagnosed(config: MethodConfig, seen: int = 0) -> dict[str, str]:
    """{term: verdict} of a method on a small U-Net after so many steps, late in training."""
    torch.manual_seed(0)
    method = config.build(UNetConfig(width=2, widest=4, blocks=(1, 1)).build(NAMES, 1, 3, 2), 3)
    data = [{name: b._replace(unlabeled=b.images.flip(0)) for name, b in step.items()} for step in steps(2)]
    for _ in range(seen):
        method(data[0], 0.9)
        method.after_step()
        with torch.no_grad():
            for parameter in method.network.parameters():
                parameter += 0.05 * torch.randn_like(parameter)
    return {term.name: verdict(term) for term in diagnose_terms(method, data, 0.9)}


def test_terms_that_have_nothing_to_say_yet_are_silent() -> None:
    """A teacher that is never so sure, norms that begin alike; norms that differ are no affair of shared weights."""
    unsure = diagnosed(WeakToStrongConfig(SupervisedConfig(), confidence=1.0))
    assert unsure == {"dice": "supervised", "ce": "supervised", "weak_to_strong": "silent"}
    assert diagnosed(WeakToStrongConfig(SupervisedConfig(), confidence=0.0), 1)["weak_to_strong"] != "silent"
    shrinkage = NormShrinkageConfig(SupervisedConfig())
    assert diagnosed(shrinkage)["norms"] == "silent"
    assert diagnosed(shrinkage, 1)["norms"] == "elsewhere"
    said = diagnosed(PseudoCorrelationConfig(spacing=4, views=2))
    assert set(said) == {"dice", "ce", "views", "unlabeled_views"}
    assert said["views"] not in ("silent", "elsewhere", "off")


def test_what_running_maps_remember_is_one_modalitys_where_modalities_are_to_be_one() -> None:
    torch.manual_seed(0)
    config = AnatomicalConsistencyConfig(SupervisedConfig(), anatomy=AnatomyConfig(momentum=0.9))
    method = config.build(UNET.build(NAMES, 1, 3, 2), 3)
    assert isinstance(method, AnatomicalConsistency)
    assert method.running is not None
    method.running.maps = {"ct": torch.zeros(2, 8, 8), "mr": torch.ones(2, 8, 8)}
    alike = with_layers_of(method, "mr")
    assert isinstance(alike, AnatomicalConsistency)
    assert alike.running is not None
    assert all(maps.eq(1).all() for maps in alike.running.maps.values())
    assert method.running.maps["ct"].eq(0).all()


@pytest.fixture(scope="module")
def run(phantom: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("diagnosed")
    recipe = replace(
        csa(), network=FCNConfig(width=2, dropout=0.0, initialization="he"), patch_size=(32, 32), batch_size=2, steps=3
    )
    return train(recipe, phantom, folder / "run", hardware=Hardware("cpu", workers=0), show=False)


def test_the_command_says_what_each_term_does(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """The run has three batches: none is looked at twice, however many are asked for."""
    assert main(["diagnose", str(run.folder), "--batches", "8", "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "after 3 of 3 steps, 3 batches" in said
    assert re.search(r"^csa: [a-z ]+\. [A-Z].*\.$", said, re.MULTILINE)
    assert main(["diagnose", str(run.folder), "--batches", "3", "--fresh", "--json", "--device", "cpu"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["step"] == 0
    assert {term["name"] for term in document["terms"]} == {"dice", "ce", "csa"}
    assert all(term["verdict"] and term["advice"] for term in document["terms"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--batches", "2"], "batches: expected at least 3, as noise is what batches of one modality differ by"),
        (["--progress", "1.0"], "progress: expected a share of training"),
    ],
)
def test_wrong_arguments_are_one_line(
    run: Run, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diagnose", str(run.folder), *arguments, "--device", "cpu"]) == 2
    assert said in capsys.readouterr().err


def test_a_run_that_was_not_saved_is_refused(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(run.folder, tmp_path / "run")
    (tmp_path / "run" / "resume.pt").unlink()
    assert (
        main(["diagnose", str(tmp_path / "run"), "--device", "cpu", "--cache", str(run.folder.parent / "prepared")])
        == 2
    )
    assert "resume.pt" in capsys.readouterr().err
    torch.save({}, tmp_path / "run" / "resume.pt")
    assert main(["diagnose", str(tmp_path / "run"), "--device", "cpu"]) == 2
    assert "resume.pt doesn't hold the state of this training" in capsys.readouterr().err
